// The head of the page, what the address says, and how the page stays up to date.

// Where a reader is stands behind the # of the address, so that it can be sent to others.
function go(changes) {
  const now = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) {
    if (value) now.set(name, value);
    else now.delete(name);
  }
  history.replaceState(null, "", `${location.pathname}${location.search}${now.size ? `#${now}` : ""}`);
  follow();
}

function follow() {
  const now = new URLSearchParams(location.hash.slice(1));
  // A card's own link names a film and nothing else: the view stays as it is.
  if (now.size === 1 && now.has("v") && (VIEW.q || VIEW.state || VIEW.sort !== "order") && !opened) {
    go({ q: VIEW.q, state: VIEW.state, sort: VIEW.sort === "order" ? "" : VIEW.sort });
    return;
  }
  const sort = SORTS[now.get("sort")] ? now.get("sort") : "order";
  const asked = { q: now.get("q") ?? "", state: STATES.includes(now.get("state")) ? now.get("state") : "", sort };
  if (asked.q !== VIEW.q || asked.state !== VIEW.state || asked.sort !== VIEW.sort) {
    Object.assign(VIEW, asked);
    show();
  }
  if (byId("search").value.trim() !== VIEW.q) byId("search").value = VIEW.q;
  byId("sort").value = VIEW.sort;
  for (const chip of byId("states").children) chip.setAttribute("aria-pressed", String(chip.dataset.state === VIEW.state));
  const thing = BY_KEY.get(now.get("v"));
  if (thing) open(thing);
  else if (opened) shut();
}

function head() {
  const place = JOB.uri.replace(/\/+$/, "");
  const name = place.slice(place.lastIndexOf("/") + 1);
  byId("name").textContent = unescaped(name) || place;
  byId("uri").textContent = JOB.manifest ? `${JOB.manifest} → ${place}` : place;
  const counts = STATES.filter((state) => JOB.counts[state]).map((state) => `${JOB.counts[state]} ${state}`);
  const total = Object.values(JOB.counts).reduce((sum, count) => sum + count, 0);
  byId("progress").setAttribute("aria-label", counts.join(", "));
  byId("progress").append(...STATES.filter((state) => JOB.counts[state]).map((state) => {
    const part = el("span", { class: state, title: `${JOB.counts[state]} ${state}` });
    part.style.flexGrow = JOB.counts[state];
    return part;
  }));
  byId("made").textContent = `nightreel ${JOB.nightreel}. Films on this page are AI-generated.` +
    (total > THINGS.length ? ` ${plural(total - THINGS.length, "film")} not shown; results.parquet has all.` : "");
  facts(total);
  byId("strips").append(...[overTime(), strip("seconds per second", "pace", { log: true }),
    strip("strongest join", "join", { log: true }), strip("colour drift", "color")].filter(Boolean));
}

function facts(total) {
  const films = THINGS.filter((thing) => thing.video);
  const sum = (field) => films.reduce((all, film) => all + (film[field] || 0), 0);
  const compute_s = films.reduce((all, film) => all + (film.timings?.compute_s || 0), 0);
  const begins = THINGS.map((thing) => seconds(thing.started_at)).filter(Number.isFinite);
  const ends = THINGS.map((thing) => seconds(thing.finished_at)).filter(Number.isFinite);
  const engines = new Set(films.map((film) => film.engine).filter(Boolean));
  const sizes = new Set(films.map((film) => `${film.width} × ${film.height}`));
  const range = (begins.length && ends.length) ? Math.max(...ends) - Math.min(...begins) : NaN;
  byId("facts").append(...pairs([
    ["rendered", el("span", {}, el("b", {}, JOB.counts.rendered.toLocaleString("en")), ` of ${total.toLocaleString("en")}`)],
    ["film", clock(sum("duration_s"))],
    ["size", bytes(sum("size_bytes"))],
    ["first to last", clock(range)],
    ["compute", clock(compute_s)],
    ["picture", [...sizes].slice(0, 2).join(", ") + (sizes.size > 2 ? ", …" : "")],
    ["engine", [...engines].slice(0, 3).join(", ")],
  ]));
}

// What somebody has to look at comes before what went well.
function attention() {
  const bad = THINGS.filter((thing) => thing.state === "failed" || thing.state === "rejected");
  if (!bad.length) return;
  const box = byId("attention");
  box.hidden = false;
  box.open = bad.length <= 8;
  const number = (state) => bad.filter((thing) => thing.state === state).length;
  box.querySelector("summary").append(...["failed", "rejected"].filter(number).map((state) => el("span", { class: state }, `${number(state)} ${state}`)));
  const fillRows = () => {
    const body = box.querySelector("tbody");
    if (!box.open || body.children.length) return;
    body.append(...bad.slice(0, 200).map((thing) => el("tr", {},
      el("td", { class: thing.state }, thing.state),
      el("td", { class: "mono" }, el("a", { href: `#v=${encodeURIComponent(thing.key)}`, dir: "auto" }, thing.name)),
      el("td", { class: "dim mono" }, thing.state === "rejected" ? `${thing.file}:${thing.row}` : `attempt ${thing.attempt}`),
      foreign("td", {}, thing.error ? `${thing.error}: ${thing.message ?? ""}` : thing.message))));
  };
  box.addEventListener("toggle", fillRows);
  fillRows();
}

function bar() {
  const chip = (state, count) => el("button", { type: "button", class: state, "data-state": state, "aria-pressed": "false", onclick: () => go({ state: VIEW.state === state ? "" : state }) },
    state || "all", el("span", { class: "num" }, count.toLocaleString("en")));
  const counts = STATES.map((state) => [state, THINGS.filter((thing) => thing.state === state).length]);
  byId("states").append(chip("", THINGS.length), ...counts.filter(([, count]) => count).map(([state, count]) => chip(state, count)));
  byId("sort").append(...Object.entries(SORTS).map(([value, [label]]) => el("option", { value }, label)));
  byId("sort").addEventListener("change", (event) => go({ sort: event.target.value === "order" ? "" : event.target.value }));
  byId("search").addEventListener("input", (event) => go({ q: event.target.value.trim() }));
  byId("bar").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || PLAYER.open || event.target.closest("input, select, pre")) return;
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
  });
}

// While the job runs, the page looks again by itself, unless its reader is in the middle of something.
function live() {
  const every_s = JOB.refresh_s;
  const tell = () => {
    const age_s = Date.now() / 1000 - seconds(JOB.written_at);
    byId("written").textContent = `${moment(JOB.written_at)}, ${ago(JOB.written_at)}`;
    byId("written").title = JOB.written_at;
    byId("live").classList.toggle("quiet", every_s !== null && age_s > 3600);
  };
  tell();
  setInterval(tell, 30000);
  if (every_s === null) return;
  const button = byId("live");
  button.hidden = false;
  button.title = "Look again by itself while the job runs";
  button.addEventListener("click", () => button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true")));
  setInterval(() => {
    const isBusy = PLAYER.open || document.hidden || document.activeElement === byId("search") || String(getSelection()) !== "";
    if (button.getAttribute("aria-pressed") === "true" && !isBusy) location.reload();
  }, Math.max(10, every_s) * 1000);
}

// The grid has the shape of most of its films.
function shape() {
  const ratios = THINGS.filter((thing) => thing.width && thing.height).map((thing) => (thing.width / thing.height).toFixed(4)).sort();
  document.body.classList.toggle("many", THINGS.length > 200);
  GRID.classList.add(THINGS.length <= 8 ? "few" : THINGS.length <= 40 ? "some" : "lots");
  if (ratios.length) document.documentElement.style.setProperty("--ratio", ratios[ratios.length >> 1]);
}

shape();
head();
attention();
bar();
live();
show();
follow();
addEventListener("hashchange", follow);

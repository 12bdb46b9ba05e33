// The films as a grid.

const FIRST_CARDS = 120;
const CHUNK_CARDS = 250;
const PREVIEW_AFTER_MS = 300;
const SORTS = {
  order: ["as in the manifest", (a, b) => a.order - b.order],
  newest: ["newest first", (a, b) => (b.finished_at ?? b.since ?? "").localeCompare(a.finished_at ?? a.since ?? "")],
  name: ["name", (a, b) => a.name.localeCompare(b.name, "en", { numeric: true })],
  state: ["state, worst first", (a, b) => STATES.indexOf(b.state) - STATES.indexOf(a.state)],
  slow: ["slowest", (a, b) => down(a.pace, b.pace)],
  join: ["strongest joins", (a, b) => down(a.join, b.join)],
  drift: ["most colour drift", (a, b) => down(a.color, b.color)],
  long: ["longest", (a, b) => down(a.duration_s, b.duration_s)],
  large: ["largest", (a, b) => down(a.size_bytes, b.size_bytes)],
};
const down = (a, b) => (Number.isFinite(b) ? b : -1) - (Number.isFinite(a) ? a : -1);

function blank(thing) {
  const words = {
    failed: thing.error, rejected: thing.message, pending: "", rendered: "no poster",
    rendering: `since ${moment(thing.since)}${thing.holder ? `, ${thing.holder}` : ""}`,
  };
  return foreign("span", { class: "blank" }, words[thing.state] ?? "");
}

function picture(thing) {
  if (!thing.poster || thing.state === "failed") return blank(thing);
  const image = el("img", { src: thing.poster, alt: "", loading: "lazy", decoding: "async", width: thing.width, height: thing.height });
  image.addEventListener("error", () => image.replaceWith(blank(thing)), { once: true });
  return image;
}

function card(thing) {
  const shot = el("div", { class: "shot" }, picture(thing),
    thing.state === "rendered" ? null : el("span", { class: `badge ${thing.state}` }, thing.state),
    Number.isFinite(thing.duration_s) ? el("span", { class: "len" }, clock(thing.duration_s)) : null);
  const prompts = thing.prompts ?? [];
  const more = prompts.length > 1 ? el("span", { class: "more" }, `+${prompts.length - 1}`) : null;
  const said = thing.state === "failed" && thing.message ? thing.message : prompts[0]?.[1] ?? "";
  const link = el("a", { href: `#v=${encodeURIComponent(thing.key)}`, "aria-label": `${thing.name}, ${thing.state}` }, shot,
    el("p", { class: "cap" }, foreign("span", { class: "id" }, thing.name), more,
      el("span", { class: "took", title: "time it took to make" }, clock(thing.wall_s))),
    foreign("p", { class: "prompt" }, said));
  if (thing.video && matchMedia("(hover: hover) and (prefers-reduced-motion: no-preference)").matches) preview(link, shot, thing);
  return el("li", { class: `card ${thing.state}` }, link);
}

// A film plays silently while the pointer rests on it.
function preview(link, shot, thing) {
  let timer = 0;
  let film = null;
  link.addEventListener("pointerenter", () => {
    timer = setTimeout(() => {
      film = el("video", { src: thing.video, loop: true, playsinline: true, "aria-hidden": "true", class: "preview" });
      film.muted = true;
      film.addEventListener("playing", () => film?.classList.add("on"));
      shot.append(film);
      film.play().catch(() => {});
    }, PREVIEW_AFTER_MS);
  });
  link.addEventListener("pointerleave", () => {
    clearTimeout(timer);
    film?.removeAttribute("src");
    film?.load();
    film?.remove();
    film = null;
  });
}

const GRID = byId("grid");
const CARDS = new Map();
const VIEW = { q: "", state: "", sort: "order", list: [] };
let turn = 0;

function cardOf(thing) {
  if (!CARDS.has(thing)) CARDS.set(thing, card(thing));
  return CARDS.get(thing);
}

function matches(thing, words) {
  return (!VIEW.state || thing.state === VIEW.state) && words.every((word) => thing.text.includes(word));
}

// Put in the cards of what is asked for, in its order. What is not is taken out: hiding a thousand cards takes a browser
// a hundred times as long. Cards are made when they are first needed, most of them while nothing else is to be done.
function show() {
  const words = VIEW.q.toLowerCase().split(/\s+/).filter(Boolean);
  const list = THINGS.filter((thing) => matches(thing, words)).sort(SORTS[VIEW.sort][1]);
  if (turn > 0 && list.length === VIEW.list.length && list.every((thing, at) => thing === VIEW.list[at])) return;
  VIEW.list = list;
  byId("found").value = VIEW.list.length === THINGS.length ? plural(THINGS.length, "film") : `${VIEW.list.length} of ${THINGS.length}`;
  byId("empty").hidden = VIEW.list.length > 0;
  const mine = (turn += 1);
  let made = VIEW.list.findIndex((thing, at) => at >= FIRST_CARDS && !CARDS.has(thing));
  if (made < 0) made = VIEW.list.length;
  GRID.replaceChildren(...VIEW.list.slice(0, made).map(cardOf));
  GRID.toggleAttribute("data-ready", made === VIEW.list.length);
  const next = () => {
    if (turn !== mine) return;
    GRID.append(...VIEW.list.slice(made, made + CHUNK_CARDS).map(cardOf));
    made += CHUNK_CARDS;
    if (made < VIEW.list.length) requestIdleCallback(next, { timeout: 200 });
    else GRID.toggleAttribute("data-ready", true);
  };
  if (made < VIEW.list.length) requestIdleCallback(next, { timeout: 200 });
}

// Arrow keys go through the grid as the eye does.
GRID.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 0, ArrowUp: 0, Home: 0, End: 0 }[event.key];
  if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  const links = [...GRID.children].map((node) => node.firstElementChild);
  const at = links.indexOf(document.activeElement?.closest("a"));
  if (at < 0) return;
  const across = Math.max(1, getComputedStyle(GRID).gridTemplateColumns.split(" ").length);
  const to = { ArrowDown: at + across, ArrowUp: at - across, Home: 0, End: links.length - 1 }[event.key] ?? at + step;
  if (links[to]) { event.preventDefault(); links[to].focus(); }
});

// One film by itself: the player, its prompts, its figures, and the command that makes it again.

const PLAYER = byId("player");
let opened = null;

const section = (title, ...children) => {
  const inside = children.flat().filter(Boolean);
  return inside.length ? el("section", {}, el("h3", {}, title), ...inside) : null;
};

function stage(thing) {
  if (!thing.video) return [el("div", { class: `shot ${thing.state}` }, blank(thing))];
  const film = el("video", { src: thing.video, poster: thing.poster, controls: true, preload: "none", playsinline: true, loop: true, "aria-label": thing.name });
  film.addEventListener("error", () => film.replaceWith(el("div", { class: "shot" }, el("span", { class: "blank" }, "the film is not beside this page, or this browser can't play it"))));
  const width = thing.width ?? 16;
  film.width = width;
  film.height = thing.height ?? 9;
  return [film, thing.prompts?.length ? prompts(thing, film) : null];
}

function prompts(thing, film) {
  if (thing.prompts.length === 1) return foreign("p", { class: "words" }, thing.prompts[0][1]);
  const seek = (at_s) => { film.currentTime = at_s; film.play().catch(() => {}); };
  const { plot, move } = timeline(thing, seek);
  const lines = thing.prompts.map(([at_s, text]) => el("li", {},
    el("button", { type: "button", onclick: () => seek(at_s) }, el("span", { class: "num" }, mark(at_s)), foreign("span", {}, text))));
  const follow = () => {
    move(film.currentTime);
    const now = thing.prompts.findLastIndex(([at_s]) => at_s <= film.currentTime + 0.01);
    lines.forEach((node, i) => node.toggleAttribute("aria-current", i === now));
  };
  film.addEventListener("timeupdate", follow);
  follow();
  return el("div", { class: "prompts" }, plot, el("ol", {}, ...lines));
}

function trouble(thing) {
  if (thing.state !== "failed" && thing.state !== "rejected") return null;
  return el("div", { class: `trouble ${thing.state}` }, thing.error ? el("b", {}, thing.error) : null, foreign("p", {}, thing.message ?? ""));
}

function making(thing) {
  const timings = thing.timings ?? {};
  const busy = timings.compute_s / (timings.sampling_s * timings.num_segments);
  return section("Making", timings.total_s ? spent(timings) : null, el("dl", {}, pairs([
    ["took", clock(thing.wall_s)], ["started", moment(thing.started_at)], ["finished", moment(thing.finished_at)],
    ["since", thing.state === "rendering" ? moment(thing.since) : ""], ["by", thing.holder], ["attempt", thing.attempt > 1 ? thing.attempt : ""],
    ["compute", clock(timings.compute_s)], ["busy", Number.isFinite(busy) ? share(Math.min(1, busy)) : ""],
    ["segments", timings.num_segments], ["windows", timings.num_windows], ["exchanged", timings.boundary_bytes ? bytes(timings.boundary_bytes) : ""],
    ["safe settings", thing.safe_settings ? "yes: the quality gate refused a first one" : ""],
    ["file", thing.file], ["row", thing.row], ["column", thing.column], ["value", thing.value],
  ])));
}

function quality(thing) {
  const { joins = {}, health = {}, drift = {}, likeness: points = [], num_joins } = thing.quality ?? {};
  const signed = (value) => (Number.isFinite(value) ? `${value > 0 ? "+" : ""}${figure(value)}` : "");
  return [
    Object.keys(joins).length ? section(`Joins (${num_joins})`, forest(joins)) : null,
    Object.keys(health).length ? section("Health", shares(health), el("dl", {}, pairs([
      ["longest standstill", health.longest_frozen_s ? `${figure(health.longest_frozen_s)} s` : ""],
      ["largest jump", health.largest_jump ? `${figure(health.largest_jump)} at ${clock(health.largest_jump_s)}` : ""],
    ]))) : null,
    Object.keys(drift).length ? section("First to last", points.length > 2 ? likeness(points) : null, el("dl", {}, pairs([
      ["colour distance", figure(drift.color)], ["lightness", signed(drift.lightness)], ["saturation", signed(drift.saturation)],
      ["contrast", signed(drift.contrast)], ["sharpness", signed(drift.sharpness)],
    ]))) : null,
  ];
}

function asked(thing) {
  const size = thing.width ? `${thing.width} × ${thing.height}` : "";
  const rate = thing.fps ? `${figure(thing.fps)} a second` : "";
  return section("Film", el("dl", {}, pairs([
    ["size", size], ["length", thing.duration_s ? `${clock(thing.duration_s)}${thing.num_frames ? ` (${plural(thing.num_frames, "frame")})` : ""}` : ""], ["frames", rate],
    ["file", thing.size_bytes ? `${bytes(thing.size_bytes)}${thing.codec ? `, ${thing.codec}` : ""}` : ""],
    ["seed", thing.seed, { class: "mono" }], ["steps", thing.num_inference_steps], ["guidance", thing.guidance_scale], ["flow shift", thing.flow_shift],
    ["engine", thing.engine], ["weights", thing.weights, { class: "mono" }], ["fingerprint", thing.fingerprint, { class: "mono" }],
    ["latent frames", thing.num_latent_frames], ["priority", thing.priority], ["deadline", thing.deadline], ["negative prompt", thing.negative_prompt],
    ...Object.entries(thing.metadata ?? {}),
  ])));
}

function again(thing) {
  if (!thing.command) return null;
  const text = el("pre", { tabindex: "0" }, thing.command);
  const copy = el("button", { type: "button", class: "copy", onclick: async () => {
    try {
      await navigator.clipboard.writeText(thing.command);
      copy.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(text);
      copy.textContent = "selected";
    }
  } }, "copy");
  return section("Make it again", el("div", { class: "command" }, text, copy));
}

function options(thing) {
  const found = Object.entries(thing.options ?? {});
  return found.length ? el("details", { class: "options" }, el("summary", {}, "settings"), el("dl", {}, pairs(found.map(([name, value]) => [name, value, { class: "mono" }])))) : null;
}

const files = (thing) => (thing.video ? el("p", { class: "files" }, el("a", { href: thing.video, download: `${thing.id}.mp4` }, "film"),
  el("a", { href: thing.poster }, "poster"), thing.sidecar ? el("a", { href: thing.sidecar }, "sidecar") : null) : null);

function open(thing) {
  const same = opened === thing && PLAYER.open;
  opened = thing;
  if (same) return;
  byId("title").replaceChildren(foreign("span", {}, thing.name));
  byId("state").textContent = thing.state;
  byId("state").className = `badge ${thing.state}`;
  byId("stage").replaceChildren(...stage(thing).filter(Boolean));
  byId("details").replaceChildren(...[trouble(thing), files(thing), asked(thing), making(thing), ...quality(thing), again(thing), options(thing)].filter(Boolean));
  const at = VIEW.list.indexOf(thing);
  byId("before").disabled = at <= 0;
  byId("after").disabled = at < 0 || at >= VIEW.list.length - 1;
  if (!PLAYER.open) {
    PLAYER.showModal();
    PLAYER.focus();
  }
  PLAYER.querySelector(".body").scrollTop = 0;
  byId("stage").querySelector("video")?.play().catch(() => {});
}

function shut() {
  const film = byId("stage").querySelector("video");
  film?.pause();
  byId("stage").replaceChildren();
  const thing = opened;
  opened = null;
  if (PLAYER.open) PLAYER.close();
  CARDS.get(thing)?.firstElementChild.focus({ preventScroll: true });
}

function beside(step) {
  const next = VIEW.list[VIEW.list.indexOf(opened) + step];
  if (opened && next) go({ v: next.key });
}

byId("before").addEventListener("click", () => beside(-1));
byId("after").addEventListener("click", () => beside(1));
byId("close").addEventListener("click", () => go({ v: "" }));
PLAYER.addEventListener("cancel", (event) => { event.preventDefault(); go({ v: "" }); });
PLAYER.addEventListener("click", (event) => { if (event.target === PLAYER) go({ v: "" }); });
PLAYER.addEventListener("keydown", (event) => {
  if (event.target.closest("video, input, pre")) return;
  if (event.key === "ArrowLeft") beside(-1);
  if (event.key === "ArrowRight") beside(1);
  if (event.key === " " && !event.target.closest("button, a, summary")) {
    const film = byId("stage").querySelector("video");
    event.preventDefault();
    if (film?.paused) film.play().catch(() => {});
    else film?.pause();
  }
});

// Small plots: shapes in SVG that stretches, words in HTML that does not.

const WIDE = 1000;
const canvas = (height, label, ...children) =>
  svg("svg", { viewBox: `0 0 ${WIDE} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...children);
const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
const dots = (points, kind) => svg("path", { class: kind, d: points.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("") });

// One dot a film. A click opens the nearest, so that an outlier is one step away.
function strip(title, field, { log = false, unit = "", digits = 3 } = {}) {
  const found = THINGS.filter((thing) => Number.isFinite(thing[field]) && (!log || thing[field] > 0));
  if (found.length < 3) return null;
  const scale = log ? Math.log : (value) => value;
  const sorted = found.map((thing) => thing[field]).sort((a, b) => a - b);
  const [low, high] = [scale(sorted[0]), scale(sorted.at(-1))];
  const x = (value) => 12 + ((scale(value) - low) / (high - low || 1)) * (WIDE - 24);
  const y = (thing) => 8 + ((thing.order * 7919) % 17);
  const middle = sorted[sorted.length >> 1];
  const plot = canvas(32, `${title}, ${figure(sorted[0], digits)} to ${figure(sorted.at(-1), digits)}`,
    line(0, 31, WIDE, 31, "axis"), line(x(middle), 2, x(middle), 31, "middle"),
    dots(found.map((thing) => [x(thing[field]), y(thing)]), "dots"));
  const said = el("span", { class: "said" });
  const nearest = (event) => {
    const box = plot.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDE;
    return found.reduce((best, thing) => (Math.abs(x(thing[field]) - at) < Math.abs(x(best[field]) - at) ? thing : best));
  };
  const rest = () => said.replaceChildren(`median ${figure(middle, digits)}${unit}`);
  plot.addEventListener("pointermove", (event) => {
    const thing = nearest(event);
    said.replaceChildren(foreign("span", {}, thing.name), ` ${figure(thing[field], digits)}${unit}`);
  });
  plot.addEventListener("pointerleave", rest);
  plot.addEventListener("click", (event) => { location.hash = `v=${encodeURIComponent(nearest(event).key)}`; });
  rest();
  return el("figure", { class: "strip" },
    el("figcaption", {}, el("span", {}, title), said), plot,
    el("div", { class: "ends" }, el("span", {}, figure(sorted[0], digits) + unit), el("span", {}, figure(sorted.at(-1), digits) + unit)));
}

// How many were done by when; a failure is a tick.
function overTime() {
  const done = THINGS.filter((thing) => thing.finished_at).sort((a, b) => seconds(a.finished_at) - seconds(b.finished_at));
  if (done.length < 3) return null;
  const begin = Math.min(...done.map((thing) => seconds(thing.started_at) || seconds(thing.finished_at)));
  const end = seconds(done.at(-1).finished_at);
  const x = (thing) => ((seconds(thing.finished_at) - begin) / (end - begin || 1)) * WIDE;
  let path = "M0 31";
  done.forEach((thing, i) => { path += `H${x(thing).toFixed(1)}V${(31 - ((i + 1) / done.length) * 28).toFixed(1)}`; });
  const failed = done.filter((thing) => thing.state === "failed");
  const plot = canvas(32, `${done.length} films over ${clock(end - begin)}`, line(0, 31, WIDE, 31, "axis"),
    svg("path", { d: `${path}V31Z`, class: "area" }), svg("path", { d: path, class: "curve" }),
    ...failed.map((thing) => line(x(thing), 0, x(thing), 31, "bad")));
  const time = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return el("figure", { class: "strip" },
    el("figcaption", {}, el("span", {}, "finished"), el("span", { class: "said" }, `${done.length} in ${clock(end - begin)}`)), plot,
    el("div", { class: "ends" }, el("span", {}, time(begin)), el("span", {}, time(end))));
}

const MEASURES = { frame_difference: "jump", second_difference: "pace", detail: "detail", warp_error: "warp" };

// Ratio and 95 % interval of each measure at the joins; the line in the middle is "as beside them".
function forest(joins) {
  const x = (ratio) => Math.min(1, Math.max(0, (Math.log2(ratio) + 2) / 4)) * WIDE;
  const rows = Object.entries(joins).map(([name, [ratio, low, high]]) => {
    const title = `${figure(ratio)} times as strong at the joins as beside them (${figure(low)} to ${figure(high)})`;
    return el("div", { class: "row", title }, el("span", {}, MEASURES[name] ?? name),
      canvas(14, title, line(WIDE / 2, 0, WIDE / 2, 14, "one"), line(x(low), 7, x(high), 7, low > 1 ? "span over" : "span"),
        dots([[x(ratio), 7]], low > 1 ? "mean over" : "mean")),
      el("span", { class: "num" }, figure(ratio)));
  });
  return el("div", { class: "forest" }, ...rows,
    el("div", { class: "row ends" }, el("span"), el("div", {}, el("span", {}, "¼"), el("span", {}, "½"), el("span", {}, "1"), el("span", {}, "2"), el("span", {}, "4")), el("span")));
}

// How alike two pictures are, by the seconds between them.
function likeness(points) {
  const end = points.at(-1)[0] || 1;
  const low = Math.min(0.5, ...points.map(([, value]) => value));
  const at = points.map(([s, value]) => [(s / end) * WIDE, 4 + (1 - (value - low) / (1 - low || 1)) * 34]);
  const path = at.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return el("figure", { class: "strip" },
    el("figcaption", {}, el("span", {}, "likeness over time"), el("span", { class: "said" }, figure(points.at(-1)[1]))),
    canvas(40, `likeness of pictures up to ${figure(end)} s apart`, line(0, 39, WIDE, 39, "axis"), line(0, 4, WIDE, 4, "grid-line"), svg("path", { d: path, class: "curve" })),
    el("div", { class: "ends" }, el("span", {}, `${figure(points[0][0])} s apart`), el("span", {}, `${figure(end)} s`)));
}

function shares(health) {
  const names = { black_share: "black", flat_share: "flat", saturated_share: "clipped", frozen_share: "frozen" };
  return el("div", { class: "forest" }, ...Object.entries(names).filter(([name]) => name in health).map(([name, word]) =>
    el("div", { class: "row", title: `${share(health[name])} of the frames` }, el("span", {}, word),
      canvas(14, `${word}: ${share(health[name])}`, line(0, 7, WIDE, 7, "rail"), line(0, 7, health[name] * WIDE, 7, health[name] > 0.5 ? "bar over" : "bar")),
      el("span", { class: "num" }, share(health[name])))));
}

// Where the seconds went: sampling, and all the rest of it (start, decoding, encoding, upload).
function spent({ total_s, sampling_s }) {
  const x = (sampling_s / total_s) * WIDE || 0;
  const title = `sampling ${clock(sampling_s)}, start, decoding and upload ${clock(total_s - sampling_s)}`;
  return el("div", { class: "spent", title }, canvas(8, title, line(0, 4, WIDE, 4, "rail thick"), line(0, 4, x, 4, "bar thick")),
    el("div", { class: "ends" }, el("span", {}, `sampling ${clock(sampling_s)}`), el("span", {}, `the rest ${clock(total_s - sampling_s)}`)));
}

// The film's length with the prompts' beginnings; the needle follows the player.
function timeline(thing, seek) {
  const length_s = thing.duration_s;
  const needle = line(0, 0, 0, 16, "needle");
  const starts = thing.prompts.map(([at]) => (at / length_s) * WIDE);
  const plot = canvas(16, `${plural(thing.prompts.length, "prompt")} over ${clock(length_s)}`, line(0, 8, WIDE, 8, "rail"),
    ...starts.map((x) => line(Math.max(1, x), 2, Math.max(1, x), 14, "event")), needle);
  plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * length_s);
  });
  const move = (at_s) => { const x = (at_s / length_s) * WIDE; needle.setAttribute("x1", x); needle.setAttribute("x2", x); };
  return { plot, move };
}

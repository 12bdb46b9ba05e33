// What the job says, and how figures are written.

const JOB = JSON.parse(document.getElementById("data").textContent);
const STATES = ["rendered", "rendering", "pending", "failed", "rejected"];

const seconds = (text) => (text ? Date.parse(text) / 1000 : NaN);

function clock(total_s) {
  if (!Number.isFinite(total_s)) return "";
  const whole = Math.round(total_s);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// A place in a film, to a tenth where it is not on a second.
function mark(at_s) {
  const tenths = Math.round(at_s * 10) % 10;
  return tenths ? `${clock(Math.floor(at_s))}.${tenths}` : clock(at_s);
}

function figure(value, digits = 3) {
  if (!Number.isFinite(value)) return "";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  const fixed = Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(digits);
  return fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
}

function bytes(count) {
  if (!Number.isFinite(count)) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; count >= 1000 && at < units.length - 1; at += 1) count /= 1000;
  return `${figure(count)} ${units[at]}`;
}

const share = (value) => `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
const moment = (text) => (text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }) : "");
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function ago(text) {
  const age_s = Math.max(0, Date.now() / 1000 - seconds(text));
  if (age_s < 90) return "just now";
  if (age_s < 5400) return `${Math.round(age_s / 60)} min ago`;
  return age_s < 129600 ? `${Math.round(age_s / 3600)} h ago` : `${Math.round(age_s / 86400)} days ago`;
}

// Videos and bad rows as one list of things to show, each with what it is searched and sorted by.
function things() {
  const videos = JOB.videos.map((video) => ({ ...video, key: video.id, name: video.id }));
  const rows = JOB.rejected.map((row) => ({
    ...row,
    state: "rejected",
    key: `${row.file}:${row.row}`,
    name: row.id || `${row.file}, row ${row.row}`,
    message: `${row.column || "row"}${row.value === null ? "" : ` = ${row.value}`}: ${row.reason}`,
  }));
  return [...videos, ...rows].map((thing, order) => {
    const wall_s = thing.state === "rendering" ? NaN : seconds(thing.finished_at) - seconds(thing.started_at);
    const joins = Object.values(thing.quality?.joins ?? {}).map(([ratio]) => ratio);
    const words = [
      thing.name, thing.state, thing.error, thing.message, thing.negative_prompt, thing.seed, thing.engine,
      thing.fingerprint, thing.holder, thing.file,
      ...(thing.prompts ?? []).map(([, text]) => text), ...Object.entries(thing.metadata ?? {}).flat(),
    ];
    return {
      ...thing,
      order,
      wall_s,
      pace: thing.video ? wall_s / thing.duration_s : NaN,
      join: joins.length ? Math.max(...joins) : NaN,
      color: thing.quality?.drift?.color ?? NaN,
      text: words.filter((word) => word !== undefined && word !== null).join("\n").toLowerCase(),
    };
  });
}

const THINGS = things();
const BY_KEY = new Map(THINGS.map((thing) => [thing.key, thing]));

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Elements are made here and nowhere else: text becomes text nodes, never markup.

function into(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const el = (name, attributes = {}, ...children) => into(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  into(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const byId = (id) => document.getElementById(id);

// Text that others wrote: its direction must not turn what stands beside it.
const foreign = (name, attributes, text) => el(name, { dir: "auto", ...attributes }, text);

function pairs(rows) {
  return rows
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([term, value, attributes = {}]) =>
      el("div", {}, el("dt", {}, term), el("dd", { dir: "auto", ...attributes }, value instanceof Node ? value : String(value))));
}

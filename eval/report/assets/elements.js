// Elements are made from names and words; words are text wherever they stand, so nothing that a file says is markup.
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return node;
}

function make(tag, attributes, ...children) { return filled(document.createElement(tag), attributes, children); }
function draw(tag, attributes, ...children) { return filled(document.createElementNS(SVG, tag), attributes, children); }

function fixed(value, digits) { return Number.isFinite(value) ? value.toFixed(digits) : "–"; }
function percent(value) { return value === null || !Number.isFinite(value) ? "–" : (100 * value).toFixed(1) + " %"; }

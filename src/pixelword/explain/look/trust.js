/** What the maps are worth: every method beside occlusion, as a table and as curves. */

import {make} from "./draw.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 320, HIGH = 170;

export function trust(found) {
  if (!found) return null;
  const {matter, cells, checks, hidden} = found;
  const verdict = matter === 0
    ? "No single patch matters here: whichever one is hidden, the answer stays about as likely, so no map can find it. The curves still compare the orders."
    : `Hiding ${matter === 1 ? "one patch" : `any of ${matter} patches`} of ${cells} makes the answer much less likely. A map that can be believed points there.`;
  return make("section", {class: "card trust"}, make("h2", {}, "Can the maps be believed?"),
    make("p", {class: "hint"}, verdict),
    make("div", {class: "columns"}, table(checks, matter), chart(checks, hidden)));
}

function table(checks, matter) {
  const head = ["method", "rank correlation", "finds", "area"].map((name, i) => make("th", {scope: "col", title: TITLES[i]}, name));
  const rows = checks.map(check => {
    return make("tr", {class: check.name}, make("th", {scope: "row"}, make("i", {class: "key"}), check.title),
      make("td", {}, check.name === "occlusion" ? "–" : bar(check.rank)),
      make("td", {}, matter === 0 || check.name === "occlusion" ? "–" : `${Math.round(100 * check.found)} %`),
      make("td", {}, check.area.toFixed(2)));
  });
  return make("div", {class: "scroll"}, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

const TITLES = [
  "", "Spearman's, between the map and what hiding each patch costs: 1 is the same order, 0 none",
  "of the patches that matter, how many are among as many that the map puts first",
  "likelihood of the answer while patches are hidden in the map's order, averaged: low is good",
];

/** A number from -1 to 1 with its bar. */
function bar(value) {
  const fill = make("i");
  Object.assign(fill.style, {left: `${50 + 50 * Math.min(0, value)}%`, width: `${50 * Math.abs(value)}%`});
  return make("span", {class: "bar"}, make("span", {class: "track"}, fill), make("b", {}, value.toFixed(2)));
}

function chart(checks, hidden) {
  const most = Math.max(1, ...checks.flatMap(check => check.curve));
  const x = share => 30 + share * (WIDE - 40), y = value => 10 + (1 - value / most) * (HIGH - 38);
  const svg = element("svg", {viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": "likelihood of the answer while patches are hidden"});
  for (const value of [0, 1]) {
    svg.append(element("line", {class: "rule", x1: x(0), x2: x(1), y1: y(value), y2: y(value)}));
    svg.append(element("text", {x: 4, y: y(value) + 4}, String(value)));
  }
  for (const {name, curve} of checks) {
    const points = curve.map((value, i) => `${x(hidden[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(element("polyline", {class: name, points}));
  }
  svg.append(element("text", {x: x(0), y: HIGH - 6}, "nothing hidden"), element("text", {x: x(1), y: HIGH - 6, "text-anchor": "end"}, "all hidden"));
  return make("figure", {}, svg, make("figcaption", {}, "Likelihood of the answer while patches are hidden, the map's strongest first. A map that can be believed falls at once."));
}

function element(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

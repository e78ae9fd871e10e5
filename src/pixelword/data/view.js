"use strict";
// Draws the sheets of the page from its data. Words of samples only ever become text nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const control = new Set(data.control);
const main = document.getElementById("sheet"), tip = document.getElementById("tip");
const PIXELS = 1024; // of the mask's canvas, at most
const number = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const facts = (pairs) =>
  make("dl", { class: "facts" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));

// What each token of a row is: the word that its colour has in the style sheet.
function kinds(row) {
  const found = row.ids.map((id, i) => {
    if (row.types[i]) return row.types[i] === 1 ? "picture" : "frame";
    if (row.labels[i] >= 0) return "learnt";
    return control.has(id) ? "control" : "words";
  });
  for (const one of row.documents) if (one.padding) found.fill("padding", one.start, one.stop);
  return found;
}

// A row as a strip of colours, its documents apart.
function ribbon(row, upright = false, name = "ribbon") {
  const length = row.ids.length, kind = kinds(row);
  const strip = make("svg", { class: name, preserveAspectRatio: "none", viewBox: upright ? `0 0 1 ${length}` : `0 0 ${length} 1` });
  for (let a = 0; a < length; ) {
    let b = a + 1;
    while (b < length && kind[b] === kind[a]) b++;
    const place = upright ? { x: 0, y: a, width: 1, height: b - a } : { x: a, y: 0, width: b - a, height: 1 };
    strip.append(make("rect", { ...place, style: `fill: var(--${kind[a]})` }));
    a = b;
  }
  for (const { start } of row.documents.slice(1)) {
    const ends = upright ? { x1: 0, x2: 1, y1: start, y2: start } : { x1: start, x2: start, y1: 0, y2: 1 };
    strip.append(make("line", { ...ends, "vector-effect": "non-scaling-stroke" }));
  }
  return strip;
}

// The share of visible pairs in each of size * size cells of step * step pairs: of keys up to the query, of keys ahead
// of it, of padding.
function coverage(row, size, step) {
  const length = row.ids.length, kind = kinds(row);
  const shares = { control: new Float32Array(size * size), picture: new Float32Array(size * size), padding: new Float32Array(size * size) };
  const add = (cells, line, from, to) => {
    for (let x = Math.floor(from / step); x < size && x * step < to; x++)
      cells[line * size + x] += (Math.min(to, (x + 1) * step) - Math.max(from, x * step)) / (step * step);
  };
  for (let q = 0; q < length; q++) {
    const line = Math.floor(q / step);
    add(kind[q] === "padding" ? shares.padding : shares.control, line, row.lo[q], Math.min(row.hi[q], q) + 1);
    if (row.hi[q] > q) add(shares.picture, line, q + 1, row.hi[q] + 1);
  }
  return shares;
}

function colour(name) {
  const probe = make("canvas", { width: 1, height: 1 }).getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

function drawMask(canvas, row) {
  // cells of whole tokens, so that none is darker than the next; what stands over the last token is cut off
  const length = row.ids.length, step = Math.ceil(length / PIXELS), size = Math.ceil(length / step);
  canvas.width = canvas.height = size;
  canvas.style.width = canvas.style.height = `${(100 * size * step) / length}%`;
  const shares = Object.entries(coverage(row, size, step)).map(([name, cells]) => [colour(`--${name}`), cells]);
  const ground = colour("--card"), context = canvas.getContext("2d"), image = context.createImageData(size, size);
  for (let cell = 0; cell < size * size; cell++) {
    const seen = Math.min(1, shares.reduce((sum, [, cells]) => sum + cells[cell], 0)), pixel = image.data.subarray(4 * cell, 4 * cell + 4);
    for (let c = 0; c < 3; c++) pixel[c] = shares.reduce((sum, [rgb, cells]) => sum + rgb[c] * cells[cell], ground[c] * (1 - seen));
    pixel[3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const piece = (row, i) => (row.types[i] ? "visual token" : JSON.stringify(data.pieces[row.ids[i]]));

function tokenFacts(row, i) {
  const lines = [`${piece(row, i)} · id ${row.ids[i]} · place ${i}`, `t ${row.t[i]}, h ${row.h[i]}, w ${row.w[i]}`];
  lines.push(`sees ${row.lo[i]} to ${row.hi[i]}${row.hi[i] > i ? ", the whole picture" : ""}`);
  if (row.labels[i] >= 0) lines.push(`learnt: label ${row.labels[i]}, loss weight ${row.weights[i]}`);
  return lines.join("\n");
}

function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 6))}px`;
  tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}

// One row: its mask, and its documents beside it. Looking at a token marks what it sees, and the other way round.
function rowView(row) {
  const length = row.ids.length, percent = (tokens) => `${(100 * tokens) / length}%`;
  const seen = make("div", { class: "seen", hidden: "" }), canvas = make("canvas", { role: "img", "aria-label": "attention mask" });
  const spans = new Map(), cards = make("div", { class: "documents" });
  let marked = null;
  const clear = () => {
    tip.hidden = seen.hidden = true;
    marked?.classList.remove("on");
    cards.querySelectorAll(".cell").forEach((cell) => cell.remove());
  };
  const look = (event, i, text) => {
    clear();
    marked = spans.get(i);
    marked?.classList.add("on");
    seen.hidden = false;
    Object.assign(seen.style, { top: percent(i), height: percent(1), left: percent(row.lo[i]), width: percent(row.hi[i] - row.lo[i] + 1) });
    showTip(event, text ?? tokenFacts(row, i));
  };
  const field = make("div", { class: "field", onpointerleave: clear }, canvas, seen);
  for (const name of ["pointermove", "pointerdown"])
    field.addEventListener(name, (event) => {
      const box = field.getBoundingClientRect(), at = (share) => Math.max(0, Math.min(length - 1, Math.floor(share * length)));
      const q = at((event.clientY - box.top) / box.height), k = at((event.clientX - box.left) / box.width);
      const sees = row.lo[q] <= k && k <= row.hi[q];
      look(event, q, `query ${q}: ${piece(row, q)}\n${sees ? "sees" : "does not see"}\nkey ${k}: ${piece(row, k)}`);
    });
  for (const one of row.documents) if (!one.padding) cards.append(documentCard(row, one, spans, look));
  cards.addEventListener("pointerleave", clear);
  for (const name of ["pointerover", "pointerdown"])
    cards.addEventListener(name, (event) => {
      const span = event.target.closest("[data-i]");
      if (span) look(event, Number(span.dataset.i));
      else if (!event.target.closest(".shown")) clear();
    });
  requestAnimationFrame(() => drawMask(canvas, row));
  matchMedia("(prefers-color-scheme: dark)").onchange = () => drawMask(canvas, row);
  const plot = make("div", { class: "plot" }, ribbon(row, false, "ribbon top"), make("div", { class: "left" }, ribbon(row, true)), field);
  const note = "A query's row is marked where it sees a key: grey back to its document's start, blue ahead, inside its own picture.";
  return make("div", { class: "row" }, make("section", { class: "card mask" }, make("h2", {}, "What each token sees"), plot, make("p", {}, note)), cards);
}

// A token of words: what it says, with its line breaks to be seen.
function wordView(row, i, strongest) {
  const learnt = row.labels[i] >= 0, said = data.pieces[row.ids[i]];
  const kind = learnt ? "learnt" : control.has(row.ids[i]) ? "control" : "words";
  const span = make("span", { class: kind, "data-i": i }, said.replaceAll("\n", "↵"));
  if (learnt) span.style.setProperty("--strength", `${20 + (45 * row.weights[i]) / (strongest || 1)}%`);
  return [span, said.split("\n").length - 1];
}

function documentCard(row, one, spans, look) {
  const text = make("div", { class: "text" }), strongest = Math.max(...row.weights);
  const pictures = new Map(one.pictures.map((picture) => [picture.start, picture]));
  const last = one.pictures.at(-1)?.start;
  const add = (i, place) => {
    const [span, breaks] = wordView(row, i, strongest);
    spans.set(i, span);
    place.append(span);
    return breaks;
  };
  let line = []; // the words since the last line break: a frame of a video has its time above it
  for (let i = one.start; i < one.stop; i++) {
    const picture = pictures.get(i);
    if (picture) {
      const figure = pictureView(row, picture, look), isFrame = row.types[i] === 2;
      figure.prepend(make("div", {}, ...(isFrame ? line : line.slice(-1))));
      const foot = make("div");
      i += picture.rows * picture.columns; // its </img>
      add(i, foot);
      figure.append(foot);
      text.append(figure);
      line = [];
      // the line break behind it is shown in its foot, so that pictures and frames may stand side by side
      if (/^\n+$/.test(data.pieces[row.ids[i + 1]] ?? "") && i + 1 < one.stop) add(++i, foot);
      const isFollowed = picture.start !== last && (isFrame || control.has(row.ids[i + 1]));
      if (!isFollowed) text.append("\n");
      continue;
    }
    const breaks = add(i, text);
    line = breaks ? [] : [...line, text.lastChild];
    text.append("\n".repeat(breaks));
  }
  const title = one.name || `tokens ${one.start} to ${one.stop - 1}`;
  const rows = [["tokens", number(one.stop - one.start)], ["learnt", number(one.learnt)], ["weight", number(one.weight, 3)], ["pairs", number(one.pairs)]];
  return make("section", { class: "card document" }, make("h3", {}, title), facts(rows), text);
}

function pictureView(row, picture, look) {
  const { rows, columns, merge, patch } = picture, side = merge * patch;
  const kind = row.types[picture.start] === 1 ? "picture" : "frame";
  const lines = (across, down, strength) => ["to right", "to bottom"].map((way, axis) => {
    const size = axis ? `100% calc(100% / ${down})` : `calc(100% / ${across}) 100%`;
    return `linear-gradient(${way}, rgb(255 255 255 / ${strength}) 1px, rgb(0 0 0 / ${strength}) 1px 2px, transparent 2px) 0 0 / ${size}`;
  });
  const grid = make("div", { class: "grid", style: `background: ${[...lines(columns, rows, 0.75), ...lines(columns * merge, rows * merge, 0.25)].join(", ")}` });
  const shown = make("div", { class: "shown" }, make("img", { src: picture.src, alt: `${kind} of ${columns * side}×${rows * side} pixels` }), grid);
  for (const name of ["pointermove", "pointerdown"])
    shown.addEventListener(name, (event) => {
      const box = shown.getBoundingClientRect();
      const x = Math.max(0, Math.min(columns - 1, Math.floor(((event.clientX - box.left) / box.width) * columns)));
      const y = Math.max(0, Math.min(rows - 1, Math.floor(((event.clientY - box.top) / box.height) * rows)));
      look(event, picture.start + y * columns + x);
      const place = { left: x / columns, top: y / rows, width: 1 / columns, height: 1 / rows };
      shown.append(make("div", { class: "cell", style: Object.entries(place).map(([key, share]) => `${key}: ${100 * share}%`).join("; ") }));
    });
  const caption = `${columns * side}×${rows * side} pixels\n${columns * merge}×${rows * merge} patches\n${columns}×${rows} visual tokens`;
  const width = Math.max(160, Math.min(640, columns * 64, (560 * columns) / rows)); // small ones enlarged
  return make("figure", { class: kind, style: `width: min(100%, ${width}px)` }, shown, make("figcaption", {}, caption));
}

function packFacts({ facts: f }) {
  const shape = f.rows === 1 ? `${number(f.length)} tokens` : `${f.rows} rows of ${number(f.length)}`;
  return facts([
    ["shape", shape], ["tokens", number(f.tokens)], ["padding", `${number(100 * f.padding, 1)} %`], ["documents", number(f.documents)],
    ["images", number(f.pictures)], ["patches", number(f.patches)], ["learnt tokens", number(f.learnt)],
    ["weight", number(f.weight, 3)], ["visible pairs", number(f.pairs)],
  ]);
}

function show(sheetNumber, rowNumber = 0) {
  const sheet = data.sheets[sheetNumber] ?? data.sheets[0], rows = sheet.rows;
  const at = rows[rowNumber] ? rowNumber : 0;
  for (const button of document.querySelectorAll("nav button"))
    button.setAttribute("aria-current", String(data.sheets[button.dataset.sheet] === sheet));
  tip.hidden = true;
  const card = make("section", { class: "card" }, make("h2", {}, sheet.title));
  if (rows.length) {
    const list = make("div", { class: rows.length > 1 ? "rows" : "rows single" });
    rows.forEach((row, i) =>
      list.append(make("button", { "aria-current": String(i === at), "aria-label": `row ${i}`, onclick: () => go(data.sheets.indexOf(sheet), i) }, make("span", {}, i), ribbon(row))));
    card.append(packFacts(sheet), list);
  }
  if (sheet.said.length)
    card.append(make("details", {}, make("summary", {}, "as it was written"), ...sheet.said.map(([role, words]) => make("p", {}, make("b", {}, `${role}: `), words))));
  const faults = sheet.faults.map(([name, reason]) => make("p", { class: "fault" }, make("b", {}, `${name}: `), reason));
  main.replaceChildren(card, ...faults, ...(rows.length ? [rowView(rows[at])] : []));
}

function go(sheet, row = 0) {
  history.replaceState(null, "", `#sheet-${sheet}-row-${row}`);
  show(sheet, row);
}

function start() {
  const nav = document.getElementById("sheets"), groups = new Map();
  data.sheets.forEach((sheet, i) => {
    if (!groups.has(sheet.group)) groups.set(sheet.group, make("div", { class: "group" }, make("span", { class: "name" }, sheet.group)));
    const looks = { "data-sheet": i, class: sheet.faults.length ? "bad" : "good" };
    groups.get(sheet.group).append(make("button", { ...looks, onclick: () => go(i) }, sheet.title));
  });
  nav.append(...groups.values());
  const grid = document.getElementById("grid");
  grid.onchange = () => document.body.classList.toggle("grids", grid.checked);
  grid.onchange();
  const follow = () => {
    const [, sheet = 0, row = 0] = location.hash.match(/^#sheet-(\d+)-row-(\d+)$/) ?? [];
    show(Number(sheet), Number(row));
  };
  addEventListener("hashchange", follow);
  follow();
}

start();

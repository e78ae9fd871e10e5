/**
 * Look inside an answer: which pixels each of its words looked at, and what looked at each pixel.
 *
 * mount(root, data) draws the data of `pixelword.explain.page.page_data` into an element. Words of questions and answers only
 * ever become text, never markup.
 */

import {cells, diverging, heat, make, matrix, mean, paint, percent, strongest, unpack} from "./draw.js";
import {trust} from "./trust.js";

const METHODS = {
  attention: ["attention", "Attention of the state that produced this token, in the selected layers and heads."],
  rollout: ["rollout", "Attention multiplied through all layers, half of each state staying where it is."],
  gradient: ["gradient × attention", "Attention where more of it makes the word likelier, carried through all layers."],
  occlusion: ["occlusion", "How much less likely the word is when a patch is painted over. Blue: it gets likelier."],
};

/** Draw the data into `root`. */
export function mount(root, data) {
  root.classList.add("look");
  root.replaceChildren();
  const look = new Look(root, data);
  look.build();
  return look;
}

class Look {
  // word: its number, or null for the whole answer. layer, head: null for the mean of all. patch: a place, or null.
  state = {word: null, method: "attention", layer: null, head: null, patch: null, stage: null, received: false, smooth: false, bare: false};

  constructor(root, data) {
    [this.root, this.data] = [root, data];
    for (const name of ["weights", "parts", "rollout", "gradient", "occlusion"])
      this[name] = data[name] && unpack(data[name]);
    this.stages = Object.fromEntries(data.stages.map(([name, one]) => [name, unpack(one)]));
    this.state.stage = Object.keys(this.stages).at(-1) ?? null;
    if (data.words.length === 1) this.state.word = 0;
    this.order = new Map(data.visual.map((place, number) => [place, number])); // place -> number among visual tokens
  }

  set(changes) {
    Object.assign(this.state, changes);
    this.draw();
  }

  get chosenWords() {
    return this.state.word === null ? this.data.words.map((_, n) => n) : [this.state.word];
  }

  get chosenHeads() {
    return {
      layers: this.state.layer === null ? [...Array(this.data.layers).keys()] : [this.state.layer],
      heads: this.state.head === null ? [...Array(this.weights.shape[2]).keys()] : [this.state.head],
    };
  }

  /** The map that is shown: a number for every token, occlusion's for visual ones alone. */
  values() {
    const {method, patch, stage, received} = this.state;
    if (patch !== null) return received ? this.column(stage, patch) : this.stages[stage].row(patch);
    return this.of(method, this.chosenWords);
  }

  of(method, words) {
    if (method === "attention") {
      const {layers, heads} = this.chosenHeads;
      return mean(words.flatMap(n => layers.flatMap(l => heads.map(h => this.weights.row(n, l, h)))));
    }
    if (method !== "occlusion") return mean(words.map(n => this[method].row(n)));
    const drops = mean(words.map(n => this.occlusion.row(n)));
    const found = new Float32Array(this.data.pieces.length);
    this.data.visual.forEach((place, number) => (found[place] = drops[number]));
    return found;
  }

  column(stage, patch) {
    return Float32Array.from(this.data.pieces, (_, place) => this.stages[stage].row(place)[patch]);
  }

  build() {
    const {data} = this;
    this.words = make("div", {class: "answer", role: "group", "aria-label": "Words of the answer"}, ...this.chips());
    this.note = make("p", {class: "note"});
    this.pictures = make("div", {class: data.pictures.length > 2 ? "pictures many" : "pictures"});
    this.legend = make("div", {class: "legend"});
    this.sequence = make("div", {class: "sequence"});
    this.tip = make("div", {class: "tip", role: "status", hidden: true});
    const left = make("section", {class: "card"}, this.controls(), this.note, this.pictures, this.legend, this.foot(), this.from());
    const read = make("section", {class: "card"}, make("h2", {}, "The sequence"),
      make("p", {class: "hint"}, "Every token that was read, tinted by the map above; an image is one block."), this.sequence);
    const right = make("div", {}, this.atlas(), this.split());
    const parts = [
      make("div", {}, make("p", {class: "eyebrow"}, `look inside${data.model ? ` · ${data.model}` : ""}`),
        make("h1", {}, data.question), this.words),
      make("div", {class: "columns"}, make("div", {}, data.pictures.length ? left : null, read), right),
      this.between(), trust(data.trust),
    ];
    this.root.append(make("div", {class: "inner"}, ...parts), this.tip);
    this.images = data.pictures.map(one => this.figure(one));
    Promise.all(this.images.map(({image}) => image.decode())).then(() => { this.ready = true; this.draw(); });
    this.draw();
  }

  chips() {
    const chip = (text, word, title) => {
      const made = make("button", {type: "button", class: word === null ? "whole" : "word", title, onclick: () => this.set({word, patch: null})}, text);
      return Object.assign(made, {word});
    };
    const words = this.data.words.map((one, n) => chip(one.text.trim() || "␣", n, `probability ${percent(one.chance)}`));
    return [...words, ...(words.length > 1 ? [chip("whole answer", null, "mean of all words")] : [])];
  }

  controls() {
    const usable = Object.entries(METHODS).filter(([name]) => name !== "occlusion" || this.occlusion);
    this.methods = usable.map(([name, [title, why]]) =>
      make("button", {type: "button", title: why, "data-method": name, onclick: () => this.set({method: name, patch: null})}, title));
    return make("div", {class: "choice methods", role: "group", "aria-label": "Method"}, ...this.methods);
  }

  foot() {
    const smooth = make("input", {type: "checkbox", onchange: event => this.set({smooth: event.target.checked})});
    this.bare = make("button", {type: "button", onclick: () => this.set({bare: !this.state.bare})}, "Image alone");
    return make("div", {class: "foot"},
      make("span", {class: "hint"}, this.state.stage ? "Click a patch to see what it looks at, and what looks at it." : ""),
      make("label", {}, smooth, " smooth"), this.bare, make("button", {type: "button", onclick: () => this.save()}, "Save PNG"));
  }

  figure(picture) {
    const image = make("img", {src: picture.src, alt: ""}), canvas = make("canvas", {role: "img", tabindex: "0"});
    const many = this.data.pictures.length > 2, side = many ? 240 : 560;
    const scale = side / Math.max(picture.width, picture.height);
    [canvas.width, canvas.height] = [Math.round(picture.width * scale), Math.round(picture.height * scale)];
    const shown = {picture, image, canvas, cursor: make("i", {class: "cell", hidden: true})};
    const frame = make("div", {class: "frame"}, canvas, shown.cursor);
    canvas.addEventListener("pointermove", event => this.hover(shown, this.at(shown, event), event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("click", event => this.pick(this.at(shown, event)));
    this.pictures.append(make("figure", {}, frame, picture.label ? make("figcaption", {}, picture.label) : null));
    return shown;
  }

  /** The place in the sequence of the token under the pointer. */
  at({picture, canvas}, event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.min(picture.columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * picture.columns)));
    const row = Math.min(picture.rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * picture.rows)));
    return picture.start + row * picture.columns + column;
  }

  pick(place) {
    if (!this.state.stage) return;
    this.set({patch: this.state.patch === place ? null : place});
  }

  hover({picture, cursor}, place, event) {
    const cell = place - picture.start, row = Math.floor(cell / picture.columns), column = cell % picture.columns;
    this.leave();
    mark(cursor, picture, row, column);
    const value = this.shown[place];
    const label = this.state.patch === null && this.state.method === "occlusion" ? `${value.toFixed(2)} nats` : percent(value);
    const lines = [`row ${row + 1}, column ${column + 1}: ${label}`];
    const seen = this.data.words.map((word, n) => [word.text, this.of(this.state.method, [n])[place]]);
    if (this.state.patch === null && seen.length > 1) lines.push(seen.map(([text, one]) => `${text.trim()} ${one.toFixed(3)}`).join(" · "));
    this.tip.textContent = lines.join("\n");
    this.tip.hidden = false;
    this.tip.style.left = `${Math.min(event.clientX + 14, innerWidth - this.tip.offsetWidth - 8)}px`;
    this.tip.style.top = `${event.clientY + 18}px`;
  }

  leave() {
    this.tip.hidden = true;
    for (const {cursor} of this.images) cursor.hidden = true;
  }

  from() {
    const pick = (title, changes) => make("button", {type: "button", "data-set": JSON.stringify(changes), onclick: () => this.set(changes)}, title);
    this.fromChoices = [
      pick("what this patch looks at", {received: false}), pick("what looks at this patch", {received: true}),
      ...Object.keys(this.stages).map(stage => pick(stage, {stage})),
    ];
    this.fromPanel = make("div", {class: "from", hidden: true},
      make("div", {class: "choice"}, ...this.fromChoices.slice(0, 2)), make("div", {class: "choice"}, ...this.fromChoices.slice(2)),
      make("button", {type: "button", onclick: () => this.set({patch: null})}, "back to the answer"));
    return this.fromPanel;
  }

  atlas() {
    const {data} = this, heads = this.weights.shape[2];
    const option = (value, title) => make("option", {value: String(value)}, title);
    const stage = l => (l < data.before ? "pre-buffer" : "post-LLM");
    const chosen = event => (event.target.value === "" ? null : +event.target.value);
    this.layer = make("select", {onchange: event => this.set({layer: chosen(event), method: "attention", patch: null})},
      option("", "all layers"), ...[...Array(data.layers).keys()].map(l => option(l, `layer ${l + 1} · ${stage(l)}`)));
    this.head = make("select", {onchange: event => this.set({head: chosen(event), method: "attention", patch: null})},
      option("", "all heads"), ...(heads > 1 ? [...Array(heads).keys()].map(h => option(h, `head ${h + 1}`)) : []));
    this.grid = make("canvas", {class: "grid", title: "layers from top to bottom, heads from left to right"});
    this.grid.addEventListener("click", event => {
      const box = this.grid.getBoundingClientRect();
      const layer = Math.floor(((event.clientY - box.top) / box.height) * data.layers);
      const head = Math.floor(((event.clientX - box.left) / box.width) * heads);
      const again = layer === this.state.layer && head === (this.state.head ?? 0);
      this.set({method: "attention", patch: null, layer: again ? null : layer, head: again || heads === 1 ? null : head});
    });
    this.gridCell = make("i", {class: "cell", hidden: true});
    this.gridHint = make("p", {class: "hint"});
    const field = make("div", {class: "field"}, this.grid, this.gridCell);
    if (data.before) {
      const line = make("i", {class: "stage", title: "the pre-buffer ends here"});
      line.style.top = `${(100 * data.before) / data.layers}%`;
      field.append(line);
    }
    return make("section", {class: "card"}, make("h2", {}, "Layers and heads"), this.gridHint,
      make("div", {class: "atlas"}, make("span", {class: "axis down"}, "layers"), field, make("span", {}), make("span", {class: "axis"}, "heads")),
      make("div", {class: "selects"}, make("label", {}, "layer ", this.layer), make("label", {}, "head ", this.head)));
  }

  split() {
    if (!this.data.pictures.length) return null;
    const what = {T: "what it is, and where in time", H: "its row", W: "its column"};
    this.partMaps = Object.entries(what).map(([name, why]) => {
      const maps = make("div", {class: "maps"}), spread = make("b");
      const part = make("div", {class: "part"}, make("h3", {}, name, make("small", {}, ` ${why} `), spread), maps);
      return {part, maps, spread};
    });
    this.partHint = make("p", {class: "hint"});
    return make("section", {class: "card"}, make("h2", {}, "The score's three parts"), this.partHint,
      make("div", {class: "parts"}, ...this.partMaps.map(({part}) => part)));
  }

  between() {
    const {frames, pictures} = this.data;
    if (pictures.length < 2) return null;
    const one = ([name, rows]) => {
      const canvas = make("canvas", {class: "between"}), most = matrix(canvas, rows, diverging);
      canvas.title = rows.map((row, i) => `${pictures[i].label} → ${row.map(value => percent(value)).join(" ")}`).join("\n");
      return make("figure", {}, canvas, make("figcaption", {}, `${name}: strongest ${percent(most)}`));
    };
    return make("section", {class: "card"}, make("h2", {}, "Picture to picture"),
      make("p", {class: "hint"}, "Rows look at columns: the share of its attention that a token of one picture gives to another. A picture sees itself and those before it."),
      make("div", {class: "betweens"}, ...frames.map(one)));
  }

  draw() {
    const {state, data} = this, values = (this.shown = this.values());
    const most = Math.max(1e-9, ...data.visual.map(place => (state.method === "occlusion" ? Math.abs(values[place]) : values[place])));
    this.most = most;
    this.drawWords();
    this.bare.ariaPressed = String(state.bare);
    for (const one of this.methods) one.ariaPressed = String(state.patch === null && one.dataset.method === state.method);
    this.note.textContent = state.patch === null ? METHODS[state.method][1]
      : `${state.received ? "What looks at" : "What is looked at from"} the outlined patch in the ${state.stage}: mean of its layers and heads.`;
    if (this.ready) for (const shown of this.images) this.drawPicture(shown, values, most);
    this.drawLegend(values, most);
    this.drawSequence(values);
    this.fromPanel.hidden = state.patch === null;
    for (const one of this.fromChoices)
      one.ariaPressed = String(Object.entries(JSON.parse(one.dataset.set)).every(([name, value]) => state[name] === value));
    this.drawAtlas();
    if (this.partMaps) this.drawParts();
  }

  drawWords() {
    for (const chip of this.words.children) chip.ariaPressed = String(chip.word === this.state.word && this.state.patch === null);
  }

  drawPicture({picture, canvas, cursor}, values, most) {
    const {width, height} = canvas, image = this.images.find(one => one.picture === picture).image;
    const own = values.subarray(picture.start, picture.start + picture.rows * picture.columns);
    if (this.state.bare) canvas.getContext("2d").drawImage(image, 0, 0, width, height);
    else paint(canvas.getContext("2d"), picture, image, own, most, {width, height, smooth: this.state.smooth});
    const cell = (this.state.patch ?? -1) - picture.start;
    if (this.state.patch !== null && cell >= 0 && cell < own.length) {
      const context = canvas.getContext("2d"), [w, h] = [width / picture.columns, height / picture.rows];
      context.lineWidth = 3;
      context.strokeStyle = "#fff";
      context.strokeRect((cell % picture.columns) * w + 2, Math.floor(cell / picture.columns) * h + 2, w - 4, h - 4);
    }
    canvas.ariaLabel = `${picture.label || "the image"}, ${picture.rows} by ${picture.columns} patches${this.state.bare ? "" : ", with the map over it"}`;
    cursor.hidden = true;
  }

  drawLegend(values, most) {
    const {state, data} = this, total = data.visual.reduce((sum, place) => sum + values[place], 0);
    const nats = state.method === "occlusion" && state.patch === null;
    const bar = make("canvas", {class: "ramp"});
    matrix(bar, [[...Array(64).keys()]], heat);
    const label = nats ? `${most.toFixed(2)} nats less likely` : state.method === "gradient" && state.patch === null ? "strongest" : `${percent(most)} a patch`;
    const share = nats || (state.method === "gradient" && state.patch === null) || state.received ? "" : `${percent(total)} of it falls on ${data.pictures.length > 1 ? "images" : "the image"}, the rest on words`;
    this.legend.replaceChildren(make("span", {}, "0"), bar, make("span", {}, label), make("span", {class: "share"}, share));
  }

  drawSequence(values) {
    const {data} = this, pictures = new Map(data.pictures.map((one, n) => [one.start, [one, n]])), chips = [];
    const rows = [];
    for (let place = 0; place < data.pieces.length; place++) {
      const [one, n] = pictures.get(place) ?? [];
      if (one) {
        const size = one.rows * one.columns;
        rows.push([`▦ ${one.label || "picture"}`, values.subarray(place, place + size).reduce((a, b) => a + b, 0), "block"]);
        place += size - 1;
      } else rows.push([data.pieces[place].replaceAll("\n", "↵"), values[place], data.words.some(word => word.place === place) ? "said" : ""]);
    }
    const most = Math.max(1e-9, ...rows.map(row => row[1]));
    for (const [text, value, kind] of rows) {
      const chip = make("span", {class: kind, title: value.toFixed(4)}, text);
      chip.style.setProperty("--share", `${Math.round(70 * Math.max(0, value / most))}%`);
      chips.push(chip);
    }
    this.sequence.replaceChildren(...chips);
  }

  drawAtlas() {
    const {data, state} = this, heads = this.weights.shape[2], words = this.chosenWords;
    const share = (l, h) => mean(words.map(n => [this.data.visual.reduce((sum, place) => sum + this.cached(n, l, h)[place], 0)]))[0];
    const rows = [...Array(data.layers).keys()].map(l => [...Array(heads).keys()].map(h => share(l, h)));
    matrix(this.grid, rows, value => diverging(value), 1);
    this.gridHint.textContent = `How much of ${state.word === null ? "the answer" : "the word"}'s attention falls on ${data.pictures.length > 1 ? "images" : "the image"}: most in one head ${percent(Math.max(...rows.flat()))}. Click one.`;
    this.layer.value = state.layer ?? "";
    this.head.value = state.head ?? "";
    this.gridCell.hidden = state.layer === null || state.method !== "attention" || state.patch !== null;
    if (state.layer !== null) mark(this.gridCell, {rows: data.layers, columns: heads}, state.layer, heads > 1 ? state.head : null, this.gridCell.hidden);
  }

  cached(n, l, h) {
    this.known ??= new Map();
    const key = `${n} ${l} ${h}`;
    if (!this.known.has(key)) this.known.set(key, this.weights.row(n, l, h));
    return this.known.get(key);
  }

  drawParts() {
    const {layers} = this.chosenHeads, {state, data} = this, size = this.parts.shape[3];
    const heads = state.head === null || size === 1 ? [...Array(size).keys()] : [state.head];
    const maps = [0, 1, 2].map(part => mean(this.chosenWords.flatMap(n => layers.flatMap(l => heads.map(h => this.parts.row(part, n, l, h))))));
    const most = Math.max(...maps.map(strongest));
    this.partHint.textContent = `T compares what the word and a patch are and their order in the sequence; H and W compare the rows and the columns where they are. Before the softmax, around its mean over the image${data.pictures.length > 1 ? "s" : ""}: orange draws the eye, blue turns it away. Their sum is the score; one scale for all three.`;
    maps.forEach((values, part) => {
      this.partMaps[part].spread.textContent = `± ${Math.sqrt(values.reduce((sum, one) => sum + one * one, 0) / values.length).toFixed(2)}`;
      this.partMaps[part].maps.replaceChildren(...data.pictures.slice(0, 8).map(one =>
        cells(one, values.subarray(one.first, one.first + one.rows * one.columns), most, diverging)));
    });
  }

  /** The images with their map, the question and the word, as one PNG. */
  save() {
    const {data, state} = this, gap = 24, width = this.images.reduce((sum, {canvas}) => sum + canvas.width + gap, gap);
    const sheet = make("canvas"), context = sheet.getContext("2d"), tall = Math.max(...this.images.map(({canvas}) => canvas.height));
    [sheet.width, sheet.height] = [Math.max(width, 560), tall + 128];
    context.fillStyle = "#fff";
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.fillStyle = "#1d1f24";
    context.font = "600 22px system-ui, sans-serif";
    context.fillText(data.question, gap, 40, sheet.width - 2 * gap);
    context.font = "17px system-ui, sans-serif";
    const word = state.word === null ? data.answer : `${data.answer}  ·  word: ${data.words[state.word].text.trim()}`;
    context.fillText(word, gap, 68, sheet.width - 2 * gap);
    let x = gap;
    for (const {canvas} of this.images) {
      context.drawImage(canvas, x, 88);
      x += canvas.width + gap;
    }
    context.fillStyle = "#646a73";
    context.font = "14px system-ui, sans-serif";
    const where = state.layer === null ? "" : `, layer ${state.layer + 1}${state.head === null ? "" : `, head ${state.head + 1}`}`;
    context.fillText(`${state.patch === null ? METHODS[state.method][0] + where : this.note.textContent}  ·  ${data.model}`, gap, tall + 114, sheet.width - 2 * gap);
    sheet.toBlob(blob => {
      const link = make("a", {href: URL.createObjectURL(blob), download: "look-inside.png"});
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
}

/** Put an outline on one cell of a grid, or on a whole row where column is null. */
function mark(element, {rows, columns}, row, column, hidden = false) {
  Object.assign(element.style, {
    top: `${(100 * row) / rows}%`, height: `${100 / rows}%`,
    left: column === null ? "0" : `${(100 * column) / columns}%`, width: column === null ? "100%" : `${100 / columns}%`,
  });
  element.hidden = hidden;
}

/** One turn as elements: the question with its media, the answer as it comes, what it cost, what can be done with it. */

import * as boxes from "./boxes.js";
import {h} from "./dom.js";
import {render} from "./markdown.js";
import {element} from "./media.js";
import {buttonsOf} from "./panels.js";

const THOUGHT = /^\s*<think>([^]*?)(?:<\/think>|$)/;
const NOTES = {length: "cut at its longest; Settings allow more", abort: "ended by the server"};

/** An object a line, as JSON. */
const lines = objects => `[\n${objects.map(object => `  ${JSON.stringify(object)}`).join(",\n")}\n]`;

/** host: {again(), edit(turn), pictures(turn), imagesBefore(turn), isLast(turn)}. */
export class TurnView {
  constructor(turn, host) {
    this.turn = turn;
    this.host = host;
    const media = turn.media.map(one => h("div", {className: "media"}, element(one)));
    const asked = h("div", {className: "asked"}, h("span", {className: "unseen-label"}, "You asked: "));
    if (media.length) asked.append(h("div", {className: "shown"}, ...media));
    asked.append(h("p", {}, turn.text));
    this.body = h("div", {className: "body"});
    this.foot = h("div", {className: "foot"});
    this.answer = h("div", {className: "answer"}, h("span", {className: "unseen-label"}, "The answer: "), this.body, this.foot);
    this.root = h("article", {className: "turn"}, asked, this.answer);
    this.update();
  }

  update() {
    const {turn} = this;
    this.root.dataset.state = turn.state;
    this.answer.ariaBusy = String(turn.state === "waits" || turn.state === "runs");
    this.body.replaceChildren(...this.#words());
    this.foot.replaceChildren(...this.#foot());
  }

  #words() {
    const {turn} = this;
    if (turn.state === "waits") return [h("p", {className: "waits", ariaLabel: "The model reads"}, h("i"), h("i"), h("i"))];
    const ended = turn.state !== "runs";
    const thought = turn.answer.match(THOUGHT);
    const said = (thought ? turn.answer.slice(thought[0].length) : turn.answer).trimStart();
    const places = [];
    const blocks = render(ended ? said : boxes.settled(said), boxes.rules(places));
    if (thought) blocks.unshift(h("details", {}, h("summary", {}, "Thoughts"), h("p", {}, thought[1].trim())));
    if (turn.state === "done" && !turn.answer) blocks.push(h("p", {className: "note"}, "(no words)"));
    const objects = ended ? turn.objects ?? [] : [];
    if (ended && !places.length) places.push(...boxes.fromObjects(objects));
    if (ended && places.length) blocks.push(...this.#drawn(places, objects));
    if (objects.length && this.json) blocks.push(h("pre", {className: "json"}, h("code", {}, lines(objects))));
    return blocks;
  }

  /** The image that the places are in: of several the first that the answer names, or the last, with buttons for all. */
  #drawn(places, objects) {
    const pictures = this.host.pictures(this.turn);
    if (!pictures.length) return [];
    const frame = h("div");
    const first = this.host.imagesBefore?.(this.turn) ?? 0; // objects count the images of the whole conversation
    const choose = at => {
      frame.replaceChildren(boxes.figure(pictures[at], boxes.within(places, objects, first + at)));
      for (const [number, button] of [...choice.children].entries()) button.ariaPressed = String(number === at);
    };
    const choice = h("div", {className: "choice"}, ...pictures.map((_, at) =>
      h("button", {type: "button", onclick: () => choose(at)}, `image ${at + 1}`)));
    const named = objects.find(object => pictures[object.image - first]);
    choose(named ? named.image - first : pictures.length - 1);
    return pictures.length > 1 ? [frame, choice] : [frame];
  }

  #foot() {
    const {turn} = this;
    const button = (label, action) => h("button", {type: "button", onclick: action}, label);
    if (turn.state === "waits" || turn.state === "runs") return [];
    const last = this.host.isLast(turn);
    if (turn.state === "failed") {
      return [
        h("p", {className: "error", role: "alert"}, turn.error),
        ...(last ? [h("div", {className: "actions"}, button("Try again", this.host.again), button("Edit", () => this.host.edit(turn)))] : []),
      ];
    }
    const copy = button("Copy", async () => {
      copy.textContent = (await copied(turn.answer)) ? "Copied" : "Not copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    });
    const json = button("JSON", () => {
      this.json = !this.json;
      this.update();
    });
    json.title = "boxes in pixels of the image that was sent";
    json.ariaPressed = String(Boolean(this.json));
    const note = turn.state === "stopped" ? "stopped" : NOTES[turn.reason];
    return [
      note ? h("p", {className: "note"}, note) : null,
      h("p", {className: "figures"}, ...figures(turn.figures)),
      h("div", {className: "actions"}, turn.answer ? copy : null, turn.objects?.length ? json : null, last ? button("Ask again", this.host.again) : null, ...buttonsOf(turn)),
    ].filter(Boolean);
  }
}

/** What an answer took, as short facts. */
function figures({first, seconds, usage, pieces}) {
  const figures = [];
  if (first !== null) figures.push(["first word after", time(first)]);
  const tokens = usage?.completion_tokens ?? pieces;
  if (tokens) figures.push([tokens === 1 ? "token" : "tokens", String(tokens)]);
  // words that came in one piece with the first have no speed of their own
  if (tokens > 2 && seconds - first > 0.1) figures.push(["tokens/s", rate((tokens - 1) / (seconds - first))]);
  if (usage) {
    figures.push(["in the prompt", String(usage.prompt_tokens)]);
    const cached = usage.prompt_tokens_details?.cached_tokens;
    if (cached) figures.push(["of these cached", String(cached)]);
  }
  return figures.map(([name, value]) => {
    const number = h("b", {}, value);
    return h("span", {}, ...(name.startsWith("first") ? [`${name} `, number] : [number, ` ${name}`]));
  });
}

const time = seconds => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);
const rate = value => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));

async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  // without TLS, on another machine than this, browsers have no clipboard but this old way
  const area = h("textarea", {value: text, className: "unseen-label"});
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

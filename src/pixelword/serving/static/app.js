/** The page: composer, conversation and panels put together. */

import {call, key} from "./api.js";
import {Composer} from "./composer.js";
import {Conversation} from "./conversation.js";
import {byId} from "./dom.js";
import * as examples from "./examples.js";
import * as panels from "./panels.js";
import {options} from "./settings.js";
import {TurnView} from "./turns.js";

const scroller = byId("scroller"), start = byId("start"), list = byId("turns");
const keyForm = byId("key"), keyValue = byId("key-value"), keyError = byId("key-error");
const NEAR = 80; // pixels from the end, within which the page follows an answer

let model = {id: "", limits: {}};
const views = new Map();
const dirty = new Set();

const conversation = new Conversation(turn => {
  if (!dirty.size) requestAnimationFrame(draw);
  dirty.add(turn);
  if (turn.status === 401) askForKey(turn.error);
});

/** At most once a frame: a fast model says more words than a screen shows. */
function draw() {
  for (const turn of conversation.turns) {
    const view = views.get(turn);
    if (view && dirty.has(turn)) view.update();
    if (view) continue;
    const made = new TurnView(turn, host);
    for (const before of views.values()) before.update(); // they are no longer the last
    views.set(turn, made);
    list.append(made.root);
    follows = true;
  }
  for (const [turn, view] of views) {
    if (conversation.turns.includes(turn)) continue;
    view.root.remove();
    views.delete(turn);
  }
  dirty.clear();
  start.hidden = conversation.turns.length > 0;
  byId("send").hidden = conversation.busy;
  byId("stop").hidden = !conversation.busy;
}

/** Whatever grows or shrinks (an answer, a loaded image, the composer), the end stays in sight. */
let follows = true;
scroller.addEventListener("scroll", () => {
  follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
});
const sizes = new ResizeObserver(() => {
  if (follows && conversation.turns.length) scroller.scrollTop = scroller.scrollHeight;
});
sizes.observe(scroller);
sizes.observe(list);

/** The turn whose images an answer is about. */
function shownFor(turn) {
  return conversation.turns.slice(0, conversation.turns.indexOf(turn) + 1).findLast(one => one.media.length);
}

const host = {
  ask(question) {
    if (!conversation.busy) conversation.ask(question, options());
  },
  busy: () => conversation.busy,
  limits: () => model.limits ?? {},
  again() {
    if (!conversation.busy) conversation.again(options());
  },
  edit(turn) {
    conversation.remove(turn);
    composer.fill(turn);
    draw();
  },
  isLast: turn => conversation.turns.at(-1) === turn,
  /** The images that a turn's answer is about: its own, or the last that were shown before. */
  pictures(turn) {
    const shown = shownFor(turn);
    return shown ? shown.media.filter(one => one.kind === "image") : [];
  },
  /** Images of the conversation before those. */
  imagesBefore(turn) {
    const shown = shownFor(turn);
    const before = shown ? conversation.sent(turn).slice(0, conversation.sent(turn).indexOf(shown)) : [];
    return before.flatMap(one => one.media).filter(one => one.kind === "image").length;
  },
};
const composer = new Composer(host);

function restart() {
  conversation.clear();
  composer.fill({text: "", media: []});
  composer.say("");
  draw();
}

async function greet() {
  try {
    [model] = (await (await call("v1/models")).json()).data;
  } catch (error) {
    if (error.status === 401) askForKey(key.get() ? error.message : "");
    else composer.say(error.message);
    return false;
  }
  keyForm.hidden = true;
  const chip = byId("model");
  chip.textContent = model.id;
  chip.title = `${model.max_model_len.toLocaleString("en")} tokens of question and answer together`;
  chip.hidden = false;
  document.title = `${model.id} · Pixelword`;
  return true;
}

function askForKey(line) {
  keyForm.hidden = false;
  keyError.textContent = line;
  keyValue.focus();
}

keyForm.addEventListener("submit", async event => {
  event.preventDefault();
  key.set(keyValue.value.trim());
  keyValue.value = "";
  if (await greet()) byId("words").focus();
  else key.set("");
});
byId("new").addEventListener("click", restart);
byId("stop").addEventListener("click", () => conversation.stop());
document.addEventListener("keydown", event => event.key === "Escape" && conversation.stop());

panels.mount({call, conversation, model: () => model});
examples.mount(byId("examples"), host.ask);
greet();

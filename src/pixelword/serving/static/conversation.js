/** What was asked and answered so far, and the request that runs. Knows nothing of how it is shown. */

import {ServerError, stream} from "./api.js";
import {part} from "./media.js";

/**
 * A turn: {text, media, state, answer, objects, error, reason, sent, figures}.
 * state: "waits", "runs", "done", "stopped" or "failed"; a failed turn is not part of later questions.
 * objects: the places that the answer names, as the server brought them to the pixels of what was sent.
 * sent: the body of its request; figures: {first, seconds, usage, pieces}, times in seconds.
 */
export class Conversation {
  turns = [];
  #running = null;

  /** changed(turn): called whenever something of a turn is new. */
  constructor(changed) {
    this.changed = changed;
  }

  get busy() {
    return this.#running !== null;
  }

  /** The messages before and with a turn, in OpenAI's form. */
  messages(last, system) {
    const said = system ? [{role: "system", content: system}] : [];
    for (const turn of this.sent(last)) {
      const parts = turn.media.map(part);
      const content = parts.length ? [...parts, {type: "text", text: turn.text}] : turn.text;
      said.push({role: "user", content});
      if (turn !== last) said.push({role: "assistant", content: turn.answer});
    }
    return said;
  }

  /** The turns that a turn's request holds: those before it that were answered, and itself. */
  sent(last) {
    const until = this.turns.slice(0, this.turns.indexOf(last) + 1);
    return until.filter(turn => turn === last || (turn.answer && turn.state !== "failed"));
  }

  /** Ask; resolves when the answer has ended, however it did. options: of the request, `system` among them. */
  async ask({text, media}, options) {
    const turn = {text, media, state: "waits", answer: "", objects: [], error: "", reason: null, figures: null};
    this.turns.push(turn);
    await this.#answer(turn, options);
  }

  /** Ask the last question once more. */
  async again(options) {
    const turn = this.turns.at(-1);
    Object.assign(turn, {state: "waits", answer: "", objects: [], error: "", reason: null, figures: null});
    await this.#answer(turn, options);
  }

  async #answer(turn, {system, ...options}) {
    const running = (this.#running = new AbortController());
    turn.sent = {...options, messages: this.messages(turn, system)};
    this.changed(turn);
    try {
      await this.#follow(turn, running.signal);
      turn.state = "done";
    } catch (error) {
      const stopped = error.name === "AbortError";
      Object.assign(turn, stopped ? {state: "stopped"} : {state: "failed", error: error.message, status: error.status});
      if (!stopped && !(error instanceof ServerError)) throw error; // a fault of this page
    } finally {
      if (this.#running === running) this.#running = null;
      this.changed(turn);
    }
  }

  async #follow(turn, signal) {
    const begun = performance.now();
    const since = () => (performance.now() - begun) / 1000;
    turn.figures = {first: null, seconds: 0, usage: null, pieces: 0};
    for await (const chunk of stream(turn.sent, signal)) {
      if (chunk.usage) turn.figures.usage = chunk.usage;
      const choice = chunk.choices[0];
      if (choice?.finish_reason) turn.reason = choice.finish_reason;
      if (choice?.delta.objects) turn.objects = choice.delta.objects;
      if (!choice?.delta.content) continue;
      turn.state = "runs";
      turn.answer += choice.delta.content;
      turn.figures.first ??= since();
      turn.figures.seconds = since();
      turn.figures.pieces += 1;
      this.changed(turn);
    }
  }

  /** End what runs; the connection closes, and with it the request's place on the server is free. */
  stop() {
    this.#running?.abort();
  }

  /** Take a turn back. */
  remove(turn) {
    this.turns = this.turns.filter(one => one !== turn);
  }

  clear() {
    this.stop();
    this.#running = null;
    for (const media of this.turns.flatMap(turn => turn.media)) URL.revokeObjectURL(media.shown);
    this.turns = [];
  }
}

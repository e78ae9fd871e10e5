/** Look inside: what an answer rests on, asked of the server and drawn by the script that makes its pages, too. */

import {h} from "./dom.js";
import {mount as draw} from "./look/look.js";

/** What of a request says what the model read; how its answer was sampled does not matter here. */
const EXPLAINED = ["model", "messages", "max_pixels", "max_frames", "fps"];

let root, host, running;

export const inside = {
  id: "inside",
  title: "Look inside",

  mount(place, given) {
    [root, host] = [place, given];
    document.head.append(h("link", {rel: "stylesheet", href: "page/look/look.css"}));
    say("Ask something; below its answer stands “Look inside”. It shows which pixels the answer rests on.");
  },

  /** Explain the answer of a turn, as it was said. */
  async show(turn) {
    running?.abort();
    const own = (running = new AbortController());
    say("Looking inside …");
    try {
      const asked = Object.fromEntries(EXPLAINED.filter(name => name in turn.sent).map(name => [name, turn.sent[name]]));
      const response = await host.call("v1/explain", {...asked, answer: turn.answer}, own.signal);
      draw(root, await response.json());
    } catch (error) {
      if (error.name === "AbortError") return; // another turn is looked into
      say(error.message, "error");
    }
  },
};

function say(words, kind = "note") {
  root.replaceChildren(h("p", {className: kind, role: kind === "error" ? "alert" : "status"}, words));
}

/** Where a question is written: words, and images and videos by file, drop and paste. */

import {byId, h} from "./dom.js";
import {element, read} from "./media.js";

const form = byId("composer"), words = byId("words"), files = byId("files");
const attached = byId("attached"), drop = byId("drop"), notice = byId("notice");

export class Composer {
  #media = [];
  #reading = Promise.resolve(); // of files that are still being taken in

  /** host: {ask({text, media}), busy(), limits() -> {bytes} of the server, as far as they are known}. */
  constructor(host) {
    this.host = host;
    form.addEventListener("submit", event => {
      event.preventDefault();
      this.#send();
    });
    words.addEventListener("input", fit);
    words.addEventListener("keydown", event => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    byId("attach").addEventListener("click", () => files.click());
    files.addEventListener("change", async () => {
      await this.add([...files.files]);
      files.value = "";
    });
    document.addEventListener("paste", event => {
      if (event.clipboardData.files.length) event.preventDefault();
      this.add([...event.clipboardData.files]);
    });
    this.#listenForDrops();
  }

  #listenForDrops() {
    const holdsFiles = event => event.dataTransfer.types.includes("Files");
    let depth = 0; // of elements entered and not yet left
    const show = change => {
      depth = Math.max(0, depth + change);
      drop.hidden = depth === 0;
    };
    document.addEventListener("dragenter", event => holdsFiles(event) && show(1));
    document.addEventListener("dragleave", event => holdsFiles(event) && show(-1));
    document.addEventListener("dragover", event => event.preventDefault());
    document.addEventListener("drop", event => {
      event.preventDefault(); // else the browser leaves the page for the file
      show(-Infinity);
      if (holdsFiles(event)) this.add([...event.dataTransfer.files]);
      else this.say("drop files; save images from other pages first");
    });
  }

  /** Take files in, one after another; a file that is not an image or video gets a one-line message. */
  add(given) {
    this.#reading = this.#reading.then(() => this.#add(given));
    return this.#reading;
  }

  async #add(given) {
    this.say("");
    for (const file of given) {
      try {
        this.#media.push(await read(file, this.host.limits().bytes));
      } catch (error) {
        this.say(error.message);
      }
    }
    this.#show();
    words.focus();
  }

  /** Fill it with a question that was asked before. */
  fill({text, media}) {
    words.value = text;
    this.#media = [...media];
    this.#show();
    fit();
    words.focus();
  }

  say(line) {
    notice.textContent = line;
  }

  async #send() {
    await this.#reading;
    const text = words.value.trim();
    if (this.host.busy()) return;
    if (!text) {
      if (this.#media.length) this.say("say in words what you want to know about it");
      return;
    }
    const media = this.#media;
    this.fill({text: "", media: []});
    this.say("");
    this.host.ask({text, media});
  }

  #show() {
    attached.replaceChildren(...this.#media.map(media => {
      const remove = () => {
        this.#media = this.#media.filter(one => one !== media);
        URL.revokeObjectURL(media.shown);
        this.#show();
        words.focus();
      };
      const shown = element(media);
      shown.controls = false;
      const cross = h("button", {type: "button", ariaLabel: `Remove ${media.name}`, onclick: remove}, "×");
      return h("div", {role: "listitem", className: "thumb", title: media.name}, shown, cross);
    }));
    attached.hidden = this.#media.length === 0;
  }
}

/** As tall as its words, up to a limit that the style sheet sets. */
function fit() {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight}px`;
}

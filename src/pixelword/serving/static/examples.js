/** Questions to begin with. */

import {h} from "./dom.js";
import {read} from "./media.js";

const EXAMPLES = [
  {text: "what is on the left?", files: ["left_right.png"]},
  {text: "describe the picture", files: ["three_squares.png"]},
  {text: "which picture has more objects?", files: ["left_right.png", "three_squares.png"]},
  {text: "which way does it move?", files: ["moving_right.mp4"]},
  {text: "what is the opposite of hot?", files: []},
];
const address = name => new URL(`page/examples/${name}`, document.baseURI).href;

async function load(name) {
  const blob = await (await fetch(address(name))).blob();
  return read(new File([blob], name, {type: blob.type}));
}

function preview(name) {
  return name.endsWith(".mp4")
    ? h("video", {src: address(name), muted: true, loop: true, autoplay: true, playsInline: true, ariaHidden: "true"})
    : h("img", {src: address(name), alt: ""});
}

/** A button for each; ask({text, media}) is called with the one that was chosen. */
export function mount(root, ask) {
  for (const {text, files} of EXAMPLES) {
    const choose = async () => ask({text, media: await Promise.all(files.map(load))});
    const shown = files.length ? files.map(preview) : [h("span", {className: "words"}, "Aa")];
    root.append(h("button", {type: "button", onclick: choose}, h("span", {className: "pictures"}, ...shown), h("span", {}, text)));
  }
}

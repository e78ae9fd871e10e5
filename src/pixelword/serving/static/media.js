/** Images and videos that go with a question. */

import {h} from "./dom.js";

/** Kinds that browsers give no type for, by the end of a file's name. */
const BY_NAME = {tif: "image", tiff: "image", mkv: "video", mov: "video", avi: "video"};
const SMALL = 160; // pixels; smaller images are drawn with hard edges when they are enlarged

function kindOf(file) {
  const kind = file.type.split("/")[0];
  if (kind === "image" || kind === "video") return kind;
  return BY_NAME[file.name.split(".").pop().toLowerCase()];
}

/**
 * A file -> {kind: "image" | "video", name, data: its data URL, shown: an address for this page}.
 * Throws an Error of one line. most: bytes that the server takes.
 */
export async function read(file, most = Infinity) {
  const kind = kindOf(file);
  if (!kind) throw new Error(`${file.name} is not an image or a video`);
  if (file.size > most) throw new Error(`${file.name} has ${megabytes(file.size)}; this server takes ${megabytes(most)}`);
  return {kind, name: file.name, data: await dataUrl(file), shown: URL.createObjectURL(file)};
}

const megabytes = bytes => `${Math.round(bytes / 2 ** 20).toLocaleString("en")} MB`;

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}

/** The part of a message, in OpenAI's form. */
export function part(media) {
  const type = `${media.kind}_url`;
  return {type, [type]: {url: media.data}};
}

/** The image or video itself. What this browser cannot show is named; the server may still read it. */
export function element(media) {
  const shown =
    media.kind === "image"
      ? h("img", {src: media.shown, alt: media.name, onload: event => harden(event.target, event.target.naturalWidth)})
      : h("video", {
          src: media.shown, controls: true, muted: true, loop: true, playsInline: true, ariaLabel: media.name,
          onloadedmetadata: event => harden(event.target, event.target.videoWidth),
        });
  shown.addEventListener("error", () => shown.replaceWith(h("span", {className: "unseen"}, media.name)));
  return shown;
}

/** Few pixels are seen as they are, not blurred. */
export function harden(shown, width) {
  shown.classList.toggle("small", width <= SMALL);
}

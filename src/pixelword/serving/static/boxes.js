/** Places that an answer names, `<ref>a dog</ref><box>[[x1, y1, x2, y2]]</box>` in thousandths, drawn onto its image. */

import {h, svg} from "./dom.js";
import {harden} from "./media.js";

const PLACE = /(?:<ref>([^<]*)<\/ref>\s*)?<(box|quad)>([^<]*)<\/\2>/;
const NAME = /<ref>([^<]*)<\/ref>/;
/** A mark whose end has not come yet. */
const OPEN = /(?:<ref>[^<]*(?:<\/ref>\s*)?)?(?:<(?:box|quad)>[^<]*)?$/;
const COLOURS = 5;
const LEAST = 260, TALLEST = 420; // pixels: small images are enlarged, so that boxes leave something to see

/** Numbers of a mark -> its corners, as [x, y] in thousandths. A box of two numbers is a point. */
function shapes(kind, text) {
  const groups = text.match(/\[[^[\]]+\]/g) ?? [text];
  return groups.map(group => (group.match(/-?\d+(?:\.\d+)?/g) ?? []).map(number => Math.min(1000, Math.max(0, Number(number)))))
    .filter(numbers => numbers.length >= 2)
    .map(numbers => {
      if (kind === "box" && numbers.length === 4) {
        const [x1, y1, x2, y2] = numbers;
        return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
      }
      return Array.from({length: numbers.length >> 1}, (_, at) => [numbers[2 * at], numbers[2 * at + 1]]);
    });
}

/** Text without what has no end yet. */
export const settled = text => text.replace(OPEN, "");

/** Rules for `markdown.render`: show a mark as its name, and put {number, name, corners} into `found`. */
export function rules(found) {
  const place = match => {
    const [all, name, kind, numbers] = match;
    const corners = shapes(kind, numbers);
    if (!corners.length) return document.createTextNode(name ?? all);
    const number = found.length + 1;
    found.push({number, name: name ?? "", corners});
    return h("span", {className: `place c${number % COLOURS}`, title: numbers}, `${number} ${name ?? "here"}`);
  };
  return [[PLACE, place], [NAME, match => document.createTextNode(match[1])]];
}

/** Places of an answer that marks none in its text, such as JSON: from the server's `objects`. */
export function fromObjects(objects) {
  return objects.map(({label, box_1000: box, point_1000: point}, at) => {
    const numbers = (box ?? point).join(", ");
    return {number: at + 1, name: label, corners: shapes("box", numbers)};
  });
}

/** The places that are in image `at`; those of which the answer does not say it are in every one. */
export function within(places, objects, at) {
  const count = places.reduce((sum, place) => sum + place.corners.length, 0);
  if (count !== objects.length) return places; // text that the server reads in another way
  const images = objects.map(object => object.image);
  return places
    .map(place => ({...place, corners: place.corners.filter(() => [null, undefined, at].includes(images.shift()))}))
    .filter(place => place.corners.length);
}

/** The image with its places. media: as `media.read` gives it. */
export function figure(media, places) {
  const drawn = svg("svg", {viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true"});
  const labels = [];
  for (const {number, name, corners} of places) {
    for (const shape of corners) {
      const colour = `c${number % COLOURS}`;
      const label = h("span", {className: `label ${colour}`}, String(number));
      label.style.left = `${Math.min(...shape.map(([x]) => x)) / 10}%`;
      label.style.top = `${Math.min(...shape.map(([, y]) => y)) / 10}%`;
      labels.push(label);
      if (shape.length === 1) label.classList.add("point");
      else for (const line of ["under", "over"]) {
        drawn.append(svg("polygon", {class: `${line} ${colour}`, points: shape.map(one => one.join(",")).join(" ")}));
      }
    }
  }
  const alt = `${media.name} with ${places.map(place => `${place.number} ${place.name}`).join(", ")}`;
  const frame = h("figure", {className: "places"}, h("img", {src: media.shown, alt, onload: fit}), drawn, ...labels);
  return frame;

  function fit({target: {naturalWidth: width, naturalHeight: height}, target}) {
    harden(target, width);
    frame.style.width = `${Math.min(Math.max(width, LEAST), (TALLEST * width) / height)}px`;
  }
}

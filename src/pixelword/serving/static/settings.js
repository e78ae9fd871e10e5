/** How answers are drawn and media read: the request's options, as this tab keeps them. */

import {h} from "./dom.js";

const KEPT = "pixelword.settings";
const GROUPS = [
  ["Answer", [
    {name: "system", label: "System message", hint: "said before the conversation"},
    {name: "max_tokens", label: "Longest answer", hint: "in tokens", placeholder: "all that fits", min: 1, step: 1},
    {name: "temperature", label: "Temperature", hint: "0 to 2; 0 takes the likeliest words", placeholder: "0", min: 0, max: 2},
    {name: "top_p", label: "Top p", hint: "draws from this share of the likeliest", placeholder: "1", min: 0.01, max: 1},
    {name: "top_k", label: "Top k", hint: "samples from this many tokens; 0 for all", placeholder: "0", min: 0, step: 1},
    {name: "seed", label: "Seed", hint: "the same seed, the same answer", placeholder: "none", step: 1},
  ]],
  ["Pictures and videos", [
    {name: "max_pixels", label: "Pixels per image", hint: "larger ones are made smaller: fewer tokens", placeholder: "the model's", min: 1, step: 1},
    {name: "max_frames", label: "Frames of a video", hint: "the most frames per video", placeholder: "the model's", min: 1, step: 1},
    {name: "fps", label: "Frames a second", hint: "taken from a video", placeholder: "the model's", min: 0.01, max: 240},
  ]],
];

let chosen = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");

/** What is set, as fields of a request. */
export const options = () => ({...chosen});

function keep(values) {
  chosen = values;
  sessionStorage.setItem(KEPT, JSON.stringify(chosen));
}

function field({name, label, hint, ...limits}) {
  const id = `set-${name}`;
  const input =
    name === "system"
      ? h("textarea", {id, rows: 3, value: chosen[name] ?? ""})
      : h("input", {id, type: "number", inputMode: "decimal", step: "any", ...limits, value: chosen[name] ?? ""});
  input.setAttribute("aria-describedby", `${id}-hint`);
  input.addEventListener("change", () => {
    if (!input.reportValidity()) return;
    const {[name]: before, ...others} = chosen;
    const value = input.value.trim();
    keep(value === "" ? others : {...others, [name]: name === "system" ? value : Number(value)});
  });
  return h("div", {className: "field"}, h("label", {htmlFor: id}, label), input, h("small", {id: `${id}-hint`}, hint));
}

/** The panel; see `panels.js`. */
export const settings = {
  id: "settings",
  title: "Settings",
  mount(root) {
    const groups = GROUPS.map(([title, fields]) => h("fieldset", {}, h("legend", {}, title), ...fields.map(field)));
    const reset = () => {
      keep({});
      root.replaceChildren();
      this.mount(root);
    };
    root.append(...groups, h("button", {type: "button", className: "plain", onclick: reset}, "Back to the defaults"));
  },
};

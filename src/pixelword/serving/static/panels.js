/**
 * What stands beside the chat, as tabs. A panel is an object:
 *
 *   id, title    of its tab
 *   mount(root, host)   puts its elements into `root`, once, when the page opens
 *   show(turn)   where it has one, every finished answer has a button of its title that opens the panel with that turn
 *
 * host: {call(path, body, signal) -> Response, model() -> the server's entry in /v1/models, conversation}.
 * turn: as in `conversation.js`; `turn.sent.messages` are what was asked, `turn.answer` what was answered.
 */

import {byId, h} from "./dom.js";
import {inside} from "./inside.js";
import {settings} from "./settings.js";

export const PANELS = [settings, inside];

const side = byId("side"), tabs = byId("tabs"), roots = byId("panels"), button = byId("beside");
const narrow = matchMedia("(max-width: 820px)"); // as in page.css

/** On a narrow screen the panel covers everything else, which then is out of reach for the keyboard, too. */
function cover() {
  for (const name of ["header", "main", "footer"]) document.querySelector(name).inert = !side.hidden && narrow.matches;
}

/** Show the panel of this id. */
export function open(id) {
  side.hidden = false;
  document.body.classList.add("beside");
  button.setAttribute("aria-expanded", "true");
  for (const tab of tabs.children) {
    tab.ariaSelected = String(tab.dataset.id === id);
    if (tab.dataset.id === id) tab.focus();
  }
  for (const root of roots.children) root.hidden = root.id !== `panel-${id}`;
  side.dataset.panel = id;
  cover();
}

export function close() {
  const inside = side.contains(document.activeElement);
  side.hidden = true;
  cover();
  if (inside) button.focus();
  document.body.classList.remove("beside");
  button.setAttribute("aria-expanded", "false");
}

/** Make every panel's tab and place. */
export function mount(host) {
  for (const panel of PANELS) {
    const root = h("section", {id: `panel-${panel.id}`, role: "tabpanel", hidden: true, ariaLabel: panel.title});
    const tab = h("button", {type: "button", role: "tab", ariaSelected: "false", onclick: () => open(panel.id)}, panel.title);
    tab.dataset.id = panel.id;
    tab.setAttribute("aria-controls", root.id);
    tabs.append(tab);
    roots.append(root);
    panel.mount(root, host);
  }
  button.addEventListener("click", () => (side.hidden ? open(side.dataset.panel ?? PANELS[0].id) : close()));
  byId("close").addEventListener("click", close);
  side.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    event.stopPropagation(); // elsewhere it stops an answer
    close();
  });
  narrow.addEventListener("change", cover);
}

/** Buttons for a finished answer. */
export function buttonsOf(turn) {
  return PANELS.filter(panel => panel.show).map(panel =>
    h("button", {type: "button", onclick: () => { open(panel.id); panel.show(turn); }}, panel.title));
}

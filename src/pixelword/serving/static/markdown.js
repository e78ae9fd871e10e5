/** The little Markdown that models write, as elements: paragraphs, headings, lists, code, bold and italics. */

import {h} from "./dom.js";

const RULES = [
  [/`([^`\n]+)`/, found => h("code", {}, found[1])],
  [/\*\*(?=\S)([^\n]+?)\*\*/, (found, more) => h("strong", {}, ...inline(found[1], more))],
  [/\*(?=\S)([^*\n]+?)\*/, (found, more) => h("em", {}, ...inline(found[1], more))],
];

/** Words with what stands in them. more: further rules, [pattern, match => element or null]. */
function inline(text, more) {
  const nodes = [];
  let rest = text;
  while (rest) {
    const [first, make] = earliest(rest, [...more, ...RULES]);
    if (!first) break;
    if (first.index) nodes.push(rest.slice(0, first.index));
    nodes.push(make(first, more));
    rest = rest.slice(first.index + first[0].length);
  }
  return rest ? [...nodes, rest] : nodes;
}

function earliest(text, rules) {
  let best = [null, null];
  for (const [pattern, make] of rules) {
    const found = text.match(pattern);
    if (found && (best[0] === null || found.index < best[0].index)) best = [found, make];
  }
  return best;
}

const FENCE = /^\s*```/, HEADING = /^#{1,6}\s+/, BULLET = /^\s*[-*+]\s+/, NUMBER = /^\s*\d+[.)]\s+/;

/** The kind of block that a line belongs to. */
function kindOf(line) {
  if (FENCE.test(line)) return "fence";
  if (HEADING.test(line)) return "heading";
  if (BULLET.test(line)) return "ul";
  if (NUMBER.test(line)) return "ol";
  return line.trim() ? "p" : "gap";
}

/** Text -> elements. rules: what else stands in lines, as for `inline`. */
export function render(text, rules = []) {
  const lines = text.split("\n"), blocks = [];
  const taken = kind => {
    const found = [];
    while (lines.length && kindOf(lines[0]) === kind) found.push(lines.shift());
    return found;
  };
  while (lines.length) {
    const kind = kindOf(lines[0]);
    if (kind === "gap") lines.shift();
    else if (kind === "fence") blocks.push(code(lines));
    else if (kind === "heading") blocks.push(h("h3", {}, ...inline(lines.shift().replace(HEADING, ""), rules)));
    else if (kind === "p") blocks.push(h("p", {}, ...inline(taken("p").join("\n"), rules)));
    else blocks.push(list(kind, taken(kind), rules));
  }
  return blocks;
}

function list(kind, lines, rules) {
  const made = h(kind, {}, ...lines.map(line => h("li", {}, ...inline(line.replace(BULLET, "").replace(NUMBER, ""), rules))));
  if (kind === "ol") made.start = parseInt(lines[0], 10);
  return made;
}

/** Up to the closing fence, or to the end while the answer still comes. */
function code(lines) {
  lines.shift();
  const end = lines.findIndex(line => FENCE.test(line));
  const inside = lines.splice(0, end < 0 ? lines.length : end);
  if (end >= 0) lines.shift();
  return h("pre", {}, h("code", {}, inside.join("\n")));
}

"""Wordings as people type them: phrases, articles, plurals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random


def phrase(rng: Random, wordings: Iterable[str], **blanks: str) -> str:
    """One of the wordings, filled in; now and then in lower case or without its closing mark, as people type."""
    text = rng.choice(tuple(wordings)).format(**blanks)
    if rng.random() < 0.3:
        text = text[:1].lower() + text[1:]
    if rng.random() < 0.15:
        text = text.rstrip("?.")
    return text


def article(words: str) -> str:
    """'a red circle', 'an orange circle', 'a unicorn', 'some grapes'."""
    if uncounted(words):
        return f"some {words}"
    return f"an {words}" if re.match(r"(?!uni|eu|one\b|us|ut)[aeiou]", words.lower()) else f"a {words}"


def uncounted(words: str) -> bool:
    """Whether it is not counted ("bread"), or is always many ("glasses"): no number of it is clear in an image."""
    return words.partition(" of ")[0].split()[-1] in _MANY


def plural(noun: str) -> str:
    """'crosses', 'circles', 'mice', 'bunnies', 'slices of cake'."""
    head, of, rest = noun.partition(" of ")
    *before, last = head.split(" ")
    if last in _MANY:
        many = last
    elif last in _PLURALS:
        many = _PLURALS[last]
    elif re.search(r"(s|x|z|ch|sh)$", last):
        many = last + "es"
    elif re.search(r"[^aeiou]y$", last):
        many = last[:-1] + "ies"
    else:
        many = last + "s"
    return " ".join([*before, many]) + of + rest


#: What is not counted, or is always many: "some bread", "some grapes".
_MANY = frozenset((
    "bread", "broccoli", "butter", "garlic", "popcorn", "sushi", "spaghetti", "bacon", "rice", "corn", "milk",
    "blueberries", "cherries", "chopsticks", "fries", "glasses", "gloves", "grapes", "jeans", "pancakes", "peanuts",
    "beans", "scissors", "shorts", "skis", "socks", "sunglasses", "goggles", "fireworks", "headphones", "scales",
    "maracas", "binoculars", "lettuce",
))  # fmt: skip
_PLURALS = {
    "mouse": "mice", "goose": "geese", "tooth": "teeth", "leaf": "leaves", "knife": "knives", "wolf": "wolves",
    "scarf": "scarves", "deer": "deer", "sheep": "sheep", "fish": "fish", "goldfish": "goldfish", "bison": "bison",
    "shrimp": "shrimp", "squid": "squid", "ox": "oxen", "man": "men", "woman": "women", "child": "children",
    "person": "people", "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "cactus": "cacti",
    "volcano": "volcanoes", "snowman": "snowmen", "dice": "dice", "moose": "moose", "aircraft": "aircraft",
}  # fmt: skip

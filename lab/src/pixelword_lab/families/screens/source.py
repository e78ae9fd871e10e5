"""What pages are made of: words of one split, and what is known of a page that the DOM does not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Split
from pixelword_lab.families.screens.lists import commands, some

#: (kind, wordings separated by "|", answer, choices or ())
Known = tuple[str, str, str, tuple[str, ...]]


@dataclass
class Page:
    """A page before it is drawn.

    template: of `templates`, without its ending. words: what it fills in. known: further questions. others: role ->
    names that could be there and are not. assets: what it was made of.
    """

    template: str
    words: dict[str, Any]
    known: list[Known] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)
    assets: tuple[str, ...] = ()

    def asks(self, kind: str, words: str, answer: str, choices: tuple[str, ...] = ()) -> None:
        """Note a question that the DOM does not answer; words: its wordings, separated by "|"."""
        self.known.append((kind, words, answer, choices))


class Source:
    """Words for pages of one split."""

    def __init__(self, rng: Random, split: Split, assets: Assets) -> None:
        self.rng, self.split, self.assets = rng, split, assets
        self.used: list[str] = []

    def pick(self, name: str, count: int) -> list[str]:
        """Different entries of a list."""
        entries = some(name, self.split)
        return self.rng.sample(entries, min(count, len(entries)))

    def one(self, name: str) -> str:
        return self.rng.choice(some(name, self.split))

    def person(self) -> str:
        return f"{self.one('first names')} {self.one('last names')}"

    def topic(self) -> str:
        """'Travel budget'."""
        return " ".join(self.pick("nouns", 2)).capitalize()

    def day(self) -> str:
        month = self.rng.choice(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
        return f"{self.rng.randint(1, 28)} {month} {self.rng.randint(2009, 2029)}"

    def sentence(self, longest: int) -> str:
        """A sentence of the pack `words`, where it is there."""
        if self.assets.has("words"):
            items = self.assets.pack("words").of(self.split)
            for _ in range(30):
                item = self.rng.choice(items)
                short = [entry.strip() for entry in item["text"].split(". ") if 16 <= len(entry.strip()) <= longest]
                short = [
                    entry
                    for entry in short
                    if entry.isascii() and entry[0].isupper() and entry.replace(" ", "").isalpha()
                ]
                if short:
                    self.used.append(f"words:{item['key']}")
                    return self.rng.choice(short) + "."
        person = self.one("first names")
        return f"{person} moved the {self.one('nouns')} to the {self.one('nouns')}."

    def buttons(self, least: int, most: int) -> list[dict[str, Any]]:
        labels = self.rng.sample(commands(self.split), self.rng.randint(least, most))
        main = self.rng.randrange(len(labels) + 1)
        return [
            {"label": label, "main": place == main, "disabled": self.rng.random() < 0.15}
            for place, label in enumerate(labels)
        ]

    def boxes(self, name: str, least: int, most: int, kind: str = "checkbox") -> list[dict[str, Any]]:
        labels = self.pick(name, self.rng.randint(least, most))
        return [
            {"label": label, "type": kind, "on": self.rng.random() < 0.5, "disabled": self.rng.random() < 0.08}
            for label in labels
        ]

"""Words to show and to read: runs of words and headwords of the pack `words`, numbers, prices, dates, codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random
from string import ascii_uppercase

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets, Item
from pixelword.synthetic.types import Split

#: A word that every font of the pack can write, and that people would write by itself.
_WRITABLE = re.compile(r"[\"'(]?[A-Za-z0-9$][A-Za-z0-9$%&@#+/'-]*[.,:;!?)\"']{0,2}")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_LETTERS = ascii_uppercase.replace("I", "").replace("O", "")  # where they stand among digits, one cannot tell


@dataclass(frozen=True)
class Found:
    """A text and the asset ("words:key") that it is from; "" for what was made up."""

    text: str
    asset: str = ""


@lru_cache(maxsize=8)
def _kinds(pack: AssetPack, split: Split) -> dict[str, list[Item]]:
    """The items of a split: "documents", and "glosses", which have a "part" of speech."""
    items = pack.of(split)
    return {
        "documents": [item for item in items if "part" not in item and "%" not in item["key"]],
        "glosses": [item for item in items if "part" in item],
    }


def documents(assets: Assets, split: Split) -> list[Item]:
    """Texts of many sentences. Raises AssetError when the pack has none."""
    return _of(assets, split, "documents")


def draw_document(rng: Random, assets: Assets, split: Split) -> Item:
    """A document: every source as often as the others, and in it the long ones as often as their length says."""
    documents(assets, split)
    sources = _sources(assets.pack("words"), split)
    found, lengths = sources[rng.choice(tuple(sources))]
    return rng.choices(found, cum_weights=lengths)[0]


@lru_cache(maxsize=8)
def _sources(pack: AssetPack, split: Split) -> dict[str, tuple[list[Item], list[int]]]:
    """Each source's documents with their lengths added up."""
    groups: dict[str, list[Item]] = {}
    for document in _kinds(pack, split)["documents"]:
        groups.setdefault(document.get("source", ""), []).append(document)
    return {name: (found, list(accumulate(len(item["text"]) for item in found))) for name, found in groups.items()}


def glosses(assets: Assets, split: Split) -> list[Item]:
    """Headwords ("word", "part") with what they mean ("text"). Raises AssetError when the pack has none."""
    return _of(assets, split, "glosses")


def _of(assets: Assets, split: Split, kind: str) -> list[Item]:
    pack = assets.pack("words")
    found = _kinds(pack, split)[kind]
    if not found:
        raise AssetError(f"{pack.path} has no {kind} for {split!r}: delete it, then pixelword tasks fetch words")
    return found


def draw_headword(rng: Random, assets: Assets, split: Split) -> Found:
    """One word of the dictionary."""
    while True:
        item = rng.choice(glosses(assets, split))
        if item["word"].isalpha() and len(item["word"]) > 2:
            return Found(item["word"], f"words:{item['key']}")


def draw_run(rng: Random, assets: Assets, split: Split, number: int) -> Found:
    """`number` words that stand side by side in a document."""
    while True:
        item = draw_document(rng, assets, split)
        text = item["text"]
        start = rng.randrange(max(1, len(text) - 14 * number))
        words = text[start : start + 30 + 14 * number].split()[1:-1]
        first = rng.randrange(max(1, len(words) - number))
        run = words[first : first + number]
        if len(run) == number and all(_WRITABLE.fullmatch(word) and len(word) < 18 for word in run):
            return Found(_closed(" ".join(run)), f"words:{item['key']}")


def draw_name(rng: Random, assets: Assets, split: Split, number: int) -> Found:
    """Words as headings and signs have them: 'Annual Message', 'ANNUAL MESSAGE', 'annual message'."""
    found = draw_run(rng, assets, split, number) if number > 1 else draw_headword(rng, assets, split)
    words = re.sub(r"[^\w\s$%&'/-]", "", found.text) or found.text
    return Found(rng.choice((str.title, str.upper, str.capitalize, str.lower))(words).replace("'S", "'s"), found.asset)


def draw_number(rng: Random) -> str:
    """A whole or decimal number, price, percentage, date, time, year, telephone number or code."""
    return rng.choice(_NUMBERS)(rng)


def _date(rng: Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randrange(12), rng.randint(1890, 2035)
    name = _MONTHS[month] if rng.random() < 0.5 else _MONTHS[month][:3]
    forms = (f"{day} {name} {year}", f"{name} {day}, {year}", f"{year}-{month + 1:02d}-{day:02d}",
             f"{day:02d}/{month + 1:02d}/{year}")  # fmt: skip
    return rng.choice(forms)


def _code(rng: Random) -> str:
    letters = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 3)))
    digits = "".join(rng.choice("23456789") for _ in range(rng.randint(2, 4)))
    return rng.choice((f"{letters}{digits}", f"{letters}-{digits}", f"{digits}{letters}"))


_NUMBERS = (
    lambda rng: str(rng.randint(0, 99)),
    lambda rng: str(rng.randint(100, 99999)),
    lambda rng: f"{rng.randint(1000, 9_999_999):,}",
    lambda rng: f"{rng.uniform(0, 1000):.{rng.randint(1, 3)}f}",
    lambda rng: f"${rng.randint(0, 999)}.{rng.choice(('00', '50', '95', '99', str(rng.randint(10, 98))))}",
    lambda rng: f"{rng.randint(0, 100)}%",
    lambda rng: f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}",
    lambda rng: f"{rng.randint(1, 12)}:{rng.randint(0, 59):02d} {rng.choice(('am', 'pm'))}",
    lambda rng: str(rng.randint(1700, 2035)),
    lambda rng: f"{rng.randint(200, 999)}-{rng.randint(100, 999)}-{rng.randint(1000, 9999)}",
    lambda rng: f"No. {rng.randint(1, 400)}",
    _date,
    _date,
    _code,
)


def _closed(text: str) -> str:
    """Without brackets and quotation marks whose other half is missing."""
    if text.count("(") != text.count(")"):
        text = re.sub(r"[()]", "", text)
    return text.replace('"', "") if text.count('"') % 2 else text


def bare(word: str) -> str:
    """A word without the marks around it, in small letters: by this two words are the same."""
    return word.strip(".,:;!?()\"'").lower()

"""Texts to read: single characters, words, numbers, short codes and lines of them.

Held out: a text of two or more characters belongs to one split by its lower-case form alone; single characters are in
both, and what a test holds out of them is the font (see `lettering`).
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from pixelword.synthetic.assets import AssetPack, Assets, split_of
from pixelword.synthetic.scenes import Split

LONGEST = 8  # characters of a word
LONGEST_LINE = 20  # characters of a line, blanks counted
_WORDS_FILE = "words.txt"
_ALIKE = frozenset("0OIl1")  # many fonts draw these alike, and only what stands beside them tells which it is
_CHARACTERS = [item for item in ascii_letters + digits if item not in _ALIKE]
_CODE = [item for item in ascii_uppercase + digits if item not in "OI"]
_PSEUDO_SHARE = 0.25  # strings of random letters among the words, so that no prior on spelling can replace sight


def split_of_text(text: str) -> Split:
    """The split that a text of two or more characters belongs to, whatever its case."""
    return split_of(f"read:{text.lower()}")


def draw_character(rng: Random) -> str:
    """A letter of either case or a digit, none of those that look alike when they stand alone."""
    return rng.choice(_CHARACTERS)


def draw_word(rng: Random, split: Split, assets: Assets, *, longest: int = LONGEST) -> str:
    """A word in some case, random letters, a number or a code, of 2 to `longest` characters.

    Raises AssetError: training words come from the pack `words`, which is missing.
    """
    while True:
        text = _draw(rng, split, assets, longest)
        if split_of_text(text) == split:
            return text


def draw_line(rng: Random, split: Split, assets: Assets, *, longest: int = LONGEST_LINE) -> str:
    """Two or more words of this split with blanks between, at most `longest` characters."""
    words = [draw_word(rng, split, assets, longest=min(LONGEST, (longest - 1) // 2)) for _ in range(2)]
    while (room := longest - sum(map(len, words)) - len(words)) >= 2 and rng.random() < 0.7:
        words.append(draw_word(rng, split, assets, longest=min(room, LONGEST)))
    return " ".join(words)


def _draw(rng: Random, split: Split, assets: Assets, longest: int) -> str:
    form = rng.random()
    length = rng.randint(2, longest)
    if form < 0.1:
        return "".join(rng.choice(digits) for _ in range(length))
    if form < 0.2:
        return "".join(rng.choice(_CODE) for _ in range(length))
    if form < 0.2 + _PSEUDO_SHARE and split == "train":
        return _cased(rng, "".join(rng.choice(ascii_lowercase) for _ in range(length)))
    return _cased(rng, rng.choice(_by_length(split, assets, length)))


def _cased(rng: Random, word: str) -> str:
    return rng.choice((word, word, word.capitalize(), word.upper()))


def _by_length(split: Split, assets: Assets, length: int) -> tuple[str, ...]:
    if split == "test":
        return packaged()[length]
    return _from_pack(assets.pack("words"))[length]


@lru_cache(maxsize=1)
def packaged() -> dict[int, tuple[str, ...]]:
    """The words of the test by their length."""
    return _grouped(files("pixelword.synthetic").joinpath(_WORDS_FILE).read_text("utf-8").split())


@lru_cache(maxsize=4)
def _from_pack(pack: AssetPack) -> dict[int, tuple[str, ...]]:
    """The pack's headwords of the training split by their length."""
    found = {item["word"] for item in pack.items if "word" in item}
    return _grouped(sorted(word for word in found if _usable(word) and split_of_text(word) == "train"))


def _usable(word: str) -> bool:
    return word.isascii() and word.isalpha() and word.islower() and 2 <= len(word) <= LONGEST


def _grouped(words: list[str]) -> dict[int, tuple[str, ...]]:
    return {length: tuple(word for word in words if len(word) == length) for length in range(2, LONGEST + 1)}

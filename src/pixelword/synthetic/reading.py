"""Questions about text in an image: what it says, which word or letter stands where, where a word stands."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from PIL import Image

from pixelword.processing.boxes import boxed
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.lettering import Sign, draw_sign, scatter
from pixelword.synthetic.questions import COLOUR_WORDINGS, Facts, Turn
from pixelword.synthetic.scenes import Split
from pixelword.synthetic.wording import phrase
from pixelword.synthetic.words import LONGEST, LONGEST_LINE, draw_character, draw_line, draw_word

ORDINALS = ("first", "second", "third", "fourth")
_GLYPH = ("What character is this?", "Which character is this?", "What does it say?", "Read it.",
          "What is written here?")  # fmt: skip
_READ = ("What does it say?", "What does it say?", "What is written here?", "Read it.", "Read the text.",
         "What does the sign say?", "What does the picture say?", "Which word is this?")  # fmt: skip
_LINE = ("What does it say?", "Read the line.", "Read the text.", "What is written here?", "Read it.")
NTH_WORD = (
    "What is the {nth} word?",
    "Which word is the {nth}?",
    "Read the {nth} word.",
    "What does the {nth} word say?",
)
_LETTER = ("What is the {nth} character?", "Which character is the {nth}?", "Read the {nth} character.",
           "What is the {nth} letter?")  # fmt: skip
_FIND = ('Where does it say "{it}"?', 'Where is the word "{it}"?', 'Find "{it}".', 'Give the box of "{it}".')
WORDINGS = (*_GLYPH, *_READ, *_LINE, *NTH_WORD, *_LETTER, *_FIND)

Drawn = tuple[Image.Image, Turn, Callable[[], Turn] | None]


def draw_reading(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    """(image, a question of this kind with its answer, a maker of a further question or None).

    Raises AssetError: training needs the packs `fonts` and `words`.
    """
    return _DRAW[kind](rng, level, split, assets)


def _glyph(rng: Random, level: float, split: Split, assets: Assets) -> Drawn:
    sign = draw_sign(rng, [draw_character(rng)], level, split, assets)
    return sign.image, _says(rng, "glyph", _GLYPH, sign), _colour(rng, sign)


def _read(rng: Random, level: float, split: Split, assets: Assets) -> Drawn:
    longest = max(2, round(2 + (LONGEST - 2) * level))
    sign = draw_sign(rng, [draw_word(rng, split, assets, longest=longest)], level, split, assets)
    return sign.image, _says(rng, "read", _READ, sign), _colour(rng, sign)


def _line(rng: Random, level: float, split: Split, assets: Assets) -> Drawn:
    longest = round(7 + (LONGEST_LINE - 7) * level)
    sign = draw_sign(rng, [draw_line(rng, split, assets, longest=longest)], level, split, assets)
    return sign.image, _says(rng, "line", _LINE, sign), _word_of(rng, sign)


def _nth(rng: Random, level: float, split: Split, assets: Assets) -> Drawn:
    """The second word of two to four, in a row or below one another; or the third letter of one."""
    longest = max(2, round(3 + (LONGEST - 3) * level))
    if rng.random() < 0.4:
        text = draw_word(rng, split, assets, longest=longest)
        sign = draw_sign(rng, [text], level, split, assets)
        return sign.image, nth_of(rng, "nth", _LETTER, tuple(sign.texts[0])), None
    number = rng.randint(2, 2 + round(2 * level))
    row = number < 4 and rng.random() < 0.5
    texts = [draw_word(rng, split, assets, longest=min(longest, LONGEST_LINE // number - 1)) for _ in range(number)]
    sign = draw_sign(rng, [" ".join(texts)] if row else texts, level, split, assets)
    return sign.image, nth_of(rng, "nth", NTH_WORD, sign.texts), _word_of(rng, sign)


def _find(rng: Random, level: float, split: Split, assets: Assets) -> Drawn:
    number = rng.randint(1, 1 + round(2 * level))
    texts: list[str] = []
    while len(texts) < number:
        text = draw_word(rng, split, assets, longest=round(4 + 2 * level))
        if text.lower() not in (other.lower() for other in texts):
            texts.append(text)
    sign = scatter(rng, texts, level, split, assets)
    place = rng.randrange(number)
    question = phrase(rng, _FIND, it=sign.texts[place])
    fact: Facts = frozenset({("place", place)})
    turn = Turn("find", question, boxed(sign.boxes[place], sign.image.size), fact, fact)
    return sign.image, turn, _colour(rng, sign)


def _says(rng: Random, kind: str, wordings: tuple[str, ...], sign: Sign) -> Turn:
    fact: Facts = frozenset({("text", 0)})
    return Turn(kind, phrase(rng, wordings), " ".join(sign.texts), fact, fact)


def nth_of(rng: Random, kind: str, wordings: tuple[str, ...], texts: tuple[str, ...]) -> Turn:
    places = range(min(len(texts), len(ORDINALS)))
    place = rng.choice((*places, len(texts) - 1))
    nth = "last" if place == len(texts) - 1 and (place >= len(ORDINALS) or rng.random() < 0.5) else ORDINALS[place]
    asks: Facts = frozenset({("text", place)})
    return Turn(kind, phrase(rng, wordings, nth=nth), texts[place], asks, asks)


def _word_of(rng: Random, sign: Sign) -> Callable[[], Turn]:
    return lambda: nth_of(rng, "nth", NTH_WORD, sign.texts)


def _colour(rng: Random, sign: Sign) -> Callable[[], Turn]:
    fact: Facts = frozenset({("colour", 0)})
    return lambda: Turn("colour", phrase(rng, COLOUR_WORDINGS, it="the text"), sign.colour, fact, fact)


_DRAW: dict[str, Callable[[Random, float, Split, Assets], Drawn]] = {
    "glyph": _glyph, "read": _read, "line": _line, "nth": _nth, "find": _find,
}  # fmt: skip

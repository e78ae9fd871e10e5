"""One or two digits or letters to read.

Held out: one in eight of the two-character texts is only ever shown in tests, where every two-character text is one.
"""

from __future__ import annotations

from random import Random
from string import ascii_uppercase, digits

from PIL import Image

from pixelword.synthetic.drawing import FONTS, paint_background, text_width, write
from pixelword.synthetic.questions import COLOUR_WORDINGS, Facts, Turn
from pixelword.synthetic.scenes import COLOURS, Split, background_for, canvas, jitter
from pixelword.synthetic.wording import phrase

ALPHABETS = {"digits": digits, "letters": ascii_uppercase}
_ALIKE = frozenset("O0I1")  # a question that does not say whether it is a letter or a digit leaves these out
_NUMBER = ("What number is it?", "What number is it?", "Which number is this?", "What number do you see?",
           "Read the number.", "Which number is in the picture?", "What is the number?")  # fmt: skip
_LETTER = ("What letter is it?", "What letter is it?", "Which letter is this?", "What letter do you see?",
           "Read the letter.", "Which letter is in the picture?")  # fmt: skip
_LETTERS = ("What letters are these?", "Which letters are these?", "Which letters do you see?", "Read the letters.",
            "What are the letters?")  # fmt: skip
_SAYS = ("What does it say?", "What does it say?", "What is written here?", "Read it.", "What does the picture say?")


def is_held_out_text(text: str) -> bool:
    """True for the two-character texts that only the test shows."""
    return len(text) == 2 and (7 * ord(text[0]) + 3 * ord(text[1])) % 8 == 5


def choose_text(rng: Random, kind: str, level: float, split: Split) -> str:
    """One character, or towards level 1 as often two."""
    alphabet = ALPHABETS[kind]
    if rng.random() >= 0.5 * level:
        return rng.choice(alphabet)
    while True:
        text = rng.choice(alphabet) + rng.choice(alphabet)
        if is_held_out_text(text) == (split == "test") and text[0] != "0":
            return text


def draw_glyphs(rng: Random, kind: str, level: float, split: Split) -> tuple[Image.Image, str, str]:
    """(image, text, its colour)."""
    text, colour = choose_text(rng, kind, level, split), rng.choice(tuple(COLOURS))
    width, height = canvas(rng, level)
    tall = round(min(width, height) * rng.uniform(0.66 - 0.26 * level, 0.85))
    font = rng.choice(FONTS if level >= 0.5 else FONTS[:2])
    while text_width(text, tall, font) > width - 4:
        tall -= 2
    picture = paint_background(background_for(rng, (colour,), level), width, height)
    x = rng.randint(2, width - 2 - text_width(text, tall, font))
    y = rng.randint(2, max(2, height - 4 - tall))
    write(picture, text, x=x, y=y, height=tall, rgb=jitter(rng, COLOURS[colour], 4 + round(8 * level)), font=font)
    return picture, text, colour


def ask_text_shown(rng: Random, kind: str, text: str) -> Turn:
    """'What number is it?' -> '42'."""
    wordings = _NUMBER if kind == "digits" else _LETTERS if len(text) == 2 else _LETTER
    if not _ALIKE & set(text) and rng.random() < 0.3:
        wordings = _SAYS
    fact: Facts = frozenset({("text", 0)})
    return Turn(kind, phrase(rng, wordings), text, fact, fact)


def ask_glyph_colour(rng: Random, kind: str, text: str, colour: str) -> Turn:
    """'What colour is the number?' -> 'red'."""
    noun = "number" if kind == "digits" else "letter" + "s" * (len(text) - 1)
    wordings = [w for w in COLOUR_WORDINGS if "is {it}" in w and len(text) == 1] or COLOUR_WORDINGS[3:5]
    fact: Facts = frozenset({("colour", 0)})
    return Turn("colour", phrase(rng, wordings, it=f"the {noun}"), colour, fact, fact)

"""Draw docs/answers.png: nano's own answers to the demo's questions, beside the files they are about.

Run `python docs/make_answers_picture.py` from the repository's root; `--model DIR` asks another model.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import pixelword
from pixelword.processing.videos import load_video

ROOT = Path(__file__).parents[1]
CARD, GAP, PICTURE, SCALE = (300, 372), 24, 224, 2
SOFT, PAPER, BOARD, ACCENT = "#5d6675", "#ffffff", "#eef1f5", "#1f6feb"


@dataclass(frozen=True)
class Card:
    """One question; images and videos are names in examples/."""

    question: str
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()


CARDS = (
    Card("what is on the left?", ("left_right.png",)),
    Card("where is the star?", ("blue_star.png",)),
    Card("which picture has more objects?", ("left_right.png", "three_squares.png")),
    Card("which way does it move?", (), ("moving_right.mp4",)),
    Card("what is the opposite of hot?"),
)


def frames_of(card: Card) -> list[Image.Image]:
    """The pictures and frames that the model is shown."""
    shown = [Image.open(ROOT / "examples" / name).convert("RGB") for name in card.images]
    for name in card.videos:
        shown += load_video(ROOT / "examples" / name).frames
    return shown


def mosaic(pictures: list[Image.Image]) -> Image.Image:
    """One to four pictures in a square of `PICTURE` pixels, each enlarged without smoothing."""
    board = Image.new("RGB", (PICTURE * SCALE, PICTURE * SCALE), BOARD)
    columns = 1 if len(pictures) == 1 else 2
    rows = -(-len(pictures) // columns)
    side = board.width // columns
    top = (board.height - rows * side) // 2
    for number, picture in enumerate(pictures):
        tile = picture.resize((side - 8, side - 8), Image.Resampling.NEAREST)
        board.paste(tile, (number % columns * side + 4, top + number // columns * side + 4))
    return board


def draw(cards: list[tuple[Card, str]]) -> Image.Image:
    width = GAP + len(cards) * (CARD[0] + GAP)
    sheet = Image.new("RGB", (width * SCALE, (CARD[1] + 2 * GAP) * SCALE), BOARD)
    pen = ImageDraw.Draw(sheet)
    small, large = ImageFont.load_default(16 * SCALE), ImageFont.load_default(23 * SCALE)
    for number, (card, answer) in enumerate(cards):
        x, y = (GAP + number * (CARD[0] + GAP)) * SCALE, GAP * SCALE
        box = (x, y, x + CARD[0] * SCALE, y + CARD[1] * SCALE)
        pen.rounded_rectangle(box, radius=14 * SCALE, fill=PAPER)
        middle = x + CARD[0] * SCALE // 2
        pictures = frames_of(card)
        if pictures:
            sheet.paste(mosaic(pictures), (middle - PICTURE * SCALE // 2, y + 24 * SCALE))
        else:
            pen.text((middle, y + (24 + PICTURE // 2) * SCALE), "words alone", SOFT, small, anchor="mm")
        pen.text((middle, y + 282 * SCALE), card.question, SOFT, small, anchor="mm")
        pen.text((middle, y + 325 * SCALE), answer, ACCENT, large, anchor="mm")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "answers.png")
    options = parser.parse_args()
    session = pixelword.load(options.model)
    answered = []
    for card in CARDS:
        images, videos = ([ROOT / "examples" / name for name in names] for names in (card.images, card.videos))
        answered.append((card, session.ask(card.question, images=images, videos=videos)))
    draw(answered).quantize(128).save(options.out, optimize=True)


if __name__ == "__main__":
    main()

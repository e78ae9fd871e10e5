"""The conversations of the tiny checkpoints' cases: questions about images, and their prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from .types import Array, Inputs

IMAGES = Path(__file__).parent / "images"
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
FRAMES = tuple(f"frame-{number}.png" for number in range(4))


@dataclass(frozen=True)
class Image:
    """A file of `images/`."""

    file: str


@dataclass(frozen=True)
class Turn:
    """A message; its parts are text and images."""

    role: str
    parts: tuple[str | Image, ...]

    def prompt(self) -> str:
        """One image stands at the front and several in their place, each followed by a newline."""
        images = [part for part in self.parts if isinstance(part, Image)]
        if len(images) == 1:
            return _marks(images[0]) + "".join(part for part in self.parts if isinstance(part, str))
        return "".join(part if isinstance(part, str) else _marks(part) for part in self.parts)


@dataclass(frozen=True)
class Conversation:
    """What a model is asked. uses: what the case is about, for the table."""

    name: str
    turns: tuple[Turn, ...]

    @property
    def images(self) -> list[str]:
        return [part.file for turn in self.turns for part in turn.parts if isinstance(part, Image)]

    def prompt(self) -> str:
        """The whole prompt, visual tokens included."""
        turns = "".join(f"<|im_start|>{turn.role}\n{turn.prompt()}<|im_end|>\n" for turn in self.turns)
        return turns + "<|im_start|>assistant\n"

    def messages(self, image: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
        """In chat form. image: the part that stands for a file."""
        return [
            {
                "role": turn.role,
                "content": turn.parts[0]
                if turn.parts == (turn.parts[0],) and isinstance(turn.parts[0], str)
                else [
                    {"type": "text", "text": part} if isinstance(part, str) else image(part.file) for part in turn.parts
                ],
            }
            for turn in self.turns
        ]


def user(*parts: str | Image) -> Turn:
    return Turn("user", parts)


def _video(question: str) -> Turn:
    parts: list[str | Image] = [
        "The time range of this video is [00:00-00:04], and the following is a series of 4 frames sampled at 1.0 FPS.\n"
    ]
    for second, file in enumerate(FRAMES):
        parts += [f"[00:{second:02}.00]:", Image(file)]
    return Turn("user", (*parts, question))


CONVERSATIONS = (
    Conversation("text", (user("What is a fox?"),)),
    Conversation("system", (Turn("system", ("Reason step by step.",)), user("How many are there?"))),
    Conversation("one", (user(Image("one.png"), "What is in this image?"),)),
    Conversation("one-other-question", (user(Image("one.png"), "Where is the square?"),)),
    Conversation("several", (user("Compare ", Image("left.png"), "with ", Image("right.png"), "Which is larger?"),)),
    Conversation("video", (_video("Where does it go?"),)),
    Conversation(
        "resumed",
        (
            user(Image("one.png"), "What is in this image?"),
            Turn("assistant", ("A square.",)),
            user(Image("right.png"), "And in this image?"),
        ),
    ),
)


def prepared(conversation: Conversation, tokenizer: Any) -> Inputs:
    """With the ids of a `tokenizers.Tokenizer`."""
    ids = tokenizer.encode(conversation.prompt(), add_special_tokens=False).ids
    pixels = [patches(IMAGES / file) for file in conversation.images]
    inputs = Inputs(np.array(ids, np.int64))
    if not pixels:
        return inputs
    grids = np.array([grid for _, grid in pixels], np.int64)
    return Inputs(inputs.input_ids, np.concatenate([values for values, _ in pixels]), grids)


def patches(path: Path) -> tuple[Array, tuple[int, int]]:
    """`pixel_values` and the patch grid of an image whose sides need no resizing."""
    pixels = np.asarray(PillowImage.open(path).convert("RGB"), np.float32) / 255
    pixels = (pixels - MEAN) / STD
    height, width = pixels.shape[0] // 16, pixels.shape[1] // 16
    cells = pixels.reshape(height, 16, width, 16, 3).transpose(0, 2, 4, 1, 3)
    return cells.reshape(height * width, 768).astype(np.float32), (height, width)


def _marks(image: Image) -> str:
    width, height = PillowImage.open(IMAGES / image.file).size
    return f"<img>{'<IMG_CONTEXT>' * (width * height // 1024)}</img>\n"

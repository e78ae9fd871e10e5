"""`pixelword chat`: turns that remember the earlier ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pixelword.cli import options
from pixelword.errors import InputError, PixelwordError

if TYPE_CHECKING:
    from pixelword.inference.session import Chat

HELP = """\
/image PATH   show a picture with the next question (several: one line each)
/video PATH   show a video with the next question
/reset        forget the conversation
/help         this list
/quit         leave (so does the end of the input)
anything else is a question"""


def chat(
    model: options.Model = "nano",
    system: options.System = None,
    max_new_tokens: options.MaxNewTokens = 64,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    frame_budget: options.FrameBudget = None,
    crops: options.Crops = 0,
    kept_frames: options.KeptFrames = None,
    old_frames: options.OldFrames = "drop",
    allow_urls: options.AllowUrls = False,
    dtype: options.Dtype = None,
    device: options.Device = None,
) -> None:
    """Talk with a model; the pictures of earlier turns stay in view. /help lists what else one can type.

    Example: pixelword chat --model nano

    Example: printf '/image photo.png\\nwhat colour is it?\\n' | pixelword chat
    """
    session = options.open_session(
        model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls,
        frame_budget=frame_budget, long={"crops": crops, "kept_frames": kept_frames, "old_frames": old_frames},
    )  # fmt: skip
    talk = _Talk(session.chat(system=system), max_new_tokens, temperature, seed)
    if sys.stdin.isatty():
        talk.say(f"{model} listens. /help lists what one can type.")
    while not talk.over and (line := _read_line()) is not None:
        talk.hear(line)


def _read_line() -> str | None:
    """The next line; None at the end of the input."""
    try:
        # a prompt only for people: a pipe's reader wants the answers alone
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


@dataclass
class _Talk:
    """A chat and what was typed for its next question."""

    chat: Chat
    max_new_tokens: int
    temperature: float
    seed: int | None
    images: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    over: bool = False

    def hear(self, line: str) -> None:
        """One line of the user. A slip is told and the talk goes on, except in a pipe, where nobody could mend it."""
        try:
            if line.startswith("/"):
                self._obey(line)
            elif line:
                self._answer(line)
        except PixelwordError as error:
            if not sys.stdin.isatty():
                raise
            Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Something that is not the model's: to stderr, so that stdout holds the answers alone."""
        Console(stderr=True).print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def _answer(self, question: str) -> None:
        images, videos = self.images, self.videos
        self.images, self.videos = [], []
        pieces = self.chat.stream(
            question,
            images=images,
            videos=videos,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=self.seed,
        )
        options.print_answer(pieces)

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        commands: dict[str, Callable[[], None]] = {
            "/image": lambda: self._show(argument.strip(), self.images),
            "/video": lambda: self._show(argument.strip(), self.videos),
            "/reset": self._reset,
            "/help": lambda: self.say(HELP),
            "/quit": self._quit,
            "/exit": self._quit,
        }
        if name not in commands:
            raise InputError(f"there is no {name}; /help lists what there is")
        commands[name]()

    def _show(self, path: str, waiting: list[str]) -> None:
        if not path:
            raise InputError("which file? say its path after the command")
        if "://" not in path and not Path(path).expanduser().is_file():
            raise InputError(f"{path}: no such file")
        waiting.append(path if "://" in path else str(Path(path).expanduser()))
        self.say(f"{path} goes with the next question")

    def _reset(self) -> None:
        self.chat.reset()
        self.images, self.videos = [], []
        self.say("forgotten")

    def _quit(self) -> None:
        self.over = True

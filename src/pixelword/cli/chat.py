"""`pixelword chat`: a conversation of several turns."""

from __future__ import annotations

import glob
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pixelword.cli import options
from pixelword.errors import InputError, PixelwordError

if TYPE_CHECKING:
    from pixelword.generation.chat import Chat

HELP = """\
/image PATH   attach an image to the next question (repeatable)
/video PATH   attach a video to the next question
PATH          attach an existing file, quoted or escaped as terminals paste it
/system TEXT  set the system message; without TEXT, print it
/save PATH    save the conversation as one line of JSON, a sample for `pixelword train`
/reset        start a new conversation
/help         show this list
/quit         quit (so does the end of input)
anything else is a question"""
_COMMANDS = ("/image", "/video", "/system", "/save", "/reset", "/help", "/quit")
#: Lines typed in earlier chats.
_HISTORY = Path("~/.cache/pixelword/chat_history")


def chat(
    model: options.Model = "nano",
    adapter: options.Adapter = None,
    quantize: options.Quantize = None,
    system: options.System = None,
    max_new_tokens: options.MaxNewTokens = None,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    top_p: options.TopP = 1.0,
    top_k: options.TopK = 0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    frame_budget: options.FrameBudget = None,
    crops: options.Crops = 0,
    kept_frames: options.KeptFrames = None,
    compress: options.Compress = None,
    allow_urls: options.AllowUrls = False,
    dtype: options.Dtype = None,
    device: options.Device = None,
) -> None:
    """Chat with a model; earlier images stay in context. Type /help for the commands.

    Example: pixelword chat --model nano

    Example: printf '/image photo.png\\nwhat colour is it?\\n' | pixelword chat
    """
    session = options.open_session(
        model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls,
        frame_budget=frame_budget, long={"crops": crops, "kept_frames": kept_frames}, compress=compress,
        adapter=adapter,
        quantize=quantize,
    )  # fmt: skip
    how = {
        "max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed, "top_p": top_p, "top_k": top_k,
        "repetition_penalty": repetition_penalty, "stop": stop or (),
    }  # fmt: skip
    session.sampling(**how)  # type: ignore[arg-type]  # invalid sampling options are reported before the first question
    talk = _Talk(session.chat(system=system), how)
    with _line_editing():
        if sys.stdin.isatty():
            talk.say(f"{model} is ready. Type /help for the commands.")
        while not talk.over and (line := _read_line()) is not None:
            talk.hear(line)


def _read_line() -> str | None:
    """Read the next line; None at the end of input."""
    try:
        # no prompt in a pipe: its output should be answers only
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


@contextmanager
def _line_editing() -> Iterator[None]:
    """On a terminal, enable arrow keys, history, and Tab completion of commands and paths."""
    try:
        import readline
    except ImportError:  # Windows
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    history = _HISTORY.expanduser()
    with suppress(OSError):  # no history yet
        readline.read_history_file(history)
    readline.set_history_length(1000)
    readline.set_completer_delims("\n")  # complete the whole line: file names may contain spaces
    readline.set_completer(lambda line, number: [*completions(line), None][number])
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        with suppress(OSError):  # the home folder is not writable
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(history)


def completions(line: str) -> list[str]:
    """Return completions of a line: commands, or a command with a path."""
    name, space, path = line.partition(" ")
    if not space:
        return [f"{command} " for command in _COMMANDS if command.startswith(name)]
    if name not in ("/image", "/video", "/save"):
        return []
    found = sorted(glob.glob(f"{glob.escape(os.path.expanduser(path))}*"))
    return [f"{name} {item}{'/' if os.path.isdir(item) else ''}" for item in found]


def path_in(text: str) -> str:
    """Return the path in a text, without the quotes and backslashes that terminals add when pasting."""
    if os.path.exists(os.path.expanduser(text)) or "://" in text:
        return os.path.expanduser(text)
    try:
        words = shlex.split(text)
    except ValueError:  # unbalanced quotes
        words = []
    return os.path.expanduser(words[0] if len(words) == 1 else text)


@dataclass
class _Talk:
    """A chat, and the media attached to its next question."""

    chat: Chat
    how: dict[str, Any]
    images: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    over: bool = False

    def hear(self, line: str) -> None:
        """Handle one input line. Errors are printed and the chat continues, except in a pipe."""
        try:
            if line.partition(" ")[0] in (*_COMMANDS, "/exit"):
                self._obey(line)
            elif os.path.isfile(path := path_in(line)):
                self._show(path, self.videos if Path(path).suffix.lower() in options.VIDEO_SUFFIXES else self.images)
            elif line.startswith("/"):
                raise InputError(f"unknown command {line.partition(' ')[0]}; /help lists the commands")
            elif line:
                self._answer(line)
        except PixelwordError as error:
            if not sys.stdin.isatty():
                raise
            Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a message to stderr, so that stdout has only the model's answers."""
        Console(stderr=True).print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def _answer(self, question: str) -> None:
        images, videos = self.images, self.videos
        self.images, self.videos = [], []
        options.print_answer(self.chat.stream(question, images=images, videos=videos, **self.how))

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        commands: dict[str, Callable[[], None]] = {
            "/image": lambda: self._show(path_in(argument.strip()), self.images),
            "/video": lambda: self._show(path_in(argument.strip()), self.videos),
            "/system": lambda: self._instruct(argument.strip()),
            "/save": lambda: self._save(path_in(argument.strip())),
            "/reset": self._reset,
            "/help": lambda: self.say(HELP),
            "/quit": self._quit,
            "/exit": self._quit,
        }
        commands[name]()

    def _show(self, path: str, waiting: list[str]) -> None:
        if not path:
            raise InputError("give the path of a file after the command")
        if "://" not in path and not os.path.isfile(path):
            raise InputError(f"{path}: no such file")
        waiting.append(path)
        self.say(f"{path} goes with the next question")

    def _instruct(self, text: str) -> None:
        if text:
            self.chat.instruct(text)
        self.say(f"system message: {self.chat.system or 'none'}")

    def _save(self, path: str) -> None:
        if not path:
            raise InputError("give the path of a new file after /save")
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(json.dumps({"messages": self.chat.messages}, ensure_ascii=False) + "\n")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); name a new file") from error
        self.say(f"wrote {path}")

    def _reset(self) -> None:
        self.chat.reset()
        self.images, self.videos = [], []
        self.say("forgotten")

    def _quit(self) -> None:
        self.over = True

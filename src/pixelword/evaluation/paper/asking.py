"""A benchmark's question as a conversation: hint, question, choices and how to answer, as the usual toolkits ask."""

from __future__ import annotations

import re
import string
import zlib
from typing import Any, Literal

from pixelword.evaluation.paper.benchmarks import Benchmark, Setting
from pixelword.evaluation.paper.files import Row
from pixelword.inference.sampling import Sampling
from pixelword.inference.session import conversation

Drawing = Literal["greedy", "upstream"]
#: What upstream draws its answers by; greedy repeats.
UPSTREAM = {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
_PLACE = re.compile(r"<image(?: ?\d+)?>")
_DIRECT = {
    "choice": "Answer with the option's letter from the given choices directly.",
    "short": "Answer the question using a single word, phrase or number.",
    "yes_no": "Please answer yes or no.",
    "plain": "",
}
_REASONED = {**_DIRECT, "choice": "Please select the correct answer from the options above."}


def messages(row: Row, benchmark: Benchmark) -> list[dict[str, Any]]:
    """The conversation up to the answer; pictures stand where the text names them, else first."""
    setting = benchmark.setting
    content = _placed(row.media, words(row, benchmark))
    return conversation({"role": "user", "content": content}, system=setting.system)


def words(row: Row, benchmark: Benchmark) -> str:
    """The question's text."""
    how = benchmark.prompt if row.choices or benchmark.prompt != "choice" else "short"
    asked = [f"Hint: {row.hint}"] if row.hint else []
    asked.append(row.question)
    if row.choices and how == "choice":
        options = (f"{letter}. {choice}" for letter, choice in zip(string.ascii_uppercase, row.choices, strict=False))
        asked += ["Options:", *options]
    asked.append((_REASONED if benchmark.setting.system else _DIRECT)[how])
    return "\n".join(one for one in asked if one)


def _placed(media: tuple[dict[str, Any], ...], text: str) -> list[dict[str, Any]]:
    pieces = _PLACE.split(text)
    if len(media) < 2 or len(pieces) - 1 != len(media):
        return [*media, {"type": "text", "text": _PLACE.sub("", text).strip() if media else text}]
    parts: list[dict[str, Any]] = []
    for place, piece in enumerate(pieces):
        if place:
            parts.append(media[place - 1])
        if piece.strip():
            parts.append({"type": "text", "text": piece.lstrip("\n")})
    return parts


def sampling(setting: Setting, drawing: Drawing, key: str, seed: int, room: int) -> Sampling:
    """How an answer is drawn; a question's draw depends on its key and the seed alone.

    room: tokens that the context has left, above which no answer goes.
    """
    drawn: dict[str, Any] = UPSTREAM if drawing == "upstream" else {}
    return Sampling(
        max(1, min(setting.new_tokens, room)), seed=zlib.crc32(f"{seed} {key}".encode()), logprobs=0, **drawn
    )

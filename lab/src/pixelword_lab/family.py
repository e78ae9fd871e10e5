"""What a family of tasks is: from a seed, images and questions whose answers are true by construction."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from pixelword.errors import InputError
from pixelword.processing.types import Sample
from pixelword.synthetic.types import Question, Split

if TYPE_CHECKING:
    from pixelword.synthetic.assets import Assets

#: The names of all families, in the order in which pages and tables show them. Each is a module of `families`.
NAMES: tuple[str, ...] = (
    "captions", "scenes", "easyvqa", "lines", "charts", "screens", "grounding", "pairs", "motion", "rooms", "text",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """Images or a clip (none for text), and one to five questions, in an order in which none gives a later one away.

    media: chat parts, ``{"type": "image", "image": PIL.Image}`` (mode RGB) or ``{"type": "video", "video":
    processing.videos.Video}``. assets: "pack:key" of everything it was made of, for the proof that splits are disjoint.
    """

    media: tuple[dict[str, Any], ...]
    questions: tuple[Question, ...]
    assets: tuple[str, ...] = ()

    def sample(self, turns: int | None = None) -> Sample:
        """A conversation of the first `turns` questions (all when None), as training and evaluation take it."""
        messages: list[dict[str, Any]] = []
        asked = self.questions[:turns]
        for number, item in enumerate(asked):
            words = {"type": "text", "text": item.question}
            content: Any = [*self.media, words] if number == 0 and self.media else item.question
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": item.answer})
        return Sample(tuple(messages), asked[-1].kind)


@dataclass(frozen=True)
class Family:
    """One family of tasks.

    name: of its module. title: for people. kinds: kind of question -> category of the suite.
    needs: the asset packs that it is drawn from; of a family with a pool, those that the pool is rendered from, which
        nobody needs after that.
    draw: (generator, split, assets) -> task; a pure function of them, at least tens a second: what is slow to make is
        rendered beforehand into a pool, a pack like any other, by `render`.
    render: (generator, split, assets) -> (file name -> bytes, facts as JSON has them): one item of the pool `pool`.
    suite: which suite of `evaluation` asks its test split.
    """

    name: str
    title: str
    kinds: Mapping[str, str]
    draw: Callable[[Random, Split, Assets], Task]
    needs: Sequence[str] = ()
    pool: str | None = None
    render: Callable[[Random, Split, Assets], tuple[dict[str, bytes], dict[str, Any]]] | None = field(default=None)
    suite: Literal["held-out", "real"] = "held-out"


def family(name: str) -> Family:
    """A family by its name. Raises InputError for an unknown one."""
    if name not in NAMES:
        raise InputError(f"there is no family of tasks {name!r}: choose one of {', '.join(NAMES)}")
    return importlib.import_module(f"pixelword_lab.families.{name}").FAMILY


def draw(name: str, seed: int, split: Split, assets: Assets) -> Task:
    """Task number `seed` of a family: always the same one, and another one in the other split."""
    return family(name).draw(Random(f"{name} {split} {seed}"), split, assets)

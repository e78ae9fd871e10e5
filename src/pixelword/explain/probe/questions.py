"""The questions that probes are run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from pixelword.errors import AssetError, InputError, MediaError
from pixelword.explain.probe.forward import Asked, Score, asked

if TYPE_CHECKING:
    from pixelword.evaluation.types import Item, Test
    from pixelword.explain.probe.intervention import Intervention
    from pixelword.generation.session import Session

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Questions:
    """Questions with images, read once; probes share the plain scores.

    items, asked: of the same length. left_out: why others are not among them, by their key or their test's name.
    """

    session: Session
    items: tuple[Item, ...]
    asked: tuple[Asked, ...]
    seed: int = 0
    report: Report = lambda name, done, total: None
    left_out: dict[str, str] = field(default_factory=dict)
    _plain: list[Score] = field(default_factory=list)

    @classmethod
    def of(cls, session: Session, tests: Sequence[Test], *, limit: int, seed: int, report: Report) -> Questions:
        """Read up to `limit` questions of each test. Raises InputError if none of them has an image."""
        items: list[Item] = []
        found: list[Asked] = []
        left_out: dict[str, str] = {}
        for test in tests:
            try:
                own = [item for item in test.items(max(2, limit), seed)[:limit] if item.media]
            except AssetError as error:
                left_out[test.name] = str(error)
                continue
            for number, item in enumerate(own):
                report(f"reading {test.name}", number, len(own))
                try:
                    found.append(asked(session, item.key, item.messages(), item.question.answer))
                    items.append(item)
                except (InputError, MediaError) as error:
                    left_out[item.key] = str(error)
        if not found:
            reasons = "".join(f"; {name}: {why}" for name, why in list(left_out.items())[:2])
            raise InputError(f"probes need questions about images, and there are none here{reasons}")
        return cls(session, tuple(items), tuple(found), seed, report, left_out)

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self.session.model.config.get_text_config().num_hidden_layers

    @property
    def before(self) -> int:
        """Number of layers of the pre-buffer."""
        return self.session.model.config.get_text_config().extra_num_layers

    @property
    def plain(self) -> list[Score]:
        """Scores without any intervention."""
        if not self._plain:
            self._plain.extend(question.score() for question in self.each("plain"))
        return self._plain

    def each(self, name: str) -> Iterator[Asked]:
        """All questions, with progress under this name."""
        for number, question in enumerate(self.asked):
            self.report(name, number, len(self))
            yield question
        self.report(name, len(self), len(self))

    def scores(self, name: str, make: Callable[[Asked], Sequence[Intervention]]) -> list[Score]:
        """Scores under what `make` makes of each question."""
        return [question.score(*make(question)) for question in self.each(name)]

    def generator(self) -> torch.Generator:
        """Seeded by the study's seed."""
        return torch.Generator().manual_seed(self.seed)


def bands(first: int, stop: int, count: int = 8) -> list[range]:
    """Layers [first, stop) in at most `count` bands of nearly equal width."""
    number = min(count, stop - first)
    edges = [first + round(place * (stop - first) / number) for place in range(number + 1)] if number else [first]
    return [range(a, b) for a, b in pairwise(edges)]


def band_name(band: range) -> str:
    """Format layers, counted from 0: "3", "3-5"."""
    return str(band.start) if len(band) == 1 else f"{band.start}-{band.stop - 1}"

"""Runs benchmarks whose files are available, in batches; resumes interrupted runs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from pixelword.errors import PixelwordError
from pixelword.evaluation.batch_generate import Said
from pixelword.evaluation.paper import files, prompting
from pixelword.evaluation.paper.benchmarks import Benchmark
from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.paper.metrics import METRICS
from pixelword.evaluation.runner import Answers, Report
from pixelword.evaluation.scores import bootstrap, wilson
from pixelword.generation.batch import generate_many
from pixelword.generation.engine import Engine

if TYPE_CHECKING:
    from pixelword.generation.request import Request
    from pixelword.generation.sampling import Sampling
    from pixelword.generation.session import Session
    from pixelword.processing.types import Encoded


@dataclass(frozen=True)
class Settings:
    """What a run asks. limit: questions of each benchmark, drawn by the seed; None asks all. own_limits: the model's
    own pixel limits instead of the paper's."""

    drawing: prompting.Drawing = "greedy"
    limit: int | None = None
    seed: int = 0
    own_limits: bool = False


@dataclass(frozen=True)
class Result:
    """A benchmark's figure, 0 to 100. low, high: the 95 % interval of the mean score of a question, in the same scale.
    faults: questions that could not be asked, which count as wrong, with the reason of the first."""

    benchmark: Benchmark
    figure: float
    low: float
    high: float
    asked: int
    faults: int = 0
    fault: str = ""

    def as_json(self) -> dict[str, Any]:
        """As JSON has it."""
        names = ("figure", "low", "high", "asked", "faults", "fault")
        item = self.benchmark
        about = {"id": item.id, "name": item.name, "category": item.category, "metric": METRICS[item.metric].title}
        return {**about, **{name: getattr(self, name) for name in names}, "paper": item.paper}


@dataclass(frozen=True)
class _Asked:
    """A question with its answer's key, and a digest of the whole prompt, text and media."""

    key: str
    row: Row
    digest: str


def run(
    session: Session,
    engine: Engine,
    wanted: Sequence[tuple[Benchmark, tuple[Path, ...]]],
    answers: Answers,
    settings: Settings,
    report: Report = lambda name, done, total: None,
) -> Iterator[Result]:
    """Return each benchmark's result, in order. Raises InputError for unreadable files or unwritable answers."""
    for benchmark, paths in wanted:
        questions = _chosen(files.rows(paths, benchmark), benchmark, settings)
        report(benchmark.name, 0, len(questions))
        predictions = []
        for done, (item, reply) in enumerate(_answers(session, engine, benchmark, questions, answers, settings), 1):
            predictions.append((item.row, reply))
            report(benchmark.name, done, len(questions))
        yield _result(benchmark, predictions)


def _chosen(rows: Sequence[Row], benchmark: Benchmark, settings: Settings) -> list[_Asked]:
    """Return all questions, or a random sample in file order; groups are kept together."""
    groups = list(dict.fromkeys(row.group or row.key for row in rows))
    if settings.limit is not None and settings.limit < len(groups):
        taken = set(Random(f"{benchmark.id} {settings.seed}").sample(groups, settings.limit))
        rows = [row for row in rows if (row.group or row.key) in taken]
    return [_Asked(f"{benchmark.id}/{row.key}", row, _digest(row, benchmark)) for row in rows]


def _digest(row: Row, benchmark: Benchmark) -> str:
    text = f"{row.digest} {benchmark.setting.system} {prompting.words(row, benchmark)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _answers(
    session: Session,
    engine: Engine,
    benchmark: Benchmark,
    asked: Sequence[_Asked],
    answers: Answers,
    settings: Settings,
) -> Iterator[tuple[_Asked, Said]]:
    """Yield answers: known ones and faults first, new ones as they arrive."""
    pending: list[_Asked] = []
    instead: list[tuple[_Asked, Said]] = []

    def prompts() -> Iterator[tuple[Encoded, Sampling]]:
        media = benchmark.media(own_limits=settings.own_limits)
        for item in asked:
            if (known := answers.get(item, settings.drawing)) is not None:
                instead.append((item, known))
                continue
            try:
                prompt = session.processor.encode(
                    prompting.messages(item.row, benchmark), add_generation_prompt=True, media=media
                )
                room = engine.room(prompt)
                drawn = prompting.sampling(benchmark.setting, settings.drawing, item.key, settings.seed, room)
                engine.check(prompt, drawn)
            except PixelwordError as error:
                instead.append((item, Said("", 0.0, str(error))))
                continue
            pending.append(item)
            yield prompt, drawn

    for generation in generate_many(engine, prompts()):
        item, reply = pending.pop(0), _said(generation)
        answers.add(settings.drawing, [(item, reply)])
        yield from _taken(instead)
        yield item, reply
    yield from _taken(instead)


def _taken(waiting: list[Any]) -> Iterator[Any]:
    while waiting:
        yield waiting.pop(0)


def _said(generation: Request) -> Said:
    logs = generation.logprobs
    return Said(generation.text.strip(), math.exp(sum(logs) / len(logs)) if logs else 0.0)


def _result(benchmark: Benchmark, said: Sequence[tuple[Row, Said]]) -> Result:
    metric = METRICS[benchmark.metric]
    rows, texts = [row for row, _ in said], [reply.answer for _, reply in said]
    scores = [0.0 if reply.fault else metric.score(row, reply.answer) for row, reply in said]
    faults = [reply.fault for _, reply in said if reply.fault]
    whole = set(scores) <= {0.0, 1.0}
    low, high = wilson(round(sum(scores)), len(scores)) if whole else bootstrap(scores, [1.0] * len(scores))
    figure = metric.whole(rows, scores, texts)
    return Result(benchmark, figure, 100 * low, 100 * high, len(rows), len(faults), faults[0] if faults else "")

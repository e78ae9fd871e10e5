"""Runs the stages of one seed after another, then the exam; stopped at any moment, the same command goes on.

OUT/recipe/                 the recipes as they were given
OUT/seed-0/state.json       what every piece of training has used
OUT/seed-0/STAGE/           a stage's run: metrics.jsonl, recipe.yaml, checkpoints/, final/
OUT/seed-0/log.txt          what training and the exam printed
OUT/seed-0/exam/            the exam's report; exam-40/ with 40 questions of each kind
OUT/row.json, OUT/curve.png
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pixelword.errors import InputError, PixelwordError, reason
from pixelword.training.signals import StopSignals
from pixelword.utils.files import atomic_write, try_lock
from pixelword_lab.speedrun import meter
from pixelword_lab.speedrun.rules import Stage, Track, as_yaml, digest, recipe_files

Say = Callable[[str], None]


@dataclass
class Piece:
    """A process that trained a part of a stage.

    ended: "done", "stopped" or "failed"; None for one that was killed together with the speedrun: what it used since
        the last report, up to two seconds, is not counted.
    """

    stage: str
    processor_seconds: float = 0.0
    seconds: float = 0.0
    ended: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a speedrun is to do.

    Attributes:
        paths: the recipes' files or folders, as given.
        questions: of each kind in the exam; None: its own number, the only one that counts.
    """

    track: Track
    stages: Sequence[Stage]
    paths: Sequence[Path]
    seeds: int
    out: Path
    questions: int | None = None

    def folder(self, seed: int) -> Path:
        return self.out / f"seed-{seed}"

    def exam(self, seed: int) -> Path:
        """The exam's folder; a shortened exam never passes for the whole one."""
        return self.folder(seed) / ("exam" if self.questions is None else f"exam-{self.questions}")


class State:
    """The pieces of one seed's training, on the disk after every change. Raises InputError: another recipe's."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.path, self.recipe = folder / "state.json", recipe
        self.pieces: list[Piece] = []
        if self.path.exists():
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["recipe"] != recipe:
                raise InputError(f"{folder} was begun with another recipe: give that one, or name another --out")
            self.pieces = [Piece(**piece) for piece in stored["pieces"]]

    def write(self) -> None:
        pieces = [asdict(piece) for piece in self.pieces]
        atomic_write(self.path, json.dumps({"recipe": self.recipe, "pieces": pieces}, indent=1) + "\n")

    def is_done(self, stage: str) -> bool:
        return any(piece.stage == stage and piece.ended == "done" for piece in self.pieces)

    def used(self, stage: str | None = None) -> meter.Used:
        """By a stage, or by all, over all pieces."""
        own = [piece for piece in self.pieces if stage in (None, piece.stage)]
        return meter.Used(sum(piece.processor_seconds for piece in own), sum(piece.seconds for piece in own))


def run(plan: Plan, resume: bool, say: Say) -> int | None:
    """Everything that is not done yet; the number of the signal that stopped it, None at the end.

    Raises:
        InputError: a run is there and not to be resumed, or another process is at work on it.
        PixelwordError: training or the exam failed.
    """
    if any(plan.folder(seed).exists() for seed in range(plan.seeds)) and not resume:
        raise InputError(f"{plan.out}: a run is here already: go on with --resume, or name another --out")
    try:
        claimed = try_lock(plan.out / ".lock")
    except OSError as error:
        raise InputError(f"{plan.out}: cannot write there: {reason(error)}; name another --out") from error
    if claimed is None:
        raise InputError(f"{plan.out}: another process is at work here: wait for its end, or name another --out")
    with claimed, StopSignals() as signals:
        _keep_recipes(plan)
        for seed in range(plan.seeds):
            stopped = _train(plan, seed, signals, say) or _examine(plan, seed, signals, say)
            if stopped is not None:
                return stopped
    return None


def _keep_recipes(plan: Plan) -> None:
    for path in recipe_files(plan.paths):
        atomic_write(plan.out / "recipe" / path.name, path.read_text(encoding="utf-8"))


def _train(plan: Plan, seed: int, signals: StopSignals, say: Say) -> int | None:
    """The stages that are not done; as `run`."""
    folder = plan.folder(seed)
    state = State(folder, digest(plan.stages))
    before: Path | None = None
    for stage in plan.stages:
        recipe = stage.resolved(folder, seed, before)
        before = recipe.out / "final"
        if state.is_done(stage.name):
            continue
        say(f"seed {seed}, {stage.name}: {recipe.steps:,} steps -> {recipe.out}")
        file = folder / f"{stage.name}.yaml"
        atomic_write(file, as_yaml(recipe))
        if (stopped := _train_stage(state, stage.name, file, signals)) is not None:
            used = state.used()
            say(f"stopped after {used.processor_seconds:,.0f} processor-seconds, saved: go on with --resume")
            return stopped
        used = state.used(stage.name)
        say(f"seed {seed}, {stage.name}: {used.processor_seconds:,.1f} processor-seconds, {used.seconds:,.1f} s")
    shutil.rmtree(folder / "compiled", ignore_errors=True)
    return None


def _train_stage(state: State, name: str, recipe: Path, signals: StopSignals) -> int | None:
    """One more piece of a stage. Raises PixelwordError: it failed."""
    piece = Piece(name)
    state.pieces.append(piece)
    state.write()

    def report(used: meter.Used) -> None:
        piece.processor_seconds, piece.seconds = used.processor_seconds, used.seconds
        state.write()

    folder = state.path.parent
    # compiled code of earlier runs would be a head start
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str((folder / "compiled").resolve())}
    command = [*_PIXELWORD, "train", str(recipe), "--resume", "auto"]
    code, used = meter.run(command, folder / "log.txt", signals, report, environment)
    stopped = _stop_signal(code)
    piece.ended = "done" if code == 0 else "stopped" if stopped is not None else "failed"
    report(used)
    if piece.ended == "failed":
        raise PixelwordError(f"{name}: {_failure(folder / 'log.txt', code)}")
    return stopped


def _examine(plan: Plan, seed: int, signals: StopSignals, say: Say) -> int | None:
    """The exam of what the last stage left, unless it is there; as `run`."""
    folder = plan.folder(seed)
    report = plan.exam(seed) / "report.json"
    if report.exists():
        return None
    say(f"seed {seed}: the exam -> {report.parent}")
    model = folder / plan.stages[-1].name / "final"
    amount = [] if plan.questions is None else ["--questions", str(plan.questions)]
    command = [*_PIXELWORD, "evaluate", str(model), "--suite", "nano", "--out", str(report.parent), *amount]
    code, _ = meter.run(command, folder / "log.txt", signals)
    stopped = _stop_signal(code)
    if stopped is None and code:
        raise PixelwordError(f"the exam: {_failure(folder / 'log.txt', code)}")
    if stopped is not None:
        say("stopped in the exam: go on with --resume")
    return stopped


_PIXELWORD = (sys.executable, "-m", "pixelword")


def _stop_signal(code: int) -> int | None:
    """The signal that an exit code stands for, as the process or a shell reports it; None for another end."""
    return -code if code < 0 else code - 128 if code > 128 else None


def _failure(log: Path, code: int) -> str:
    """The last line of a log, and where the rest is."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1].removeprefix("error: ") if lines else f"it ended with {code}"
    return f"{last} (see {log}; go on with --resume once it is mended)"

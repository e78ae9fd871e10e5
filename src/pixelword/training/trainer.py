"""The loop of every stage: draw a pack, take a step, report, validate, save; stop and resume anywhere."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import nn

from pixelword.data.loader import packs
from pixelword.data.schema import Pack
from pixelword.errors import CheckpointError, PixelwordError
from pixelword.training import building, state
from pixelword.training.drawn import DrawnPacks
from pixelword.training.log import RunLog
from pixelword.training.optimizer import Optimizer, schedule_factor
from pixelword.training.stages import set_trainable
from pixelword.training.state import Progress
from pixelword.training.throughput import Counts, Window, time_left
from pixelword.training.validation import Validation

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

BAD_STEPS = 3  # steps in a row without a finite loss and gradient after which training ends


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `signal` is the number of the signal that stopped it, None when the stage is complete."""

    progress: Progress
    folder: Path
    signal: int | None = None


class Trainer:
    """One stage, from its recipe to `out/final`. Raises CheckpointError / PixelwordError with what to do."""

    def __init__(self, recipe: Recipe, *, resume: Path | None = None, console: Console | None = None) -> None:
        self.recipe, self.console = recipe, console or Console()
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.processor = building.build_processor(recipe)
        self.model = building.build_model(recipe, self.processor, resume)
        self.trained: list[nn.Parameter] = set_trainable(self.model, recipe.trainable)
        self.optimizer = Optimizer(self.model, recipe.optimizer)
        self.progress = Progress()
        if resume is not None:
            self._restore(resume)
        if recipe.compile:
            building.compile_layers(self.model)
        self.drawn = DrawnPacks(recipe, self.processor)
        self._stop: int | None = None
        self._bad = 0

    def _restore(self, checkpoint: Path) -> None:
        saved = state.load_state(checkpoint)
        try:
            self.optimizer.load_state_dict(saved["optimizer"])
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{checkpoint}: its optimizer state is of another recipe ({error}); "
                "resume with the recipe it was made by, or start anew in another --out"
            ) from error
        torch.set_rng_state(saved["torch_rng"])
        self.progress = Progress(saved["step"], saved["elapsed"])

    def fraction(self, progress: Progress) -> float:
        """How far the stage is, in [0, 1]: by steps, or by the clock when `max_minutes` is further."""
        by_steps = progress.step / self.recipe.steps
        by_clock = progress.elapsed / (60 * self.recipe.max_minutes) if self.recipe.max_minutes else 0.0
        return min(1.0, max(by_steps, by_clock))

    def run(self) -> Outcome:
        """Train to the end of the stage, or until SIGINT / SIGTERM, which saves first."""
        recipe = self.recipe
        name = f"{recipe.stage}"
        start = self.progress.step
        with (
            RunLog(recipe.out / "metrics.jsonl", self.console, name, recipe.steps, start) as log,
            self._signals(),
        ):
            self._announce(log)
            stream = packs(self.drawn, start, recipe.steps, workers=recipe.data.workers)
            self._loop(stream, log)
            del stream  # ends the workers
            if self._stop is not None:
                log.say(f"stopped by {signal.Signals(self._stop).name} after step {self.progress.step}; "
                        f"saved, go on with --resume auto")  # fmt: skip
                return Outcome(self.progress, self._save(), self._stop)
            final = self._finish()
            log.say(
                f"{recipe.stage} done: {self.progress.step} steps, {self.progress.elapsed / 60:.1f} minutes -> {final}"
            )
        return Outcome(self.progress, final)

    def _loop(self, stream: Iterator[Pack], log: RunLog) -> None:
        recipe = self.recipe
        window = Window()
        validation = Validation(recipe, self.drawn) if recipe.validation else None
        clock = time.monotonic() - self.progress.elapsed
        self.model.train()
        while self.fraction(self.progress) < 1.0 and self._stop is None:
            waited = time.monotonic()
            pack = next(stream)
            waited = time.monotonic() - waited
            step = self.progress.step
            metrics = self._step(pack, step, log)
            self.progress = Progress(step + 1, time.monotonic() - clock)
            if metrics:
                window.add(Counts.of([pack]), **metrics, waited=waited)
            if self.progress.step % recipe.log_every == 0 and window.steps:
                report = window.report()
                left = time_left(
                    self.progress.step, recipe.steps, report["step_s"], self.progress.elapsed, recipe.max_minutes
                )
                report |= {"level": round(self.drawn.level(step), 4)}
                report |= {"elapsed": round(self.progress.elapsed, 2), "left": round(left, 1)}
                log.report(self.progress.step, report)
            if validation and self.progress.step % validation.recipe.every == 0:
                self._validate(validation, log)
            if self.progress.step % recipe.checkpoint.every == 0:
                self._save()
        if validation and self._stop is None and self.progress.step % validation.recipe.every:
            self._validate(validation, log)

    def _step(self, pack: Pack, step: int, log: RunLog) -> dict[str, float] | None:
        """One update; None (and no update) when the loss or the gradient is not finite."""
        factor = schedule_factor(self.recipe.schedule, step, self.fraction(self.progress))
        rate = self.optimizer.set_factor(factor)
        with building.precision(self.recipe.precision):
            loss = self.model(**pack.inputs(), skip_logits=True).loss
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained, self.recipe.optimizer.clip)
        metrics = {"loss": loss.item(), "grad_norm": norm.item(), "lr": rate}
        finite = math.isfinite(metrics["loss"]) and math.isfinite(metrics["grad_norm"])
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad()
        self._bad = 0 if finite else self._bad + 1
        if finite:
            return metrics
        log.write("skipped", step, pack=step, loss=str(metrics["loss"]), grad_norm=str(metrics["grad_norm"]))
        log.say(f"step {step}: loss {metrics['loss']}, gradient norm {metrics['grad_norm']}: skipped")
        if self._bad == BAD_STEPS:
            raise PixelwordError(
                f"{self.recipe.stage}: {BAD_STEPS} steps in a row up to step {step} had no finite loss; the last whole "
                "checkpoint stands: resume from it with a lower optimizer.lr or a longer schedule.warmup"
            )
        return None

    def _validate(self, validation: Validation, log: RunLog) -> None:
        scores = validation.run(self.model)
        log.write("validation", self.progress.step, **scores)
        per_kind = "  ".join(f"{kind} {value:.2f}" for kind, value in scores["exact"].items())
        log.say(f"step {self.progress.step}: held-out loss {scores['loss']:.3f}  {per_kind}")

    def _announce(self, log: RunLog) -> None:
        trained = sum(p.numel() for p in self.trained)
        total = sum(p.numel() for p in self.model.parameters())
        start = f", from step {self.progress.step}" if self.progress.step else ""
        log.say(f"{self.recipe.stage}: {trained:,} of {total:,} parameters trained, {self.recipe.steps} steps{start}")

    def _save(self) -> Path:
        return state.save_checkpoint(
            self.recipe.out,
            self.model,
            self.processor,
            self.optimizer.state_dict(),
            self.progress,
            self.recipe.checkpoint.keep,
        )

    def _finish(self) -> Path:
        """Save the last state, then export the weights in the recipe's dtype."""
        self._save()
        final = self.recipe.out / "final"
        self.model.to(torch.bfloat16 if self.recipe.export == "bf16" else torch.float32)
        state.export(self.model, self.processor, final)
        return final

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask for a stop after the step at hand; a second one ends at once."""
        before: dict[int, Any] = {}

        def ask(number: int, frame: FrameType | None) -> None:
            self._stop = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

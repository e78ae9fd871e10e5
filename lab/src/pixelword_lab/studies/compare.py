"""Ways to begin, and to keep language, side by side: the same short stage, and its perplexity on text as it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixelword.training.launch import launch
from pixelword.training.recipe_file import load_recipe


@dataclass(frozen=True)
class Way:
    """start: a grown checkpoint's folder; overrides: of the trial's recipe."""

    start: Path
    overrides: tuple[str, ...] = ()


def ways(grown: Path, released: Path, bypass: Path) -> dict[str, Way]:
    """What is compared, by name: two starts, then four ways to keep a language from a start that keeps it at first.

    grown: from zeros; released: with the published random pre-buffer; bypass: where words pass the pre-buffer by.
    """
    pictures = "data.mixture={captions: 1}"
    taught = f"distill={{from: {grown}}}"
    return {
        "released start, pictures": Way(released, (pictures,)),
        "zero start, pictures": Way(grown, (pictures,)),
        "zero start, text": Way(grown),
        "zero start, text and KL": Way(grown, (taught,)),
        "words pass by, pictures": Way(bypass, (pictures,)),
    }


def compare(recipe: Path, out: Path, tried: Mapping[str, Way], steps: int) -> Iterator[tuple[str, list[dict]]]:
    """Run the stage each way, into a folder of its own; a way that is complete is not run again.

    Yields the name, and the events of its metrics.jsonl.
    """
    for name, way in tried.items():
        folder = out / name.replace(",", "").replace(" ", "-")
        if not (folder / "final").is_dir():
            (folder / "metrics.jsonl").unlink(missing_ok=True)
            settings = (f"model.from={way.start}", f"gate.against={tried['zero start, text'].start}")
            overrides = (*settings, f"steps={steps}", *way.overrides)
            launch(load_recipe(recipe, overrides), out=folder, resume="auto")
        yield name, events(folder)


def events(folder: Path) -> list[dict]:
    """All events of a run, in order."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def perplexities(log: list[dict]) -> list[tuple[int, float]]:
    """(step, perplexity on held-out text) of a run."""
    return [(item["step"], item["perplexity"]) for item in log if item["event"] == "gate"]

"""A run's folder: checkpoints that are whole or absent, and the export at the end.

out/recipe.yaml                 what ran, overrides included
out/metrics.jsonl               one line an event
out/checkpoints/step-00000500/  a transformers folder in float32, plus training_state.pt
out/final/                      the transformers folder the next stage, `ask` and anybody else loads
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pixelword.errors import CheckpointError

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor

STATE_FILE = "training_state.pt"
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Progress:
    """Steps done, and seconds of training behind them over all the pieces of a run."""

    step: int = 0
    elapsed: float = 0.0


def checkpoints(out: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    found = [(int(m[1]), p) for p in (out / "checkpoints").glob("step-*") if (m := _NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a folder beside `target`, then rename: a crash leaves the old or the new one, never half of it.

    Raises CheckpointError when the disk does not take it (full, not writable).
    """
    partial = target.with_name(f".{target.name}.partial")
    replaced = target.with_name(f".{target.name}.replaced")
    try:
        for leftover in (partial, replaced):  # of a process that was killed here
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors writes files that only their owner can read
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(f"{target}: cannot write it: {error}; free some space or choose another --out") from error


def export(model: NeoOVForConditionalGeneration, processor: NeoOVProcessor, target: Path) -> None:
    """Write `target` as a transformers folder with the model's present dtype."""

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)

    write_folder(target, fill)


def save_checkpoint(
    out: Path,
    model: NeoOVForConditionalGeneration,
    processor: NeoOVProcessor,
    optimizer: dict[str, Any],
    progress: Progress,
    keep: int,
) -> Path:
    """Write the checkpoint of `progress` and delete all but the last `keep`."""
    target = out / "checkpoints" / f"step-{progress.step:08d}"

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        state = {
            "step": progress.step,
            "elapsed": progress.elapsed,
            "optimizer": optimizer,
            "torch_rng": torch.get_rng_state(),
        }
        torch.save(state, folder / STATE_FILE)

    if not target.exists():  # the state of a step is a function of the step: written once
        write_folder(target, fill)
    for old in checkpoints(out)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_state(checkpoint: Path) -> dict[str, Any]:
    """The training state beside a checkpoint's weights. Raises CheckpointError when it is absent or unreadable."""
    path = checkpoint / STATE_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no training state here to resume from")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no narrower class for a broken archive
        raise CheckpointError(f"{path}: cannot read the training state: {error}") from error
    if not isinstance(state, dict) or not {"step", "elapsed", "optimizer", "torch_rng"} <= state.keys():
        raise CheckpointError(f"{path}: this is not a training state")
    return state

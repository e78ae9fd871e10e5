"""A run's folder: checkpoints that are whole or absent, and the export at the end.

out/recipe.yaml                 what ran, overrides included
out/metrics.jsonl               one line an event
out/checkpoints/step-00000500/  a transformers folder in float32, plus training_state.pt
out/final/                      the transformers folder the next stage, `ask` and anybody else loads
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pixelword.errors import CheckpointError
from pixelword.model.folders import whole_folder

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


def export(model: NeoOVForConditionalGeneration, processor: NeoOVProcessor, target: Path) -> None:
    """Write `target` as a transformers folder with the model's present dtype."""

    with whole_folder(target, replace=True) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


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

    if not target.exists():  # the state of a step is a function of the step: written once
        state = {
            "step": progress.step,
            "elapsed": progress.elapsed,
            "optimizer": optimizer,
            "torch_rng": torch.get_rng_state(),
        }
        with whole_folder(target) as folder:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            torch.save(state, folder / STATE_FILE)
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

"""Where a run's numbers go beside `metrics.jsonl`: TensorBoard and Weights & Biases, each an optional package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pixelword.errors import PixelwordError, reason
from pixelword.extras import install_command

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Tracker(Protocol):
    """Takes scalars by name (with/slashes) as the run goes on."""

    def add(self, scalars: Mapping[str, float], step: int) -> None: ...

    def close(self, *, failed: bool) -> None: ...


class TensorBoard:
    """Event files in `folder`.

    Args:
        start: the step to begin after; what a killed run wrote past its checkpoint is hidden.

    Raises:
        PixelwordError: the package is not installed.
    """

    def __init__(self, folder: Path, start: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PixelwordError(f"--tensorboard needs the package: {install_command('train')}") from error
        self._board: SummaryWriter = SummaryWriter(str(folder), purge_step=start + 1)

    def add(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def close(self, *, failed: bool) -> None:
        self._board.close()


class Wandb:
    """A run of Weights & Biases, in `out/wandb`; a resumed run continues under the id in `out/wandb/id`.

    W&B's own environment variables apply, WANDB_MODE=offline above all. Steps of a run only increase there: those
    repeated after a resume keep the values that were sent first.

    Args:
        out: the run's folder.
        project: PROJECT or ENTITY/PROJECT.
        name: of the run, unless WANDB_NAME is set.
        config: the recipe.

    Raises:
        PixelwordError: the package is not installed, or W&B refuses or cannot be reached.
    """

    def __init__(self, out: Path, project: str, name: str, config: Mapping[str, Any]) -> None:
        try:
            from wandb import Error, Settings, init
        except ImportError as error:
            raise PixelwordError(f"--wandb needs the package: {install_command('wandb')}") from error
        entity, _, project = project.rpartition("/")
        kept = out / "wandb" / "id"
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._run = init(
                project=project,
                entity=entity or None,
                name=os.environ.get("WANDB_NAME", name),
                id=kept.read_text(encoding="utf-8").strip() if kept.exists() else None,
                resume="allow",
                dir=out,
                config=dict(config),
                allow_val_change=True,  # a resumed run may have other steps
                settings=Settings(console="off"),  # or the live view would be recorded, frame by frame
            )
        except Error as error:
            raise PixelwordError(
                f"--wandb: {reason(error)} (WANDB_MODE=offline needs no server; `wandb sync` uploads later)"
            ) from error
        kept.write_text(f"{self._run.id}\n", encoding="utf-8")

    def add(self, scalars: Mapping[str, float], step: int) -> None:
        if step >= self._run.step:
            self._run.log(dict(scalars), step=step)

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))

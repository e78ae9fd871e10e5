"""Checkpoints of a run: complete or absent, written by all ranks in the background, readable by any number.

The format is torch's distributed checkpoint (DCP): every rank writes its own shards, and what was saved by one number
of ranks loads on another. Beside the tensors is `state.json`, with what is not a tensor. All ranks must see one
filesystem.

A checkpoint is written into a hidden folder, which the first rank renames once every rank's files are on the disk. A
kill or a full disk at any moment leaves the checkpoints before it as they were.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from pixelword.errors import CheckpointError, reason
from pixelword.utils.files import publish, try_lock

if TYPE_CHECKING:
    from pixelword.training.parallel import World
    from pixelword.training.recipe import CheckpointRecipe

STATE_FILE = "state.json"
_NAME = re.compile(r"step-(\d+)")
_UNFINISHED = ".unfinished-"
_ABANDONED = "abandoned-"
# one process is not a mistake, and from the thread that writes in the background it cannot be silenced for a moment
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


@dataclass(frozen=True)
class Saved:
    """A checkpoint on disk: shapes and dtypes of its tensors by name, and everything that is not a tensor."""

    folder: Path
    tensors: dict[str, tuple[torch.Size, torch.dtype]]
    facts: dict[str, Any]


def checkpoints(out: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return [path for _, path in _numbered(out)]


def _numbered(out: Path) -> list[tuple[int, Path]]:
    found = [(int(m[1]), p) for p in (out / "checkpoints").glob("step-*") if (m := _NAME.fullmatch(p.name))]
    return sorted(found)


class Checkpoints:
    """Checkpoints of the run in `out`. All ranks call every method, and all get the same error.

    It has a process group of its own, so that background writes never interleave with the collectives of training.

    Raises:
        CheckpointError: Another process is using `out`.
    """

    def __init__(self, out: Path, recipe: CheckpointRecipe, world: World) -> None:
        self.out, self.recipe, self.world = out, recipe, world
        self._group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._pending: tuple[Path, Future[Metadata]] | None = None
        self._last: int | None = None  # step of the newest checkpoint this process wrote
        self._lock: IO[str] | None = None  # held as long as this process lives
        self.world.on_first(self._take_over)

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], step: int, *, wait: bool = False) -> Path:
        """Write the checkpoint of `step` and delete expired ones.

        Args:
            tensors: by names that are the same at any number of ranks; DTensors are written in shards. They may change
                as soon as this returns.
            facts: what is not a tensor, as JSON has it; the first rank's is written.
            wait: return only when it is on the disk; else it is written while training goes on (unless the recipe says
                otherwise), and an error comes with the next `save` or `wait`, or by `failed`.

        Raises:
            CheckpointError: this one or the one before could not be written.
        """
        self.wait()
        folder = self.out / "checkpoints" / f"step-{step:08d}"
        if self._last == step:  # the last step of a stage may be one that is saved anyway
            return folder
        unfinished = folder.with_name(f"{_UNFINISHED}{folder.name}")
        writer = _Writer(unfinished, lambda: self._publish(unfinished, folder, dict(facts)))
        self._last = step
        if wait or not self.recipe.background:
            self._guarded(folder, lambda: dcp.save(dict(tensors), storage_writer=writer, process_group=self._group))
        else:
            future = dcp.async_save(dict(tensors), storage_writer=writer, process_group=self._group)
            self._pending = folder, cast("Future[Metadata]", future)
        return folder

    def wait(self) -> None:
        """Wait until the current checkpoint is on disk. Raises CheckpointError if it could not be written."""
        if self._pending is not None:
            (folder, future), self._pending = self._pending, None
            self._guarded(folder, future.result)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait like `wait`. If the body raised, that error wins, and partial checkpoints are still removed."""
        if error is None:
            self.wait()
        elif self._pending is not None:
            self._pending[1].exception()  # ends here, too, on a rank whose others go on
            if self.world.rank == 0:
                self._remove_unfinished()

    @property
    def failed(self) -> bool:
        """Whether the background write has failed; ranks may notice some steps apart."""
        return self._pending is not None and self._pending[1].done() and self._pending[1].exception() is not None

    def read(self, folder: Path, *, trust: bool = False) -> Saved:
        """Read a checkpoint's metadata, without tensor values.

        Args:
            trust: Read it even if it is from another run. DCP metadata is a pickle, which can run code.

        Raises:
            CheckpointError: It is missing, incomplete, or from another run without `trust`.
        """
        if not trust and folder.resolve().parent != (self.out / "checkpoints").resolve():
            raise CheckpointError(
                f"{folder} is not a checkpoint of the run in {self.out}, and reading it can run code: if you know who "
                "made it, --trust-checkpoint"
            )
        try:
            facts = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            metadata = dcp.FileSystemReader(folder).read_metadata()
        except Exception as error:  # a broken pickle can raise anything
            raise CheckpointError(f"{folder}: no complete checkpoint to resume from ({error!r})") from error
        stored = metadata.state_dict_metadata.items()
        tensors = {name: (v.size, v.properties.dtype) for name, v in stored if isinstance(v, TensorStorageMetadata)}
        return Saved(folder, tensors, facts)

    def load(self, saved: Saved, into: Mapping[str, Tensor]) -> None:
        """Load into the tensors of `into`, in place; DTensors take their shards. Raises CheckpointError if damaged."""
        wrong = [name for name, tensor in into.items() if saved.tensors.get(name, (None,))[0] != tensor.shape]
        if wrong:
            raise CheckpointError(
                f"{saved.folder} was made by another recipe: it has no {wrong[0]} of shape "
                f"{tuple(into[wrong[0]].shape)} ({len(wrong)} such tensors); resume with the recipe it was made by, or "
                "start from scratch in another --out"
            )
        try:
            with torch.no_grad():
                dcp.load(dict(into), checkpoint_id=saved.folder, process_group=self._group)
        except (CheckpointException, Exception) as error:
            raise CheckpointError(f"{saved.folder}: cannot read the checkpoint: {_cause(error)}") from error

    def abandon_after(self, step: int) -> None:
        """Rename checkpoints after `step`: the run continues from there with a different history."""

        def rename() -> None:
            for number, path in _numbered(self.out):
                if number > step:
                    aside = path.with_name(f"{_ABANDONED}{path.name}")
                    shutil.rmtree(aside, ignore_errors=True)
                    path.rename(aside)

        self.world.on_first(rename)

    def _publish(self, unfinished: Path, folder: Path, facts: dict[str, Any]) -> None:
        """Rename a complete checkpoint into place, then delete expired ones. Runs on rank 0, after all others."""
        (unfinished / STATE_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        publish(unfinished, folder)
        milestones = self.recipe.milestones
        for number, old in _numbered(self.out)[: -self.recipe.keep]:
            if not milestones or number % milestones:
                # renamed first: a kill halfway must not leave what looks whole
                shutil.rmtree(old.rename(old.with_name(f"{_UNFINISHED}{old.name}")), ignore_errors=True)

    def _guarded(self, folder: Path, write: Callable[[], Any]) -> None:
        """Call `write()`, with its error as one line on every rank. DCP has gathered it, so no rank is still busy."""
        try:
            write()
        except (CheckpointException, Exception) as error:  # CheckpointException is not an Exception
            self._last = None
            self.world.on_first(self._remove_unfinished)
            raise CheckpointError(
                f"{folder}: cannot write the checkpoint: {_cause(error)}; those before it stand: free some space, then "
                "go on with --resume auto"
            ) from error

    def _take_over(self) -> None:
        """Lock the run for this process, and remove what a killed one left unfinished."""
        try:
            self._lock = try_lock(self.out / ".lock", reentrant=True)
        except OSError as error:
            raise CheckpointError(
                f"{self.out}: cannot write there: {reason(error)}; mend it, or name another --out"
            ) from error
        if self._lock is None:
            raise CheckpointError(
                f"{self.out}: another process is training here: wait for its end, or name another --out"
            )
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        folder = self.out / "checkpoints"
        for path in (*folder.glob(f"{_UNFINISHED}*"), *folder.glob(".step-*"), *self.out.glob(".final.*")):
            shutil.rmtree(path, ignore_errors=True)


class _Writer(dcp.FileSystemWriter):
    """DCP's writer, which calls `publish` once every rank's files are written; errors reach all ranks."""

    def __init__(self, folder: Path, publish: Callable[[], None]) -> None:
        super().__init__(folder)
        self._publish = publish

    def finish(self, metadata: Metadata, results: Any) -> None:
        super().finish(metadata, results)
        self._publish()


def _cause(error: BaseException) -> str:
    """Return the first cause of an error in one line, the operating system's if there is one."""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError):
            return str(first)
        first = first.__cause__ or first.__context__
    return f"{type(error).__name__}: {error}".partition("\n")[0]

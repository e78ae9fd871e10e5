"""Checkpoints of a run: whole or absent, written by all ranks together, in the background, and read by any number.

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
    """A checkpoint on the disk: its tensors' shapes and dtypes by name, and what is not a tensor."""

    folder: Path
    tensors: dict[str, tuple[torch.Size, torch.dtype]]
    facts: dict[str, Any]


def checkpoints(out: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return [path for _, path in _numbered(out)]


def _numbered(out: Path) -> list[tuple[int, Path]]:
    found = [(int(m[1]), p) for p in (out / "checkpoints").glob("step-*") if (m := _NAME.fullmatch(p.name))]
    return sorted(found)


class Checkpoints:
    """The checkpoints of the run in `out`. Every method is called by all ranks alike, and all get the same error.

    It makes a process group of its own, so that what is written in the background never meets the collectives of
    training.

    Raises:
        CheckpointError: another process is at work in `out`.
    """

    def __init__(self, out: Path, recipe: CheckpointRecipe, world: World) -> None:
        self.out, self.recipe, self.world = out, recipe, world
        self._group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._pending: tuple[Path, Future[Metadata]] | None = None
        self._last: int | None = None  # step of the newest checkpoint this process wrote
        self._lock: IO[str] | None = None  # held as long as this process lives
        self.world.on_first(self._take_over)

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], step: int, *, wait: bool = False) -> Path:
        """Write the checkpoint of `step` and delete those that are no longer kept.

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
        """Until what is being written is on the disk. Raises CheckpointError when it could not be written."""
        if self._pending is not None:
            (folder, future), self._pending = self._pending, None
            self._guarded(folder, future.result)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits as `wait` does; after another error, whose word goes first, nothing unfinished is left all the same."""
        if error is None:
            self.wait()
        elif self._pending is not None:
            self._pending[1].exception()  # ends here, too, on a rank whose others go on
            if self.world.rank == 0:
                self._remove_unfinished()

    @property
    def failed(self) -> bool:
        """Whether writing in the background has failed by now; ranks may learn of it some steps apart."""
        return self._pending is not None and self._pending[1].done() and self._pending[1].exception() is not None

    def read(self, folder: Path, *, trust: bool = False) -> Saved:
        """What a checkpoint holds, without its tensors' values.

        Args:
            trust: read it even if it is not this run's own. DCP's metadata is a pickle, which can run code.

        Raises:
            CheckpointError: it is not there, not whole, or another's and not to be trusted.
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
            raise CheckpointError(f"{folder}: there is no whole checkpoint here to resume from ({error!r})") from error
        stored = metadata.state_dict_metadata.items()
        tensors = {name: (v.size, v.properties.dtype) for name, v in stored if isinstance(v, TensorStorageMetadata)}
        return Saved(folder, tensors, facts)

    def load(self, saved: Saved, into: Mapping[str, Tensor]) -> None:
        """Fill the tensors of `into` in place; DTensors take their shards. Raises CheckpointError: a damaged file."""
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
        """Set aside checkpoints past `step`: the run goes on from there, and theirs is another history now."""

        def rename() -> None:
            for number, path in _numbered(self.out):
                if number > step:
                    aside = path.with_name(f"{_ABANDONED}{path.name}")
                    shutil.rmtree(aside, ignore_errors=True)
                    path.rename(aside)

        self.world.on_first(rename)

    def _publish(self, unfinished: Path, folder: Path, facts: dict[str, Any]) -> None:
        """Name a checkpoint that is whole, then delete what is not kept. Runs on the first rank, after all others."""
        (unfinished / STATE_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        publish(unfinished, folder)
        milestones = self.recipe.milestones
        for number, old in _numbered(self.out)[: -self.recipe.keep]:
            if not milestones or number % milestones:
                # renamed first: a kill halfway must not leave what looks whole
                shutil.rmtree(old.rename(old.with_name(f"{_UNFINISHED}{old.name}")), ignore_errors=True)

    def _guarded(self, folder: Path, write: Callable[[], Any]) -> None:
        """`write()`, its error as one line on every rank. DCP has gathered it from all ranks, so none is still busy."""
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
        """From here on the run is this process's alone; what a killed one left unfinished goes."""
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
    """DCP's own, and `publish` once every rank's files are written; an error there reaches all ranks as any other."""

    def __init__(self, folder: Path, publish: Callable[[], None]) -> None:
        super().__init__(folder)
        self._publish = publish

    def finish(self, metadata: Metadata, results: Any) -> None:
        super().finish(metadata, results)
        self._publish()


def _cause(error: BaseException) -> str:
    """What went wrong first, in a line: the operating system's word where there is one."""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError):
            return str(first)
        first = first.__cause__ or first.__context__
    return f"{type(error).__name__}: {error}".partition("\n")[0]

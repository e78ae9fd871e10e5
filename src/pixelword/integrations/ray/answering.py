"""Rows of `pixelword batch` answered by replicas across a cluster: an `Answerer` whose models are elsewhere.

The process that runs the job reads media and writes the journal; replicas get a row with its images and return the
fields of its answer. Ray restarts a replica whose process or machine dies, and its rows are asked again.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelword.batch.answering import Answerer, Cancelled, Content, Reader
from pixelword.batch.rows import Row
from pixelword.checkpoints.names import resolve
from pixelword.errors import InputError, PixelwordError
from pixelword.evaluation.run_metadata import checksum
from pixelword.generation.session import load
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.integrations.ray.cluster import connect, machines, placed
from pixelword.processing.options import MediaOptions

_RESTARTS = 3  # of a replica under one row, before that row's try has failed


@dataclass(frozen=True)
class Work:
    """What decides the answers of a job, as it is sent to replicas.

    model: a packaged model, a folder that all machines see, or a model on the Hub. loading, how: arguments of
    :func:`load` and of `Session.sampling`. identity: as of :class:`Reader`, without the weights' type, and
    with digests of `model` and `adapter`.
    """

    model: str
    loading: Mapping[str, Any]
    media: MediaOptions
    how: Mapping[str, Any]
    form: StructuredOutputs | None
    boxes: bool
    system: str | None
    identity: Mapping[str, Any]
    max_num_seqs: int

    def reader(self, dtype: str) -> Reader:
        """Return what reads rows' media, without a model. dtype: of the weights."""
        return Reader(self.media, {**self.identity, "dtype": dtype}, self.form, boxes=self.boxes)

    def open(self) -> Answerer:
        """Load the model. Raises what :func:`load` raises; InputError: its weights are not those of the job."""
        adapter = self.loading.get("adapter")
        here = {"model": checksum(resolve(self.model)), "adapter": adapter and checksum(adapter)}
        if any(self.identity[name] != digest for name, digest in here.items()):
            raise InputError(
                f"{self.model} has other weights on {platform.node()}: copy them there, or name a Hub model"
            )
        session = load(self.model, media=self.media, **self.loading)
        sampling = session.sampling(**self.how, structured_outputs=self.form)
        return Answerer(session, sampling, system=self.system, boxes=self.boxes, max_num_seqs=self.max_num_seqs)


@dataclass(frozen=True)
class Outcome:
    """The fields of an answer, or why there is none. error: of the row; fault: of the replica, which ends the job."""

    answer: dict[str, Any] | None = None
    error: PixelwordError | RuntimeError | None = None
    fault: str = ""


class Replica:
    """A model in a process of the cluster; several threads may use it at once."""

    def __init__(self, work: Work) -> None:
        self._answerer, self._fault, self._dtype = None, "", ""
        try:
            self._answerer = work.open()
            self._dtype = str(self._answerer.engine.model.dtype)
        except PixelwordError as error:  # kept, not raised: Ray would wrap it in pages of its own
            self._fault = str(error)

    def dtype(self) -> Outcome:
        """The type of the weights, as `dtype`."""
        return Outcome({"dtype": self._dtype}, fault=self._fault)

    def answer(self, row: Row, content: Content, dtype: str) -> Outcome:
        """Answer a row with weights of this type. A process whose engine has ended ends, too: Ray starts another."""
        if self._answerer is None:
            return Outcome(fault=self._fault)
        if self._dtype != dtype:
            return Outcome(fault=f"{platform.node()} has weights in {self._dtype}, others in {dtype}: give --dtype")
        try:
            return Outcome(self._answerer.answer(row, content))
        except Exception as error:
            if not self._answerer.alive:
                os._exit(1)
            if isinstance(error, PixelwordError):
                return Outcome(error=InputError(str(error)))
            return Outcome(error=RuntimeError(f"{type(error).__name__}: {error}"))  # memory that ran out, a device


class ReplicatedAnswerer:
    """Replicas that answer the rows of a job; several threads may use it at once. Use as a context.

    Args:
        work: What they do.
        address: Of the cluster, as of :func:`connect`.
        replicas: Their number; by default one per GPU, or per machine.

    Raises:
        InputError: as of :func:`connect`; a replica cannot load the model.
    """

    def __init__(self, work: Work, address: str | None = None, replicas: int | None = None) -> None:
        connect(address)
        import ray

        count, cpus, gpus = placed(machines(), replicas)
        actor = ray.remote(Replica).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=_RESTARTS,
            max_concurrency=work.max_num_seqs + 1,  # the next row is prepared while all places are taken
            scheduling_strategy="SPREAD",
        )
        self._replicas = [actor.remote(work) for _ in range(count)]
        self._busy = [0] * count
        self._lock = threading.Lock()
        self._closed = False
        self.max_num_seqs, self.alive = work.max_num_seqs * count, True
        self._dtype = self._first_dtype()
        self._reader = work.reader(self._dtype)

    def _first_dtype(self) -> str:
        """Wait for a replica; return the type of its weights."""
        import ray

        (first,), _ = ray.wait([replica.dtype.remote() for replica in self._replicas])
        return str(self._fields(self._got(first))["dtype"])

    def read(self, row: Row) -> Content:
        """Read a row's media, with videos as the paths that replicas open. Raises MediaError."""
        found = self._reader.read(row)
        videos = [str(Path(video).resolve()) if isinstance(video, str) else video for video in found.videos]
        return Content(found.images, videos, found.key)

    def answer(self, row: Row, content: Content) -> dict[str, Any]:
        """Return the fields of a row's answer. Raises PixelwordError; RuntimeError: what a further try may not meet."""
        with self._lock:
            number = min(range(len(self._busy)), key=self._busy.__getitem__)
            self._busy[number] += 1
        try:
            if self._closed:
                raise Cancelled
            replica, bare = self._replicas[number], Row(row.number, None, row.question)
            return self._fields(self._got(replica.answer.remote(bare, content, self._dtype)))
        finally:
            with self._lock:
                self._busy[number] -= 1

    def _fields(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.fault:
            self.alive = False
            raise InputError(outcome.fault)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.answer is not None
        return outcome.answer

    def _got(self, waited: Any) -> Outcome:
        """Wait for a replica's answer. Raises InputError, RuntimeError, Cancelled."""
        import ray
        from ray.exceptions import RayError

        try:
            outcome: Outcome = ray.get(waited)
        except RayError as error:
            if self._closed:
                raise Cancelled from error
            why = str(error).strip().splitlines()
            if getattr(error, "actor_init_failed", False):
                self.alive = False
                raise InputError(f"a replica could not start: {why[-1]}") from error
            raise RuntimeError(f"a replica was lost: {why[0]}") from error
        return outcome

    def close(self) -> None:
        """End at once; rows under way raise `Cancelled`."""
        import ray

        if not self._closed:
            self._closed = True
            for replica in self._replicas:
                ray.kill(replica)

    def __enter__(self) -> ReplicatedAnswerer:
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        self.close()
        ray.shutdown()

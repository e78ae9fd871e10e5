"""Reads planned packs: samples from files, encoded and laid out. Unreadable samples are faults, never fatal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from pixelword.data.packing.packer import LossWeight, Packer
from pixelword.data.packing.plan import Plan, Planned
from pixelword.data.quarantine import Quarantine
from pixelword.data.sources import Source, media_options
from pixelword.data.types import Fault, Pack
from pixelword.errors import InputError, PixelwordError
from pixelword.processing.types import Encoded, Sample

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor


class FilePacks:
    """A `PackSource` over files. Any process may make any pack.

    sources: by name, those of the plan. quarantine: what to leave out. loss_weight: as `packing.token_weight`.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Mapping[str, Source],
        processor: NeoOVProcessor,
        quarantine: Quarantine,
        loss_weight: LossWeight = "square",
    ) -> None:
        self.plan, self.sources, self.processor = plan, sources, processor
        self.quarantine, self.loss_weight = quarantine, loss_weight
        self.packs_per_step = plan.packs_per_step
        self._media = media_options(plan.data)
        self.pad_token_id = processor.pad_token_id

    def __call__(self, number: int) -> Pack:
        packer = Packer(self.plan.data.rows, self.plan.length(number), self.pad_token_id, self.loss_weight)
        self.quarantine.refresh()
        faults = []
        for planned in self.plan.pack(number):
            name = self.name(planned.source, planned.index)
            try:
                reason = self.quarantine.reason(name, number // self.packs_per_step)
                if reason is not None:
                    raise InputError(reason)
                packer.place(planned.row, self._encoded(planned), name)
            except (PixelwordError, OSError) as error:
                faults.append(Fault(name, str(error)))
        return replace(packer.pack(), faults=tuple(faults))

    def costs(self, step: int) -> list[int]:
        """Return the visible (query, key) pairs of each of the step's packs."""
        return self.plan.costs(step)

    def name(self, source: str, index: int) -> str:
        """Return `source: location`, for messages."""
        return f"{source}: {self.sources[source].where(index)}"

    def set_aside(self) -> Iterator[Fault]:
        """Yield every sample that the plan skips, by name, with the reason."""
        for left_out in self.plan.set_aside():
            where = self.sources[left_out.source].where(left_out.index)  # which the name says, too
            yield Fault(self.name(left_out.source, left_out.index), left_out.reason.removeprefix(f"{where}: "))

    def samples(self, count: int) -> list[Sample]:
        """Return the first `count` readable samples of the plan, with media not yet loaded."""
        found: list[Sample] = []
        number = 0
        while len(found) < count and self.plan.passes(number) < 1:
            for planned in self.plan.pack(number):
                try:
                    self._encoded(planned)
                except (PixelwordError, OSError):
                    continue  # training reports it where it counts
                found.append(self.sources[planned.source].read(planned.index))
            number += 1
        return found[:count]

    def _encoded(self, planned: Planned) -> Encoded:
        """One sample as the model reads it. Raises PixelwordError when it cannot be read, takes too long to be, or has
        outgrown its place."""
        media = self._media
        if planned.max_pixels is not None:
            media = replace(media, max_pixels=planned.max_pixels)
        with time_limit(self.plan.data.timeout):
            sample = self.sources[planned.source].read(planned.index)
            encoded = self.processor.encode(sample.messages, media=media)
        if len(encoded) > planned.tokens:  # fewer is no harm: of a damaged video the readable part is kept
            raise InputError(
                f"has {len(encoded)} tokens where its index says {planned.tokens}; its files changed while training ran"
            )
        return encoded


class _TimeUp(BaseException):
    """Not an Exception, since decoders turn every Exception into "a damaged file"."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise InputError if the block takes longer. No limit outside the main thread, which cannot get an alarm."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TimeUp

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, should a library swallow the first
    try:
        yield
    except _TimeUp:
        raise InputError(f"took longer than {seconds:g} s to read (data.timeout); left out") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3), interval)

"""Loads a rank's packs of every step, in order, and handles unreadable samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pixelword.data.loader import packs
from pixelword.data.pack_dataset import FilePacks
from pixelword.data.packing.plan import assign
from pixelword.data.types import Fault, Pack, PackSource
from pixelword.training.log import RunLog
from pixelword.training.pack_sources import record_set_aside
from pixelword.training.parallel import World
from pixelword.training.recipe import Recipe

#: A pack has many samples, each of which may take `data.timeout`; a worker silent for that many times as long is stuck.
PATIENCE = 10


class Feed:
    """Packs of `source` for one rank of `world`."""

    def __init__(self, source: PackSource, recipe: Recipe, world: World) -> None:
        self.source, self.recipe, self.world = source, recipe, world
        self._taken = 0  # samples since faults were last counted

    def steps(self, start: int) -> Iterator[list[Pack]]:
        """Yield this rank's packs from step `start` on. Raises PixelwordError if loading fails."""
        data = self.recipe.data
        if start < self.recipe.steps:
            self.source.costs(start)  # plans so far once, before the workers become copies of this process
        stream = packs(self.source, self._numbers(start), workers=data.workers, timeout=PATIENCE * data.timeout)
        while taken := list(itertools.islice(stream, self.source.packs_per_step // self.world.size)):
            self._taken += sum(len(pack.names) + len(pack.faults) for pack in taken)
            yield taken

    def _numbers(self, start: int) -> Iterator[int]:
        together, ranks = self.source.packs_per_step, self.world.size
        for step in range(start, self.recipe.steps):
            costs = self.source.costs(step) if ranks > 1 else None
            yield from (step * together + pack for pack in assign(costs, together, ranks)[self.world.rank])

    def begin(self, log: RunLog) -> None:
        """Report the samples that the plan skips."""
        if isinstance(self.source, FilePacks) and self.world.rank == 0:
            summary = record_set_aside(self.source, self.recipe.out)
            if summary is not None:
                log.say(summary)

    def set_apart(self, taken: Sequence[Pack], step: int, log: RunLog) -> None:
        """Quarantine a step's unreadable samples over all ranks; every rank calls it if any rank has some.

        Raises PixelwordError if their share exceeds `data.max_bad`.
        """
        own = [fault for pack in taken for fault in pack.faults], self._taken
        self._taken = 0
        faults: list[Fault] = []
        seen = 0
        for found, read in self.world.gather(own):
            faults, seen = faults + found, seen + read
        assert isinstance(self.source, FilePacks)
        quarantine = self.source.quarantine
        for fault in self.world.on_first(lambda: quarantine.add(faults, seen, step)):
            log.write("fault", step, name=fault.name, reason=fault.reason)
            log.say(f"step {step}: {fault.name}: {fault.reason}: left out")

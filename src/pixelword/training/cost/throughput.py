"""Throughput and MFU: sums between two reports, over all ranks.

Rates exclude padding. Model FLOPs utilisation (MFU) counts required FLOPs: no weight gradients of frozen parameters,
attention over visible pairs only (`flops.training_flops`), no recomputation.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch

from pixelword import machine
from pixelword.data.packing.packer import IGNORED
from pixelword.training.arguments import PEAKS
from pixelword.training.cost.flops import rates
from pixelword.training.precision import compute_dtype

if TYPE_CHECKING:
    from pixelword.data.types import Pack
    from pixelword.model import NeoOVConfig
    from pixelword.training.recipe import Recipe

Gather = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Counts:
    """What packs hold: tokens without padding, slots with it, images and frames, patches of 16 pixels, visible
    (query, key) pairs, tokens with a loss, samples that could not be read."""

    tokens: int = 0
    slots: int = 0
    pictures: int = 0
    patches: int = 0
    pairs: int = 0
    supervised: int = 0
    faults: int = 0

    @classmethod
    def of(cls, packs: Iterable[Pack]) -> Counts:
        """Sum over packs. Call before they are moved to a device: counting there would synchronise."""
        total = cls()
        for pack in packs:
            total += cls(
                tokens=pack.tokens,
                slots=pack.input_ids.numel(),
                pictures=pack.image_grid_hw.shape[0],
                patches=pack.pixel_values.shape[0],
                pairs=pack.pairs,
                supervised=int((pack.labels != IGNORED).sum()),
                faults=len(pack.faults),
            )
        return total

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def alone(values: torch.Tensor) -> torch.Tensor:
    """Gather of a single-rank run: (n,) -> (1, n)."""
    return values[None]


class Window:
    """Sums over the steps between two reports.

    Args:
        flops: FLOPs that the counted packs need, forward and backward; None leaves MFU out.
        peak: FLOP/s of one rank's device at best.
        gather: (n,) float64 on the CPU of every rank -> (ranks, n), the same on all; called once a report.
    """

    def __init__(
        self, flops: Callable[[Counts], float] | None = None, peak: float = 0.0, gather: Gather = alone
    ) -> None:
        self._flops, self._peak, self._gather = flops, peak, gather
        self.clear()

    @classmethod
    def of_run(cls, recipe: Recipe, config: NeoOVConfig, device: torch.device, gather: Gather = alone) -> Window:
        """Make the window of a run; MFU uses what the recipe trains and the device's peak."""
        trained = rates(config, recipe.trainable, recipe.lora)
        return cls(
            lambda counts: trained.flops(counts.tokens, counts.pairs, counts.supervised, counts.patches),
            peak_flops(device, compute_dtype(recipe, device)),
            gather,
        )

    def clear(self) -> None:
        """Start a new window now."""
        self.steps, self.counts = 0, Counts()
        self._loss, self._norm, self._lr, self._waited = 0.0, 0.0, 0.0, 0.0
        self._kl: list[float] = []
        self._excluded = 0.0
        self.started = time.monotonic()

    def add(
        self, counts: Counts, *, loss: float, grad_norm: float, lr: float, waited: float, kl: float | None = None
    ) -> None:
        """Add one step: this rank's counts and data wait in seconds; loss, norm, rate and KL, equal on all ranks."""
        self.steps += 1
        self.counts += counts
        self._loss += loss
        self._norm = max(self._norm, grad_norm)
        self._lr = lr
        self._waited += waited
        if kl is not None:
            self._kl.append(kl)

    def exclude(self, seconds: float) -> None:
        """Exclude time not spent training: validation, checkpointing."""
        self._excluded += seconds

    def report(self) -> dict[str, float]:
        """Return the metrics for metrics.jsonl, and start a new window. Every rank calls this at the same step.

        loss: mean over the steps; kl: over those with text, where there is a teacher; grad_norm: the largest;
        data_wait: share of the time the mean rank waited for packs; memory_gb: peak of the worst rank, on the GPU or,
        without one, of the process; rates over all ranks together.
        """
        seconds = max(time.monotonic() - self.started - self._excluded, 1e-9)
        own = torch.tensor([*astuple(self.counts), self._waited, memory_gb()], dtype=torch.float64)
        ranks = self._gather(own)
        *counted, waited, _ = ranks.sum(0).tolist()
        total = Counts(*(round(number) for number in counted))
        report = {
            "loss": round(self._loss / self.steps, 5),
            "lr": self._lr,
            "grad_norm": round(self._norm, 4),
            "tokens_per_s": round(total.tokens / seconds, 1),
            "images_per_s": round(total.pictures / seconds, 1),
            "pictures_per_s": round(total.pictures / seconds, 1),  # the old name, for one release
            "step_s": round(seconds / self.steps, 4),
            "data_wait": round(waited / len(ranks) / seconds, 4),
            "padding": round(1 - total.tokens / total.slots, 4),
            "memory_gb": round(ranks[:, -1].max().item(), 3),
        }
        if self._kl:
            report["kl"] = round(sum(self._kl) / len(self._kl), 5)
        if self._flops is not None and self._peak > 0:
            flops = self._flops(total)
            report["tflops"] = round(flops / seconds / 1e12, 4)
            report["mfu"] = round(flops / seconds / (self._peak * len(ranks)), 4)
        if total.faults:
            report["faults"] = total.faults
        self.clear()
        return report


def memory_gb() -> float:
    """Return peak memory in GB (1e9 bytes): the GPU's if one is used, else the process's resident set."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e9
    import resource  # not on Windows, where nothing trains

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def known_peak(name: str) -> float | None:
    """Return the peak bf16 FLOP/s of a device by name ("NVIDIA H200"), None if unknown."""
    found = [part for part in PEAKS if part.lower() in name.lower()]
    return PEAKS[max(found, key=len)] if found else None


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the peak FLOP/s of a device: a GPU's bf16 by its data sheet, else as measured by a matrix product.

    While others are at work, a measured one is low, and MFU high.
    """
    half = dtype == torch.bfloat16
    known = known_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" and half else None
    return known or machine.measured_flops(device, dtype)


def time_left(step: int, steps: int, step_s: float, elapsed: float, max_minutes: float | None) -> float:
    """Seconds until a stage ends, by its steps at the present pace or by its clock, whichever is sooner."""
    by_steps = (steps - step) * step_s
    return max(0.0, by_steps if max_minutes is None else min(by_steps, 60 * max_minutes - elapsed))

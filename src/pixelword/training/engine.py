"""One step of training: micro-batches forward and backward, one normaliser over all of them, clip, judge, update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pixelword.data.schema import Pack
from pixelword.training.building import precision
from pixelword.training.optimizer import Optimizer, schedule_factor
from pixelword.training.spikes import Spikes
from pixelword.training.throughput import Counts

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.parallel import World
    from pixelword.training.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """What one step did.

    loss: weighted mean over every supervised token of all ranks; grad_norm: over all ranks, before clipping; lr: of the
        first group. counts: of this rank's packs.
    skipped: why nothing was updated, None when it was; the same on every rank.
    """

    loss: float
    grad_norm: float
    lr: float
    counts: Counts
    skipped: str | None = None


class Engine:
    """The network with what updates it. Every rank calls `step` with its own packs of the same step."""

    def __init__(self, model: NeoOVForConditionalGeneration, recipe: Recipe, world: World) -> None:
        self.model, self.recipe, self.world = model, recipe, world
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = Optimizer(model, recipe.optimizer)
        self.spikes = Spikes(recipe.spike)

    def step(self, packs: Sequence[Pack], number: int, fraction: float) -> Step:
        """One update by all ranks' packs, or none when the loss or the gradient is not to be trusted.

        number, fraction: of the stage, for the learning rate.
        """
        rate = self.optimizer.set_factor(schedule_factor(self.recipe.schedule, number, fraction))
        (weight,) = self.world.sum(sum(pack.weight for pack in packs))
        local = self._backward(packs, weight)
        norm = nn.utils.clip_grad_norm_(self.trained, self.recipe.optimizer.clip).item()
        (loss,) = self.world.sum(local.item())
        skipped = self.spikes.reason(loss, norm)
        if skipped is None:
            self.optimizer.step()
        self.optimizer.zero_grad()
        return Step(loss, norm, rate, Counts.of(packs), skipped)

    def _backward(self, packs: Sequence[Pack], weight: float) -> Tensor:
        """Gradients of this rank's share of sum(w * cross-entropy) / weight; returns the share."""
        total = torch.zeros((), device=self.world.device)
        for pack in packs:
            inputs = pack.to(self.world.device).inputs()
            with precision(self.recipe.precision, self.world.device.type):
                loss = self.model(**inputs, num_items_in_batch=max(weight, 1e-12), skip_logits=True).loss
            loss.backward()
            total += loss.detach()
        return total

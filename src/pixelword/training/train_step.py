"""One training step: forward and backward of micro-batches under one normaliser, clip, check, update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pixelword.data.types import Pack
from pixelword.training.building import precision
from pixelword.training.cost.throughput import Counts
from pixelword.training.distill import Teacher
from pixelword.training.ema import Average
from pixelword.training.optimizer import Optimizer, schedule_factor
from pixelword.training.parallel import World, micro_batch
from pixelword.training.spikes import Spikes

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import Recipe

LEAST = 1e-12  # weight of a step in which nothing is supervised


@dataclass(frozen=True)
class Step:
    """Result of one step.

    loss: weighted mean over every supervised token of all ranks; kl: mean over every place of text, None where there is
        no text or no teacher; grad_norm: over all ranks, before clipping; lr: of the first group.
    counts: of this rank's packs.
    skipped: why nothing was updated, None when it was; the same on every rank.
    """

    loss: float
    grad_norm: float
    lr: float
    counts: Counts
    skipped: str | None = None
    kl: float | None = None


class TrainStep:
    """The network and its optimizers. Every rank calls `step` with its own packs of the same step.

    model: the network, whose parameters are trained. network: what to call in its place (`building.build_network`).
    teacher: the model to stay close to on text (KL).
    """

    def __init__(
        self,
        model: NeoOVForConditionalGeneration,
        network: nn.Module,
        recipe: Recipe,
        world: World,
        teacher: Teacher | None = None,
    ) -> None:
        self.network, self.recipe, self.world, self.teacher = network, recipe, world, teacher
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = Optimizer(model, recipe.optimizer)
        self.average = Average(model, recipe.optimizer.ema) if recipe.optimizer.ema is not None else None
        self.spikes = Spikes(recipe.spike)

    def step(self, packs: Sequence[Pack], number: int, fraction: float) -> Step:
        """Update on all ranks' packs, or skip the step if loss or gradient are bad.

        number, fraction: of the stage, for the learning rate.
        """
        rate = self.optimizer.set_factor(schedule_factor(self.recipe.schedule, number, fraction))
        own = self.teacher.weight(packs) if self.teacher is not None else 0
        weight, taught = self.world.sum(sum(pack.weight for pack in packs), own)
        loss, kl = self.world.sum(*self.backward(packs, max(weight, LEAST), max(taught, 1)))
        norm = self._clip()
        skipped = self.spikes.reason(loss, norm)
        if skipped is None:
            self.optimizer.step()
            if self.average is not None:
                self.average.update(number)
        self.optimizer.zero_grad()
        return Step(loss, norm, rate, Counts.of(packs), skipped, kl if taught else None)

    def backward(self, packs: Sequence[Pack], weight: float, taught: float = 1) -> tuple[float, float]:
        """Gradients of this rank's share of sum(w * cross-entropy) / weight, over all ranks, and of the teacher's term
        over `taught` places; returns both shares."""
        device, ranks = self.world.device, self.world.size
        total, diverged = torch.zeros((), device=device), torch.zeros((), device=device)
        for number, pack in enumerate(packs, 1):
            with micro_batch(self.network, last=number == len(packs)), precision(self.recipe, self.world):
                # DDP and FSDP give the mean of the ranks' gradients; the sum is wanted
                lesson = self.teacher.lesson(pack, taught / ranks) if self.teacher is not None else None
                loss = self.network(
                    **_inputs(pack.to(device)),
                    num_items_in_batch=weight / ranks,
                    skip_logits=True,
                    further_loss=lesson,
                ).loss
                loss.backward()
            total += loss.detach()
            if lesson is not None:
                diverged += lesson.value
        factor = self.teacher.recipe.weight if self.teacher is not None else 0.0
        return (total - factor * diverged).item() / ranks, diverged.item() / ranks

    def _clip(self) -> float:
        """Clip the gradients over all ranks; return the norm before clipping."""
        gradients = [p.grad for p in self.trained if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        nn.utils.clip_grads_with_norm_(self.trained, self.recipe.optimizer.clip, norm)
        return norm.item()


def _inputs(pack: Pack) -> dict[str, Tensor]:
    """Return the network's arguments, with images even if there are none, so every parameter gets a gradient."""
    return {**pack.inputs(), "pixel_values": pack.pixel_values, "image_grid_hw": pack.image_grid_hw}

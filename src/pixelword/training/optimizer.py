"""AdamW, or Muon for the layers' matrices with AdamW for the rest; learning-rate schedules as plain functions.

Parameters and optimizer state are float32 (the master weights); bf16 arithmetic is the trainer's autocast.
Muon: Jordan et al. 2024, as torch ships it, its update scaled to AdamW's RMS (Liu et al. 2025, arXiv 2502.16982), so
that both take learning rates of one kind.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pixelword.model.network import Layer
from pixelword.training.muon import Muon
from pixelword.training.stages import role_of

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import OptimizerRecipe, ScheduleRecipe


def schedule_factor(schedule: ScheduleRecipe, step: int, progress: float) -> float:
    """Factor on the peak learning rate at `step` (0-based), `progress` in [0, 1] of the stage.

    Warm-up is linear over `warmup` steps. cosine: down to `floor` at the end. wsd: flat, then linear to `floor` over
    the last `decay` of the stage. constant: flat.
    """
    progress = min(max(progress, 0.0), 1.0)
    warm = min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else 1.0
    if schedule.kind == "cosine":
        shape = 0.5 * (1.0 + math.cos(math.pi * progress))
    elif schedule.kind == "wsd":
        shape = min(1.0, (1.0 - progress) / schedule.decay)
    else:
        return warm
    return warm * (schedule.floor + (1.0 - schedule.floor) * shape)


def parameter_groups(
    model: NeoOVForConditionalGeneration, recipe: OptimizerRecipe
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(AdamW groups, Muon groups) of the trainable parameters. Weight decay falls on matrices only.

    Groups carry `peak_lr`; the schedule multiplies it. `optimizer.groups` scales the rate of a role.
    """
    roles = role_of(model)
    # in layers, an encoder's too, tensors of two axes are projections; embeddings, head and patch embedding are outside
    layers = (module for module in model.modules() if isinstance(module, Layer))
    hidden = {id(p) for layer in layers for p in layer.parameters() if p.ndim == 2}
    sorted_out: dict[tuple[bool, str, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            muon = recipe.name == "muon" and id(parameter) in hidden
            key = (muon, roles[id(parameter)], parameter.ndim >= 2)
            sorted_out.setdefault(key, []).append(parameter)
    adamw_groups: list[dict[str, Any]] = []
    muon_groups: list[dict[str, Any]] = []
    for (muon, role, matrix), parameters in sorted_out.items():
        peak = (recipe.muon_lr if muon else recipe.lr) * recipe.groups.get(role, 1.0)
        group = {
            "params": parameters,
            "lr": peak,
            "peak_lr": peak,
            "weight_decay": recipe.weight_decay if matrix else 0.0,
        }
        (muon_groups if muon else adamw_groups).append(group)
    return adamw_groups, muon_groups


class Optimizer:
    """All optimizers of a stage behind one `step`, `zero_grad` and `state_dict`."""

    def __init__(self, model: NeoOVForConditionalGeneration, recipe: OptimizerRecipe) -> None:
        adamw_groups, muon_groups = parameter_groups(model, recipe)
        self.parts: dict[str, torch.optim.Optimizer] = {}
        if adamw_groups:
            self.parts["adamw"] = torch.optim.AdamW(adamw_groups, betas=recipe.betas, eps=recipe.eps, fused=True)
        if muon_groups:
            self.parts["muon"] = Muon(muon_groups)

    def set_factor(self, factor: float) -> float:
        """Set each group's learning rate to its peak times `factor`; return the first group's, for the log."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * factor
        return next(iter(self.parts.values())).param_groups[0]["lr"]

    def step(self) -> None:
        for part in self.parts.values():
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts.values():
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the moments of a saved state; learning rates and other settings stay this recipe's.

        Raises KeyError / ValueError when the state belongs to another set of parameters.
        """
        for name, part in self.parts.items():
            settings = [{key: value for key, value in group.items() if key != "params"} for group in part.param_groups]
            part.load_state_dict(state[name])
            for group, own in zip(part.param_groups, settings, strict=True):
                group.update(own)

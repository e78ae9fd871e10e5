"""Trainable parameters of a stage, selected by module, never by substrings (`_h` is also in `lm_head`).

Roles: `patch_embedding` (pixels to visual tokens), `pre_buffer` (the first `extra_num_layers` layers, whole),
`hw_projections` (in every layer the H/W query and key projections and their norms) and `language` (the rest: the
embeddings, the language model's own layers, the final norm, the head). The paper's first stage trains the first three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn

    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.model.network import Attention, Layer

ROLES = ("patch_embedding", "pre_buffer", "hw_projections", "language")


def decoder_layers(model: NeoOVForConditionalGeneration) -> list[Layer]:
    """Return all layers: pre-buffer first, then the language model's."""
    return cast("list[Layer]", list(model.language_model.model.layers))


def _hw_modules(attention: Attention) -> tuple[nn.Module, ...]:
    """Return the H/W projections of queries and keys, and their norms."""
    norms = (getattr(attention, name) for name in ("q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w"))
    return (attention.q_proj_hw, attention.k_proj_hw, *norms)


def role_parameters(model: NeoOVForConditionalGeneration) -> dict[str, list[nn.Parameter]]:
    """Return parameters by role. The pre-buffer's H/W projections have both roles; `language` is the rest."""
    layers = decoder_layers(model)
    pre_buffer = layers[: model.config.llm_config.extra_num_layers]
    attentions = [layer.self_attn for layer in layers]
    roles: dict[str, list[nn.Parameter]] = {
        "patch_embedding": list(model.vision_model.parameters()),
        "pre_buffer": [p for layer in pre_buffer for p in layer.parameters()],
        "hw_projections": [
            p for attention in attentions for module in _hw_modules(attention) for p in module.parameters()
        ],
    }
    taken = {id(p) for group in roles.values() for p in group}
    roles["language"] = [p for p in model.parameters() if id(p) not in taken]
    return roles


def role_of(model: NeoOVForConditionalGeneration) -> dict[int, str]:
    """Return id(parameter) -> role for learning rates: the first in `ROLES` that contains it."""
    owner: dict[int, str] = {}
    for role, parameters in role_parameters(model).items():
        for parameter in parameters:
            owner.setdefault(id(parameter), role)
    return owner


def set_trainable(model: NeoOVForConditionalGeneration, trainable: Sequence[str]) -> list[nn.Parameter]:
    """Freeze all parameters outside the roles in `trainable` ("all": every role); return the trained ones."""
    roles = role_parameters(model)
    chosen = set(ROLES) if "all" in trainable else set(trainable)
    train = {id(p) for role in chosen for p in roles[role]}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in train)
    return [p for p in model.parameters() if p.requires_grad]

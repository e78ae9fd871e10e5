"""Weighted next-token cross-entropy on the supervised rows only, so that no (B, L, vocabulary) logits are ever held."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .rope import document_start

#: Logits (rows x vocabulary) that one chunk of the head may hold.
CHUNK = 1 << 25


def supervised_rows(labels: Tensor, cu_seqlens: Tensor | None = None) -> Tensor:
    """Flat indices (N,) of the labels that are predicted: not -100, and not the first token of a row or document."""
    index = torch.arange(labels.numel(), device=labels.device)
    inside = index != document_start(labels.shape, labels.device, cu_seqlens)
    return ((labels.flatten() != -100) & inside).nonzero().squeeze(1)


def next_token_loss(
    hidden: Tensor,
    head: Tensor,
    labels: Tensor,
    loss_weight: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    *,
    shifted: bool = False,
) -> Tensor:
    """sum(w * cross-entropy) / sum(w), where the state before a label predicts it (NEO, equation 4).

    Args:
        hidden: (B, L, hidden_size), the normed last states.
        head: (vocabulary, hidden_size), the head's weight.
        labels: (B, L), -100 where nothing is learned.
        loss_weight: (B, L) weight of the label at the same place; 1 by default.
        cu_seqlens: (documents + 1,); no document's last token predicts the next one's first.
        shifted: `labels` (and weights) stand at the state that predicts them, instead of one place after it.
        normalizer: what to divide by instead, e.g. the sum of weights over all ranks and micro-batches.

    Returns:
        scalar float32. Zero, still with a gradient path, when nothing is supervised.
    """
    rows = (labels.flatten() != -100).nonzero().squeeze(1) if shifted else supervised_rows(labels, cu_seqlens)
    states = hidden.flatten(0, 1)[rows if shifted else rows - 1]
    target = labels.flatten()[rows]
    weight = torch.ones_like(rows, dtype=torch.float32) if loss_weight is None else loss_weight.flatten()[rows].float()
    size = max(CHUNK // head.shape[0], 1)
    total = hidden.sum().float() * 0
    for a in range(0, max(len(rows), 1), size):  # no rows still reach the head, whose gradient every rank must have
        part = (states[a : a + size], head, target[a : a + size], weight[a : a + size])
        single = len(rows) <= size
        total = total + (_chunk(*part) if single else checkpoint(_chunk, *part, use_reentrant=False))
    return total / (weight.sum().clamp(min=1e-12) if normalizer is None else normalizer)


def _chunk(states: Tensor, head: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    logits = F.linear(states, head).float()
    return (F.cross_entropy(logits, target, reduction="none") * weight).sum()

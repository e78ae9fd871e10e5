"""The weighted next-token loss against its definition, in one piece and in chunks."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pixelword.model import loss
from pixelword.model.loss import next_token_loss, supervised_rows


def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 9, 8, generator=generator, requires_grad=True)
    head = torch.randn(20, 8, generator=generator, requires_grad=True)
    labels = torch.randint(0, 20, (2, 9), generator=generator)
    labels[0, 3:6] = -100
    return hidden, head, labels, torch.rand(2, 9, generator=generator)


def definition(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    total, count = torch.tensor(0.0), torch.tensor(0.0)
    starts = {0, 4, 9}  # documents of the flattened stream
    for i in range(1, labels.numel()):
        if labels.flatten()[i] != -100 and i not in starts:
            logits = hidden.flatten(0, 1)[i - 1] @ head.T
            total = total + weight.flatten()[i] * F.cross_entropy(logits, labels.flatten()[i])
            count = count + weight.flatten()[i]
    return total / count


@pytest.mark.parametrize("chunk", [1 << 25, 60])
def test_it_is_the_definition(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK", chunk)
    cu_seqlens = torch.tensor([0, 4, 9, 18])
    gradients = []
    for function in (
        lambda h, w, y, weight: next_token_loss(h, w, y, weight, cu_seqlens),
        definition,
    ):
        hidden, head, labels, weight = tensors()
        value = function(hidden, head, labels, weight)
        value.backward()
        gradients.append((value.detach(), hidden.grad, head.grad))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_nothing_supervised_is_zero_with_a_path() -> None:
    hidden, head, labels, _ = tensors()
    value = next_token_loss(hidden, head, torch.full_like(labels, -100))
    value.backward()
    assert value.item() == 0 and hidden.grad is not None and not hidden.grad.any()


def test_a_sum_over_ranks_divides_instead() -> None:
    hidden, head, labels, weight = tensors()
    rows = supervised_rows(labels)
    alone = next_token_loss(hidden, head, labels, weight)
    divided = next_token_loss(hidden, head, labels, weight, normalizer=100.0)
    torch.testing.assert_close(divided * 100, alone * weight.flatten()[rows].sum())

"""Muon in batches: torch's steps, its state, and no large stacks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelword import machine
from pixelword.training import muon

SHAPES = [(24, 24), (8, 24), (24, 8), (24, 24), (40, 24), (24, 40), (8, 24)]


def run(optimizer_of, steps: int = 4, shapes=SHAPES):
    """Parameters after `steps` updates with seeded gradients, and the optimizer."""
    generator = torch.Generator().manual_seed(1)
    parameters = [nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
    half = len(parameters) // 2
    optimizer = optimizer_of(
        [{"params": parameters[:half], "lr": 0.02}, {"params": parameters[half:], "lr": 0.05, "weight_decay": 0.0}]
    )
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return parameters, optimizer


def torchs(groups):
    return torch.optim.Muon(groups, adjust_lr_fn="match_rms_adamw")


def test_steps_are_torchs_where_bfloat16_is_native(monkeypatch):
    monkeypatch.setattr(machine, "training_dtype", lambda device: torch.bfloat16)
    ours, _ = run(muon.Muon)
    theirs, _ = run(torchs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-3)  # bfloat16 iterations, updates of rms 0.2 * 0.05
    assert all((a - b).abs().mean() < 1e-4 for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_iteration_is_that_of_double_precision(monkeypatch, dtype):
    monkeypatch.setattr(machine, "training_dtype", lambda device: dtype)
    stack = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
    settings = ((3.4445, -4.7750, 2.0315), 5, 1e-7)
    found = muon.orthogonalised(stack, *settings)
    monkeypatch.setattr(machine, "training_dtype", lambda device: torch.float64)
    exact = muon.orthogonalised(stack.double(), *settings)
    assert found.dtype == dtype and (found.double() - exact).abs().max() < (2e-2 if dtype == torch.bfloat16 else 1e-5)


def test_stacks_are_bounded_and_change_nothing(monkeypatch):
    whole, _ = run(muon.Muon)
    monkeypatch.setattr(muon, "STACKED", 24 * 24)  # one matrix of the largest shapes at a time
    single, _ = run(muon.Muon)
    for a, b in zip(whole, single, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-3)


def test_state_goes_to_and_from_torchs():
    ours, optimizer = run(muon.Muon)
    theirs = torchs([{"params": group["params"]} for group in optimizer.param_groups])
    theirs.load_state_dict(optimizer.state_dict())
    for p in ours:
        torch.testing.assert_close(theirs.state[p]["momentum_buffer"], optimizer.state[p]["momentum_buffer"])


def test_a_parameter_without_gradient_stays():
    still, moved = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    moved.grad = torch.eye(4)
    muon.Muon([still, moved], lr=0.1).step()
    assert torch.equal(still, torch.ones(4, 4))
    assert not torch.equal(moved, torch.ones(4, 4))


def test_singular_values_come_near_one():
    torch.manual_seed(0)
    stack = torch.randn(3, 16, 48)
    values = torch.linalg.svdvals(muon.orthogonalised(stack, (3.4445, -4.7750, 2.0315), 5, 1e-7).float())
    assert values.min() > 0.5 and values.max() < 1.3

"""Native-RoPE indices and tables against their plain definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pixelword.model.rope import rotary_tables, rotate

PART = st.one_of(st.integers(1, 6), st.tuples(st.integers(1, 3), st.integers(1, 3)))


def indices(parts: list[Any]) -> Tensor:
    """(3, L): t, h and w, one token after another."""
    rows: list[tuple[int, int, int]] = []
    t = 0
    for part in parts:
        if isinstance(part, int):
            rows += [(t + i, 0, 0) for i in range(part)]
            t += part
        else:
            rows += [(t, 0, 0), *((t + 1, y, x) for y in range(part[0]) for x in range(part[1])), (t + 2, 0, 0)]
            t += 3
    return torch.tensor(rows).T


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(PART, min_size=1, max_size=4), min_size=1, max_size=3),
    side=st.sampled_from(["left", "right"]),
)
def test_indices(model: Any, prompt: Callable[..., Any], batch: Callable[..., Any], rows: Any, side: str) -> None:
    together = batch([prompt(*parts) for parts in rows], side=side)
    mask = together["attention_mask"]
    positions, delta = model.get_rope_index(together["input_ids"], together.get("image_grid_hw"), mask)
    for row, parts in enumerate(rows):
        t, th, tw = positions[:, row, mask[row].bool()]
        assert torch.equal(torch.stack((t, th - t, tw - t)), indices(parts))
        assert int(t[-1]) + 1 - mask.shape[1] == int(delta[row])


def test_tables_turn_each_part_by_its_own_index() -> None:
    """In the layout [t1 h1 w1 | t2 h2 w2] one product is the sum of the three, each `rotate_half` by itself."""
    head_dim, theta, theta_hw = 8, 1e6, 1e4
    place = torch.tensor([[4, 0, 0], [9, 2, 5]])  # (tokens, thw)
    positions = torch.stack((place[:, 0], place[:, 0] + place[:, 1], place[:, 0] + place[:, 2]))[:, None]
    tables = rotary_tables(positions, head_dim, theta, theta_hw, torch.float32)
    generator = torch.Generator().manual_seed(0)
    parts = {name: torch.randn(2, size, generator=generator) for name, size in (("t", 8), ("h", 4), ("w", 4))}
    halves = [part.chunk(2, -1) for part in parts.values()]
    joined = torch.cat([half[i] for i in (0, 1) for half in halves], -1)
    turned = rotate(joined, *(table[0, 0] for table in tables))
    expected = 0.0
    for (name, part), base, index in zip(parts.items(), (theta, theta_hw, theta_hw), place.T, strict=True):
        size = part.shape[-1]
        angle = index[:, None] * base ** (-torch.arange(0, size, 2) / size)
        angle = torch.cat((angle, angle), -1)
        first, second = part.chunk(2, -1)
        alone = part * angle.cos() + torch.cat((-second, first), -1) * angle.sin()
        expected = expected + alone[0] @ alone[1]
        assert torch.allclose(alone.norm(), part.norm()), name
    torch.testing.assert_close(turned[0] @ turned[1], expected)

"""Whole numbers with a scale a row: what comes back, bit by bit, and what is refused."""

from __future__ import annotations

import pytest
import torch

from pixelword.checkpoints.delta import BITS, restored, rounded


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(3, 7), (5, 3, 2, 2), (1, 1), (4, 576)])
def test_what_comes_back_is_within_half_a_step(shape: tuple[int, ...], bits: int) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.logspace(-6, 3, shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )
    pieces = rounded(matrix, bits)
    again = restored(pieces, matrix.shape, bits)
    assert again.shape == matrix.shape and again.dtype == torch.float32
    most = 2 ** (bits - 1) - 1
    step = matrix.flatten(1).abs().amax(1) / most
    # the scale is rounded to 1 in 256, which the greatest number may be short of
    bound = step * (0.505 + most / 256)
    assert ((again - matrix).flatten(1).abs() <= bound[:, None]).all()
    inner = matrix.flatten(1).abs() < 0.98 * matrix.flatten(1).abs().amax(1, keepdim=True)
    assert ((again - matrix).flatten(1).abs() <= 0.505 * step[:, None])[inner].all()
    assert sum(piece.nbytes for piece in pieces.values()) <= matrix.numel() * bits / 8 + 3 * shape[0]


@pytest.mark.parametrize("bits", BITS)
def test_whole_numbers_are_exact(bits: int) -> None:
    most = 2 ** (bits - 1) - 1
    matrix = torch.arange(-most, most + 1).float().repeat(2, 1)
    matrix[1] = 0
    assert torch.equal(restored(rounded(matrix, bits), matrix.shape, bits), matrix)


def test_pieces_of_another_shape_are_refused() -> None:
    pieces = rounded(torch.randn(4, 6), 7)
    for shape in ((4, 9), (3, 6)):
        with pytest.raises(ValueError, match="numbers"):
            restored(pieces, torch.Size(shape), 7)
    with pytest.raises(KeyError):
        restored(pieces, torch.Size((4, 6)), 8)

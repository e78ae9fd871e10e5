"""First-fit packing: shapes, boundaries, weights, and that a pack belongs to its seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelword.data.packing.packer import IGNORED, Packer, seeded_pack, token_weight
from pixelword.errors import InputError
from pixelword.processing.types import Encoded, ImageSpan

PAD = 9


def encoded(size: int, answer: int = 1, grid: tuple[int, int] | None = None, token: int = 1) -> Encoded:
    """A document of `size` tokens whose last `answer` ones are the answer."""
    ids = torch.full((size,), token)
    labels = torch.full((size,), IGNORED)
    labels[size - answer :] = token
    patches = grid[0] * grid[1] if grid else 0
    types = torch.zeros(size, dtype=torch.int64)
    types[: patches // 4] = 1
    return Encoded(
        input_ids=ids,
        labels=labels,
        mm_token_type_ids=types,
        pixel_values=torch.full((patches, 768), float(token)),
        image_grid_hw=torch.tensor([grid] if grid else [], dtype=torch.int64).reshape(-1, 2),
        images=(ImageSpan(0, patches // 4, 0, grid),) if grid else (),
    )


def packed(documents: list[Encoded], rows: int = 2, length: int = 8, **options: str):
    packer = Packer(rows, length, PAD, **options)  # type: ignore[arg-type]
    placed = [packer.add(document) for document in documents]
    return packer.pack(), placed


def test_first_fit_fills_earlier_rows_first() -> None:
    pack, placed = packed([encoded(5, token=1), encoded(6, token=2), encoded(3, token=3)])
    assert placed == [True, True, True]
    assert pack.input_ids.tolist() == [[1] * 5 + [3] * 3, [2] * 6 + [PAD] * 2]
    assert pack.tokens == 14


def test_boundaries_are_documents_rows_and_padding() -> None:
    pack, _ = packed([encoded(5), encoded(6), encoded(3)])
    assert pack.cu_seqlens.tolist() == [0, 5, 8, 14, 16]
    empty, _ = packed([encoded(5)])
    assert empty.cu_seqlens.tolist() == [0, 5, 8, 16], "an empty row is one document of padding"


def test_padding_has_neither_label_nor_weight() -> None:
    pack, _ = packed([encoded(5)])
    assert (pack.labels[pack.input_ids == PAD] == IGNORED).all()
    assert (pack.loss_weight[pack.labels == IGNORED] == 0).all()


def test_pictures_follow_the_rows_not_the_order_of_arrival() -> None:
    pack, _ = packed(
        [encoded(5, grid=(2, 2), token=1), encoded(6, grid=(2, 4), token=2), encoded(3, grid=(4, 2), token=3)]
    )
    assert pack.image_grid_hw.tolist() == [[2, 2], [4, 2], [2, 4]]
    assert pack.pixel_values[:, 0].tolist() == [1.0] * 4 + [3.0] * 8 + [2.0] * 8


def test_text_alone_has_no_picture_inputs() -> None:
    pack, _ = packed([encoded(5)])
    assert pack.pixel_values.shape == (0, 768)
    assert "pixel_values" not in pack.inputs()


@pytest.mark.parametrize(("scheme", "expected"), [("token", 1.0), ("square", 0.5), ("sample", 0.25)])
def test_loss_weight_of_an_answer_of_four_tokens(scheme: str, expected: float) -> None:
    assert token_weight(4, scheme) == expected  # type: ignore[arg-type]
    pack, _ = packed([encoded(6, answer=4)], loss_weight=scheme)
    assert pack.loss_weight[0, 2:6].tolist() == [expected] * 4


def test_full_rows_refuse_and_an_over_long_sample_is_an_error() -> None:
    packer = Packer(1, 8, PAD)
    assert packer.add(encoded(6))
    assert not packer.add(encoded(3))
    with pytest.raises(InputError, match="9 tokens does not fit a row of 8"):
        packer.add(encoded(9))


def test_a_document_goes_into_the_row_that_is_named() -> None:
    packer = Packer(2, 8, PAD)
    packer.place(1, encoded(5, token=1))
    packer.place(0, encoded(3, token=2))
    packer.place(1, encoded(3, token=3))
    assert packer.pack().input_ids.tolist() == [[2] * 3 + [PAD] * 5, [1] * 5 + [3] * 3]
    with pytest.raises(InputError, match="8 tokens does not fit a row of 8 with 3 in use"):
        packer.place(0, encoded(8))


def test_a_pack_is_a_function_of_its_seed() -> None:
    def draw(rng: np.random.Generator) -> Encoded:
        return encoded(int(rng.integers(2, 9)), token=int(rng.integers(1, 9)))

    def make(number: int):
        return seeded_pack(draw, Packer(4, 32, PAD), (1, number))

    assert torch.equal(make(3).input_ids, make(3).input_ids)
    assert not torch.equal(make(3).input_ids, make(4).input_ids)
    assert make(3).tokens > 0.85 * 4 * 32

"""The documents of a pack are found where the packer put them, whatever they hold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.documents import documents
from pixelword.data.packing import IGNORED, Packer
from pixelword.processing.conversation import Encoded

PAD, WORD, VISUAL = 9, 1, 2


def encoded(words: int, grids: list[tuple[int, int]]) -> Encoded:
    """One word, then each picture with a word behind it, then the rest of the words."""
    types: list[int] = [0]
    for rows, columns in grids:
        types += [1] * (rows * columns // 4) + [0]
    types += [0] * words
    ids = [VISUAL if kind else WORD for kind in types]
    return Encoded(
        input_ids=torch.tensor(ids),
        labels=torch.full((len(ids),), IGNORED),
        mm_token_type_ids=torch.tensor(types),
        pixel_values=torch.zeros(sum(rows * columns for rows, columns in grids), 768),
        image_grid_hw=torch.tensor(grids, dtype=torch.int64).reshape(-1, 2),
    )


GRIDS = st.lists(st.sampled_from([(2, 2), (2, 4), (4, 2), (4, 4)]), max_size=3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), GRIDS), min_size=1, max_size=9))
def test_documents_are_those_that_were_packed(samples: list[tuple[int, list[tuple[int, int]]]]) -> None:
    packer = Packer(3, 32, PAD)
    placed: dict[str, Encoded] = {}
    for number, (words, grids) in enumerate(samples):
        one = encoded(words, grids)
        if packer.add(one, f"sample {number}"):
            placed[f"sample {number}"] = one
    pack = packer.pack()
    found = list(documents(pack, pad_token_id=PAD))
    assert [one.name for one in found if not one.padding] == list(pack.names)
    assert set(pack.names) == set(placed)
    for one in found:
        row = pack.input_ids[one.row, one.start : one.stop]
        if one.padding:
            assert (row == PAD).all() and len(one.pictures) == 0
        else:
            original = placed[one.name]
            assert torch.equal(row, original.input_ids)
            grids = [pack.image_grid_hw[number].tolist() for number in one.pictures]
            assert grids == original.image_grid_hw.tolist()
    assert sum(len(one) for one in found) == pack.input_ids.numel()


def test_a_pack_that_names_only_some_documents_names_none() -> None:
    packer = Packer(1, 16, PAD)
    packer.add(encoded(3, []), "known")
    packer.add(encoded(3, []))
    assert [one.name for one in documents(packer.pack(), pad_token_id=PAD)] == ["", "", ""]


@pytest.mark.parametrize("words", [0, 15])
def test_an_empty_row_is_padding_and_a_full_one_has_none(words: int) -> None:
    packer = Packer(1, 16, PAD)
    if words:
        packer.add(encoded(words, []))
    (only,) = documents(packer.pack(), pad_token_id=PAD)
    assert (only.row, only.start, only.stop, only.padding) == (0, 0, 16, not words)

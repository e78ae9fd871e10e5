"""A pack's documents say where each sample is, and which tokens and patches are its images'."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.packing.packer import IGNORED, Packer
from pixelword.data.types import Pack
from pixelword.processing.types import Encoded, ImageSpan

PAD, WORD, VISUAL = 9, 1, 2


def encoded(words: int, grids: list[tuple[int, int, int | None]]) -> Encoded:
    """One word, then each image (its grid and its video) with a word behind it, then the rest of the words."""
    types: list[int] = [0]
    images: list[ImageSpan] = []
    for number, (rows, columns, video) in enumerate(grids):
        start, size = len(types), rows * columns // 4
        first, time = images[-1].patches.stop if images else 0, None if video is None else number / 2
        images.append(ImageSpan(start, start + size, first, (rows, columns), video, time))
        types += [1 if video is None else 2] * size + [0]
    types += [0] * words
    ids = torch.tensor([VISUAL if kind else WORD for kind in types])
    return Encoded(
        input_ids=ids,
        labels=torch.where(ids == WORD, ids, IGNORED),
        mm_token_type_ids=torch.tensor(types),
        pixel_values=torch.rand(sum(rows * columns for rows, columns, _ in grids), 768),
        image_grid_hw=torch.tensor([grid[:2] for grid in grids], dtype=torch.int64).reshape(-1, 2),
        images=tuple(images),
    )


def check(pack: Pack, placed: list[tuple[int, str, Encoded]]) -> None:
    """Every sample, rebuilt from its document, is the one that was packed."""
    assert [(document.row, document.name) for document in pack.documents] == [(row, name) for row, name, _ in placed]
    covered = torch.zeros(pack.input_ids.shape, dtype=torch.bool)
    boundaries, images = set(pack.cu_seqlens.tolist()), []
    for document, (_, _, sample) in zip(pack.documents, placed, strict=True):
        row, place = document.row, document.tokens
        patches = [pack.pixel_values[image.patches] for image in document.images]
        offset = document.images[0].first_patch if document.images else 0
        rebuilt = Encoded(
            pack.input_ids[row, place],
            pack.labels[row, place],
            pack.mm_token_type_ids[row, place],
            torch.cat(patches) if patches else torch.zeros(0, 768),
            torch.tensor([image.grid_hw for image in document.images], dtype=torch.int64).reshape(-1, 2),
            tuple(image.moved(tokens=-document.start, patches=-offset) for image in document.images),
        )
        assert rebuilt.images == sample.images
        for name in ("input_ids", "labels", "mm_token_type_ids", "pixel_values", "image_grid_hw"):
            assert torch.equal(getattr(rebuilt, name), getattr(sample, name))
        covered[row, place] = True
        images += document.images
        assert {row * pack.input_ids.shape[1] + place.start, row * pack.input_ids.shape[1] + place.stop} <= boundaries
    assert bool((pack.input_ids[~covered] == PAD).all()) and int(covered.sum()) == pack.tokens
    assert [list(image.grid_hw) for image in images] == pack.image_grid_hw.tolist()
    assert all(a.patches.stop == b.first_patch for a, b in pairwise(images))


GRIDS = st.tuples(st.sampled_from([2, 4]), st.sampled_from([2, 4]), st.sampled_from([None, 0, 1]))
SAMPLES = st.lists(st.tuples(st.integers(0, 9), st.lists(GRIDS, max_size=3)), min_size=1, max_size=9)


@settings(max_examples=50, deadline=None)
@given(SAMPLES)
def test_documents_reconstruct_the_samples_of_a_first_fit(samples: list) -> None:
    packer = Packer(3, 32, PAD)
    rows: list[list[tuple[str, Encoded]]] = [[], [], []]
    for number, values in enumerate(samples):
        sample = encoded(*values)
        used = [sum(len(other) for _, other in row) for row in rows]
        free = [row for row in range(3) if used[row] + len(sample) <= 32]
        assert packer.add(sample, f"sample {number}") == bool(free)
        if free:
            rows[free[0]].append((f"sample {number}", sample))
    check(packer.pack(), [(row, *placed) for row in range(3) for placed in rows[row]])


@settings(max_examples=50, deadline=None)
@given(SAMPLES, st.lists(st.integers(0, 3), min_size=9, max_size=9))
def test_documents_reconstruct_the_samples_of_planned_rows(samples: list, rows: list[int]) -> None:
    packer = Packer(4, 256, PAD)
    placed = [(row, f"sample {n}", encoded(*item)) for n, (item, row) in enumerate(zip(samples, rows, strict=False))]
    for row, name, sample in placed:
        packer.place(row, sample, name)
    check(packer.pack(), sorted(placed, key=lambda item: item[0]))


def test_each_document_has_its_own_name() -> None:
    packer = Packer(1, 16, PAD)
    packer.add(encoded(3, []), "known")
    packer.add(encoded(3, []))
    pack = packer.pack()
    assert [document.name for document in pack.documents] == ["known", ""] and pack.names == ("known",)


@pytest.mark.parametrize("words", [0, 15])
def test_padding_is_no_document(words: int) -> None:
    packer = Packer(1, 16, PAD)
    if words:
        packer.add(encoded(words, []))
    documents = packer.pack().documents
    assert [(document.row, document.start, document.stop) for document in documents] == ([(0, 0, 16)] if words else [])

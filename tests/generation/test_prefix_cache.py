"""Pieces of a prompt: whole pictures and blocks of text, named by all before them; guesses from what was said."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelword.generation.prefix_cache import BLOCK, extend_blocks, prefix_blocks
from pixelword.generation.prompt_lookup import propose
from pixelword.processing.types import Encoded, ImageSpan


def prompt(parts: list[int | tuple[int, int]], seed: int = 0) -> Encoded:
    """A prompt of runs of text tokens (a number) and pictures (rows and columns of visual tokens)."""
    draw = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    types: list[int] = []
    images: list[ImageSpan] = []
    for part in parts:
        size = part if isinstance(part, int) else part[0] * part[1]
        if not isinstance(part, int):
            first = images[-1].patches.stop if images else 0
            images.append(ImageSpan(len(ids), len(ids) + size, first, (2 * part[0], 2 * part[1])))
        ids += torch.randint(10, 99, (size,), generator=draw).tolist() if isinstance(part, int) else [5] * size
        types += [0 if isinstance(part, int) else 1] * size
    patches = images[-1].patches.stop if images else 0
    grid = torch.tensor([image.grid_hw for image in images], dtype=torch.int64).reshape(-1, 2)
    tensors = (torch.tensor(ids), torch.tensor(ids), torch.tensor(types), torch.rand(patches, 3, generator=draw))
    return Encoded(*tensors, grid, tuple(images))


MIXED = [5, (2, 3), 40, (1, 1), (4, 4), 20]


def test_pieces_follow_each_other_and_cut_no_picture() -> None:
    item = prompt(MIXED)
    found = prefix_blocks(item)
    assert [a.stop for a in found[:-1]] == [b.start for b in found[1:]]
    assert [(p.start, p.stop) for p in found if item.mm_token_type_ids[p.start]] == [(5, 11), (51, 52), (52, 68)]
    assert all(p.stop - p.start <= BLOCK for p in found if not item.mm_token_type_ids[p.start])
    assert len(item) - found[-1].stop == 20 % BLOCK


def test_a_name_depends_on_everything_before_and_nothing_after() -> None:
    item = prompt(MIXED)
    names = [piece.name for piece in prefix_blocks(item)]
    assert len(set(names)) == len(names)
    ids = item.input_ids.clone()
    ids[20] += 1
    changed = [piece.name for piece in prefix_blocks(replace(item, input_ids=ids))]
    place = next(n for n, piece in enumerate(prefix_blocks(item)) if piece.start <= 20 < piece.stop)
    assert changed[:place] == names[:place] and not set(changed[place:]) & set(names)
    pixels = item.pixel_values.clone()
    pixels[-1] += 1  # of the last picture
    changed = [piece.name for piece in prefix_blocks(replace(item, pixel_values=pixels))]
    place = next(n for n, piece in enumerate(prefix_blocks(item)) if piece.start == 52)
    assert changed[:place] == names[:place] and not set(changed[place:]) & set(names)


def test_an_answer_is_what_the_next_prompt_begins_with() -> None:
    item = prompt([5, (2, 2), 30])
    longer = replace(item, input_ids=torch.cat((item.input_ids, torch.arange(40))))
    longer = replace(longer, mm_token_type_ids=torch.cat((item.mm_token_type_ids, torch.zeros(40, dtype=torch.int64))))
    assert extend_blocks(prefix_blocks(item), longer.input_ids.tolist()) == prefix_blocks(longer)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 6))
def test_a_guess_followed_the_same_words_before(tokens: list[int], most: int) -> None:
    found = propose(tokens, most)
    assert len(found) <= most
    if found:
        places = range(len(tokens) - 2)
        assert any(tokens[p : p + 2] == tokens[-2:] and tokens[p + 2 : p + 2 + len(found)] == found for p in places)
    else:
        assert all(tokens[p : p + 2] != tokens[-2:] for p in range(len(tokens) - 2))

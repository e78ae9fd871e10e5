"""Positions that Native-RoPE is compared with: what their papers say, on sequences counted by hand."""

from __future__ import annotations

import pytest
import torch

from pixelword.model.rope import rope_index, rotary_tables
from pixelword_lab.ablations.positions import AXES, indices, tables

#: word, <img>, 2 x 3 picture, </img>, word
SEEN = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 0, 0]], dtype=torch.bool)
GRID = torch.tensor([[2, 3]])
NATIVE = rope_index(SEEN, GRID)


def test_one_line_counts_every_token() -> None:
    assert indices("line", NATIVE, SEEN).tolist() == [[list(range(10))]] * 3


@pytest.mark.parametrize("way", ["m-rope", "interleaved"])
def test_m_rope_goes_on_after_the_pictures_longer_side(way) -> None:
    t, h, w = indices(way, NATIVE, SEEN)[:, 0].tolist()
    assert t == [0, 1, 2, 2, 2, 2, 2, 2, 5, 6]  # 2 + max(2, 3)
    assert h == [0, 1, 2, 2, 2, 3, 3, 3, 5, 6]
    assert w == [0, 1, 2, 3, 4, 2, 3, 4, 5, 6]


def test_m_rope_is_that_of_transformers() -> None:
    from transformers import Qwen2VLConfig
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    vision = {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 16}
    config = Qwen2VLConfig(text_config={**small, "intermediate_size": 16, "vocab_size": 9}, vision_config=vision)
    config.image_token_id, config.vision_start_token_id, config.video_token_id = 5, 6, 7
    with torch.device("meta"):
        model = Qwen2VLModel(config)
    ids = torch.where(SEEN, 5, 1)
    ids[0, 1] = 6
    grid = torch.tensor([[1, 4, 6]])  # in patches, four a token
    theirs, _ = model.get_rope_index(ids, SEEN.long(), image_grid_thw=grid)
    assert torch.equal(indices("m-rope", NATIVE, SEEN), theirs.long())


def test_video_rope_counts_from_the_middle_and_steps_by_two() -> None:
    t, h, w = indices("video", NATIVE, SEEN)[:, 0].tolist()
    assert t == [0, 1, 2, 2, 2, 2, 2, 2, 4, 5]
    assert h[2:8] == [1, 1, 1, 2, 2, 2] and w[2:8] == [1, 2, 3, 1, 2, 3]
    assert h[:2] == [0, 1] and w[8:] == [4, 5]


@pytest.mark.parametrize("way", ["line", "m-rope", "video"])
def test_packed_documents_begin_anew(way) -> None:
    both, ends = torch.cat((SEEN, SEEN), 1), torch.tensor([0, 10, 20])
    native = rope_index(both, GRID.repeat(2, 1), cu_seqlens=ends)
    packed = indices(way, native, both, ends)
    alone = indices(way, NATIVE, SEEN)
    assert torch.equal(packed, torch.cat((alone, alone), -1))


def test_every_way_shares_out_all_channels_and_words_turn_alike() -> None:
    counts = {way: torch.bincount(torch.tensor(share(16)), minlength=3).tolist() for way, share in AXES.items()}
    assert counts == {"line": [16, 0, 0], "m-rope": [4, 6, 6], "interleaved": [6, 5, 5], "video": [4, 6, 6]}
    words = torch.zeros(1, 7, dtype=torch.bool)
    native = rope_index(words)
    cos, _ = rotary_tables(native, 32, 1e4, 1e2, torch.float32)
    for way in AXES:
        own, _ = tables(way, indices(way, native, words), 32, 1e4, torch.float32)
        assert torch.equal(own[..., :16], cos[..., :16]) and torch.equal(own[..., 16:], own[..., :16])

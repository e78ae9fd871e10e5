"""A stage may begin with a delta checkpoint, and says in one line when it begins with half a one."""

from __future__ import annotations

import pytest
import torch

from pixelword.checkpoints.delta import write_delta
from pixelword.checkpoints.grow import grow
from pixelword.checkpoints.load import load_pretrained
from pixelword.checkpoints.registry import find
from pixelword.errors import CheckpointError
from pixelword.processing import NeoOVProcessor
from pixelword.training.building import build_model, build_processor


@pytest.fixture
def delta(tiny_base, tmp_path):
    model, tokenizer = grow(find(tiny_base), **tiny_base.growth, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "grown")
    NeoOVProcessor(tokenizer=tokenizer).save_pretrained(tmp_path / "grown")
    write_delta(tmp_path / "grown", tmp_path / "delta", base="tiny-lm")
    return tmp_path / "delta"


def test_a_stage_begins_with_a_delta(delta, tiny) -> None:
    recipe = tiny(f"model={{from: {delta}}}", "tokenizer=null")
    model = build_model(recipe, build_processor(recipe))
    expected = load_pretrained(delta, dtype=torch.float32).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config.llm_config._attn_implementation == recipe.attention == "eager"


def test_half_a_checkpoint_is_one_line(delta, tiny) -> None:
    recipe = tiny(f"model={{from: {delta}}}", "tokenizer=null")
    (delta / "delta.json").unlink()
    with pytest.raises(CheckpointError, match="copy the weights there"):
        build_model(recipe, build_processor(recipe))

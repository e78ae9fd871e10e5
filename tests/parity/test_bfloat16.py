"""In bfloat16 our logits are no further from float32 than those of transformers' own Qwen3 of equal shape."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from pixelword.checkpoints.grow import grow

SEEDS = range(6)


def distance(model: torch.nn.Module, ids: torch.Tensor) -> float:
    """Root mean square of bfloat16's logits less float32's, over that of float32's."""
    with torch.no_grad():
        exact = model.float()(ids).logits
        rough = model.bfloat16()(ids).logits.float()
    return float((rough - exact).norm() / exact.norm())


@pytest.mark.parametrize("length", [96, 320])  # long rows take another kernel on CPUs without AMX
def test_as_near_to_float32_as_qwen3(length: int) -> None:
    settings = Qwen3Config(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
    )
    theirs, ours = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        language = Qwen3ForCausalLM(settings).eval()
        for parameter in language.parameters():  # as large as a trained model's, so that attention is not uniform
            parameter.data = parameter.data * 3 if parameter.ndim > 1 else torch.rand_like(parameter) + 0.5
        language.bfloat16().float()  # the same numbers in both types, so that only the arithmetic differs
        native, _ = grow(language, extra_num_layers=0, vision_hidden_size=16)
        ids = torch.randint(0, 512, (2, length))
        theirs.append(distance(language, ids))
        ours.append(distance(native, ids))
    assert sum(ours) <= sum(theirs), (ours, theirs)

"""FLOPs of a step are those that torch counts in it, whatever is trained."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pixelword.model import SIZES, NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.training.cost.flops import network_rates, rates, training_flops
from pixelword.training.recipe import LoraRecipe
from pixelword.training.stages import ROLES, set_trainable

TINY = {
    "vision_config": {"hidden_size": 16},
    "llm_config": {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "extra_num_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    },
    "img_context_token_id": 3,
}  # fmt: skip
ROWS, LENGTH, PATCHES = 2, 12, 8


def tiny(trainable: list[str], tied: bool = True) -> NeoOVForConditionalGeneration:
    text = {**TINY["llm_config"], "tie_word_embeddings": tied}
    network = NeoOVForConditionalGeneration(NeoOVConfig(**{**TINY, "llm_config": text}, attn_implementation="eager"))
    set_trainable(network, trainable)
    return network.train()


def step(network: NeoOVForConditionalGeneration) -> int:
    """One forward and backward pass with a picture of 2 visual tokens; returns the FLOPs that torch saw."""
    ids = torch.full((ROWS, LENGTH), 7)
    ids[0, 2:4] = 3
    labels = torch.full((ROWS, LENGTH), -100)
    labels[1, 5:9] = 9
    with FlopCounterMode(display=False) as counter:
        pixels, grid = torch.randn(PATCHES, 768), torch.tensor([[2, 4]])
        network(ids, pixel_values=pixels, image_grid_hw=grid, labels=labels, skip_logits=True).loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "trainable",
    [["all"], ["patch_embedding", "pre_buffer", "hw_projections"], ["hw_projections"], ["pre_buffer"], ["language"],
     ["patch_embedding"]],
    ids="+".join,
)  # fmt: skip
def test_counts_what_torch_counts(trainable: list[str], tied: bool) -> None:
    network = tiny(trainable, tied)
    # the written-out kernel multiplies every pair, visible or not
    counted = network_rates(network).flops(ROWS * LENGTH, ROWS * LENGTH**2, 4, PATCHES)
    assert counted == step(network)


def test_adapters_add_their_two_thin_products() -> None:
    targets = ["q_proj", "down_proj"]
    config = NeoOVConfig(**TINY)
    with_adapters = rates(config, [], LoraRecipe(rank=4, targets=targets))
    network = tiny([])
    peft = pytest.importorskip("peft", reason='needs peft: pip install "pixelword[train]"')
    adapted = peft.get_peft_model(network, peft.LoraConfig(r=4, target_modules=targets))
    assert with_adapters.flops(ROWS * LENGTH, ROWS * LENGTH**2, 4, PATCHES) == step(adapted)


def test_all_trained_is_six_per_parameter() -> None:
    config = NeoOVConfig(**SIZES["2b"])
    per_token = rates(config, ROLES).token
    assert per_token == pytest.approx(6 * 2.26e9, rel=0.005)
    assert training_flops(config, 10, 0, ["all"], 0, 0) == 10 * per_token

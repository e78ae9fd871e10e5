"""Adapters: they move and nothing else does, and what is written is the model that was trained."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from pixelword.errors import RecipeError
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.training.lora import add_adapters, merged, write_adapter
from pixelword.training.recipe import LoraRecipe
from pixelword.training.stages import set_trainable

INPUTS = {
    "input_ids": torch.tensor([[5, 3, 3, 7, 9, 11]]),
    "pixel_values": torch.linspace(-1, 1, 8 * 768).reshape(8, 768),
    "image_grid_hw": torch.tensor([[2, 4]]),
}


@pytest.fixture(scope="module")
def base() -> NeoOVForConditionalGeneration:
    torch.manual_seed(0)
    config = NeoOVConfig(
        vision_config={"hidden_size": 16},
        llm_config={
            "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "extra_num_layers": 1,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.3,
        },
        img_context_token_id=3,
        attn_implementation="eager",
    )  # fmt: skip
    return NeoOVForConditionalGeneration(config).eval()


def logits(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        return model(**INPUTS).logits


def trained_by_chance(
    base: NeoOVForConditionalGeneration, recipe: LoraRecipe, trainable: list[str]
) -> NeoOVForConditionalGeneration:
    """A copy with adapters, everything that is trained moved at random."""
    model = copy.deepcopy(base)
    set_trainable(model, trainable)
    with torch.no_grad():
        for parameter in add_adapters(model, recipe):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("trainable", [[], ["patch_embedding", "hw_projections"]])
def test_only_adapters_and_the_named_roles_are_trained(base, trainable) -> None:
    model = copy.deepcopy(base)
    set_trainable(model, trainable)
    whole = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    trained = add_adapters(model, LoraRecipe(rank=2))
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(trained) == len(names) and whole == {name for name in names if "lora_" not in name}
    adapted = {name.partition(".lora_")[0].rpartition(".")[2] for name in names - whole}
    assert "q_proj" in adapted and "down_proj" in adapted
    # what is trained whole needs no adapter beside it
    assert ("q_proj_hw" in adapted) == ("hw_projections" not in trainable)
    torch.testing.assert_close(logits(model), logits(base))


@pytest.mark.parametrize("trainable", [[], ["patch_embedding", "hw_projections"]])
def test_merged_is_the_model_with_adapters(base, trainable) -> None:
    recipe = LoraRecipe(rank=2, alpha=8.0)
    model = trained_by_chance(base, recipe, trainable)
    plain = copy.deepcopy(base)
    plain.load_state_dict(merged(dict(model.named_parameters()), recipe), strict=False)
    assert not torch.allclose(logits(model), logits(base), atol=1e-2)
    torch.testing.assert_close(logits(plain), logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trainable", [[], ["patch_embedding", "hw_projections"]])
def test_peft_loads_the_adapter(base, trainable, tmp_path: Path) -> None:
    recipe = LoraRecipe(rank=2, alpha=8.0)
    model = trained_by_chance(base, recipe, trainable)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    moved = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    write_adapter(tmp_path / "adapter", parameters, recipe, Path("base"), moved)
    again = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(logits(again), logits(model), rtol=1e-5, atol=1e-5)


def test_a_target_that_is_not_there_is_one_line_with_the_nearest_name(base) -> None:
    model = copy.deepcopy(base)
    set_trainable(model, [])
    with pytest.raises(RecipeError, match="no layer has a projection 'q_prj'; did you mean 'q_proj'"):
        add_adapters(model, LoraRecipe(targets=["q_prj"]))
    set_trainable(model, ["all"])
    with pytest.raises(RecipeError, match="trained whole already"):
        add_adapters(model, LoraRecipe(targets=["q_proj"]))

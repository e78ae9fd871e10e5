"""Resolves the configuration of the network that a stage trains, without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.checkpoints.names import close_name
from pixelword.checkpoints.released import read_config
from pixelword.errors import RecipeError
from pixelword.model import NeoOVConfig
from pixelword.training.building import build_processor, with_vocabulary

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

#: What a size says of the layers; vocabularies differ by the tokenizer that a model was grown with.
_SHAPE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "extra_num_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "qk_norm", "tie_word_embeddings",
)  # fmt: skip


def stage_config(recipe: Recipe) -> NeoOVConfig:
    """The configuration of the network that a stage trains: the checkpoint's where it is there, else the recipe's.

    Raises RecipeError if neither defines it, or if the checkpoint's size differs from the recipe's.
    """
    model = recipe.model
    found = checked_config(recipe)
    if found is not None:
        return found
    if model.from_ is not None and model.size is None:
        hint = close_name(str(model.from_))
        raise RecipeError(
            f"model.from: {model.from_} is not there yet{hint}; for a dry run without it, name model.size too"
        )
    if model.config is not None:
        return NeoOVConfig(**with_vocabulary(model.arguments, build_processor(recipe)))
    return NeoOVConfig(**model.arguments)


def checked_config(recipe: Recipe) -> NeoOVConfig | None:
    """The configuration of the checkpoint that a stage begins with, None where there is none.

    Raises RecipeError, naming the first difference, if its size differs from the recipe's.
    """
    model = recipe.model
    if model.from_ is None or not (model.from_ / "config.json").is_file():
        return None
    found = read_config(model.from_)
    if model.size is not None:
        expected = NeoOVConfig(**model.arguments)
        pairs = [(key, getattr(found.llm_config, key), getattr(expected.llm_config, key)) for key in _SHAPE]
        width = [config.vision_config.hidden_size for config in (found, expected)]
        for key, has, wants in (*pairs, ("vision_config.hidden_size", *width)):
            if has != wants:
                raise RecipeError(
                    f"model.size: {model.from_} is not a {model.size!r}: its {key} is {has}, not {wants}; "
                    "name its own size, or leave model.size out"
                )
    return found

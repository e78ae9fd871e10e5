"""The control tokens of a native model in a language model's vocabulary: found, put into spare rows, or renamed."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pixelword.errors import CheckpointError, InputError

from .configuration import NeoOVConfig

#: In the released order: in Qwen3's vocabulary they are 151669, 151670, ….
GROUNDING = ("<IMG_CONTEXT>", "<img>", "</img>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
#: Qwen3 has these; a language model of another type may not.
CHAT = ("<|im_start|>", "<|im_end|>")
_CONFIG_KEYS = {
    "img_context_token_id": "<IMG_CONTEXT>",
    "img_start_token_id": "<img>",
    "img_end_token_id": "</img>",
}


def add_control_tokens(
    tokenizer: PreTrainedTokenizerBase | None, vocab_size: int, spare_tokens: Sequence[str] = ()
) -> tuple[PreTrainedTokenizerBase | None, dict[str, int]]:
    """A copy of the tokenizer that has every control token, and the ids that `NeoOVConfig` wants.

    A token that is there keeps its id. The others take the places of `spare_tokens`, in order, and then new ids.
    Without a tokenizer the ids are `NeoOVConfig`'s own where `vocab_size` reaches that far, else the next after it.

    Raises:
        CheckpointError: a tokenizer that is not a fast one.
        InputError: `spare_tokens` without a tokenizer, or ones that are not unused tokens of it.
    """
    if tokenizer is None:
        if spare_tokens:
            raise InputError(
                "spare_tokens name tokens of a tokenizer, and there is none: put its files into the folder"
            )
        released = NeoOVConfig()
        ids = {key: int(getattr(released, key)) for key in _CONFIG_KEYS}
        if max(ids.values()) < vocab_size:
            return None, ids
        return None, {key: vocab_size + i for i, key in enumerate(_CONFIG_KEYS)}
    if not tokenizer.is_fast:
        raise CheckpointError(f"{type(tokenizer).__name__} is not a fast tokenizer: give one with a tokenizer.json")
    known = tokenizer.get_vocab()
    missing = [token for token in (*GROUNDING, *CHAT) if token not in known]
    renamed = dict(zip(spare_tokens, missing, strict=False))
    for spare in spare_tokens:
        if spare not in known or spare in (*GROUNDING, *CHAT):
            raise InputError(f"spare token {spare!r} is not an unused token of this tokenizer: name others")
    grown = _renamed(tokenizer, renamed) if renamed else copy.deepcopy(tokenizer)
    grown.add_tokens(missing[len(renamed) :], special_tokens=True)
    return grown, {key: grown.get_vocab()[token] for key, token in _CONFIG_KEYS.items()}


def _renamed(tokenizer: PreTrainedTokenizerBase, names: dict[str, str]) -> PreTrainedTokenizerBase:
    """A tokenizer in which some tokens have other names, and are control tokens; their ids stay."""
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    for old, new in names.items():
        number = tokenizer.convert_tokens_to_ids(old)
        if isinstance(vocabulary, dict):
            vocabulary.pop(old, None)
            vocabulary[new] = number
        else:  # Unigram: pairs of a token and its score, by id
            vocabulary[number][0] = new
        plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        state["added_tokens"] = [one for one in state["added_tokens"] if one["id"] != number]
        state["added_tokens"].append({"id": number, "content": new, **plain, "special": True})
    state["added_tokens"].sort(key=lambda one: one["id"])
    kept = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        chat_template=tokenizer.chat_template,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
        **kept,
    )

"""Checks that `generate` still agrees with the network, if an installed package is newer than those tested.

A release of transformers that renames what `generate` hands to a model can make every answer wrong without an error.
One greedy step on the cache, compared with the same step without one, finds that in the time of four short forwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig

from pixelword import compat
from pixelword.errors import VersionError

if TYPE_CHECKING:
    from .modeling import NeoOVForConditionalGeneration

#: Tokens of the prompt, and the largest relative difference between logits with and without a cache, by dtype.
_PROMPT, _TOLERANCE = 8, {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


@torch.inference_mode()
def cached_step_difference(model: NeoOVForConditionalGeneration) -> float:
    """Relative difference of the second token's logits: by `generate` on its cache, and by one forward without."""
    config = model.config
    visual = {config.img_context_token_id, config.img_start_token_id, config.img_end_token_id}
    words = [index for index in range(config.llm_config.vocab_size) if index not in visual]
    ids = torch.tensor([words[:: max(len(words) // _PROMPT, 1)][:_PROMPT]], device=model.device)
    settings = GenerationConfig(
        max_new_tokens=2, min_new_tokens=2, do_sample=False, use_cache=True, pad_token_id=0,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    cached = output.logits[1][0].float()
    plain = model(input_ids=output.sequences[:, :-1], use_cache=False, logits_to_keep=1).logits[0, -1].float()
    return float((cached - plain).norm() / plain.norm().clamp(min=1e-9))


def cached_step_problem(model: NeoOVForConditionalGeneration) -> str:
    """What is wrong with a cached step, in words; empty where nothing is."""
    try:
        difference = cached_step_difference(model)
    except Exception as error:  # whatever an unknown release breaks is the answer
        return f"a cached step fails: {type(error).__name__}: {error}"
    if difference <= _TOLERANCE.get(model.dtype, max(_TOLERANCE.values())):
        return ""
    return f"logits of a cached step are off by {difference:.0%}"


def check_versions(model: NeoOVForConditionalGeneration) -> None:
    """Refuse a model whose cached step is wrong, where a package is newer than those tested; elsewhere do nothing.

    Raises:
        VersionError: naming the versions and the command that mends it.
    """
    newer = compat.untested()
    if not newer or not (problem := cached_step_problem(model)):
        return
    names = " and ".join(f"{name} {installed} (tested up to {tested})" for name, (installed, tested) in newer.items())
    bounds = " ".join(f'"{name}=={tested}.*"' for name, (_, tested) in newer.items())
    raise VersionError(f"answers would be wrong with {names}: {problem}; run: pip install {bounds}")

"""Where an answer must end: the tokens that close it, and the context that prompt and answer share.

Every way to an answer asks here. (The token that fills rows up is the processor's: `NeoOVProcessor.pad_token_id`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.processing.types import Encoded


def end_tokens(model: NeoOVForConditionalGeneration, processor: NeoOVProcessor) -> frozenset[int]:
    """Tokens that end an answer: the generation config's, or where it names none the tokenizer's."""
    ids = model.generation_config.eos_token_id
    ids = processor.tokenizer.eos_token_id if ids is None else ids
    return frozenset([ids] if isinstance(ids, int) else ids or [])


def context_length(model: NeoOVForConditionalGeneration) -> int:
    """Steps of t that the model was made for: without images, tokens of prompt and answer together."""
    return model.config.get_text_config().max_position_embeddings


def answer_room(prompt: Encoded, context: int, max_model_len: int | None = None, *, evicts: bool = False) -> int:
    """Tokens that an answer to a prompt may have; not above zero where it may have none.

    An image takes one step of t however many tokens it has, so the tokens of a long video may outnumber the context.

    Args:
        context: See `context_length`.
        max_model_len: Tokens of prompt and answer together, as long as their positions are within the context; the
            context's number when None.
        evicts: Old frames of the prompt are evicted: positions alone are bounded.
    """
    steps = len(prompt) - prompt.visual_tokens + len(prompt.images)
    room = context - steps
    return room if evicts else min(room, (max_model_len or context) - len(prompt))

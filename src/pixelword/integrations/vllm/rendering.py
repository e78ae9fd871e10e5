"""Chats to tokens for vLLM's server: text by a tokenizer without control tokens, media positions by id.

vLLM would render the chat to one string and tokenize it, so that `<|im_end|>` or `<img>` in a message would become the
control token. Here a chat is tokenized as by `NeoOVProcessor.encode`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllm.renderers.chat_utils import parse_chat_messages, parse_chat_messages_async
from vllm.renderers.hf import HfRenderer

from pixelword.errors import InputError
from pixelword.processing import NeoOVProcessor
from pixelword.processing.chat import Clip, Picture, segments

from .prompt import PLACEHOLDERS, Prompt

MODE = "pixelword"
_HERE = "its place is held by control tokens"


class NeoOVRenderer(HfRenderer):
    """vLLM's renderer for `tokenizer_mode="pixelword"`, which the plugin chooses."""

    def __init__(self, config: Any, tokenizer: Any) -> None:
        super().__init__(config, tokenizer)
        self.processor = NeoOVProcessor.from_pretrained(config.model_config.tokenizer)

    def render_messages(self, messages: list[Any], params: Any) -> tuple[list[Any], dict[str, Any]]:
        conversation, media, uuids = parse_chat_messages(messages, self.model_config, **_reading(params))
        return self._prompt(conversation, media, uuids, params)

    async def render_messages_async(self, messages: list[Any], params: Any) -> tuple[list[Any], dict[str, Any]]:
        reading = _reading(params)
        conversation, media, uuids = await parse_chat_messages_async(messages, self.model_config, **reading)
        return self._prompt(conversation, media, uuids, params)

    def _prompt(self, conversation: list[Any], media: Any, uuids: Any, params: Any) -> tuple[list[Any], dict[str, Any]]:
        prompt: dict[str, Any] = {
            "prompt_token_ids": chat_tokens(self.processor, conversation, params.chat_template_kwargs)
        }
        if media is not None:
            prompt["multi_modal_data"] = media
        if uuids is not None:
            prompt["multi_modal_uuids"] = uuids
        return conversation, prompt


def _reading(params: Any) -> dict[str, Any]:
    """Return the parsing options of messages. Raises `InputError` for chat templates: there is only one format."""
    if params.chat_template is not None:
        raise InputError("this model writes its own chat format: leave the chat template out")
    return {
        "content_format": "openai",
        "media_io_kwargs": params.media_io_kwargs,
        "mm_processor_kwargs": params.mm_processor_kwargs,
    }


def chat_tokens(
    processor: NeoOVProcessor, conversation: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
) -> list[int]:
    """Tokenize a chat whose images and videos have no source; their positions are `Prompt.slot`s."""
    found = segments(
        [{**item, "content": _content(item.get("content"))} for item in conversation],
        add_generation_prompt=bool(options.get("add_generation_prompt", True)),
        continue_final_message=bool(options.get("continue_final_message", False)),
    )
    places = Prompt(processor)
    ids: list[int] = []
    for segment in found:
        if isinstance(segment, (Picture, Clip)):
            ids += places.slot("image" if isinstance(segment, Picture) else "video")
        else:
            ids += processor.words(segment)[0]
    return ids


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [part | {part["type"]: _HERE} if part.get("type") in PLACEHOLDERS else part for part in content]

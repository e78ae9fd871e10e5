"""What a session answers, and the value of an answer that has a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from pixelword.errors import InputError
from pixelword.generation.detokenizer import FinishReason
from pixelword.generation.media_usage import image_usage, video_usage
from pixelword.generation.request import Request
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.processing.boxes import Place, places

#: A JSON schema: one written out, or a Pydantic model.
Schema = type[BaseModel] | Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The model's answer, and what it cost.

    Attributes:
        text: The answer, without control tokens.
        prompt_tokens: Length of the prompt, visual tokens included.
        visual_tokens: Those of the prompt that stand for pixels.
        new_tokens: Tokens generated, including the end token.
        seconds: From the messages to the last token, preparation included.
        held_tokens: Peak number of tokens in the KV cache.
        finish_reason: "stop" where the model ended the answer, or a stop string did; "length" where it was cut.
        objects: Places that the answer names, in the pixels of the images that were sent.
        images, videos: What was read of each; see :mod:`pixelword.generation.media_usage`.
        parsed: With a schema, the answer's value: an instance of the Pydantic model, or what JSON has. None where the
            answer was cut before its end.
    """

    text: str
    prompt_tokens: int
    visual_tokens: int
    new_tokens: int
    seconds: float
    held_tokens: int = 0
    finish_reason: FinishReason = "stop"
    objects: tuple[Place, ...] = ()
    images: tuple[dict[str, Any], ...] = ()
    videos: tuple[dict[str, Any], ...] = ()
    parsed: Any = None

    @classmethod
    def of(cls, request: Request, seconds: float) -> Answer:
        """The answer of a request that has ended."""
        usage, spans = request.usage, request.prompt.images
        return cls(
            text=request.text.strip(),
            prompt_tokens=usage.prompt_tokens,
            visual_tokens=usage.visual_tokens,
            new_tokens=usage.completion_tokens,
            seconds=seconds,
            held_tokens=usage.peak_cached_tokens,
            finish_reason="stop" if request.reason == "stop" else "length",
            objects=places(request.text, spans),
            images=tuple(image_usage(spans)),
            videos=tuple(video_usage(spans)),
        )


def structure_of(schema: Schema) -> StructuredOutputs:
    """The form of an answer with this schema. Raises InputError: it is not a schema."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return StructuredOutputs(json=_closed(schema.model_json_schema()), place="schema")
    if isinstance(schema, Mapping):
        return StructuredOutputs(json=schema, place="schema")
    raise InputError(f"schema: give a Pydantic model or a JSON schema as a dict, not {schema!r}")


def _closed(schema: Any) -> Any:
    """A Pydantic model's schema whose objects have no other members than the model, which would ignore them."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(part) for name, part in schema.items()}
    return {"additionalProperties": False} | found if schema.get("type") == "object" else found


def with_value(answer: Answer, schema: Schema) -> Answer:
    """An answer that has this schema, with its value if it was not cut: of `123`, `1` is JSON, too.

    Raises:
        InputError: the Pydantic model has validators that refuse it.
    """
    if answer.finish_reason != "stop":
        return answer
    try:
        value = json.loads(answer.text)
    except ValueError:
        return answer
    if isinstance(schema, Mapping) or schema is True:
        return replace(answer, parsed=value)
    try:
        return replace(answer, parsed=schema.model_validate_json(answer.text))
    except ValidationError as error:
        why = f"the answer {answer.text} has the schema of {schema.__name__}, but its validators refuse it: {error}"
        raise InputError(why) from error

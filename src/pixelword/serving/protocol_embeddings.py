"""What clients of `/v1/embeddings` send: OpenAI's form, and vLLM's with `messages` for images."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pixelword.generation.embedding import Pooling
from pixelword.serving.fields import Text, problem
from pixelword.serving.protocol_conversation import Media, Messages, ModelName

MOST_INPUTS = 2048
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=2**18)]


class EmbeddingsRequest(Media):
    """`POST /v1/embeddings`."""

    place: ClassVar[str] = "embeddings"
    model: ModelName = None
    input: Annotated[
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MOST_INPUTS)]
        | None,
        Field(description="A text or its token IDs, or a list of either; exclusive with `messages`."),
    ] = None
    messages: Annotated[Messages | None, Field(description="A conversation with images, which gets one embedding.")] = (
        None
    )
    pooling: Annotated[
        Pooling | None, Field(description="`mean`, the default: of all tokens' states; `last`: the last token's state.")
    ] = None
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        Field(description="`float`, the default, or `base64`: little-endian float32."),
    ] = None
    dimensions: Annotated[
        int | None, Field(ge=1, description="The model's own number of dimensions; no other is possible.")
    ] = None

    @model_validator(mode="after")
    def _either(self) -> EmbeddingsRequest:
        if (self.input is None) == (self.messages is None):
            raise problem("input", "give input or messages")
        return self

    @property
    def inputs(self) -> list[str] | list[list[int]]:
        """Texts, or lists of token IDs; none where there are messages."""
        if self.input is None:
            return []
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return self.input

"""The form that clients want an answer to have, as OpenAI and vLLM write it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.serving.fields import Body, JSONObject, Text, Words, problem


class JsonSchema(Body):
    place: ClassVar[str] = "json_schema"
    schema_: Annotated[JSONObject, Field(alias="schema")]


class ResponseFormat(Body):
    """Form of an answer, as OpenAI has it. schema_field: what errors call the schema."""

    place: ClassVar[str] = "response_format"
    schema_field: ClassVar[str] = "response_format.json_schema.schema"
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _whole(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise problem("response_format", "type json_schema and the field json_schema go together")
        return self

    def structure(self) -> StructuredOutputs | None:
        if self.json_schema is not None:
            return StructuredOutputs(json=self.json_schema.schema_, place=self.schema_field)
        return StructuredOutputs(json_object=True) if self.type == "json_object" else None


class Structured(Body):
    """Form of an answer, as vLLM has it."""

    place: ClassVar[str] = "structured_outputs"
    json_: Annotated[JSONObject | Text | None, Field(alias="json")] = None
    json_object: bool | None = None
    choice: list[Words] | None = None
    regex: Text | None = None
    grammar: Text | None = None

    def structure(self) -> StructuredOutputs:
        """Raises InputError: not exactly one is given."""
        return StructuredOutputs(self.json_, self.json_object or False, self.choice, self.regex, self.grammar)

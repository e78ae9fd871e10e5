"""Forms that the soak's answers must have: schemas, choices, expressions, boxes, calls; and whether they have them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from soak_answers import Answer

from pixelword.processing.boxes import boxes_schema

CHOICES = ("red", "green", "blue", "a circle", "a square")
EXPRESSION = "[A-Z]{3}-[0-9]{4}"
Thousandth = Annotated[int, Field(ge=0, le=1000)]
Form = Literal["schema", "choice", "regex", "boxes", "tools"]


class Strict(BaseModel):
    """An object of exactly these fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Seen(Strict):
    """What is in a picture."""

    colour: Literal["red", "green", "blue", "yellow", "purple", "orange", "black"]
    objects: Annotated[int, Field(ge=0, le=9)]
    words: Annotated[list[Annotated[str, Field(max_length=8)]], Field(max_length=3)]


class Boxed(Strict):
    """A place of an answer."""

    label: Annotated[str, Field(min_length=1, max_length=80)]
    box: Annotated[list[Thousandth], Field(min_length=4, max_length=4)]


class Boxes(Strict):
    """The places of an answer."""

    objects: Annotated[list[Boxed], Field(max_length=100)]


class Crop(Strict):
    """Arguments of the tool."""

    side: Literal["left", "right", "top", "bottom"]
    share: Annotated[int, Field(ge=1, le=9)]


SCHEMA = Seen.model_json_schema()
BOXES = boxes_schema()
BOXES["properties"]["objects"] |= {"minItems": 1, "maxItems": 2}
BOXES["properties"]["objects"]["items"]["properties"]["label"]["maxLength"] = 12
TOOL = {"name": "crop", "description": "Cut a part of the picture out."}
ARGUMENTS = Crop.model_json_schema()


def broken(form: Form | None, answer: Answer) -> str | None:
    """Why an answer has not the form that it must have; an answer that was cut need not parse."""
    if form is None or answer.cut:
        return None
    try:
        return _broken(form, answer)
    except ValueError as error:
        return f"answered {answer.content[:120]!r}, which is no {form}: {error}"


def _broken(form: Form, answer: Answer) -> str | None:
    fits = True
    match form:
        case "schema":
            Seen.model_validate_json(answer.content)
        case "choice":
            fits = answer.content in CHOICES
        case "regex":
            fits = re.fullmatch(EXPRESSION, answer.content) is not None
        case "tools":
            fits = bool(answer.calls) and all(name == TOOL["name"] for name, _ in answer.calls)
            for _, arguments in answer.calls:
                Crop.model_validate_json(arguments)
        case "boxes":
            named = [item.box for item in Boxes.model_validate_json(answer.content).objects]
            # a box without an area is no place
            fits = len(answer.objects) == sum(x1 != x2 and y1 != y2 for x1, y1, x2, y2 in named)
    return None if fits else f"answered {answer.content[:120]!r} {answer.calls}, which is no {form}"


def chat(form: Form) -> dict[str, Any]:
    """The fields that ask chat completions for a form."""
    if form in ("choice", "regex"):
        return {"structured_outputs": {form: CHOICES if form == "choice" else EXPRESSION}}
    if form == "tools":
        function = {"type": "function", "function": {**TOOL, "parameters": ARGUMENTS}}
        return {"tools": [function], "tool_choice": "required", "parallel_tool_calls": False}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": form, "schema": _schema(form)}}}


def responses(form: Form) -> dict[str, Any]:
    """The same of responses."""
    if form == "tools":
        function = {"type": "function", **TOOL, "parameters": ARGUMENTS}
        return {"tools": [function], "tool_choice": "required", "parallel_tool_calls": False}
    return {"text": {"format": {"type": "json_schema", "name": form, "schema": _schema(form)}}}


def messages(form: Form) -> dict[str, Any]:
    """The same of messages."""
    if form == "tools":
        choice = {"type": "any", "disable_parallel_tool_use": True}
        return {"tools": [{**TOOL, "input_schema": ARGUMENTS}], "tool_choice": choice}
    return {"output_config": {"format": {"type": "json_schema", "schema": _schema(form)}}}


def _schema(form: Form) -> dict[str, Any]:
    return BOXES if form == "boxes" else SCHEMA

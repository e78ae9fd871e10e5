"""Answers that must have a form: alone, in a batch, in pieces, with guesses, and cut."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

pytest.importorskip("llguidance", reason='answers with a form need pip install "pixelword[structured]"')

from pixelword.errors import InputError
from pixelword.generation.answer import with_value
from pixelword.generation.engine import Engine
from pixelword.generation.request import BatchingOptions, Request
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Answer, Session, load, user_message
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.types import Encoded

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURE = EXAMPLES / "three_squares.png"


class Seen(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: Literal["red", "green", "blue"]
    count: int = Field(ge=0, le=9)
    words: list[Literal["left", "right", "top"]] = Field(max_length=2)


JSON = StructuredOutputs(json=Seen.model_json_schema())
# what prompt lookup finds again
REPEATS = StructuredOutputs(regex="(the red box, the blue box; ){6}end")


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def prompt(session: Session) -> Encoded:
    return session.processor.encode([user_message("describe the picture", PICTURE)], add_generation_prompt=True)


@pytest.fixture(scope="module", params=[0, 6], ids=["without guesses", "with guesses"])
def engine(session: Session, request: pytest.FixtureRequest) -> Iterator[Engine]:
    options = BatchingOptions(num_speculative_tokens=request.param)
    with Engine(session.model, session.processor, options) as running:
        yield running


def submitted(engine: Engine, prompt: Encoded, structure: StructuredOutputs | None, **options: Any) -> Request:
    options.setdefault("max_new_tokens", 160)
    return engine.submit(prompt, Sampling(structured_outputs=structure, **options))


def test_each_has_its_form_and_the_others_stay_as_they_are(session, prompt, engine) -> None:
    """Greedy and drawn, beside an answer without a form."""
    free = session.answer([user_message("describe the picture", PICTURE)]).text
    requests = [
        submitted(engine, prompt, None),
        submitted(engine, prompt, JSON),
        submitted(engine, prompt, JSON, temperature=2.0, seed=5),
        submitted(engine, prompt, StructuredOutputs(choice=["a cat", "a dog"]), repetition_penalty=1.5),
        submitted(engine, prompt, StructuredOutputs(regex=r"\d{3}-[a-z]{2}"), temperature=1.0, top_p=0.5, top_k=3),
        submitted(engine, prompt, StructuredOutputs(grammar='start: "x"~3 | "y" "z"')),
        submitted(engine, prompt, None),
        submitted(engine, prompt, REPEATS),
    ]
    first, greedy, drawn, choice, digits, grammar, last, repeats = [request.result() for request in requests]
    assert first.strip() == last.strip() == free
    assert all(Seen.model_validate_json(text) for text in (greedy, drawn)) and choice in ("a cat", "a dog")
    assert re.fullmatch(r"\d{3}-[a-z]{2}", digits) and grammar in ("xxx", "yz")
    assert repeats == "the red box, the blue box; " * 6 + "end"
    assert {request.reason for request in requests} == {"stop"}
    if engine.options.num_speculative_tokens:
        assert requests[-1].usage.accepted_draft_tokens > 10


def test_the_tokens_are_those_without_guesses(session, prompt, engine) -> None:
    """And those of a session, greedy."""
    for structure in (JSON, REPEATS):
        text = submitted(engine, prompt, structure).result()
        asked = session.answer(
            [user_message("describe the picture", PICTURE)], session.sampling(160, structured_outputs=structure)
        )
        assert asked.text == text


def test_an_answer_in_pieces_and_its_log_probabilities(engine, prompt) -> None:
    """Over the tokens that the grammar allows; the likeliest are some of these."""
    request = submitted(engine, prompt, JSON, logprobs=5)
    pieces = list(request)
    assert "".join(piece.text for piece in pieces) == request.text and Seen.model_validate_json(request.text)
    assert all(piece.logprob is not None and piece.logprob <= 0 for piece in pieces)
    assert all(math.isfinite(value) for piece in pieces for _, value in piece.top)
    assert all(piece.top[0][0] == piece.id for piece in pieces)
    only = next(piece for piece in pieces if len(piece.top) == 1)  # where the grammar leaves no choice
    assert only.logprob == pytest.approx(0)


def test_it_is_cut_and_says_so(session, engine, prompt) -> None:
    request = submitted(engine, prompt, JSON, max_new_tokens=5)
    assert request.result() and request.reason == "length"
    answer = session.ask("describe the picture", images=PICTURE, schema=Seen, max_new_tokens=5)
    assert answer.finish_reason == "length" and answer.parsed is None and answer.text == request.text.strip()


def test_a_cut_answer_has_no_value_even_if_what_is_left_is_json() -> None:
    answer = Answer("1", prompt_tokens=1, visual_tokens=0, new_tokens=1, seconds=1.0, finish_reason="length")
    assert with_value(answer, {"type": "integer"}).parsed is None
    assert with_value(replace(answer, finish_reason="stop"), {"type": "integer"}).parsed == 1


def test_stop_strings_and_stop_tokens_count_within(engine, prompt) -> None:
    request = submitted(engine, prompt, JSON, stop=('"count"',))
    assert request.result().startswith("{") and '"count"' not in request.text and request.stop_reason == '"count"'


def test_what_excludes_it_is_refused_and_what_leaves_nothing_fails_alone(engine, prompt) -> None:
    with pytest.raises(InputError, match="ignore_eos"):
        Sampling(structured_outputs=JSON, ignore_eos=True)
    fails = submitted(engine, prompt, JSON, allowed_token_ids=(40,))
    bad = submitted(engine, prompt, StructuredOutputs(json={"type": "strin"}))
    good = submitted(engine, prompt, JSON)
    with pytest.raises(InputError, match="no token is left"):
        fails.result()
    with pytest.raises(InputError, match=r"structured_outputs.json: Invalid type: strin"):
        bad.result()
    assert Seen.model_validate_json(good.result())


class Strict(BaseModel):
    word: Literal["a", "b"]

    @field_validator("word")
    @classmethod
    def never(cls, word: str) -> str:
        raise ValueError("never good")


def test_a_session_gives_the_value(session) -> None:
    answer = session.ask("describe the picture", images=PICTURE, schema=Seen)
    assert isinstance(answer, Answer) and isinstance(answer.parsed, Seen)
    assert answer.finish_reason == "stop" and json.loads(answer.text) == answer.parsed.model_dump()
    plain: dict[str, Any] = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}
    first, second = session.ask(["what is left?", "what is right?"], images=[PICTURE, PICTURE], schema=plain)
    assert set(first.parsed) | set(second.parsed) <= {1, 2} and len(first.parsed) == 2
    choice = StructuredOutputs(choice=["yes", "no"])
    assert session.ask("is it red?", images=PICTURE, structured_outputs=choice) in ("yes", "no")
    assert "".join(session.stream("is it red?", images=PICTURE, structured_outputs=choice)) in ("yes", "no")
    with pytest.raises(InputError, match="its validators refuse it"):
        session.ask("what?", schema=Strict)
    with pytest.raises(InputError, match=r"^schema.properties.a: Invalid type"):
        session.ask("what?", schema={"properties": {"a": {"type": "text"}}})
    with pytest.raises(InputError, match="give a Pydantic model or a JSON schema"):
        session.ask("what?", schema="text")


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), drawn=st.booleans(), padding=st.sampled_from([0, 27]))
def test_random_weights_and_padded_vocabularies(
    tiny_config, tiny_tokenizer, seed: int, drawn: bool, padding: int
) -> None:
    """Whatever the weights, the answer is valid: in one batch with one that is free."""
    config = type(tiny_config)(**tiny_config.to_dict())
    config.llm_config.vocab_size += padding
    torch.manual_seed(seed)
    model = NeoOVForConditionalGeneration(config).eval()
    session = Session(model, NeoOVProcessor(tokenizer=tiny_tokenizer))
    how: dict[str, Any] = {"temperature": 1.5, "seed": seed} if drawn else {}
    answers = session.ask(["what is it?", "and then?"], schema=Seen, max_new_tokens=200, **how)
    for answer in answers:
        assert answer.finish_reason == "stop" and isinstance(answer.parsed, Seen), answer

"""Tokens that may not come do not come, wherever they are guessed and whoever else is running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
)
from transformers.generation import PrefixConstrainedLogitsProcessor

from pixelword.errors import InputError
from pixelword.generation.constraints import Constraints
from pixelword.generation.detokenizer import IncrementalDetokenizer
from pixelword.generation.engine import Engine
from pixelword.generation.long_context.options import LongInputs
from pixelword.generation.request import BatchingOptions, Request
from pixelword.generation.sampling import Sampling, apply_top_k_top_p
from pixelword.generation.session import Session, load, user_message
from pixelword.processing.types import Encoded
from pixelword.processing.videos import frames_to_video

EXAMPLES = Path(__file__).parents[2] / "examples"
NEW = 24


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def prompt(session: Session) -> Encoded:
    asked = user_message("describe the picture", EXAMPLES / "three_squares.png")
    return session.processor.encode([asked], add_generation_prompt=True)


@pytest.fixture(scope="module", params=[0, 6], ids=["without guesses", "with guesses"])
def engine(session: Session, request: pytest.FixtureRequest) -> Iterator[Engine]:
    options = BatchingOptions(num_speculative_tokens=request.param)
    with Engine(session.model, session.processor, options) as running:
        yield running


def generated(session: Session, prompt: Encoded, processors: list[LogitsProcessor]) -> list[int]:
    inputs = session.processor.batch([prompt])
    found = session.model.generate(
        **inputs, max_new_tokens=NEW, do_sample=False, logits_processor=LogitsProcessorList(processors)
    )
    return found[0, len(prompt) :].tolist()


def submitted(engine: Engine, prompt: Encoded, **options: Any) -> Request:
    return engine.submit(prompt, Sampling(NEW, **options))


def test_greedy_tokens_are_those_of_generate_with_transformers_own_processors(session, prompt, engine) -> None:
    """All at once, beside an answer that nothing constrains."""
    encoder, end, length = session.processor.encoder, session.model.generation_config.eos_token_id, len(prompt)
    free = generated(session, prompt, [])
    words, answer = [encoder.answer(text) for text in (" blue", " square")], encoder.decode(free)
    assert all(text in answer for text in (" blue", " square")) and len({*free, end}) > 4
    kept = sorted({*free, *range(40, 80), end} - {free[1]})
    most, bias = max(set(free), key=free.count), free[0]
    cases: list[tuple[dict[str, Any], list[LogitsProcessor]]] = [
        ({}, []),
        ({"bad_words": (" blue", " square")}, [NoBadWordsLogitsProcessor(words, eos_token_id=end)]),
        ({"min_tokens": NEW}, [MinNewTokensLengthLogitsProcessor(length, NEW, end)]),
        ({"allowed_token_ids": tuple(kept)}, [PrefixConstrainedLogitsProcessor(lambda row, ids: kept, 1)]),
        ({"logit_bias": {bias: -100.0, most: 2.5}}, [SequenceBiasLogitsProcessor({(bias,): -100.0, (most,): 2.5})]),
        ({"repetition_penalty": 3.0}, [RepetitionPenaltyLogitsProcessor(3.0)]),
    ]
    generations = [submitted(engine, prompt, **options) for options, _ in cases]
    for (options, processors), item in zip(cases, generations, strict=True):
        found = [token.id for token in item]
        assert found == generated(session, prompt, processors), options
        assert (found == free) == (not options)


def test_guesses_hold_under_constraints_too(session, prompt) -> None:
    options = {"min_tokens": 60, "max_new_tokens": 60, "bad_words": ("nowhere",), "logprobs": 2}
    tokens, steps = [], []
    for number in (0, 6):
        batching = BatchingOptions(num_speculative_tokens=number)
        with Engine(session.model, session.processor, batching) as running:
            item = running.submit(prompt, Sampling(**options))
            tokens.append([(token.id, token.text, token.top[0][0]) for token in item])
            steps.append(running.steps)
    assert tokens[0] == tokens[1]
    assert item.usage.accepted_draft_tokens > 0 and steps[0] - steps[1] == item.usage.accepted_draft_tokens


def test_logprobs_stay_the_network_s_own(session, prompt, engine) -> None:
    plain = list(submitted(engine, prompt, logprobs=1))
    forced = next(iter(submitted(engine, prompt, logprobs=1, allowed_token_ids=(50,))))
    assert forced.id == 50 and forced.top[0] == pytest.approx(plain[0].top[0], abs=1e-4)
    assert forced.logprob < plain[0].logprob


def test_a_stop_token_ends_an_answer_without_its_text(session, prompt, engine) -> None:
    ids = generated(session, prompt, [])
    decode = session.processor.encoder.decode
    stop = ids[4]
    before = ids[: ids.index(stop)]
    item = submitted(engine, prompt, stop_token_ids=(stop,), ignore_eos=True)
    assert [token.id for token in item] == [*before, stop] and item.text == decode(before)
    assert (item.reason, item.stop_reason) == ("stop", stop)
    item = submitted(engine, prompt, stop_token_ids=(stop,), include_stop_str_in_output=True)
    assert item.result() == decode([*before, stop])
    late = submitted(engine, prompt, stop_token_ids=(stop,), min_tokens=len(before) + 1)
    assert stop not in [token.id for token in late][: len(before) + 1]


def test_a_stop_string_is_in_the_text_where_that_is_wanted(session, prompt, engine) -> None:
    whole = session.processor.encoder.decode(generated(session, prompt, []))
    stop = whole[5:8]
    end = whole.index(stop)
    for include in (False, True):
        item = submitted(engine, prompt, stop=(stop,), include_stop_str_in_output=include)
        pieces = [token.text for token in item]
        assert "".join(pieces) == item.text == whole[: end + 3 * include]
        assert (item.reason, item.stop_reason) == ("stop", stop)
    late = submitted(engine, prompt, stop=(stop,), min_tokens=NEW)
    assert late.result().startswith(whole[: end + 3]) and (late.reason, late.stop_reason) == ("length", None)


def test_where_no_token_is_left_that_request_alone_fails(session, prompt, engine) -> None:
    letters = session.processor.encoder.answer("aa")
    a = letters[0]
    ways = {"allowed_token_ids": (a,), "bad_words": (session.processor.encoder.decode([a, a, a]),)}
    stuck, well = submitted(engine, prompt, **ways), submitted(engine, prompt)
    with pytest.raises(InputError, match="no token is left after"):
        stuck.result()
    assert well.result() == session.answer([user_message("describe the picture", EXAMPLES / "three_squares.png")]).text
    end = session.model.generation_config.eos_token_id
    with pytest.raises(InputError, match="no token is left after 0"):
        submitted(engine, prompt, allowed_token_ids=(end,), min_tokens=1).result()


@pytest.mark.parametrize("name", ["stop_token_ids", "allowed_token_ids", "logit_bias"])
@pytest.mark.parametrize("token", [-1, 10**6])
def test_tokens_that_the_model_does_not_have_are_refused_by_name(prompt, engine, name, token) -> None:
    with pytest.raises(InputError, match=f"{name}: {token} is not a token"):
        submitted(engine, prompt, **{name: {token: 1.0} if name == "logit_bias" else (token,)})


@pytest.mark.parametrize(
    "fault",
    [
        {"min_p": 1.5},
        {"min_p": float("nan")},
        {"min_tokens": -1},
        {"min_tokens": 65},
        {"allowed_token_ids": ()},
        {"bad_words": ("",)},
        {"logit_bias": {3: 101.0}},
        {"logit_bias": {3: float("nan")}},
    ],
)
def test_what_makes_no_sense_is_refused(fault) -> None:
    with pytest.raises(InputError, match=next(iter(fault))):
        Sampling(**fault)


@pytest.mark.parametrize(
    "options",
    [
        {"bad_words": (" blue", " square")},
        {"min_tokens": NEW},
        {"logit_bias": {41: 4.0, 43: -100.0}, "repetition_penalty": 1.7},
        {"repetition_penalty": 3.0, "min_p": 0.05, "temperature": 0.9, "seed": 2},
        {"allowed_token_ids": tuple(range(40, 400))},
        {"stop_token_ids": tuple(range(60, 300, 3)), "min_tokens": 2},
        {"stop_token_ids": tuple(range(60, 300, 3)), "include_stop_str_in_output": True},
        {"stop": ("e",), "min_tokens": 4},
        {"stop": ("e",), "include_stop_str_in_output": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_a_session_answers_as_the_engine_does(session, prompt, engine, options) -> None:
    """Alone, in a batch with another prompt, and as a stream."""
    item = submitted(engine, prompt, **options)
    expected, words = item.result().strip(), "describe the picture"
    image, asking = EXAMPLES / "three_squares.png", {"max_new_tokens": NEW, **options}
    assert session.ask(words, images=image, **asking) == expected
    assert session.ask([words, "2 + 3"], images=[image, ()], **asking)[0] == expected
    stream = session.stream(words, images=image, **asking)
    assert "".join(stream) == expected and stream.finish_reason == item.reason


def test_with_old_frames_dropped_the_same_constraints_hold(session) -> None:
    film = frames_to_video([Image.new("RGB", (64, 64), color) for color in ("red", "blue", "green")] * 4, fps=1.0)
    long = Session(session.model, session.processor, long=LongInputs(kept_frames=4))
    free = long.ask("what colour is it?", videos=film)
    assert free and free not in long.ask("what colour is it?", videos=film, bad_words=free, max_new_tokens=8)
    letter = session.processor.encoder.answer("a")[0]
    assert long.ask("?", videos=film, allowed_token_ids=[letter], max_new_tokens=5) == "aaaaa"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_token_ids": [10**6]}, "stop_token_ids: 1000000 is not a token"),
        ({"min_tokens": 5, "max_new_tokens": 4}, "min_tokens is 5: use 0 to the most"),
        ({"allowed_token_ids": []}, "allowed_token_ids is empty"),
    ],
)
def test_a_session_refuses_what_makes_no_sense_before_it_answers(session, options, message) -> None:
    with pytest.raises(InputError, match=message):
        session.stream("what is 2 plus 3?", **options)


def test_where_no_token_is_left_a_session_says_so(session) -> None:
    end = session.model.generation_config.eos_token_id
    with pytest.raises(InputError, match="no token is left after 0"):
        session.ask("what is 2 plus 3?", allowed_token_ids=[end], min_tokens=1)


def test_a_session_takes_every_sampling(session) -> None:
    question = [user_message("what is 2 plus 3?")]
    assert session.answer(question, Sampling(logprobs=1)).text == session.answer(question).text
    assert session.answer(question, Sampling(9, ignore_eos=True)).new_tokens == 9


def test_a_bad_word_is_spelt_at_the_start_and_after_a_space(session) -> None:
    encode = session.processor.encoder.answer
    forbid = Constraints(Sampling(bad_words=("  red",)), (), encode)
    plain, spaced = encode("red"), encode(" red")
    assert plain != spaced and len(plain) == len(spaced) == 1
    left = forbid(torch.zeros(session.model.config.get_text_config().vocab_size), [])
    assert left.isinf().nonzero()[:, 0].tolist() == sorted(plain + spaced)


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=2, max_size=12), st.floats(0, 1), st.floats(0.1, 3))
def test_min_p_is_that_of_transformers(scores: list[float], min_p: float, temperature: float) -> None:
    whole = torch.tensor(scores)
    left = apply_top_k_top_p(whole, Sampling(temperature=temperature, min_p=min_p)).isfinite()
    theirs = MinPLogitsWarper(min_p)(torch.zeros(1, 0, dtype=torch.int64), whole[None] / temperature)[0]
    assert torch.equal(left, theirs.isfinite())


def test_drawing_with_min_p_of_one_is_greedy(session, prompt, engine) -> None:
    drawn = submitted(engine, prompt, temperature=2.0, min_p=1.0)
    assert [token.id for token in drawn] == generated(session, prompt, [])


@settings(deadline=None)
@given(
    st.text("ab", max_size=14), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3), st.booleans()
)
def test_the_first_stop_string_ends_the_text(text: str, stop: list[str], include: bool) -> None:
    """Letter by letter, with nothing given out that is not in the answer."""
    words = IncrementalDetokenizer(lambda ids: "".join(map(chr, ids)), tuple(stop), include_stop=include)
    pieces = []
    for letter in text:
        pieces.append(words.add(ord(letter)))
        if words.stopped:
            break
    pieces.append(words.finish())
    ends = sorted((text.find(item) + len(item), text.find(item), item) for item in stop if item in text)
    if not ends:
        assert "".join(pieces) == text and words.stop_string is None
        return
    end = ends[0][0]
    first = min(start for stops, start, _ in ends if stops == end)
    assert "".join(pieces) == words.text == text[: end if include else first]


def test_a_stop_string_counts_that_ends_after_the_least_tokens() -> None:
    words = IncrementalDetokenizer(lambda ids: "".join(map(chr, ids)), ("ab",))
    for number, letter in enumerate("ababab", 1):
        words.add(ord(letter), may_stop=number > 3)
        if words.stopped:
            break
    assert number == 4 and words.text == "ab"

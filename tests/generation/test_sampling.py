"""Draws follow the probabilities that are asked for; text comes whole, and not past a stop string."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor

from pixelword.errors import InputError
from pixelword.generation.detokenizer import IncrementalDetokenizer
from pixelword.generation.sampling import Sampler, Sampling, apply_repetition_penalty, apply_top_k_top_p
from pixelword.processing.tokenizer import TextEncoder


def test_draws_follow_the_distribution() -> None:
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05])
    draw = Sampler(Sampling(temperature=1.0, seed=0))
    counts = torch.bincount(torch.tensor([draw(chances.log(), []) for _ in range(4000)]), minlength=4)
    assert torch.allclose(counts / 4000, chances, atol=0.03)


def test_temperature_sharpens() -> None:
    chances = torch.tensor([0.6, 0.4])
    draw = Sampler(Sampling(temperature=0.5, seed=0))
    share = sum(draw(chances.log(), []) == 0 for _ in range(4000)) / 4000
    assert share == pytest.approx(0.36 / (0.36 + 0.16), abs=0.03)


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=2, max_size=12, unique=True), st.integers(1, 12), st.floats(0.01, 1.0))
def test_what_is_left_is_the_smallest_likely_set(scores: list[float], top_k: int, top_p: float) -> None:
    whole = torch.tensor(scores, dtype=torch.float64)
    left = apply_top_k_top_p(whole, Sampling(temperature=1.0, top_k=top_k)).isfinite()
    assert left.sum() == min(top_k, len(scores)) and whole[left].min() >= whole[~left].amax() if (~left).any() else True
    left = apply_top_k_top_p(whole, Sampling(temperature=1.0, top_p=top_p)).isfinite()
    shares = whole.softmax(-1)
    assert shares[left].sum() >= top_p - 1e-9
    assert shares[left].sum() - shares[left].min() < top_p + 1e-9  # without the least of them it would be too little


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=3, max_size=12), st.lists(st.integers(0, 2), max_size=5), st.floats(0.5, 2))
def test_the_penalty_is_that_of_transformers(scores: list[float], said: list[int], penalty: float) -> None:
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([said], dtype=torch.int64), torch.tensor([scores]))
    assert torch.equal(apply_repetition_penalty(torch.tensor(scores), said, penalty), theirs[0])


@pytest.mark.parametrize(
    "fault",
    [
        {"top_p": 0.0},
        {"repetition_penalty": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"stop": ("",)},
        {"logprobs": 21},
        {"temperature": float("nan")},
    ],
)
def test_what_makes_no_sense_is_refused(fault) -> None:
    with pytest.raises(InputError, match=next(iter(fault))):
        Sampling(**fault)


TEXT = "Grüße, 世界! 🦊 says: the end. And more"


@pytest.mark.parametrize("stop", [(), ("nowhere",), ("the end",), ("nowhere", "🦊"), ("e", "the"), (" And more",)])
def test_pieces_are_the_text_up_to_a_stop_string(tiny_tokenizer, stop) -> None:
    words = IncrementalDetokenizer(tiny_tokenizer.decode, stop)
    pieces = []
    for token in tiny_tokenizer.encode(TEXT, add_special_tokens=False):
        pieces.append(words.add(token))
        assert "\N{REPLACEMENT CHARACTER}" not in pieces[-1]
        if words.stopped:
            break
    pieces.append(words.finish())
    places = [TEXT.index(text) for text in stop if text in TEXT]
    assert "".join(pieces) == TEXT[: min(places, default=None)] == words.text
    assert words.stopped == bool(places)
    assert sum(map(bool, pieces)) > 2 or places == [2]


def test_half_a_character_comes_out_at_the_end_alone(tiny_tokenizer) -> None:
    words = IncrementalDetokenizer(tiny_tokenizer.decode)
    first = tiny_tokenizer.encode("🦊", add_special_tokens=False)[0]
    assert words.add(first) == "" and words.finish() == "\N{REPLACEMENT CHARACTER}"


def test_marks_of_boxes_are_words_and_other_control_tokens_are_not(tiny_tokenizer) -> None:
    encoder = TextEncoder(tiny_tokenizer)
    said = "<ref>cup</ref><box>[[1, 2, 3, 4]]</box>"
    ids = [encoder.control["<img>"], *encoder.answer(said), tiny_tokenizer.eos_token_id]
    assert encoder.decode(ids) == said
    words = IncrementalDetokenizer(encoder.decode)
    assert "".join([*map(words.add, ids), words.finish()]) == said

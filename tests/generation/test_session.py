"""What a session promises: one answer however it is asked for, and no trace of a request."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import pixelword
from pixelword import machine
from pixelword.checkpoints.load import convert, load_pretrained
from pixelword.errors import CheckpointError, InputError, MediaError
from pixelword.generation.sampling import Sampler
from pixelword.generation.session import Sampling, Session, conversation, user_message
from pixelword.generation.streaming import StrippedText
from pixelword.processing.videos import frames_to_video

QUESTION = "what is it?"


@pytest.fixture(scope="module")
def session(tiny_model_dir: Path) -> Session:
    return pixelword.load(str(tiny_model_dir), device="cpu")


@pytest.fixture
def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((64, 64)).convert("RGB")


def test_an_answer_counts_its_tokens(session: Session, picture: Image.Image) -> None:
    began = time.perf_counter()
    answer = session.answer([user_message(QUESTION, [picture, picture])], Sampling(max_new_tokens=5))
    assert 0 < answer.seconds <= time.perf_counter() - began
    assert answer.visual_tokens == 2 * session.processor.image_tokens(64, 64)
    assert answer.prompt_tokens > answer.visual_tokens
    assert 1 <= answer.new_tokens <= 5


def test_a_lone_picture_or_video_needs_no_list(session: Session, picture: Image.Image) -> None:
    assert session.ask(QUESTION, images=picture) == session.ask(QUESTION, images=[picture])
    clip = frames_to_video([picture, picture], fps=1.0)
    assert session.ask(QUESTION, videos=clip) == session.ask(QUESTION, videos=[clip])


def test_what_is_shown_and_said_before_matters(session: Session, picture: Image.Image) -> None:
    """Random weights give every prompt an answer of its own, unless something of it got lost on the way."""
    asked: list[dict[str, Any]] = [{}, {"images": [picture]}, {"images": [picture] * 2}, {"system": "Be brief."}]
    asked.append({"videos": [frames_to_video([picture], fps=1.0)]})
    answers = [session.ask(QUESTION, **item, temperature=1.0, seed=3) for item in asked]
    assert len(set(answers)) == len(asked)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_pieces_of_a_stream_are_the_answer(session: Session, picture: Image.Image, temperature: float) -> None:
    options: dict[str, Any] = {"images": [picture], "max_new_tokens": 48, "temperature": temperature, "seed": 5}
    assert "".join(session.stream(QUESTION, **options)) == session.ask(QUESTION, **options)


def test_white_space_at_the_ends_is_no_part_of_an_answer() -> None:
    pieces = ["\n", "  a ", "b", " \n", "c ", "\n"]
    text = StrippedText()
    assert "".join(map(text.add, pieces)) == text.text == "".join(pieces).strip()


def test_a_seed_repeats_an_answer_and_touches_nobody_else(session: Session) -> None:
    before = torch.get_rng_state()
    first, again, other = (session.ask(QUESTION, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert session.ask(QUESTION, temperature=1.0) != session.ask(QUESTION, temperature=1.0)
    assert torch.equal(before, torch.get_rng_state())


def test_draws_follow_the_softmax_at_the_temperature() -> None:
    scores = torch.tensor([[2.0, 0.0, 1.0, -1.0]]).expand(20_000, -1)
    drawn = Sampler(Sampling(temperature=0.7, seed=0)).noisy(scores).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.softmax(scores[0] / 0.7, -1), atol=0.01, rtol=0)


def test_requests_side_by_side_do_not_meet(session: Session, picture: Image.Image) -> None:
    asked = [{"images": [picture]}, {}, {"images": [picture.rotate(90)]}, {"system": "Be brief."}] * 2
    alone = [session.ask(QUESTION, **item) for item in asked]  # type: ignore[arg-type]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda item: session.ask(QUESTION, **item), asked))
    assert together == alone


def test_a_failure_of_the_model_reaches_the_one_who_iterates(session: Session) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    hook = session.model.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            list(session.stream(QUESTION))
    finally:
        hook.remove()


def test_an_abandoned_stream_stops_the_generation(session: Session) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    hook = session.model.register_forward_pre_hook(count)
    try:
        pieces = session.stream("tell me everything", max_new_tokens=1500, temperature=1.0, seed=0)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
    finally:
        hook.remove()
    assert 0 < calls < 1000


def test_a_chat_remembers_its_turns(session: Session, picture: Image.Image) -> None:
    chat = session.chat(system="Be brief.")
    first = chat.send(QUESTION, images=[picture])
    second = "".join(chat.stream("and now?"))
    assert [message["role"] for message in chat.messages] == ["system", "user", "assistant", "user", "assistant"]
    turns = conversation(
        user_message(QUESTION, [picture]),
        {"role": "assistant", "content": first},
        user_message("and now?"),
        system="Be brief.",
    )
    assert second == session.answer(turns).text
    chat.reset()
    assert chat.messages == [{"role": "system", "content": "Be brief."}]


def test_a_turn_that_fails_or_is_broken_off_leaves_no_trace(session: Session, tmp_path: Path) -> None:
    chat = session.chat()
    with pytest.raises(MediaError):
        chat.send(QUESTION, images=[tmp_path / "none.png"])
    pieces = chat.stream(QUESTION, temperature=1.0, seed=1)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert chat.messages == []


def test_a_question_longer_than_the_context_says_so(session: Session) -> None:
    with pytest.raises(InputError, match="but this model reads 2048 with the answer"):
        session.ask("why? " * 1000)


def test_an_answer_has_what_is_left_of_the_context(session: Session) -> None:
    start = session.answer([user_message("a")], Sampling(max_new_tokens=1)).prompt_tokens
    messages = [user_message("a" * (session.context - start - 2))]
    answer = session.answer(messages, Sampling(max_new_tokens=64))
    assert answer.prompt_tokens + answer.new_tokens <= session.context and answer.new_tokens <= 3
    assert session.sampling().max_new_tokens == 64  # the checkpoint's own
    session.model.generation_config.max_new_tokens = None
    assert session.sampling().max_new_tokens == session.context
    session.model.generation_config.max_new_tokens = 64


def test_an_answer_says_why_it_ended(session: Session) -> None:
    cut = session.answer([user_message(QUESTION)], session.sampling(max_new_tokens=12))
    assert (cut.finish_reason, cut.new_tokens) == ("length", 12) and len(cut.text) > 3
    stop = cut.text[2:4]
    ended = session.answer([user_message(QUESTION)], session.sampling(max_new_tokens=12, stop=stop))
    assert (ended.finish_reason, ended.text) == ("stop", cut.text[: cut.text.index(stop)].rstrip())
    stream = session.stream(QUESTION, max_new_tokens=12, stop=stop)
    assert stream.finish_reason is None
    assert "".join(stream) == ended.text and stream.finish_reason == "stop"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_questions_asked_together_are_answered_as_each_alone(
    session: Session, picture: Image.Image, temperature: float
) -> None:
    questions, images = ["what?", "what is on the left of it?", "and now?"], [(), picture, [picture, picture]]
    how: dict[str, Any] = {"max_new_tokens": 10, "temperature": temperature, "seed": 4, "top_k": 20, "top_p": 0.9}
    together = session.ask(questions, images=images, **how)
    assert together == [session.ask(item, images=two, **how) for item, two in zip(questions, images, strict=True)]
    with pytest.raises(InputError, match="for 3 questions give a list of 3"):
        session.ask(questions, images=[picture])


def test_a_penalty_makes_another_answer(session: Session) -> None:
    assert session.ask(QUESTION, repetition_penalty=3.0) != session.ask(QUESTION)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"question": "  "}, "the question is empty"),
        ({"question": 3}, "the question is of type int: give a string"),
        ({"question": "\ud83d what?"}, "half a character"),
        ({"question": QUESTION, "top_p": 0.0}, "top_p is 0.0"),
        ({"question": QUESTION, "max_new_tokens": 0}, "at least 1"),
        ({"question": QUESTION, "temperature": -1.0}, "temperature is -1.0"),
        ({"question": QUESTION, "temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(session: Session, asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        session.ask(**asked)
    with pytest.raises(InputError, match=complaint):
        session.stream(**asked)


def test_without_a_dtype_the_machine_decides_and_files_keep_theirs(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(tiny_model_dir, tmp_path / "half", "bfloat16")
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(machine, "is_native", lambda dtype, native=native: native or dtype == torch.float32)
        assert pixelword.load(str(tmp_path / "half"), device="cpu").model.dtype == expected
        assert pixelword.load(str(tmp_path / "half"), dtype="bfloat16", device="cpu").model.dtype == torch.bfloat16
        assert pixelword.load(str(tiny_model_dir), device="cpu").model.dtype == torch.float32
    convert(tmp_path / "half", tmp_path / "again")
    assert load_pretrained(tmp_path / "again").dtype == torch.bfloat16
    monkeypatch.setattr(machine, "memory", lambda: 1000.0)  # float32 does not fit
    monkeypatch.setattr(machine, "widening_pays", lambda: False)  # tests/generation/test_mixed.py has the other case
    assert pixelword.load(str(tmp_path / "half"), device="cpu").model.dtype == torch.bfloat16


def test_load_takes_a_dtype_and_names_what_it_does_not_know(tiny_model_dir: Path) -> None:
    assert pixelword.load(str(tiny_model_dir), dtype="bfloat16", device="cpu").model.dtype == torch.bfloat16
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        pixelword.load(str(tiny_model_dir), dtype="int3")
    with pytest.raises(InputError, match="'warp' is not available here"):
        pixelword.load(str(tiny_model_dir), device="warp")
    with pytest.raises(CheckpointError, match="nano"):
        pixelword.load("nanno")

"""The engine gives everybody the answer that `generate` gives, whoever else is running and whatever was read before."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.generation.engine import Engine
from pixelword.generation.request import BatchingOptions, Request
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session, load, user_message
from pixelword.processing.types import Encoded

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, SQUARES, SIDES = (EXAMPLES / f"{name}.png" for name in ("red_circle", "three_squares", "left_right"))
QUESTIONS = [
    user_message("what colour is the circle?", CIRCLE),
    user_message("how many objects are there?", SQUARES),
    user_message("describe the picture", SQUARES),
    user_message("which picture has more objects?", [SIDES, SQUARES]),
    user_message("which way does it move?", videos=EXAMPLES / "moving_right.mp4"),
    user_message("what is 2 plus 3?"),
]


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", dtype="float32", device="cpu")  # float32: another order of sums changes no answer


@pytest.fixture(scope="module")
def prompts(session: Session) -> list[Encoded]:
    return [session.processor.encode([question], add_generation_prompt=True) for question in QUESTIONS]


@pytest.fixture(scope="module")
def answers(session: Session, prompts: list[Encoded]) -> list[str]:
    """Those of transformers' own `generate`."""
    return [generated(session, prompt) for prompt in prompts]


def generated(session: Session, prompt: Encoded, new_tokens: int = 64) -> str:
    ids = session.model.generate(**session.processor.batch([prompt]), max_new_tokens=new_tokens, do_sample=False)
    return session.processor.encoder.decode(ids[0, len(prompt) :].tolist()).strip()


def engine(session: Session, **options: int) -> Engine:
    return Engine(session.model, session.processor, BatchingOptions(**options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_speculative_tokens": 0, "prefix_bytes": 0},
        {"max_num_batched_tokens": 5},
        {"max_num_seqs": 2, "num_speculative_tokens": 8},
    ],
    ids=["as it is", "plain", "small chunks", "few places"],
)
def test_answers_are_those_of_generate(session, prompts, answers, options) -> None:
    with engine(session, **options) as running:
        for _ in range(2):  # the second time from the prefix cache
            generations = [running.submit(prompt) for prompt in prompts]
            assert [generation.result() for generation in generations] == answers
            assert {generation.reason for generation in generations} == {"stop"}
        cached = [generation.usage.cached_tokens for generation in generations]
        assert all(cached[:5]) if options.get("prefix_bytes", 1) else not any(cached)


def test_answers_of_a_session_are_those_of_generate(session, prompts, answers) -> None:
    assert [session.answer([question]).text for question in QUESTIONS] == answers
    assert [answer.text for answer in session.answers([[question] for question in QUESTIONS])] == answers
    with engine(session) as running:  # and sessions may be used while an engine runs
        busy = [running.submit(prompt) for prompt in prompts]
        assert [session.answer([question]).text for question in QUESTIONS] == answers
        assert [item.result() for item in busy] == answers


def test_a_second_question_reads_no_picture_again(session, prompts) -> None:
    first = session.processor.encode([user_message("what is this?", SIDES)], add_generation_prompt=True)
    other = session.processor.encode([user_message("what is on the left?", SIDES)], add_generation_prompt=True)
    picture_ends = int((first.mm_token_type_ids != 0).nonzero().max()) + 1
    with engine(session) as running:
        running.submit(first).result()
        again = running.submit(other)
        assert again.result() == session.answer([user_message("what is on the left?", SIDES)]).text
    assert again.usage.cached_tokens >= picture_ends


def test_another_picture_is_another_prefix(session, prompts, answers) -> None:
    """Pictures of one size have the same tokens; only their pixels tell them apart."""
    prompt = prompts[0]
    black = replace(prompt, pixel_values=torch.zeros_like(prompt.pixel_values))
    with engine(session) as running:
        assert running.submit(prompt).result() == answers[0]
        other = running.submit(black)
        other.result()
        assert other.usage.cached_tokens <= int((prompt.mm_token_type_ids != 0).nonzero().min())
        assert running.submit(prompt).result() == answers[0]


@pytest.mark.parametrize("seed", range(3))
def test_requests_come_and_go(session, prompts, answers, seed) -> None:
    rng = random.Random(seed)
    kept: list[tuple[Request, str]] = []
    with engine(session, max_num_seqs=3, max_num_batched_tokens=rng.choice([4, 16, 64])) as running:
        for _ in range(30):
            number = rng.randrange(len(prompts))
            item = running.submit(prompts[number])
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.01)
                item.cancel()
            else:
                kept.append((item, answers[number]))
            assert running.load[0] <= 3
        for item, expected in kept:
            assert item.result() == expected
    assert running.load == (0, 0) and running.core.scheduler.num_slots == 0


def test_cancelling_frees_a_place(session, prompts, answers) -> None:
    endless = Sampling(max_new_tokens=1500, ignore_eos=True)
    with engine(session, max_num_seqs=1) as running:
        item = running.submit(prompts[0], endless)
        first = next(iter(item))
        waiting = running.submit(prompts[1])
        never = running.submit(prompts[1])
        never.cancel()
        item.cancel()
        assert waiting.result() == answers[1] and item.result().startswith(first.text)
        assert (item.reason, waiting.reason) == ("cancelled", "stop")
        assert never.result() == "" and never.reason == "cancelled"
        assert item.usage.completion_tokens < 1500


def test_what_was_read_stays_within_its_memory(session, prompts, answers) -> None:
    with engine(session, prefix_bytes=60_000) as running:
        for prompt, answer in zip(prompts * 3, answers * 3, strict=True):
            assert running.submit(prompt).result() == answer
            assert running.prefix.nbytes <= 60_000
        assert running.prefix.nbytes > 0


def test_guesses_save_steps(session, prompts, answers) -> None:
    steps = []
    for number in (0, 6):
        with engine(session, num_speculative_tokens=number) as running:
            item = running.submit(prompts[2])
            assert item.result() == answers[2]
            steps.append(running.steps)
    assert item.usage.accepted_draft_tokens > 0 and steps[1] < steps[0]
    assert steps[1] + item.usage.accepted_draft_tokens == steps[0]


def test_a_seed_draws_what_a_session_draws(session, prompts) -> None:
    sampling = Sampling(temperature=1.5, seed=11)
    expected = session.answer([QUESTIONS[2]], sampling).text
    with engine(session) as running:
        busy = [running.submit(prompt) for prompt in prompts]
        assert running.submit(prompts[2], sampling).result().strip() == expected
        assert all(item.result() for item in busy)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_penalty_is_what_it_is_for_a_session(session, prompts, temperature) -> None:
    sampling = Sampling(32, temperature, seed=3, repetition_penalty=20.0)
    with engine(session) as running:
        found = running.submit(prompts[2], sampling).result()
    assert found.strip() == session.answer([QUESTIONS[2]], sampling).text
    assert found.strip() != session.answer([QUESTIONS[2]], replace(sampling, repetition_penalty=1.0)).text


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}])
def test_drawing_among_one_is_greedy(session, prompts, answers, narrow) -> None:
    with engine(session) as running:
        drawn = [running.submit(prompt, Sampling(temperature=2.0, **narrow)) for prompt in prompts]
        assert [item.result() for item in drawn] == answers


def test_logprobs_are_the_network_s_own(session, prompts) -> None:
    with engine(session) as running:
        tokens = list(running.submit(prompts[2], Sampling(logprobs=3, max_new_tokens=6)))
    ids = torch.cat((prompts[2].input_ids, torch.tensor([token.id for token in tokens])))
    with torch.no_grad():
        scores = session.model(
            input_ids=ids[None],
            pixel_values=prompts[2].pixel_values,
            image_grid_hw=prompts[2].image_grid_hw,
            logits_to_keep=len(tokens) + 1,
        ).logits[0, :-1]
    expected = scores.log_softmax(-1)
    for token, row in zip(tokens, expected, strict=True):
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-4)
        assert [id_ for id_, _ in token.top] == row.topk(3).indices.tolist()


def test_an_answer_ends_before_a_stop_string(session, prompts, answers) -> None:
    assert ", a blue" in answers[2]
    with engine(session) as running:
        item = running.submit(prompts[2], Sampling(stop=(", a blue", "nowhere")))
        pieces = [token.text for token in item]
    assert "".join(pieces) == item.text == answers[2].split(", a blue")[0]
    assert item.reason == "stop"


def test_length_ends_an_answer(session, prompts) -> None:
    with engine(session) as running:
        item = running.submit(prompts[2], Sampling(max_new_tokens=3))
        assert len(list(item)) == item.usage.completion_tokens == 3
    assert item.reason == "length"


def test_a_request_that_breaks_the_network_breaks_alone(session, prompts, answers) -> None:
    bad = replace(prompts[5], input_ids=torch.full_like(prompts[5].input_ids, 10**6))
    with engine(session) as running:
        good = [running.submit(prompt) for prompt in prompts]
        with pytest.raises(IndexError):
            running.submit(bad).result()
        with pytest.raises(ValueError, match="visual tokens"):
            types = torch.zeros_like(prompts[0].mm_token_type_ids)
            running.submit(replace(prompts[0], mm_token_type_ids=types)).result()
        assert [item.result() for item in good] == answers
        assert running.submit(prompts[0]).result() == answers[0]


@contextmanager
def held_up(running: Engine, prompt: Encoded) -> Iterator[None]:
    """The engine stands still within the answer to a prompt, and goes on when all that was submitted waits."""
    stands, go_on = threading.Event(), threading.Event()

    def listen(token: object) -> None:
        stands.set()
        go_on.wait(60)

    running.submit(prompt, Sampling(max_new_tokens=2), listen)
    assert stands.wait(60)
    yield
    # how many requests are prepared is seen here alone: the engine's counts are of those that the loop has taken over
    while not all(sequence.ready for sequence in list(running._incoming)):
        time.sleep(0.01)
    go_on.set()


def test_ends_of_words_are_read_at_once(session) -> None:
    """Questions about pictures that were read before; the engine is held up until all of them wait."""
    asked = [
        user_message(question, picture)
        for picture in (SIDES, SQUARES)
        for question in ("what is on the left?", "describe the picture", "how many objects are there in the picture?")
    ]
    prompts = [session.processor.encode([question], add_generation_prompt=True) for question in asked]
    expected = [session.answer([question]).text for question in asked]
    passes: list[tuple[int, int]] = []
    hook = session.model.register_forward_pre_hook(
        lambda model, args, inputs: passes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    with hook, engine(session, num_speculative_tokens=0) as running:
        for number in (0, 3):
            running.submit(prompts[number]).result()
        with held_up(running, prompts[0]):
            generations = [running.submit(prompt) for prompt in prompts]
            passes.clear()
        assert [generation.result() for generation in generations] == expected
    wide = [shape for shape in passes if shape[1] > 1]
    assert [rows for rows, _ in wide] == [len(prompts)]


def test_one_that_breaks_the_network_among_others_breaks_alone(session, prompts, answers) -> None:
    bad = replace(prompts[5], input_ids=torch.full_like(prompts[5].input_ids, 10**6))
    with engine(session) as running:
        running.submit(prompts[0]).result()
        with held_up(running, prompts[5]):
            generations = [running.submit(prompt) for prompt in (prompts[0], bad, prompts[5], prompts[0])]
        with pytest.raises(IndexError):
            generations[1].result()
        found = [generations[number].result() for number in (0, 2, 3)]
        assert found == [answers[0], answers[5], answers[0]]
    assert running.core.scheduler.num_slots == 0


def test_what_cannot_be_answered_is_refused(session, prompts) -> None:
    with engine(session, max_model_len=64) as running:
        with pytest.raises(InputError, match="more than the context of 64"):
            running.submit(prompts[0], Sampling(max_new_tokens=60))
        running.close()
        with pytest.raises(InputError, match="closed"):
            running.submit(prompts[0], Sampling(max_new_tokens=8))


def test_more_tokens_than_the_context_at_fewer_positions(session) -> None:
    """A picture takes one step of t: 144 of 16 tokens are more than nano's 2,048, at positions that it knows."""
    noise = torch.Generator().manual_seed(3)
    pictures = [
        Image.fromarray(torch.randint(0, 256, (128, 128, 3), generator=noise, dtype=torch.uint8).numpy())
        for _ in range(144)
    ]
    asked = user_message("how many pictures are there?", pictures)
    prompt = session.processor.encode([asked], add_generation_prompt=True, min_pixels=128 * 128)
    assert len(prompt) > 2048
    inputs = session.processor.batch([prompt])
    with torch.inference_mode():
        expected = session.model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, len(prompt) :].tolist()
    with engine(session) as running, pytest.raises(InputError, match="more than the context of 2,048"):
        running.submit(prompt, Sampling(max_new_tokens=4))
    with engine(session, max_model_len=4096) as running:
        assert 4 <= running.room(prompt) < 2048
        assert [token.id for token in running.submit(prompt, Sampling(max_new_tokens=4))] == expected
        with pytest.raises(InputError):
            running.submit(prompt, Sampling(max_new_tokens=running.room(prompt) + 1))


def test_closing_at_once_ends_all_that_run(session, prompts) -> None:
    """Several at different places: the cache of the others moves up when one of them leaves."""
    engine = Engine(session.model, session.processor)
    running = [engine.submit(prompt, Sampling(300, ignore_eos=True)) for prompt in prompts[:5]]
    while not all(request.token_ids for request in running):
        time.sleep(0.01)
    engine.close()
    assert {request.reason for request in running} == {"cancelled"}


def test_closing_may_wait_for_what_runs(session, prompts, answers) -> None:
    running = engine(session, max_num_seqs=2)
    generations = [running.submit(prompt) for prompt in prompts]
    running.close(cancel=False)
    assert [generation.result() for generation in generations] == answers


def test_a_sink_gets_every_token(session, prompts, answers) -> None:
    heard: list[str | None] = []
    with engine(session) as running:
        item = running.submit(prompts[2], sink=lambda token: heard.append(token.text if token else None))
        item.result()
    assert heard.pop() is None
    assert "".join(text for text in heard if text) == answers[2]
    with pytest.raises(TypeError, match="sink"):
        next(iter(item))

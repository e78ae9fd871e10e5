"""Accuracy on held-out drawn pictures: with the picture, without it, and with a wrong one.

Without the picture a model can only guess: what it still gets right is prior, not sight. A wrong picture tells the same
from the other side: a model that looks must lose there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from pixelword.data.schema import Sample
from pixelword.errors import InputError
from pixelword.tasks import nano

if TYPE_CHECKING:
    from pixelword.inference.session import Session

Condition = Literal["right", "none", "wrong"]
Conversation = list[dict[str, Any]]
Ask = Callable[[list[Conversation]], list[str]]
CONDITIONS: tuple[Condition, ...] = ("right", "none", "wrong")
#: Longest answer that a task has is a description of five things.
_NEW_TOKENS = 64


@dataclass(frozen=True)
class KindScore:
    """Share of exact answers of one kind.

    kind: a name of `tasks.nano.ASKED`; questions: how many were asked under each condition.
    chance: the best guess without looking, 0 where answers are open.
    right, none, wrong: share answered exactly with the picture, without, with another question's; the last two are None
    for a kind without pictures.
    """

    kind: str
    questions: int
    chance: float
    right: float
    none: float | None = None
    wrong: float | None = None


def evaluate(
    session: Session, *, kinds: Sequence[str] = nano.ASKED, questions: int = 200, level: float = 1.0, seed: int = 0
) -> Iterator[KindScore]:
    """Ask held-out questions of each kind, one to a picture, and compare greedy answers to the letter.

    Args:
        session: the model and its processor.
        kinds: which; `questions`: how many of each; `level`: 0 (easy) to 1.
        seed: another seed draws other pictures, all of the held-out split.

    Raises:
        InputError: an unknown kind, or no question.
    """
    if questions < 2:
        raise InputError(f"questions is {questions}: give at least 2, since a wrong picture is another question's")
    ask = partial(_answers, session)
    for kind in kinds:
        samples = held_out(kind, questions, level, seed)
        shares = {
            condition: share_right(ask, samples, condition)
            for condition in (CONDITIONS if _media(samples[0]) else CONDITIONS[:1])
        }
        yield KindScore(kind, questions, nano.chance(kind), **shares)


def held_out(kind: str, questions: int, level: float, seed: int) -> list[Sample]:
    """So many held-out samples that ask for this kind, the same ones for the same arguments."""
    rng = np.random.default_rng([seed, *kind.encode()])
    family = "count" if kind == "count_of" else kind
    # "count_of" is not asked of the easiest pictures; where it is, one in twenty draws is far below its share
    drawn = (nano.draw(family, rng, level=level, split="test") for _ in range(20 * questions))
    samples = list(islice((sample for sample in drawn if sample.kind == kind), questions))
    if len(samples) < questions:
        raise InputError(f"kind {kind!r} is hardly asked at level {level}: give a higher level")
    return samples


def share_right(ask: Ask, samples: Sequence[Sample], condition: Condition, batch: int = 32) -> float:
    """Share of samples whose answer `ask` gives to the letter, asked `batch` at a time under `condition`."""
    right = 0
    for a in range(0, len(samples), batch):
        numbers = range(a, min(a + batch, len(samples)))
        answers = ask([question(samples, number, condition) for number in numbers])
        right += sum(answer == samples[n].messages[-1]["content"] for n, answer in zip(numbers, answers, strict=True))
    return right / len(samples)


def question(samples: Sequence[Sample], number: int, condition: Condition) -> Conversation:
    """The messages before the answer, with their own media, with none, or with those of the nearest sample after it
    whose answer differs (so that a right answer there is not a right look)."""
    *messages, answer = samples[number].messages
    if condition == "right":
        return list(messages)
    media: list[dict[str, Any]] = []
    if condition == "wrong":
        others = (samples[(number + k) % len(samples)] for k in range(1, len(samples)))
        media = _media(next((o for o in others if o.messages[-1]["content"] != answer["content"]), samples[number - 1]))
    *before, user = messages
    words = [part for part in user["content"] if part["type"] == "text"]
    return [*before, {"role": "user", "content": [*media, *words]}]


def _media(sample: Sample) -> list[dict[str, Any]]:
    """The picture and video parts of the (one) user message."""
    content = sample.messages[-2]["content"]
    return [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]


@torch.inference_mode()
def _answers(session: Session, conversations: list[Conversation]) -> list[str]:
    """Greedy answers to a batch of conversations of any mix of sizes."""
    processor, model = session.processor, session.model
    batch = processor.batch([processor.encode(one, add_generation_prompt=True) for one in conversations])
    inputs = {name: value.to(model.device) for name, value in batch.items()}
    ids = model.generate(
        **inputs, max_new_tokens=_NEW_TOKENS, do_sample=False, eos_token_id=processor.tokenizer.eos_token_id
    )
    new = processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [answer.strip() for answer in new]

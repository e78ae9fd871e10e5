"""Images and words that belong together, found by the likelihood of the words: retrieval and naming without training.

Each text is scored as the answer to one question about an image. What a text is worth is its
log-probability with the image less that without one, so that words which are likely anyway do not win everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.scoring import loglikelihood

if TYPE_CHECKING:
    from pixelword.generation.session import Session

QUESTION = "What is this?"


@dataclass(frozen=True)
class Recall:
    """Share of queries whose partner is among the first k: `words` of images that find their text, `pictures` of
    texts that find their image, each k -> share. chance: what a guess finds."""

    words: dict[int, float]
    pictures: dict[int, float]
    chance: dict[int, float]


@torch.inference_mode()
def likelihoods(session: Session, media: Sequence[dict[str, Any]], texts: Sequence[str], question: str) -> Tensor:
    """(texts,) float32: log-probability a token of each text as the answer, its closing included.

    media: chat parts before the question, () for none; read once for all texts. Raises InputError for no text, and as
    `Session.answer` does.
    """
    if not texts or not all(text.strip() for text in texts):
        raise InputError("there is nothing to compare: give at least one text, and no empty one")
    asked = [{"role": "user", "content": [*media, {"type": "text", "text": question}]}]
    prompt = session.processor.encode(asked, add_generation_prompt=True, media=session.media)
    answers = [_answer(session, text) for text in texts]
    return torch.stack([item.logprobs.mean() for item in loglikelihood(session, prompt, answers)])


def _answer(session: Session, text: str) -> Tensor:
    """Ids of what is learned of a turn that says this: the words, and how it is closed."""
    encoded = session.processor.encode([{"role": "user", "content": "?"}, {"role": "assistant", "content": text}])
    return encoded.labels[encoded.labels >= 0]


def scores(
    session: Session,
    pictures: Sequence[Any],
    texts: Sequence[str],
    question: str = QUESTION,
    report: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """(pictures, texts) float32: how much likelier each image makes each text. report: gets the images done."""
    if not pictures:
        raise InputError("there is nothing to compare: give at least one picture")
    alone = likelihoods(session, (), texts, question)
    rows = []
    for number, item in enumerate(pictures, 1):
        rows.append(likelihoods(session, ({"type": "image", "image": item},), texts, question) - alone)
        report(number)
    return torch.stack(rows)


def names(session: Session, pictures: Sequence[Any], texts: Sequence[str], question: str = QUESTION) -> list[str]:
    """The likeliest of the texts for each image."""
    return [texts[int(place)] for place in scores(session, pictures, texts, question).argmax(1)]


def recall(table: Tensor, ks: Sequence[int] = (1, 5)) -> Recall:
    """Recall of a square table of scores, whose partners are on the diagonal; equal scores count as a miss.

    Raises InputError where the table is not square.
    """
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not len(table):
        raise InputError(f"scores of shape {tuple(table.shape)}: recall needs as many texts as pictures, in one order")
    shares = []
    for item in (table, table.T):
        before = (item >= item.diagonal()[:, None]).sum(1) - 1
        shares.append({k: float((before < k).float().mean()) for k in ks})
    return Recall(shares[0], shares[1], {k: min(1.0, k / len(table)) for k in ks})

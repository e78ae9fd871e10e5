"""Pictures and words that belong together, found by the likelihood of the words: retrieval and naming without training.

Each text is scored as the answer to one question about a picture. What a text is worth is its
log-probability with the picture less that without one, so that words which are likely anyway do not win everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.inference.session import Session

QUESTION = "What is this?"
#: Texts that are scored at once.
_ROWS = 32


@dataclass(frozen=True)
class Recall:
    """Share of queries whose partner is among the first k: `words` of pictures that find their text, `pictures` of
    texts that find their picture, each k -> share. chance: what a guess finds."""

    words: dict[int, float]
    pictures: dict[int, float]
    chance: dict[int, float]


@torch.inference_mode()
def likelihoods(session: Session, media: Sequence[dict[str, Any]], texts: Sequence[str], question: str) -> Tensor:
    """(texts,) float32: log-probability a token of each text, the closing token included, as the answer.

    media: chat parts before the question, () for none. Raises InputError for no text, and as `Session.answer` does.
    """
    if not texts or not all(text.strip() for text in texts):
        raise InputError("there is nothing to compare: give at least one text, and no empty one")
    words = [{"role": "user", "content": [*media, {"type": "text", "text": question}]}]
    encoded = [
        session.processor.encode([*words, {"role": "assistant", "content": text}], **vars(session.media))
        for text in texts
    ]
    found = []
    for a in range(0, len(encoded), _ROWS):
        batch = session.processor.batch(encoded[a : a + _ROWS], with_labels=True)
        inputs = {name: value.to(session.model.device) for name, value in batch.items()}
        labels = inputs.pop("labels")[:, 1:]
        first = int((labels >= 0).any(0).nonzero()[0])  # logits of the answers alone: all of them are large
        kept = labels.shape[1] + 1 - first
        logits = session.model(**inputs, logits_to_keep=kept, use_cache=False).logits[:, :-1].float()
        wanted = labels[:, first:]
        each = logits.log_softmax(-1).gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
        learnt = wanted >= 0
        found.append(((each * learnt).sum(1) / learnt.sum(1)).cpu())
    return torch.cat(found)


def scores(session: Session, pictures: Sequence[Any], texts: Sequence[str], question: str = QUESTION) -> Tensor:
    """(pictures, texts) float32: how much likelier each picture makes each text."""
    if not pictures:
        raise InputError("there is nothing to compare: give at least one picture")
    alone = likelihoods(session, (), texts, question)
    rows = [likelihoods(session, ({"type": "image", "image": one},), texts, question) - alone for one in pictures]
    return torch.stack(rows)


def names(session: Session, pictures: Sequence[Any], texts: Sequence[str], question: str = QUESTION) -> list[str]:
    """The likeliest of the texts for each picture."""
    return [texts[int(place)] for place in scores(session, pictures, texts, question).argmax(1)]


def recall(table: Tensor, ks: Sequence[int] = (1, 5)) -> Recall:
    """Recall of a square table of scores, whose partners lie on the diagonal; equal scores count as a miss.

    Raises InputError where the table is not square.
    """
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not len(table):
        raise InputError(f"scores of shape {tuple(table.shape)}: recall needs as many texts as pictures, in one order")
    shares = []
    for one in (table, table.T):
        before = (one >= one.diagonal()[:, None]).sum(1) - 1
        shares.append({k: float((before < k).float().mean()) for k in ks})
    return Recall(shares[0], shares[1], {k: min(1.0, k / len(table)) for k in ks})

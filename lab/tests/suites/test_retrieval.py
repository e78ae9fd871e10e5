"""Likelihoods of words are the model's own, whatever shares their batch; recall counts partners."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.generation.session import Session
from pixelword_lab.suites import retrieval

TEXTS = ("red", "a much longer answer", "?")


def test_likelihoods_are_those_of_the_loss(session: Session) -> None:
    """One text at a time, by the model's own loss over its labels."""
    media = ({"type": "image", "image": Image.new("RGB", (64, 96), "red")},)
    together = retrieval.likelihoods(session, media, TEXTS, "what?")
    for text, found in zip(TEXTS, together, strict=True):
        content = [*media, {"type": "text", "text": "what?"}]
        encoded = session.processor.encode(
            [{"role": "user", "content": content}, {"role": "assistant", "content": text}]
        )
        with torch.no_grad():
            loss = session.model(**session.processor.batch([encoded], with_labels=True)).loss
        assert float(found) == pytest.approx(-float(loss), rel=1e-4)


def test_what_is_likely_without_the_picture_does_not_count(session: Session) -> None:
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    table = retrieval.scores(session, pictures, TEXTS)
    alone = retrieval.likelihoods(session, (), TEXTS, retrieval.QUESTION)
    for picture, row in zip(pictures, table, strict=True):
        own = retrieval.likelihoods(session, ({"type": "image", "image": picture},), TEXTS, retrieval.QUESTION)
        torch.testing.assert_close(row, own - alone)
    assert retrieval.names(session, pictures, TEXTS) == [TEXTS[int(place)] for place in table.argmax(1)]


def test_recall_counts_partners_among_the_first() -> None:
    table = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.3, 0.2, 0.1]])
    found = retrieval.recall(table, (1, 2, 3))
    assert found.words == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1.0})
    assert found.pictures == pytest.approx({1: 2 / 3, 2: 2 / 3, 3: 1.0})
    assert found.chance == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1.0})
    assert retrieval.recall(torch.zeros(4, 4), (1,)).words == {1: 0.0}  # a model that says the same of all finds none


def test_bad_input_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="at least one text"):
        retrieval.scores(session, [Image.new("RGB", (64, 64))], ["a", " "])
    with pytest.raises(InputError, match="at least one picture"):
        retrieval.scores(session, [], ["a"])
    with pytest.raises(InputError, match="as many texts as pictures"):
        retrieval.recall(torch.zeros(2, 3))

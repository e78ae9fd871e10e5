"""Answers scored together, after a prompt that is read once, are worth what they are worth alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelword.generation.scoring import loglikelihood
from pixelword.generation.session import load, user_message

CIRCLE = Path(__file__).parents[2] / "examples" / "red_circle.png"


def test_scores_are_those_of_the_whole_conversation(tiny_model_dir: Path) -> None:
    session = load(str(tiny_model_dir), device="cpu")
    asked = user_message("what is it?", CIRCLE)
    prompt = session.processor.encode([asked], add_generation_prompt=True)
    answers = [torch.tensor(session.processor.encoder.answer(text)) for text in ("a", "red", "a red circle")]
    for answer, item in zip(answers, loglikelihood(session, prompt, answers), strict=True):
        inputs = session.processor.batch([prompt])
        inputs["input_ids"] = torch.cat((inputs["input_ids"], answer[None]), 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["mm_token_type_ids"] = torch.cat((inputs["mm_token_type_ids"], torch.zeros_like(answer)[None]), 1)
        with torch.inference_mode():
            logits = session.model(**inputs).logits[0, len(prompt) - 1 : -1].float()
        right = logits.log_softmax(-1).gather(-1, answer[:, None])[:, 0]
        torch.testing.assert_close(item.logprobs, right, atol=1e-5, rtol=1e-5)
        assert item.greedy == bool((logits.argmax(-1) == answer).all())


def test_what_the_model_says_is_greedy() -> None:
    session = load("nano", device="cpu")
    prompt = session.processor.encode([user_message("what colour is the circle?", CIRCLE)], add_generation_prompt=True)
    said, other = (torch.tensor(session.processor.encoder.answer(text)) for text in ("red", "blue"))
    red, blue = loglikelihood(session, prompt, [said, other])
    assert red.greedy and not blue.greedy and float(red.logprobs.sum()) > float(blue.logprobs.sum())


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_many_answers_in_pieces(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    session = load(str(tiny_model_dir), device="cpu")
    prompt = session.processor.encode([user_message("?")], add_generation_prompt=True)
    answers = [torch.tensor(session.processor.encoder.answer(text)) for text in ("a", "bc", "def", "g")]
    whole = loglikelihood(session, prompt, answers)
    monkeypatch.setattr("pixelword.generation.scoring._ROWS", rows)
    for item, other in zip(loglikelihood(session, prompt, answers), whole, strict=True):
        torch.testing.assert_close(item.logprobs, other.logprobs, atol=1e-5, rtol=1e-5)

"""Ends of prompts that are read together get the very logits that each gets alone, in the type that servers run in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixelword.generation.kv_slots import KVSlots
from pixelword.generation.model_runner import ModelRunner
from pixelword.generation.request import BatchingOptions
from pixelword.generation.session import Session, load, user_message
from pixelword.processing.types import Encoded

PICTURE = Path(__file__).parents[2] / "examples" / "left_right.png"
#: A prompt and how many of its tokens are read before.
Case = tuple[Encoded, int]


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", dtype="bfloat16", device="cpu")


@pytest.fixture(scope="module")
def network(session: Session):
    made = ModelRunner(
        session.model, KVSlots(session.model.config.get_text_config().num_hidden_layers), BatchingOptions()
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def read(session: Session, network: ModelRunner) -> Callable[[list[Case]], tuple[Tensor, Tensor]]:
    """read(cases): logits (B, vocabulary) of each prompt's last token, its end read alone, and with the others'."""

    @torch.inference_mode()
    def make(cases: list[Case]) -> tuple[Tensor, Tensor]:
        network.slots = KVSlots(session.model.config.get_text_config().num_hidden_layers)
        ends, alone = [], []
        for slot, (prompt, start) in enumerate(cases):
            grid = prompt.image_grid_hw if len(prompt.image_grid_hw) else None
            positions, _ = session.model.get_rope_index(
                prompt.input_ids[None], grid, None, prompt.mm_token_type_ids[None]
            )
            if start:
                network.prefill(prompt, positions, slot, 0, start)
            alone.append(network.prefill(prompt, positions, slot, start, len(prompt))[0, -1])
            ends.append((prompt, positions, start))
        return torch.stack(alone), network.prefill_batch(ends, 0)

    return make


def case(session: Session, question: str, left: int | None = None, pictures: tuple[Path, ...] = (PICTURE,)) -> Case:
    """A question of which `left` tokens are to be read; without it, all after its picture."""
    prompt = session.processor.encode([user_message(question, pictures)], add_generation_prompt=True)
    visual = (prompt.mm_token_type_ids != 0).nonzero()
    after = int(visual.max()) + 1 if len(visual) else 0
    return prompt, after if left is None else len(prompt) - left


QUESTIONS = "what is on the left?", "describe the picture", "how many objects are there in the picture?", "why?"


@pytest.mark.parametrize(
    "asked",
    [
        lambda s: [case(s, question) for question in QUESTIONS * 4],
        lambda s: [case(s, QUESTIONS[0], 2), case(s, QUESTIONS[1], 1), case(s, QUESTIONS[2], 3)],
        lambda s: [case(s, words, pictures=()) for words in ("hello", "what is 2 plus 3?", "what is 4 plus 1? " * 12)],
        lambda s: [case(s, QUESTIONS[0]), case(s, "what is 4 plus 1? " * 12, pictures=())],
        lambda s: [case(s, "what is 4 plus 1? " * 12, left, ()) for left in (70, 33, 12)],
        lambda s: [case(s, "what is 4 plus 1? " * 80, left, ()) for left in (300, 400)],
    ],
    ids=["questions on a picture", "a few tokens", "words alone", "both", "of other pasts", "many tokens"],
)
def test_ends_are_read_as_each_is_alone(session, network, read, asked) -> None:
    cases = asked(session)
    assert len({network.kernel(len(prompt) - start) for prompt, start in cases}) == 1
    alone, together = read(cases)
    assert torch.equal(alone, together)

"""A compiled step gives the logits of the network's own forward, and the engine with it the answers of `generate`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelword import machine
from pixelword.errors import InputError
from pixelword.generation.compiled_decode import CompiledStep
from pixelword.generation.engine import Engine
from pixelword.generation.kv_slots import KVSlots
from pixelword.generation.model_runner import ModelRunner
from pixelword.generation.prepared_weights import prepare
from pixelword.generation.request import BatchingOptions
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session, load, user_message
from pixelword.model import NeoOVForConditionalGeneration

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = [
    user_message("describe the picture", EXAMPLES / "three_squares.png"),
    user_message("what is 2 plus 3?"),
]
HAS_COMPILER = any(map(shutil.which, ("c++", "g++", "clang++")))


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", dtype="float32", device="cpu")


def slots_with_prompts(session: Session) -> tuple[ModelRunner, list[int], list[int]]:
    """Two prompts of their own lengths read into slots: the network, what is read of each, and the next t of each."""
    model = session.model
    network = ModelRunner(model, KVSlots(model.config.get_text_config().num_hidden_layers), BatchingOptions())
    read, following = [], []
    for slot, question in enumerate(QUESTIONS):
        prompt = session.processor.encode([question], add_generation_prompt=True)
        grid = prompt.image_grid_hw if len(prompt.image_grid_hw) else None
        positions, _ = model.get_rope_index(prompt.input_ids[None], grid, None, prompt.mm_token_type_ids[None])
        network.prefill(prompt, positions, slot, 0, len(prompt))
        read.append(len(prompt))
        following.append(int(positions[0].max()) + 1)
    return network, read, following


@pytest.mark.parametrize("bypass", [False, True], ids=["as released", "words bypass the pre-buffer"])
@pytest.mark.parametrize("length", [1, 4])
def test_a_step_is_the_network_s_own(session: Session, length: int, bypass: bool) -> None:
    config = session.model.config.get_text_config()
    config.text_bypasses_pre_buffer = bypass
    try:
        with torch.inference_mode():
            network, read, following = slots_with_prompts(session)
            ids = torch.randint(20, 200, (2, length), generator=torch.Generator().manual_seed(1))
            first, starts = torch.tensor(following), torch.tensor(read)
            expected = network.decode(ids, first, starts)
            kept = [network.slots.take(0, 0, read[0] + length), network.slots.take(1, 0, read[1] + length)]
            again, _, _ = slots_with_prompts(session)
            step = CompiledStep(session.model, compiled=False)
            torch.testing.assert_close(step(ids, first, again.slots, starts), expected, rtol=1e-4, atol=1e-4)
            for row, stretches in enumerate(kept):
                found = again.slots.take(row, 0, read[row] + length)
                for item, other in zip(stretches, found, strict=True):
                    torch.testing.assert_close(item, other, rtol=1e-4, atol=1e-4)
    finally:
        config.text_bypasses_pre_buffer = False


def test_a_step_takes_prepared_products() -> None:
    session = load("nano", dtype="float32", device="cpu")
    with torch.inference_mode():
        network, read, following = slots_with_prompts(session)
        where: list[Any] = [torch.tensor([[7], [8]]), torch.tensor(following), torch.tensor(read)]
        expected = network.decode(*where)
        step = CompiledStep(session.model, prepare(session.model, pack=True), compiled=False)
        found = step(where[0], where[1], network.slots, where[2])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C++ compiler")
def test_compiled_answers_are_those_of_generate(session: Session) -> None:
    expected = [session.answer([question], Sampling(max_new_tokens=16)).text for question in QUESTIONS]
    options = BatchingOptions(max_num_seqs=1, num_speculative_tokens=0, compile=True)
    with Engine(session.model, session.processor, options) as engine:
        prompts = [session.processor.encode([question], add_generation_prompt=True) for question in QUESTIONS]
        for _ in range(2):
            running = [engine.submit(prompt, Sampling(max_new_tokens=16)) for prompt in prompts]
            assert [item.result().strip() for item in running] == expected


def test_a_failure_to_compile_is_one_line(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no compiler\nand a long story")

    step = CompiledStep(session.model, compiled=False)
    monkeypatch.setattr(step, "_attended", fail)
    with torch.inference_mode(), pytest.raises(InputError, match=r"compiling failed \(no compiler\)"):
        step.warm_up(1, 1)


def test_an_engine_in_bfloat16_packs_where_that_pays_and_leaves_the_model_as_it_was(session: Session) -> None:
    own = load("nano", dtype="bfloat16", device="cpu")
    prompt = own.processor.encode([QUESTIONS[1]], add_generation_prompt=True)
    assert isinstance(own.model, NeoOVForConditionalGeneration)
    with Engine(own.model, own.processor) as engine:
        assert engine.submit(prompt).result().strip() == own.answer([QUESTIONS[1]]).text
        packed = "branches" in own.model.get_decoder().layers[0].self_attn.__dict__
        assert packed == machine.packing_pays(torch.bfloat16)
    assert "branches" not in own.model.get_decoder().layers[0].self_attn.__dict__

"""bfloat16 weights under float32 arithmetic: no further from float32 than bfloat16 is, in bfloat16's memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelword import machine
from pixelword.checkpoints.load import convert, load_pretrained
from pixelword.explain import look_inside
from pixelword.generation.expected import expected
from pixelword.generation.loading import load_model
from pixelword.generation.mixed import FEW, MixedLinear
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import load, user_message
from pixelword.model.config import NeoOVConfig
from pixelword.model.sizes import SIZES

SQUARES = Path(__file__).parents[2] / "examples" / "three_squares.png"
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    convert("nano", tmp_path / "half", "bfloat16")
    return tmp_path / "half"


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that emulates bfloat16, with too little memory for float32."""
    monkeypatch.setattr(machine, "is_native", lambda dtype: dtype == torch.float32)
    monkeypatch.setattr(machine, "widening_pays", lambda: True)
    monkeypatch.setattr(machine, "memory", lambda: 1e6)


def test_logits_are_no_further_from_float32_than_in_bfloat16(folder: Path, little: None) -> None:
    ids = torch.arange(300, 340)[None]
    errors = torch.zeros(2)
    models = (load_pretrained(folder, dtype="float32"), load_model(folder), load_model(folder, dtype="bfloat16"))
    assert [model.dtype for model in models] == [torch.float32, torch.float32, torch.bfloat16]
    assert models[1].get_decoder().layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    with torch.inference_mode():
        exact, mixed = (model(input_ids=ids).logits for model in models[:2])
        torch.testing.assert_close(mixed, exact, rtol=1e-4, atol=1e-4)
        for start in range(0, 39, FEW):  # few rows, as in decoding
            exact, mixed, half = (model(input_ids=ids[:, start : start + FEW]).logits.float() for model in models)
            errors += torch.stack(((mixed - exact).norm(), (half - exact).norm()))
    assert errors[0] <= errors[1]


def test_a_session_answers_and_explains_and_is_overridden_by_a_dtype(folder: Path, little: None) -> None:
    session = load(folder, device="cpu")
    plain = load(folder, device="cpu", dtype="float32")
    question, enough = [user_message("describe the picture", SQUARES)], Sampling(max_new_tokens=16)
    assert session.answer(question, enough).text == plain.answer(question, enough).text
    assert isinstance(session.model.get_output_embeddings().forward, MixedLinear)
    assert not isinstance(plain.model.get_output_embeddings().forward, MixedLinear)
    found = look_inside(session, "how many objects are there?", images=SQUARES, occlusions=0)
    assert found.answer == look_inside(plain, "how many objects are there?", images=SQUARES, occlusions=0).answer


def test_it_is_chosen_where_float32_does_not_fit_and_said(little: None, monkeypatch: pytest.MonkeyPatch) -> None:
    config = NeoOVConfig(**SIZES["2b"])
    found = expected(config, torch.bfloat16, CPU)
    assert found.reason == "bfloat16, products in float32 (bfloat16 is emulated on this CPU)"
    assert found.dtype == "bfloat16" and round(found.weights_bytes / 1e9, 2) == 5.17
    assert not machine.mixed_pays(torch.float32, 10**9, CPU)
    assert not machine.mixed_pays(torch.bfloat16, 10**9, torch.device("cuda"))
    monkeypatch.setattr(machine, "memory", lambda: 1e12)
    assert not machine.mixed_pays(torch.bfloat16, 10**9, CPU)
    monkeypatch.setattr(machine, "is_native", lambda dtype: True)
    monkeypatch.setattr(machine, "memory", lambda: 1e6)
    assert not machine.mixed_pays(torch.bfloat16, 10**9, CPU)
    assert found.weights_bytes > expected(config, torch.bfloat16, CPU, "int8").weights_bytes > 3e9

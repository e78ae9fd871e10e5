"""Prepared matrices give the answers of the plain ones, and leave gradients and saving to these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pixelword import machine
from pixelword.errors import InputError
from pixelword.generation.prepared_weights import INT8_ROWS, DenseLinear, Int8Linear, MkldnnLinear, prepare, restore
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session, load, user_message

SQUARES = Path(__file__).parents[2] / "examples" / "three_squares.png"
QUESTION = user_message("describe the picture", SQUARES)
ENOUGH = Sampling(max_new_tokens=24)


def loaded(dtype: str) -> Session:
    return load("nano", dtype=dtype, device="cpu")


def packed(weight: torch.Tensor) -> MkldnnLinear:
    """The weight in oneDNN's order; where this CPU cannot have that, the test says so, and that it is refused."""
    try:
        return MkldnnLinear(weight)
    except InputError as error:
        assert not machine.packing_pays(weight.dtype) and "leave --pack out" in str(error)
        pytest.skip(str(error))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, INT8_ROWS, INT8_ROWS + 1, 40])
@pytest.mark.parametrize("kind", [MkldnnLinear, Int8Linear])
def test_a_product_is_that_of_its_matrix(kind: Any, rows: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight = torch.randn(96, 64, generator=generator).to(dtype)
    x = torch.randn(2, rows, 64, generator=generator).to(dtype)[:, : max(rows // 2, 1)]
    made = packed(weight) if kind is MkldnnLinear else kind(weight)
    exact = DenseLinear(getattr(made, "weight", weight).double())(x.double())
    with torch.inference_mode():
        got = made(x)
    assert got.shape == exact.shape and got.dtype == dtype
    torch.testing.assert_close(
        got.double(),
        exact,
        rtol=2e-2 if dtype == torch.bfloat16 else 1e-5,
        atol=0.1 if dtype == torch.bfloat16 else 1e-4,
    )


@pytest.mark.parametrize("how", [{"pack": True}, {"pack": True, "release": True}], ids=["kept", "released"])
def test_packed_answers_are_those_of_generate(how: dict[str, Any]) -> None:
    session = loaded("float32")
    expected = session.answer([QUESTION], ENOUGH).text
    assert prepare(session.model, **how) is not None
    assert session.answer([QUESTION], ENOUGH).text == expected


def test_a_model_in_bfloat16_is_packed_where_that_works_and_pays() -> None:
    session = loaded("bfloat16")
    expected = session.answer([QUESTION], ENOUGH).text
    assert (prepare(session.model) is not None) == machine.packing_pays(torch.bfloat16)
    assert session.answer([QUESTION], ENOUGH).text == expected


def test_packing_that_a_cpu_cannot_do_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("mkldnn_reorder_linear_weight: bf16 path needs the cpu support avx512bw")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    with pytest.raises(InputError, match="cannot multiply them in bfloat16; leave --pack out"):
        prepare(loaded("bfloat16").model, pack=True)


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "widened"])
def test_int8_gives_the_same_whichever_way_pays(kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "int8_kernel_pays", lambda dtype: kernel)
    generator = torch.Generator().manual_seed(1)
    made = Int8Linear(torch.randn(96, 64, generator=generator))
    x = torch.randn(2, 3, 64, generator=generator)
    torch.testing.assert_close(made(x), DenseLinear(made.weight)(x), rtol=1e-5, atol=1e-4)


def test_int8_answers_are_those_of_the_rounded_matrices() -> None:
    rounded, session = loaded("float32"), loaded("float32")
    heads = rounded.model.get_output_embeddings()
    for linear in [m for m in rounded.model.get_decoder().modules() if type(m) is nn.Linear]:
        linear.weight.data = Int8Linear(linear.weight).weight
    prepared = prepare(session.model, quantization="int8")
    assert prepared is not None and prepared.released
    # The head alone is rounded, not the table of words that it shares its numbers with.
    heads.weight = nn.Parameter(Int8Linear(heads.weight).weight)
    assert session.answer([QUESTION], ENOUGH).text == rounded.answer([QUESTION], ENOUGH).text


def test_gradients_and_saving_are_the_model_s_own(tmp_path: Path) -> None:
    session = loaded("float32")
    model, ids = session.model, torch.tensor([[5, 6, 7, 8]])
    before = model(input_ids=ids, labels=ids).loss
    prepare(model, pack=True)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    assert torch.equal(loss, before) and model.get_decoder().layers[0].mlp.up_proj.weight.grad is not None
    model.save_pretrained(tmp_path)
    assert set(model.state_dict()) == set(loaded("float32").model.state_dict())
    restore(model)
    assert not any(name in m.__dict__ for m in model.modules() for name in ("forward", "branches"))


def test_a_model_without_its_weights_says_so() -> None:
    model = loaded("float32").model
    prepare(model, pack=True, release=True)
    restore(model)
    with pytest.raises(InputError, match="load it again"):
        model(input_ids=torch.tensor([[5, 6]]))
    with pytest.raises(InputError, match="load it again"):
        prepare(model, quantization="int8")


def test_what_cannot_be_prepared_stays_or_is_refused() -> None:
    model = loaded("float32").model
    assert prepare(model) is None  # float32 gains nothing
    model.get_decoder().layers[0].mlp.up_proj = nn.Sequential(model.get_decoder().layers[0].mlp.up_proj)
    assert prepare(model, pack=True) is None
    with pytest.raises(InputError, match="merge the adapter"):
        prepare(model, quantization="int8")
    with pytest.raises(InputError, match="int3"):
        prepare(model, quantization="int3")  # type: ignore[arg-type]

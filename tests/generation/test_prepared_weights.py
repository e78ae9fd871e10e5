"""Prepared matrices give the answers of the plain ones, and leave gradients and saving to these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pixelword import machine
from pixelword.checkpoints.names import Quantization
from pixelword.checkpoints.rounding import Rounded, round_matrix
from pixelword.errors import InputError
from pixelword.explain import look_inside
from pixelword.generation.prepared_weights import DenseLinear, MkldnnLinear, prepare, quantization_of, restore
from pixelword.generation.quantized import INT8_ROWS, Int4Linear, Int8Linear, quantized
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session, load, user_message


def int8(weight: torch.Tensor) -> Int8Linear:
    return Int8Linear(round_matrix(weight, "int8"), weight.dtype)


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
@pytest.mark.parametrize("kind", [MkldnnLinear, int8])
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
        atol=0.1 if dtype == torch.bfloat16 else 1e-2,  # x in 13 bits, where that pays
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


@pytest.mark.parametrize("way", ["split", "kernel", "widened"])
def test_int8_gives_the_same_whichever_way_pays(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "int8_split_pays", lambda dtype: way == "split")
    monkeypatch.setattr(machine, "int8_kernel_pays", lambda dtype: way == "kernel")
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(96, 64, generator=generator)
    try:
        made = int8(weight)
    except (RuntimeError, AttributeError) as error:
        monkeypatch.undo()
        assert not machine.int8_split_pays(torch.float32)
        pytest.skip(f"no FBGEMM here: {error}")
    assert torch.equal(made.numbers, round_matrix(weight, "int8").numbers)
    x = torch.randn(2, 3, 64, generator=generator)
    x[0, 1, 5] = 1000  # an outlier costs its row no more than in bfloat16, and the others nothing
    expected, found = DenseLinear(made.weight)(x), made(x)
    bfloat16 = DenseLinear(made.weight.bfloat16())(x.bfloat16()).float()
    torch.testing.assert_close(found[1], expected[1], rtol=1e-3, atol=1e-2)
    assert (found - expected)[0, 1].norm() <= (bfloat16 - expected)[0, 1].norm()
    assert made(x.new_zeros(1, 64)).eq(0).all()


@pytest.mark.parametrize("shape", [(96, 64), (48, 192), (16, 256), (4128, 32)], ids=str)
def test_int4_rounds_to_the_nearest_of_sixteen_steps_in_a_group(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator)
    made = Int4Linear(round_matrix(weight, "int4"))
    groups, found = weight.unflatten(1, (-1, made.group)), made.weight.float().unflatten(1, (-1, made.group))
    step = (groups.amax(-1, keepdim=True) - groups.amin(-1, keepdim=True)) / 15
    # half a step, the half that a whole zero point takes at the ends, and what bfloat16 scales and results round
    assert ((found - groups).abs() <= step + 2e-2 * groups.abs().amax(-1, keepdim=True)).all()
    assert made.numbers.nbytes == weight.numel() // 2
    x = torch.randn(2, 3, shape[1], generator=generator)
    expected = DenseLinear(made.weight.float())(x)
    torch.testing.assert_close(made(x), expected, rtol=2e-2, atol=2e-2 * float(expected.abs().max()))


def test_a_shape_that_int4_cannot_have_takes_int8() -> None:
    def made(*shape: int) -> Any:
        return quantized(round_matrix(torch.ones(shape), "int4"), torch.float32)

    assert isinstance(made(32, 48), Int8Linear)
    assert isinstance(made(24, 64), Int8Linear)
    assert isinstance(made(32, 64), Int4Linear)


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_a_matrix_is_rounded_alike_in_parts_and_whole(quantization: Quantization) -> None:
    weight = torch.randn(4128, 64, generator=torch.Generator().manual_seed(2))
    whole, parts = round_matrix(weight, quantization), round_matrix(weight.bfloat16().float(), quantization)
    assert torch.equal(whole[16:48].dense(), round_matrix(weight[16:48], quantization).dense())
    assert torch.equal(parts.dense(), round_matrix(weight.bfloat16(), quantization).dense())
    assert isinstance(whole, Rounded) and whole.bits == int(quantization[-1])


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_quantized_answers_are_those_of_the_rounded_matrices(quantization: Quantization) -> None:
    rounded, session = loaded("float32"), load("nano", dtype="float32", device="cpu", quantize=quantization)
    heads = rounded.model.get_output_embeddings()
    for linear in [m for m in rounded.model.get_decoder().modules() if type(m) is nn.Linear]:
        linear.weight.data = round_matrix(linear.weight, quantization).dense()
    assert quantization_of(session.model) == quantization
    # The head alone is rounded, not the table of words that it shares its numbers with.
    heads.weight = nn.Parameter(round_matrix(heads.weight, quantization).dense())
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


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_a_quantized_session_is_neither_saved_nor_looked_into(quantization: Quantization, tmp_path: Path) -> None:
    session = load("nano", quantize=quantization, device="cpu")
    with pytest.raises(InputError, match="load it again"):
        session.model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    with pytest.raises(InputError, match="load it again"):
        look_inside(session, "how many objects are there?", images=SQUARES, occlusions=0)
    held = sum(parameter.nbytes for parameter in session.model.parameters())
    assert held < 0.1 * sum(parameter.nbytes for parameter in loaded("float32").model.parameters())


def test_what_cannot_be_prepared_stays_or_is_refused() -> None:
    model = loaded("float32").model
    assert prepare(model) is None  # float32 gains nothing
    model.get_decoder().layers[0].mlp.up_proj = nn.Sequential(model.get_decoder().layers[0].mlp.up_proj)
    assert prepare(model, pack=True) is None
    with pytest.raises(InputError, match="merge the adapter"):
        prepare(model, quantization="int8")
    with pytest.raises(InputError, match="int3"):
        prepare(model, quantization="int3")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'int2' is not one of int8, int4"):
        load("nano", quantize="int2")  # type: ignore[arg-type]

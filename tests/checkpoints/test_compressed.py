"""A checkpoint that `convert --quantize` wrote answers as the one that is rounded on loading, and says what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelword import machine
from pixelword.checkpoints.compressed import pieces, read_rounded
from pixelword.checkpoints.load import convert, load_pretrained
from pixelword.checkpoints.names import WEIGHTS, Quantization
from pixelword.checkpoints.released import read_config
from pixelword.checkpoints.rounding import round_matrix
from pixelword.checkpoints.safetensors_index import read_entries
from pixelword.errors import CheckpointError, InputError
from pixelword.evaluation.fingerprint.report import report
from pixelword.generation.expected import expected
from pixelword.generation.loading import load_model
from pixelword.generation.prepared_weights import quantization_of
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import load, user_message
from pixelword.model.footprint import count_parameters, weight_bytes
from pixelword.training.start import existing

KINDS: tuple[Quantization, ...] = ("int8", "int4")
SQUARES = Path(__file__).parents[2] / "examples" / "three_squares.png"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """nano, with its matrices rounded."""
    folder = tmp_path_factory.mktemp("quantized")
    for kind in KINDS:
        convert("nano", folder / kind, quantize=kind)
    return {kind: folder / kind for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(96, 64), (48, 192), (16, 256)], ids=str)
def test_a_matrix_is_read_as_it_was_written(kind: Quantization, shape: tuple[int, int], tmp_path: Path) -> None:
    matrix = round_matrix(torch.randn(shape, generator=torch.Generator().manual_seed(1)), kind)
    save_file(pieces("some.weight", matrix), tmp_path / "model.safetensors")
    found = read_rounded(read_entries(tmp_path), "some.weight")
    assert found is not None and found.bits == matrix.bits and found.group == matrix.group
    assert torch.equal(found.dense(), matrix.dense())
    assert read_rounded(read_entries(tmp_path), "another.weight") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_folder_answers_as_the_checkpoint_rounded_on_loading(kind: str, written: dict[str, Path]) -> None:
    question = [user_message("describe the picture", SQUARES)]
    sessions = [load(written[kind], device="cpu", dtype="float32")]
    sessions.append(load("nano", device="cpu", dtype="float32", quantize=kind))
    answers = [session.answer(question, Sampling(max_new_tokens=24)).text for session in sessions]
    assert quantization_of(sessions[0].model) == kind and answers[0] == answers[1]
    sizes = [sum(file.stat().st_size for file in x.glob("*.safetensors")) for x in (written[kind], WEIGHTS / "nano")]
    assert sizes[0] < sizes[1]
    report_ = report(written[kind])
    assert not report_["tensors"]["problems"] and report_["tensors"]["dtypes"][kind] > 9
    assert not report_["cached_step"]["problem"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_loaded_where_float32_weights_would_not_fit(
    kind: Quantization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert("nano", tmp_path / "half", "bfloat16")
    convert(tmp_path / "half", tmp_path / kind, quantize=kind)
    monkeypatch.setattr(machine, "is_native", lambda dtype: dtype == torch.float32)
    monkeypatch.setattr(machine, "widening_pays", lambda: True)
    config = read_config(tmp_path / kind)
    size = weight_bytes(config, int(kind[-1]))
    assert 1.5 * size < 4 * sum(count_parameters(config).values())
    monkeypatch.setattr(machine, "memory", lambda: 1.5 * size / machine.FITS)
    for model in (load_model(tmp_path / kind), load_model(tmp_path / "half", quantize=kind)):
        assert quantization_of(model) == kind and model.dtype == torch.float32
    assert expected(config, torch.bfloat16, torch.device("cpu"), kind).dtype == "float32"
    monkeypatch.setattr(machine, "memory", lambda: 0.9 * size / machine.FITS)
    for model in (load_model(tmp_path / kind), load_model(tmp_path / "half", quantize=kind)):
        assert quantization_of(model) == kind and model.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_says_what_it_is(kind: str, written: dict[str, Path]) -> None:
    config = json.loads((written[kind] / "config.json").read_text())
    assert config["pixelword_quantization"] == kind
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"
    card = (written[kind] / "README.md").read_text()
    assert f"This copy: {kind}" in card and "compressed-tensors" in card and "nano" in card


def test_what_cannot_be_done_with_it_is_one_line(written: dict[str, Path], tmp_path: Path, refused: Callable) -> None:
    for wrong in (lambda: load_pretrained(written["int4"]), lambda: convert(written["int4"], tmp_path / "x")):
        with pytest.raises(CheckpointError, match="its weights are int4, which answer on a CPU"):
            wrong()
    with pytest.raises(InputError, match="its weights are int4 already and cannot become int8"):
        load_model(written["int4"], quantize="int8")
    with pytest.raises(InputError, match="an adapter cannot be merged into int8 weights"):
        load_model(written["int8"], adapter=tmp_path)
    with pytest.raises(InputError, match="its int8 weights answer on a CPU"):
        load_model(written["int8"], device=torch.device("meta"))
    assert "its weights are int4" in refused("convert", written["int4"], tmp_path / "y", "--quantize", "int8")
    assert "not one of int8, int4" in refused("convert", "nano", tmp_path / "y", "--quantize", "int3")
    assert "leave one of them out" in refused("convert", "nano", tmp_path / "y", "--quantize", "int8", "--delta")
    with pytest.raises(CheckpointError, match="its weights are int4"):
        existing(written["int4"])  # of a recipe's model.from
    assert not (tmp_path / "y").exists()


def test_a_piece_that_is_missing_is_named(written: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(written["int4"], tmp_path / "cut"))
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("_zero_point"))
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_model(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_reads_it(kind: Any, written: dict[str, Path]) -> None:
    pytest.importorskip("compressed_tensors", reason="the package compressed-tensors is not installed")
    from transformers import AutoModelForImageTextToText, CompressedTensorsConfig

    # compressed-tensors 0.20 makes packed zero points no room, so that int4 is read as what it stands for
    how = {} if kind == "int8" else {"quantization_config": CompressedTensorsConfig(dequantize=True)}
    theirs = AutoModelForImageTextToText.from_pretrained(written[kind], dtype=torch.float32, **how)
    rounded = load_pretrained("nano", dtype="float32")
    for name, module in rounded.named_modules():
        if name.endswith(("_proj", "_proj_hw")):
            dense = round_matrix(module.weight, kind).dense()
            module.weight.data = dense if kind == "int8" else dense.bfloat16().float()  # in the scales' type
    ids = torch.tensor([[9, 10, 11, 12]])
    with torch.inference_mode():
        torch.testing.assert_close(theirs(input_ids=ids).logits, rounded(input_ids=ids).logits, rtol=1e-3, atol=1e-3)

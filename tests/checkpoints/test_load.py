"""A checkpoint is whole or it is refused, in one line that says what, where and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixelword.checkpoints import names
from pixelword.checkpoints.load import convert, load_pretrained
from pixelword.checkpoints.names import resolve
from pixelword.errors import CheckpointError, InputError
from pixelword.model import NeoOVForConditionalGeneration

RELEASED = Path(__file__).parents[2] / "conformance" / "pixelword_conformance" / "released" / "neo-parity"
SOME = "language_model.model.layers.1.self_attn.k_proj_hw.weight"
HEAD, EMBEDDING = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a released-layout checkpoint with an untied head."""
    return Path(shutil.copytree(RELEASED / "a", tmp_path / "model"))


@pytest.fixture
def sharded(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "sharded"
    load_pretrained(folder).save_pretrained(target, max_shard_size="300KB")
    assert len(list(target.glob("*.safetensors"))) > 3
    return target


def change(folder: Path, edit: Callable[[dict[str, Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_tensor(folder: Path) -> None:
    change(folder, lambda tensors: tensors.pop(SOME))
    assert f"{SOME} is missing" in refusal(folder)


def test_a_missing_head_that_is_not_tied(folder: Path) -> None:
    change(folder, lambda tensors: tensors.pop(HEAD))
    assert f"{HEAD} is missing" in refusal(folder)


def test_a_misshapen_tensor(folder: Path) -> None:
    change(folder, lambda tensors: tensors.update({SOME: torch.zeros(64, 32)}))
    assert f"{SOME} in model.safetensors has shape 64x32, but the configuration makes it 64x64" in refusal(folder)


def test_an_extra_tensor(folder: Path) -> None:
    change(folder, lambda tensors: tensors.update({"mlp1.0.weight": torch.zeros(3)}))
    assert "mlp1.0.weight in model.safetensors is not a tensor of this model" in refusal(folder)


def test_a_tensor_that_is_no_weight(folder: Path) -> None:
    change(folder, lambda tensors: tensors.update({SOME: torch.zeros(64, 64, dtype=torch.int8)}))
    assert f"{SOME} in model.safetensors holds I8" in refusal(folder)


def test_many_problems_are_one_line(folder: Path) -> None:
    change_config(folder, llm_config={**json.loads((folder / "config.json").read_text())["llm_config"], "head_dim": 16})
    assert "more like these" in refusal(folder)


def test_a_missing_shard(sharded: Path) -> None:
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    message = refusal(sharded)
    assert shard.name in message and "copy that shard there" in message


def test_an_index_that_is_wrong(sharded: Path) -> None:
    path = sharded / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    shards = sorted(set(index["weight_map"].values()))
    name = next(name for name, shard in index["weight_map"].items() if shard == shards[0])
    path.write_text(json.dumps({**index, "weight_map": {**index["weight_map"], name: shards[1]}}))
    assert f"{name} is not in" in refusal(sharded)
    path.write_text(json.dumps({"weight_map": {name: "../elsewhere.safetensors"}}))
    assert "which is not a file of this folder" in refusal(sharded)
    path.write_text('{"weight_map": ')
    assert "not a readable index" in refusal(sharded)


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_truncated_file(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert "model.safetensors" in (message := refusal(folder)) and "copy it again" in message


def test_no_weights_and_only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "has neither model.safetensors nor" in refusal(folder)
    torch.save({}, folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "pytorch_model.bin is a pickle" in message and "only safetensors are loaded" in message


def test_a_configuration_that_is_none(folder: Path) -> None:
    change_config(folder, model_type="qwen3")
    assert "model_type is 'qwen3', not 'neo_chat'" in refusal(folder)
    (folder / "config.json").write_text("[1]")
    assert "holds no JSON object" in refusal(folder)
    (folder / "config.json").write_text("{")
    assert "not readable JSON" in refusal(folder)
    (folder / "config.json").unlink()
    assert "has no config.json" in refusal(folder)


def test_a_configuration_that_makes_no_model(folder: Path) -> None:
    change_config(folder, llm_config={"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})
    assert "rope_scaling" in refusal(folder)


def test_an_adapter_is_not_followed(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "elsewhere"}))
    assert "holds an adapter" in refusal(folder)


def test_a_tied_head_may_be_a_copy_and_nothing_else(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(RELEASED / "b", tmp_path / "model"))
    change(folder, lambda tensors: tensors.update({HEAD: tensors[EMBEDDING].clone()}))
    load_pretrained(folder)
    convert(folder, tmp_path / "converted")
    assert HEAD not in load_file(tmp_path / "converted" / "model.safetensors")
    change(folder, lambda tensors: tensors[HEAD].add_(1))
    assert f"{HEAD} differs from {EMBEDDING}" in refusal(folder)


def test_names(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "weights" / "nano")
    monkeypatch.setattr(names, "WEIGHTS", tmp_path / "weights")
    assert resolve("nano") == tmp_path / "weights" / "nano"
    assert resolve(folder) == resolve(str(folder)) == folder
    with pytest.raises(CheckpointError, match=r"unknown model 'nanno', did you mean 'nano'\? packaged models are"):
        resolve("nanno")
    with pytest.raises(CheckpointError, match="is a file: give the folder"):
        resolve(folder / "config.json")


def test_dtype_and_device(folder: Path) -> None:
    assert load_pretrained(folder).dtype == torch.float32
    model = load_pretrained(folder, dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16 and not model.training
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        load_pretrained(folder, dtype="int3")


def same_tensors(item: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return item.keys() == other.keys() and all(torch.equal(item[name], other[name]) for name in item)


def all_tensors(folder: Path) -> dict[str, Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("which", ["a", "b"])
def test_save_pretrained_writes_what_was_read(which: str, tmp_path: Path) -> None:
    original = load_file(RELEASED / which / "model.safetensors")
    model = NeoOVForConditionalGeneration.from_pretrained(RELEASED / which)
    for name, size in (("whole", "5GB"), ("sharded", "300KB")):
        model.save_pretrained(tmp_path / name, max_shard_size=size)
        assert same_tensors(all_tensors(tmp_path / name), original)
        again = NeoOVForConditionalGeneration.from_pretrained(tmp_path / name)
        assert same_tensors(dict(again.state_dict()), dict(model.state_dict()))


def test_convert_copies_bit_for_bit(sharded: Path, folder: Path, tmp_path: Path) -> None:
    (sharded / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": "x.Y"}, "pad_token": "é"}))
    (sharded / "README.md").write_text("a card")
    (sharded / "modeling.py").write_text("raise SystemExit")
    torch.save({}, sharded / "optimizer.pt")
    for source, target in ((folder, "one"), (sharded, "several")):
        convert(source, tmp_path / target)
        assert same_tensors(all_tensors(tmp_path / target), load_file(RELEASED / "a" / "model.safetensors"))
        load_pretrained(tmp_path / target)
    names = {path.name for path in (tmp_path / "several").iterdir() if path.suffix != ".safetensors"}
    assert {"config.json", "README.md", "tokenizer_config.json", "model.safetensors.index.json"} <= names
    assert not {"modeling.py", "optimizer.pt"} & names
    assert json.loads((tmp_path / "several" / "tokenizer_config.json").read_text()) == {"pad_token": "é"}


def test_convert_to_another_dtype(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "small", "bfloat16")
    original = load_file(folder / "model.safetensors")
    rounded = {name: tensor.bfloat16() for name, tensor in original.items()}
    assert same_tensors(all_tensors(tmp_path / "small"), rounded)
    assert load_pretrained(tmp_path / "small").dtype == torch.bfloat16


def test_convert_writes_nothing_half(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="name a new one"):
        convert(folder, folder)
    change(folder, lambda tensors: tensors.pop(SOME))
    with pytest.raises(CheckpointError, match="is missing"):
        convert(folder, tmp_path / "deep" / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("method", ["torchao", "bitsandbytes"])
def test_quantized_folders_are_named(folder: Path, tmp_path: Path, method: str) -> None:
    shutil.copytree(folder, tmp_path / "quantized")
    path = tmp_path / "quantized" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": {"quant_method": method}}))
    with pytest.raises(CheckpointError, match=rf"saved quantized \({method}, by transformers\): load it with Auto"):
        load_pretrained(tmp_path / "quantized")

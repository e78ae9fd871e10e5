"""A checkpoint that is not whole is one clear line: what is wrong, and in which file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

NORM = "language_model.model.norm.weight"


@pytest.fixture
def broken(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be broken."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "broken"))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_other_type(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "qwen3"}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing tensor": (lambda folder: rewrite(folder, lambda tensors: tensors.pop(NORM)), NORM),
    "a misshapen tensor": (lambda folder: rewrite(folder, lambda tensors: tensors.update({NORM: torch.ones(3)})), NORM),
    "an extra tensor": (lambda folder: rewrite(folder, lambda tensors: tensors.update(extra=torch.ones(3))), "extra"),
    "truncated weights": (lambda folder: truncate(folder / "model.safetensors"), "model.safetensors"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "broken"),
    "a truncated configuration": (lambda folder: truncate(folder / "config.json"), "config.json"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "another model's configuration": (with_other_type, "qwen3"),
    "a truncated tokenizer": (lambda folder: truncate(folder / "tokenizer.json"), "broken"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "broken"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_asking_it_names_what_is_wrong(refused: Callable[..., str], broken: Path, what: str) -> None:
    spoil, named = BROKEN[what]
    spoil(broken)
    assert named in refused("ask", "what?", "--model", broken)


@pytest.mark.parametrize("what", [what for what in BROKEN if "tokenizer" not in what])
def test_converting_it_writes_nothing(refused: Callable[..., str], broken: Path, what: str, tmp_path: Path) -> None:
    spoil, named = BROKEN[what]
    spoil(broken)
    assert named in refused("convert", broken, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]

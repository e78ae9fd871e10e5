"""`pixelword info`, `convert` and `grow`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

import pixelword


def facts(run: Callable[..., Any], model: object) -> dict[str, Any]:
    result = run("info", model, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("size", "bare", "embedded", "cache"), [("2b", 2.26e9, 2.58e9, 245_760), ("9b", 8.98e9, 10.23e9, 258_048)]
)
def test_info_has_the_published_sizes(
    run: Callable[..., Any], size: str, bare: float, embedded: float, cache: int
) -> None:
    told = facts(run, size)
    parts = told["parameters"]
    whole = sum(parts.values()) - parts["patch embedding"]  # the published counts leave it out
    assert whole == pytest.approx(embedded, abs=6e6)
    head = 0 if size == "2b" else parts["token embedding"]
    assert whole - parts["token embedding"] - head == pytest.approx(bare, abs=6e6)
    assert told["kv_bytes_per_token_bf16"] == cache
    assert told["picture_tokens"]["1280x720"] == 40 * 22


def test_info_about_a_checkpoint_counts_what_is_in_it(run: Callable[..., Any], tiny_model_dir: Path) -> None:
    told = facts(run, tiny_model_dir)
    tensors = load_file(tiny_model_dir / "model.safetensors")
    assert sum(told["parameters"].values()) == sum(tensor.numel() for tensor in tensors.values())
    assert told["picture_tokens"]["4032x3024"] <= 16  # this processor's bound: 16,384 pixels
    assert "tokens per image" in run("info", tiny_model_dir).stdout


def test_info_says_what_a_load_would_choose_here(run: Callable[..., Any], tiny_model_dir: Path) -> None:
    here = json.loads(run("info", tiny_model_dir, "--here", "--json").stdout)["here"]
    model = pixelword.load(str(tiny_model_dir)).model
    assert here["dtype"] == str(model.dtype).removeprefix("torch.")
    assert here["weights_bytes"] == sum(p.numel() * p.itemsize for p in model.parameters())
    assert here["fits"] and here["weights_bytes"] < here["memory_bytes"]
    assert here["decode_tokens_per_s"] > 0 and here["prefill_tokens_per_s"] > 0
    assert "tokens/s per request" in run("info", "2b", "--here").stdout


def test_convert_writes_the_same_model(run: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path) -> None:
    assert run("convert", tiny_model_dir, tmp_path / "a" / "copy").exit_code == 0
    original, copy = (load_file(folder / "model.safetensors") for folder in (tiny_model_dir, tmp_path / "a" / "copy"))
    assert original.keys() == copy.keys()
    assert all(torch.equal(original[name], copy[name]) for name in original)
    before, after = (pixelword.load(str(folder), device="cpu") for folder in (tiny_model_dir, tmp_path / "a" / "copy"))
    assert before.ask("what?") == after.ask("what?")


def test_convert_changes_the_dtype(run: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path) -> None:
    assert run("convert", tiny_model_dir, tmp_path / "small", "--dtype", "bfloat16").exit_code == 0
    assert {tensor.dtype for tensor in load_file(tmp_path / "small" / "model.safetensors").values()} == {torch.bfloat16}


def test_nothing_is_overwritten_or_half_written(
    refused: Callable[..., str], tiny_model_dir: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "notes.txt").touch()
    assert "name a new one" in refused("convert", tiny_model_dir, kept)
    refused("convert", tmp_path / "none", tmp_path / "new")
    refused("grow", tmp_path / "none", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kept", "notes.txt"]


def test_a_grown_model_answers(
    run: Callable[..., Any], tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    settings = Qwen3Config(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=512,
    )
    Qwen3ForCausalLM(settings).save_pretrained(tmp_path / "language")
    tiny_tokenizer.save_pretrained(tmp_path / "language")
    grown = run("grow", tmp_path / "language", tmp_path / "grown", "--pre-buffer", 1, "--vision-hidden-size", 16)
    assert grown.exit_code == 0, grown.output
    assert facts(run, tmp_path / "grown")["layers"] == 3
    assert run("ask", "what?", "--model", tmp_path / "grown").exit_code == 0

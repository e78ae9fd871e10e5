"""Models of the Hub by their ids, with the Hub's own client: what is fetched, what is said, what is recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

NAME = "org/tiny"


@pytest.fixture
def published(hub: Any, tiny_model_dir: Path, tmp_path: Path) -> str:
    """The tiny model on the Hub among files that nobody needs; its commit."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "published"))
    for name in ("modeling_neo_chat.py", "pytorch_model.bin", "training_args.pt", "model.gguf", "README.md"):
        (folder / name).write_bytes(b"not needed")
    (folder / "original").mkdir()
    (folder / "original" / "model.safetensors").write_bytes(b"not needed either")
    return hub.add(NAME, folder)


def files_of(home: Path, commit: str) -> set[str]:
    """What a snapshot in the cache holds."""
    folder = home / "hub" / "models--org--tiny" / "snapshots" / commit
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_pull_fetches_what_is_needed_once(
    pixelword: Callable[..., Any], hub: Any, home: Path, published: str, tiny_model_dir: Path
) -> None:
    done = pixelword("models", "pull", NAME)
    folder = home / "hub" / "models--org--tiny" / "snapshots" / published
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}\n" and done.stderr == f"{NAME} at revision {published}\n"
    assert files_of(home, published) == {path.name for path in tiny_model_dir.iterdir()}
    hub.requests.clear()
    assert pixelword("models", "pull", f"{NAME}@{published}").returncode == 0
    assert not hub.downloaded()


def test_an_answer_from_the_hub_is_the_folders(
    pixelword: Callable[..., Any], published: str, tiny_model_dir: Path
) -> None:
    ask = ("ask", "what?", "--device", "cpu", "--model")
    ours, theirs = (pixelword(*ask, model) for model in (tiny_model_dir, NAME))
    assert (theirs.returncode, theirs.stdout) == (0, ours.stdout), theirs.stderr
    assert theirs.stderr.count(f"{NAME} at revision {published}") == 1
    offline = pixelword(*ask, NAME, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout) == (0, ours.stdout), offline.stderr


def test_a_prepared_cache_is_enough_offline(
    pixelword: Callable[..., Any], hub: Any, home: Path, tiny_model_dir: Path
) -> None:
    """As somebody carries it to a machine without a network: the layout of the cache, and nothing of the client's."""
    kept = home / "hub" / "models--org--tiny"
    shutil.copytree(tiny_model_dir, kept / "snapshots" / ("a" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("a" * 40)
    done = pixelword("verify", NAME, "--headers", "--json", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["released"]["source"] == f"{NAME}@{'a' * 40}"
    assert not hub.requests


def test_a_language_model_of_the_hub_grows(
    pixelword: Callable[..., Any], hub: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    settings = Qwen3Config(
        vocab_size=len(tiny_tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=512,
    )  # fmt: skip
    Qwen3ForCausalLM(settings).save_pretrained(tmp_path / "language")
    tiny_tokenizer.save_pretrained(tmp_path / "language")
    hub.add("org/language", tmp_path / "language")
    done = pixelword("grow", "org/language", tmp_path / "grown", "--pre-buffer", 1, "--vision-hidden-size", 16)
    assert done.returncode == 0, done.stderr
    assert "1 pre-buffer layers of 3" in done.stdout


def test_a_branch_and_a_commit_are_revisions(
    pixelword: Callable[..., Any], hub: Any, published: str, tiny_model_dir: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_model_dir, tmp_path / "other"))
    (other / "LICENSE").write_text("a licence")
    commit = hub.add(NAME, other, branch="v2")
    assert commit != published
    assert pixelword("models", "pull", f"{NAME}@v2").stderr == f"{NAME} at revision {commit}\n"
    assert pixelword("models", "pull", f"{NAME}@{published}").stderr == f"{NAME} at revision {published}\n"


def test_the_token_goes_to_the_hub(pixelword: Callable[..., Any], hub: Any, tiny_model_dir: Path) -> None:
    hub.add("org/gated", tiny_model_dir, gated=True)
    assert pixelword("models", "pull", "org/gated", HF_TOKEN="hf_right").returncode == 0
    assert {request[2] for request in hub.requests if "gated" in request[1]} == {"Bearer hf_right"}, hub.requests


def test_info_fetches_no_weights(pixelword: Callable[..., Any], hub: Any, published: str) -> None:
    done = pixelword("info", NAME, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers"] == 2
    assert not [name for name in hub.downloaded() if name.endswith(".safetensors")]


def test_a_cut_download_goes_on_where_it_stopped(pixelword: Callable[..., Any], hub: Any, published: str) -> None:
    """The client writes 10 MB at a time, so the file is larger than that; nothing but its bytes matters here."""
    weights = bytes(range(256)) * 100_000
    hub.repositories[NAME].commits[published]["model.safetensors"] = weights
    hub.cuts["model.safetensors"] = 1
    done = pixelword("models", "pull", NAME)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"{NAME} at revision {published}"), done.stderr
    assert hub.cuts["model.safetensors"] == 0
    assert [request[3] for request in hub.requests if request[3]] == ["bytes=10485760-"]
    assert Path(done.stdout.strip(), "model.safetensors").read_bytes() == weights


def test_what_is_converted_names_its_source(pixelword: Callable[..., Any], published: str, tmp_path: Path) -> None:
    assert pixelword("convert", NAME, tmp_path / "converted").returncode == 0
    config = json.loads((tmp_path / "converted" / "config.json").read_text())
    assert config["made_from"] == f"{NAME}@{published}"
    assert not list((tmp_path / "converted").glob("*.py"))


def test_a_stage_starts_from_an_id_and_names_the_commit(
    pixelword: Callable[..., Any], published: str, tmp_path: Path, tiny_recipe: Path
) -> None:
    import yaml

    adapters = ("trainable=[]", "lora={rank: 2, targets: [q_proj]}")
    told = (f"model={{from: {NAME}}}", "tokenizer=null", "steps=1", *adapters)
    done = pixelword("train", tiny_recipe, *(word for item in told for word in ("--set", item)))
    assert done.returncode == 0, done.stderr
    out = Path(yaml.safe_load(tiny_recipe.read_text())["out"])
    assert yaml.safe_load((out / "recipe.yaml").read_text())["model"]["from"] == f"{NAME}@{published}"
    assert json.loads((out / "final" / "config.json").read_text())["made_from"] == f"{NAME}@{published}"
    adapter = json.loads((out / "final" / "adapter" / "adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == (NAME, published)
    again = pixelword("train", out / "recipe.yaml", "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr


def test_the_list_says_what_is_here(pixelword: Callable[..., Any], hub: Any, tiny_model_dir: Path) -> None:
    known = "Paranioar/NEO1_5-2B-SFT"
    commit = hub.add(known, tiny_model_dir)
    assert pixelword("models", "pull", "neo1_5-2b-sft").returncode == 0
    hub.requests.clear()
    rows = {row["name"]: row for row in json.loads(pixelword("models", "--json").stdout)}
    assert rows["nano"]["cached"] and rows[known]["cached"] and rows[known]["revision"] == commit
    assert not rows["Paranioar/NEO1_0-9B-PT"]["cached"]
    two = rows[known]
    assert two["parameters"] == pytest.approx(2.59e9, rel=0.01) and two["licence"] == "Apache-2.0"
    assert two["memory_bytes"]["bf16"] > two["memory_bytes"]["int8"] > two["memory_bytes"]["int4"] > 1e9
    assert known in pixelword("models").stdout
    assert not hub.requests


def test_plain_transformers_reads_an_id(python: Callable[..., Any], published: str) -> None:
    code = f"""
import pixelword, torch
from transformers import AutoModelForImageTextToText, AutoProcessor
model = AutoModelForImageTextToText.from_pretrained({NAME!r}, dtype=torch.float32).eval()
processor = AutoProcessor.from_pretrained({NAME!r})
chat = [{{"role": "user", "content": [{{"type": "text", "text": "what?"}}]}}]
inputs = processor.apply_chat_template(
    chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
)
new = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
print(type(model).__module__, processor.decode(new, skip_special_tokens=True)[:5].encode())
print(pixelword.load({NAME!r}, device="cpu", dtype="float32").ask("what?", max_new_tokens=8)[:5].encode())
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    plain, ours = done.stdout.splitlines()
    assert plain == f"pixelword.model.modeling {ours}"

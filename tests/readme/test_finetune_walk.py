"""docs/finetune.md, followed command by command with a tiny model in the released 2B's form on a loopback Hub."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback_hub import Hub
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "finetune.md").read_text(encoding="utf-8")
MODEL = "Paranioar/NEO1_5-2B-SFT"
PICTURES = ROOT / "examples" / "finetune" / "pictures"
PHOTO, QUESTION = "photos/1.jpg", "What is the defect?"
#: What a tiny model and a CPU need beside the page's own words; the rate is one at which three steps change answers.
_ON_CPU = ("--device", "cpu", "--dtype", "float32")
_SHORT = ("--max-new-tokens", "8")
_DATA = ("model.size=null", "data.length=512", "data.packs=1", "data.workers=0", "data.max_pixels=65536")
_TRAIN = (
    "device=cpu", "precision=fp32", "export=fp32", "lora.base=fp32", "attention=sdpa", "compile=false",
    "activation_checkpointing=none", "epochs=null", "steps=3", "optimizer.lr=0.02", "schedule.warmup=0",
    "validation.every=3", "validation.packs=1", "validation.generate=2",
)  # fmt: skip


def changes(*fields: str) -> tuple[str, ...]:
    return tuple(word for field in fields for word in ("--set", field))


ADDED: dict[str, tuple[str, ...]] = {
    "data check": changes(*_DATA),
    "data stats": changes(*_DATA),
    "train": changes(*_DATA, *_TRAIN),
    "evaluate": (*_ON_CPU, "--questions", "2", "--controls", "2"),
    "ask": (*_ON_CPU, *_SHORT),
    "serve": _ON_CPU,
}


def commands() -> list[list[str]]:
    """The page's `pixelword` commands, in order, without the first word."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0] for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("pixelword ")]


def write_samples(folder: Path) -> None:
    """The table that the page converts, and held-out samples in LLaVA's form."""
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "photos").mkdir()
    rows, held_out = ["photo,question,truth"], []
    for path in sorted(PICTURES.glob("*.png")):
        (folder / "photos" / path.name).write_bytes(path.read_bytes())
        kind, weather, _ = path.stem.rsplit("_", 2)
        if kind == "train":
            rows.append(f"photos/{path.name},{QUESTION},{weather}")
        else:
            turns = [{"from": "human", "value": f"<image>\n{QUESTION}"}, {"from": "gpt", "value": weather}]
            held_out.append(json.dumps({"image": f"photos/{path.name}", "conversations": turns}) + "\n")
    Image.open(PICTURES / "held_out_rainy_1.png").convert("RGB").save(folder / PHOTO)
    (folder / "answers.csv").write_text("\n".join(rows) + "\n")
    (folder / "held_out.jsonl").write_text("".join(held_out))


@contextmanager
def serving(words: list[str], folder: Path, hub: Hub, home: Path) -> Iterator[str]:
    """The address of a server that runs `pixelword serve …`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    log = folder / "serve.log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "pixelword", *words, "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | own, stdout=file, stderr=file)
    address = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                if httpx.get(f"{address}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            pytest.fail(log.read_text())
        yield address
    finally:
        process.terminate()
        process.wait(60)


def served_answer(address: str, image: Path) -> str:
    """The text of one greedy answer about an image."""
    url = f"data:image/jpeg;base64,{base64.b64encode(image.read_bytes()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 8, "temperature": 0}
    body["model"] = httpx.get(f"{address}/v1/models").json()["data"][0]["id"]
    found = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)
    assert found.status_code == 200, found.text
    return found.json()["choices"][0]["message"]["content"]


@pytest.mark.slow
def test_the_guide_leads_from_a_table_to_served_answers(
    hub: Hub, home: Path, released: Callable[..., Path], pixelword: Callable[..., Any], tmp_path: Path
) -> None:
    def output(*words: object) -> str:
        done = pixelword(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    hub.add(MODEL, released(MODEL))
    folder = tmp_path / "away"
    write_samples(folder)
    assert MODEL.partition("/")[2] in output("models")
    assert "model.safetensors" not in hub.downloaded()
    printed: dict[str, list[str]] = {}
    for words in commands():
        verb = " ".join(words[: 2 if words[0] == "data" else 1])
        if verb == "serve":
            with serving([*words, *ADDED[verb]], folder, hub, home) as address:
                printed.setdefault(verb, []).append(served_answer(address, folder / PHOTO))
        else:
            added = () if "--dry-run" in words else ADDED.get(verb, ())
            printed.setdefault(verb, []).append(output(*words, *added))
        if verb == "data stats":
            assert "model.safetensors" not in hub.downloaded(), "weights are not needed before training"
    final = folder / "runs" / "2b" / "lora" / "final"
    asked = ("ask", PHOTO, QUESTION, *_ON_CPU, *_SHORT, "--model")
    with_adapter = output(*asked, MODEL, "--adapter", final / "adapter")
    answers = {*printed["ask"], with_adapter, *(f"{text}\n" for text in printed["serve"])}
    assert len(printed["serve"]) == 2 and len(answers) == 1, "the merged model and the adapter answer alike"
    assert output(*asked, MODEL) not in answers, "the base model answers otherwise"
    output(*asked, folder / "runs" / "2b" / "lora" / "int8")
    assert "int8" in output("info", folder / "runs" / "2b" / "lora" / "int8")
    written = json.loads((final / "adapter" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == MODEL

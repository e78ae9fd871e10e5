"""A small server on loopback with the Hub's routes that its client uses, processes that know no other Hub, and tiny
models in the released form."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[2]


@dataclass
class Repository:
    """commits: the files of each, by their paths; branches: of names to commits."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    gated: bool = False


@dataclass
class Hub:
    """What the server holds, what it was asked for, and how it misbehaves.

    requests: method, path, Authorization and Range of each. cuts: how often a file's download ends after half of it.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    cuts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, folder: Path, branch: str = "main", **more: Any) -> str:
        """A folder as the newest commit of a branch; the commit."""
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        commit = hashlib.sha1(repr(sorted((path, _etag(data)) for path, data in files.items())).encode()).hexdigest()
        repository = self.repositories.setdefault(name, Repository({}, {}, **more))
        repository.commits[commit] = files
        repository.branches[branch] = commit
        return commit

    def downloaded(self) -> list[str]:
        """The files whose content was asked for."""
        return [
            path.rpartition("/")[2] for method, path, _, _ in self.requests if method == "GET" and "/resolve/" in path
        ]


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """`/api/models/ORG/NAME[/revision/R]`, `/api/models/ORG/NAME/tree/R` and `/ORG/NAME/resolve/R/FILE`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *values: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Authorization"), self.headers.get("Range")))
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        parts = parts[2:] if api else parts
        repository = self.hub.repositories.get("/".join(parts[:2]))
        if repository is None:
            return self._refuse(401, "RepoNotFound")
        if repository.gated and self.headers.get("Authorization") != "Bearer hf_right":
            return self._refuse(401 if self.headers.get("Authorization") is None else 403, "GatedRepo")
        revision = parts[3] if len(parts) > 3 else "main"
        commit = repository.branches.get(revision, revision)
        files = repository.commits.get(commit)
        if files is None:
            return self._refuse(404, "RevisionNotFound")
        if api and parts[2:3] == ["tree"]:
            below = "".join(f"{part}/" for part in parts[4:])
            held = {path: data for path, data in sorted(files.items()) if path.startswith(below)}
            if not held:
                return self._refuse(404, "EntryNotFound")
            tree = [{"type": "file", "path": p, "size": len(d), "oid": _etag(d)} for p, d in held.items()]
            return self._send(json.dumps(tree).encode(), body)
        if api:
            siblings = [{"rfilename": name} for name in files]
            return self._send(
                json.dumps({"id": "/".join(parts[:2]), "sha": commit, "siblings": siblings}).encode(), body
            )
        name = "/".join(parts[4:])
        if name not in files:
            return self._refuse(404, "EntryNotFound", **{"X-Repo-Commit": commit})
        return self._send(files[name], body, name, **{"X-Repo-Commit": commit, "ETag": f'"{_etag(files[name])}"'})

    def _refuse(self, status: int, code: str, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"X-Error-Code": code, "Content-Length": "0", **headers}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, data: bytes, body: bool, name: str = "", **headers: str) -> None:
        asked = self.headers.get("Range") if body else None
        begin = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        for key, value in {"Content-Length": str(len(data) - begin), "Accept-Ranges": "bytes", **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body and self.hub.cuts.get(name, 0) > 0:
            self.hub.cuts[name] -= 1
            self.wfile.write(data[begin : (begin + len(data)) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data[begin:])


@pytest.fixture
def hub() -> Iterator[Hub]:
    """An empty Hub on loopback."""
    held = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"hub": held}))
    held.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield held
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """HF_HOME of the processes below."""
    return tmp_path / "hf"


@pytest.fixture
def python(hub: Hub, home: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python("-c", "…", HF_TOKEN="…")` in a process whose Hub is the one on loopback, in an empty folder.

    most: bytes that a file may have there, as on a disk that is full.
    """
    away = tmp_path / "away"
    away.mkdir()

    def run(*words: str, most: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if most is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        own = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(home),
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, *words],
            cwd=away,
            env={**kept, **own, **environment},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limit,
        )

    return run


@pytest.fixture
def pixelword(python: Callable[..., Any]) -> Callable[..., Any]:
    """`pixelword("models", "pull", "org/name", HF_HUB_OFFLINE="1")`: the command in such a process."""
    return lambda *words, **environment: python("-m", "pixelword", *map(str, words), **environment)


def config_of(name: str, tiny: Any) -> dict[str, Any]:
    """The config.json of a released model, with the tiny network's numbers where that has its own."""
    from pixelword.model.sizes import RELEASED_IDS

    size, _ = RELEASED_IDS[name]
    text, tied = tiny.llm_config, size == "2b"
    misnamed = name.endswith("NEO1_0-2B-PT")
    ratio: Any = [0.5] if "NEO1_0" in name else 0.5
    code = "internvl_chat" if misnamed else "neo_chat"
    vision = {
        "architectures": ["NEOVisionModel"],
        "model_type": "neo_vision",
        "hidden_size": tiny.vision_config.hidden_size,
        "llm_hidden_size": text.hidden_size,
        "downsample_ratio": ratio,
        "patch_size": 16,
        "num_channels": 3,
        "max_position_embeddings_vision": 10000,
        "min_pixels": [65536],
        "max_pixels": [4194304],
    }
    if not misnamed:  # absent in some of them
        vision["rope_theta_vision"] = 10000.0
    return {
        "architectures": ["NEOChatModel"],
        "auto_map": {
            "AutoConfig": f"configuration_{code}.NEOChatConfig",
            "AutoModel": f"modeling_{code}.NEOChatModel",
            "AutoModelForCausalLM": f"modeling_{code}.NEOChatModel",
        },
        "downsample_ratio": ratio,
        "llm_config": {
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 256,
            "eos_token_id": text.eos_token_id,
            "extra_num_layers": text.extra_num_layers,
            "head_dim": text.head_dim,
            "hidden_act": "silu",
            "hidden_size": text.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": 2048,
            "max_position_embeddings_hw": 10000,
            "max_window_layers": 28 if tied else 36,
            "model_type": "qwen3",
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "rope_theta_hw": 10000.0,
            "sliding_window": None,
            "tie_word_embeddings": tied,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": text.vocab_size,
        },
        "model_type": code,
        "img_context_token_id": tiny.img_context_token_id,
        "img_start_token_id": tiny.img_start_token_id,
        "img_end_token_id": tiny.img_end_token_id,
        "template": "neo1_0",
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "transformers_version": None,
        "use_llm_lora": 0,
        "vision_config": vision,
    }


@pytest.fixture
def released(tiny_model_dir: Path, tiny_config: Any, tmp_path: Path) -> Callable[..., Path]:
    """`released(name)`: the tiny weights under a released model's config.json, without a preprocessor_config.json."""

    def make(name: str) -> Path:
        folder = tmp_path / name.partition("/")[2]
        folder.mkdir()
        tensors = {key: tensor.bfloat16() for key, tensor in load_file(tiny_model_dir / "model.safetensors").items()}
        if "9B" in name:
            head = tensors["language_model.model.embed_tokens.weight"]
            tensors["language_model.lm_head.weight"] = head.flip(0).contiguous()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config_of(name, tiny_config)))
        for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            shutil.copyfile(tiny_model_dir / file, folder / file)
        return folder

    return make

"""What goes wrong with models of the Hub: a single line each, and nothing half-written."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAME = "org/tiny"


@pytest.fixture
def published(hub: Any, tiny_model_dir: Path) -> str:
    return hub.add(NAME, tiny_model_dir)


def test_what_is_not_there(refused: Callable[..., str], published: str) -> None:
    line = refused("ask", "what?", "--model", "org/tinny")
    assert "no folder org/tinny here, and no model 'org/tinny' on the Hub" in line
    assert "no revision 'v9'" in refused("ask", "what?", "--model", f"{NAME}@v9")


def test_what_cannot_be_reached(refused: Callable[..., str], tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        line = refused("convert", NAME, tmp_path / "out", HF_ENDPOINT=address)
    assert f"{address} cannot be reached" in line
    assert not (tmp_path / "out").exists()


def test_offline_without_a_copy(refused: Callable[..., str], published: str) -> None:
    assert "not in the cache" in refused("ask", "what?", "--model", NAME, HF_HUB_OFFLINE="1")


def test_offline_with_a_part_of_a_copy(
    refused: Callable[..., str], pixelword: Callable[..., Any], published: str
) -> None:
    assert pixelword("info", NAME).returncode == 0
    assert "not whole in the cache" in refused("ask", "what?", "--model", NAME, HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("token", [{}, {"HF_TOKEN": "hf_wrong"}], ids=["no token", "a wrong token"])
def test_a_gated_model(refused: Callable[..., str], hub: Any, tiny_model_dir: Path, token: dict[str, str]) -> None:
    hub.add("org/gated", tiny_model_dir, gated=True)
    assert f"accept its terms at {hub.address}/org/gated" in refused("ask", "what?", "--model", "org/gated", **token)


def test_a_disk_that_is_full(refused: Callable[..., str], published: str) -> None:
    line = refused("models", "pull", NAME, most=30_000)
    assert "takes no more" in line and "free some space" in line


def test_a_download_that_is_always_cut(refused: Callable[..., str], hub: Any, home: Path, published: str) -> None:
    hub.cuts["model.safetensors"] = 99
    line = refused("models", "pull", NAME)
    assert "the download was cut" in line and "run the same again" in line
    folder = home / "hub" / "models--org--tiny" / "snapshots" / published
    assert not (folder / "model.safetensors").exists()


def test_a_repository_of_code_alone(refused: Callable[..., str], hub: Any, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    config = {"model_type": "neo_chat", "auto_map": {"AutoModel": "modeling.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text("raise SystemExit('run')")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    hub.add("org/code", folder)
    line = refused("ask", "what?", "--model", "org/code")
    assert "no weights in safetensors" in line and "code of its own" in line
    assert set(hub.downloaded()) == {"config.json"}


def test_another_familys_model_is_refused_before_its_weights(
    refused: Callable[..., str], hub: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    (folder / "model.safetensors").write_bytes(bytes(1000))
    hub.add("org/other", folder)
    assert "not a NEO checkpoint" in refused("ask", "what?", "--model", "org/other")
    assert hub.downloaded() == ["config.json"]


def test_a_folder_wins_over_an_id(
    pixelword: Callable[..., Any], hub: Any, published: str, tiny_model_dir: Path, tmp_path: Path
) -> None:
    """The processes run in tmp_path/away."""
    known = "Paranioar/NEO1_5-2B-SFT"
    place = tmp_path / "away" / known
    place.parent.mkdir()
    place.symlink_to(tiny_model_dir)
    done = pixelword("info", known)
    assert done.returncode == 0 and not hub.requests
    assert done.stderr == f"note: {known} is a folder here, which is read; {known}@main is the Hub's model\n"
    hub.add(known, tiny_model_dir)
    assert pixelword("info", f"{known}@main").returncode == 0 and hub.requests


def test_a_mistyped_path_is_not_looked_up(refused: Callable[..., str], hub: Any, tmp_path: Path) -> None:
    (tmp_path / "away" / "runs").mkdir()
    assert "runs/fnal@main" in refused("ask", "what?", "--model", "runs/fnal")
    assert not hub.requests

"""`pixelword verify`: tensors against the architecture, a probe that repeats, reports laid side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

NORM = "language_model.model.norm.weight"
EMBEDDING = "vision_model.embeddings.patch_embedding.weight"


@pytest.fixture(scope="module")
def report(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What --json prints of the tiny model, in a file."""
    from pixelword.evaluation.fingerprint.report import report

    path = tmp_path_factory.mktemp("reports") / "tiny.json"
    path.write_text(json.dumps(report(tiny_model_dir)))
    return path


@pytest.fixture
def changed(tiny_model_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """changed(name=tensor): a copy of the tiny model with other tensors; None leaves one out."""

    def make(tensors: dict[str, torch.Tensor | None]) -> Path:
        folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "changed"))
        whole: dict[str, Any] = {**load_file(folder / "model.safetensors"), **tensors}
        kept = {name: item for name, item in whole.items() if item is not None}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


def test_every_tensor_is_told(report: Path) -> None:
    found = json.loads(report.read_text())
    rows = {row["name"]: row for row in found["tensors"]["list"]}
    assert rows[NORM] == {"name": NORM, "state": "equal", "shape": [32], "dtype": "F32", "sha256": rows[NORM]["sha256"]}
    assert found["tensors"]["problems"] == [] and set(found["tensors"]["states"]) <= {"equal", "tied"}
    readings = found["probe"]["readings"]
    assert list(readings) == ["words", "picture", "pictures", "video"]
    assert readings["words"]["visual_tokens"] == 0 and readings["words"]["pixels"] == ""
    assert readings["pictures"]["visual_tokens"] == 2 * readings["picture"]["visual_tokens"] > 0
    assert all(len(reading["said"]) == 16 for reading in readings.values())


def test_the_same_weights_in_shards_agree(
    run: Callable[..., Any], report: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    from pixelword.checkpoints.load import load_pretrained
    from pixelword.processing import NeoOVProcessor

    load_pretrained(tiny_model_dir).save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    NeoOVProcessor.from_pretrained(tiny_model_dir).save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    result = run("verify", tmp_path / "shards", "--against", report)
    assert result.exit_code == 0, result.output
    assert "every name, shape and type is the architecture's" in result.stdout and "agrees with" in result.stdout


def test_a_changed_weight_shows_in_bytes_and_in_the_probe(
    run: Callable[..., Any], report: Path, changed: Callable[..., Path], tiny_model_dir: Path
) -> None:
    weight = load_file(tiny_model_dir / "model.safetensors")[EMBEDDING]
    result = run("verify", changed({EMBEDDING: -weight}), "--against", report, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["differences"]
    assert f"{EMBEDDING}: bytes differ" in found
    assert any(item.startswith("picture: scores differ") for item in found)
    assert not any(item.startswith("words:") for item in found)  # words do not pass through the patch embedding


def test_a_copy_in_another_type_differs_in_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    report = tmp_path / "nano.json"
    report.write_text(run("verify", "nano", "--json").stdout)
    assert run("convert", "nano", tmp_path / "copy", "--dtype", "float32").exit_code == 0
    result = run("verify", tmp_path / "copy", "--against", report, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["differences"] == ["all 108 tensors are F32 here, BF16 there; values agree"]


def test_the_table_fits_into_80_columns_whole(run: Callable[..., Any]) -> None:
    shown = run("verify", "nano", env={"COLUMNS": "80"}).stdout
    table = shown[shown.index("probe, in") :]
    assert "…" not in table and "likeliest" in table and max(map(len, table.splitlines())) <= 80


def test_what_is_wrong_with_tensors_is_listed_and_nothing_is_loaded(
    run: Callable[..., Any], changed: Callable[..., Path]
) -> None:
    folder = changed({NORM: torch.ones(3), EMBEDDING: None, "extra": torch.ones(2)})
    result = run("verify", folder)
    assert result.exit_code == 1
    assert "3 tensors are wrong" in result.stdout and "probe" not in result.stdout
    for told in (f"{NORM} in model.safetensors has shape 3, but", f"{EMBEDDING} is missing", "extra in"):
        assert told in result.stdout


def test_headers_alone_read_no_weight(run: Callable[..., Any], tiny_model_dir: Path, report: Path) -> None:
    result = run("verify", tiny_model_dir, "--headers", "--json", "--against", report)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert "probe" not in found and "sha256" not in found["tensors"] and found["differences"] == []


def test_the_prompts_can_be_had_for_another_implementation(
    run: Callable[..., Any], tiny_model_dir: Path, report: Path, tmp_path: Path
) -> None:
    run("verify", tiny_model_dir, "--headers", "--inputs", tmp_path / "probe.safetensors")
    found = load_file(tmp_path / "probe.safetensors")
    readings = json.loads(report.read_text())["probe"]["readings"]
    assert {name: len(found[f"{name}.input_ids"]) for name in readings} == {
        name: item["tokens"] for name, item in readings.items()
    }
    assert found["video.image_grid_hw"].shape == (2, 2)


def test_bad_input_is_one_line(refused: Callable[..., str], tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    assert "not a report of this version" in refused("verify", tiny_model_dir, "--against", tmp_path / "other.json")
    assert "cannot be read" in refused("verify", tiny_model_dir, "--against", tmp_path / "none.json")
    assert "cannot be written" in refused(
        "verify", tiny_model_dir, "--headers", "--inputs", tmp_path / "no" / "such" / "folder"
    )


def test_an_answer_with_brackets_is_printed_as_it_is(capsys: pytest.CaptureFixture[str], report: Path) -> None:
    from pixelword.cli.verify import _print_probe

    told = json.loads(report.read_text())["probe"]
    told["readings"]["picture"]["text"] = "a [red] circle[/box]"
    _print_probe(Console(width=200), told)
    assert "a [red] circle[/box]" in capsys.readouterr().out

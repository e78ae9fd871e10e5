"""`pixelword train`: its flags reach the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = (
    "steps=6", "compile=false", "data.rows=2", "log_every=3", "checkpoint.every=6", "validation=null", "data.workers=0",
)  # fmt: skip


def test_profile_and_tensorboard_lie_beside_the_metrics(run, tmp_path: Path) -> None:
    changes = [word for change in SHORT for word in ("--set", change)]
    result = run("train", RECIPES / "nano" / "scratch.yaml", "--out", tmp_path, "--profile", "--tensorboard", *changes)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "profile" / "trace.json").read_text())["traceEvents"]
    assert list((tmp_path / "tensorboard").glob("events*"))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [3, 6] and (tmp_path / "final" / "model.safetensors").is_file()


def test_wandb_of_the_command_goes_before_the_recipe(refused, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    changes = [word for change in SHORT for word in ("--set", change)]
    line = refused("train", RECIPES / "nano" / "scratch.yaml", "--out", tmp_path, *changes, "--wandb", "project")
    assert "--wandb needs the package: pip install" in line
    assert "wandb: project" in (tmp_path / "recipe.yaml").read_text()


def test_options_of_a_dry_run_need_one(refused) -> None:
    assert "belong to --dry-run" in refused("train", RECIPES / "nano" / "sft.yaml", "--gpus", 8)


def test_a_dry_run_writes_nothing(run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("train", RECIPES / "9b" / "sft.yaml", "--dry-run", "--out", out, "--gpus", 128)
    assert result.exit_code == 0 and "128 × H100" in result.stdout and not out.exists()

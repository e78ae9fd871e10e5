"""The dry run knows common cards, and says which field to change where a stage does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pixelword.cli import app
from pixelword.errors import InputError
from pixelword.training.arguments import KINDS, known_kind
from pixelword.training.cost.hardware import machine

RECIPES = Path(__file__).parents[3] / "recipes"


def dry_run(recipe: str, gpu: str, *words: str) -> dict[str, Any]:
    given = ["train", str(RECIPES / recipe), "--dry-run", "--json", "--gpus", "1", "--gpu", gpu, *words]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ["4090", "rtx4090", "RTX-4090", "rtx 4090", "NVIDIA GeForce RTX 4090"])
def test_cards_by_the_names_that_people_write(name: str) -> None:
    assert known_kind(name) == "RTX 4090"


def test_every_card_has_memory_and_a_peak() -> None:
    for kind in KINDS:
        found = machine(kind, 1)
        assert found.memory >= 12e9 and found.peak > 5e13 and found.nvlink > 0
    with pytest.raises(InputError, match="RTX 4090"):
        known_kind("4091")


@pytest.mark.parametrize(
    ("recipe", "gpu"), [("2b/lora.yaml", "4090"), ("2b/qlora.yaml", "RTX 4080"),
                        ("2b/lora.yaml", "L40S"), ("2b/lora.yaml", "H100"),
                        ("9b/lora.yaml", "L40S"), ("9b/lora.yaml", "H100")]
)  # fmt: skip
def test_adapter_recipes_fit_one_gpu(recipe: str, gpu: str) -> None:
    cost = dry_run(recipe, gpu)
    assert cost["memory_total"] < cost["machine"]["memory"] and cost["remedies"] == []


def test_a_stage_of_a_node_on_one_gpu_says_what_to_change() -> None:
    remedies = dry_run("2b/sft.yaml", "RTX 4090")["remedies"]
    assert [remedy["fits"] for remedy in remedies] == [False] * (len(remedies) - 1) + [True]
    assert "lora=" in remedies[0]["change"] and remedies[0]["memory"] > remedies[-1]["memory"]


def test_the_changes_may_be_used_as_they_are_printed() -> None:
    remedies = dry_run("2b/lora.yaml", "4090", "--set", "lora.base=fp32", "--set", "data.length=65536",
                       "--set", "activation_checkpointing=none")["remedies"]  # fmt: skip
    words = [word for remedy in remedies for word in ("--set", remedy["change"])]
    changed = dry_run("2b/lora.yaml", "4090", "--set", "lora.base=fp32", "--set", "data.length=65536",
                      "--set", "activation_checkpointing=none", *words)  # fmt: skip
    assert changed["memory_total"] == pytest.approx(remedies[-1]["memory"]) and remedies[-1]["fits"]

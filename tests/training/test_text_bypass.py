"""Where words pass the pre-buffer by: stage 1 leaves text as it is; adapters reach it, and the teacher holds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pixelword.checkpoints.load import load_pretrained
from pixelword.training.recipe import Recipe
from pixelword.training.trainer import Trainer

IDS = torch.arange(6, 60)[None]
NEW = "trainable=[patch_embedding, pre_buffer, hw_projections]"


@pytest.fixture
def before(tiny) -> Path:
    """A model whose words pass by, with random weights."""
    bypass = "model.config.llm_config.text_bypasses_pre_buffer=true"
    recipe = tiny("steps=1", bypass, "optimizer.lr=1e-9", "optimizer.muon_lr=1e-9", out="before")
    Trainer(recipe).run()
    return recipe.out / "final"


def stage(tiny, before: Path, *overrides: str, out: str) -> Recipe:
    text = before.parent / "held-out.txt"
    text.write_text("the cat sat on the mat and looked at the moon.\n\nwhat is two plus three? five, said the bird.\n")
    gate = f"gate={{text: {text}, bound: 1000000.0}}"
    data = ("data.mixture={colour: 1, pair: 1, text: 2}", "data.level=1")
    rates = ("optimizer.name=adamw", "optimizer.lr=1e-2", "steps=6")
    return tiny(f"model={{from: {before}}}", "tokenizer=null", NEW, gate, *data, *rates, *overrides, out=out)


def events(recipe: Recipe, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def test_whatever_stage_one_learns_text_is_answered_as_before(tiny, before) -> None:
    recipe = stage(tiny, before, out="stage1")
    Trainer(recipe).run()
    old, new = load_pretrained(before), load_pretrained(recipe.out / "final")
    moved = [name for name, tensor in new.state_dict().items() if not torch.equal(tensor, old.state_dict()[name])]
    assert any("vision_model" in name for name in moved) and any(".layers.0.mlp" in name for name in moved)
    assert any("_proj_hw" in name and ".layers.2." in name for name in moved)
    with torch.no_grad():
        assert torch.equal(old(IDS).logits, new(IDS).logits)
    assert len({reading["perplexity"] for reading in events(recipe, "gate")}) == 1


def test_text_alone_teaches_stage_one_nothing(tiny, before) -> None:
    recipe = stage(tiny, before, "data.mixture={text: 1}", "optimizer.weight_decay=0", "steps=2", out="text")
    Trainer(recipe).run()
    old, new = load_pretrained(before).state_dict(), load_pretrained(recipe.out / "final").state_dict()
    assert all(torch.equal(tensor, old[name]) for name, tensor in new.items())
    assert [line["grad_norm"] for line in events(recipe, "train")] == [0, 0]


def test_adapters_reach_text_and_the_teacher_keeps_them_near(tiny, before) -> None:
    """Stages 2 and 3: the gate sees text move, and with the teacher it moves less."""
    far: dict[str, float] = {}
    for name, weight in (("taught", 20.0), ("untaught", 1e-6)):
        told = ("lora={rank: 2, alpha: 4}", f"distill={{from: {before}, weight: {weight}}}")
        recipe = stage(tiny, before, *told, out=name)
        Trainer(recipe).run()
        readings = events(recipe, "gate")
        assert readings[0]["excess"] == 0 and readings[-1]["excess"] != 0
        far[name] = events(recipe, "train")[-1]["kl"]
    assert 0 < far["taught"] < 0.8 * far["untaught"]

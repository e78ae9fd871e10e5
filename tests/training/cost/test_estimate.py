"""The dry run: what it counts is what torch counts, and what it needs is a recipe and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pixelword.cli import app
from pixelword.errors import InputError, RecipeError
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.training.cost.estimate import estimate, machine_for
from pixelword.training.cost.hardware import Machine, communication, machine
from pixelword.training.cost.memory import kept_by_layer
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe
from pixelword.training.stages import set_trainable
from pixelword.training.trainer import Trainer

RECIPES = Path(__file__).parents[3] / "recipes"
STAGE_1 = ("patch_embedding", "pre_buffer", "hw_projections")
SMALL = Machine("H100", 1, 1e12, 80e9, 450e9, 50e9)


def recipe(name: str, *overrides: str) -> Recipe:
    return load_recipe(RECIPES / name, overrides)


@pytest.mark.parametrize("trainable", [("all",), STAGE_1], ids="+".join)
def test_kept_activations_are_those_that_autograd_saves(trainable: tuple[str, ...]) -> None:
    text = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "head_dim": 16, "extra_num_layers": 1}
    saved, tokens = {}, 256
    for layers in (2, 3):
        config = NeoOVConfig(llm_config={**text, "num_hidden_layers": layers}, vision_config={"hidden_size": 16})
        network = NeoOVForConditionalGeneration(config).train()
        set_trainable(network, trainable)
        network.get_input_embeddings().weight.requires_grad_(True)
        saved[layers] = _saved_bytes(network, torch.randint(5, 60, (1, tokens)))
    measured = (saved[3] - saved[2]) / tokens
    # a CPU's norm also keeps its output without the weight where that is trained, and its kernel V as wide as K
    heads, d = 4 * 16 + 2 * 16, 64
    norms = 2 * heads + 2 * d if trainable == ("all",) else heads
    padded = 4 * (2 * 16 + 4 * 16)
    counted = kept_by_layer(network.language_model.model.layers[-1], "none", 4, 4)
    assert measured == pytest.approx(counted + 4 * norms + padded, rel=0.04)


def _saved_bytes(network: NeoOVForConditionalGeneration, ids: torch.Tensor) -> int:
    """Bytes of all different storages that autograd saves, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    held: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            held.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(ids, labels=ids, skip_logits=True)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


def test_checkpointing_keeps_less() -> None:
    layer = NeoOVForConditionalGeneration(NeoOVConfig(llm_config={"num_hidden_layers": 1, "extra_num_layers": 0,
        "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "vocab_size": 64})).language_model.model.layers[0]  # fmt: skip
    none, selective, full = (kept_by_layer(layer, kind, 2, 2) for kind in ("none", "selective", "full"))
    assert none > 1.5 * selective > 3 * full == 3 * 64 * 2


def test_counts_what_a_run_trains_and_keeps(tiny) -> None:
    """The dry run of the tiny stage against the tiny stage itself."""
    stage = tiny(f"trainable=[{', '.join(STAGE_1)}]")
    cost, trainer = estimate(stage, SMALL, 0.5), Trainer(stage)
    every = list(trainer.model.parameters())
    assert sum(own for _, own in cost.parameters.values()) == sum(p.numel() for p in every if p.requires_grad)
    assert sum(count for count, _ in cost.parameters.values()) == sum(p.numel() for p in every)
    assert cost.memory.weights == sum(p.nbytes for p in every)
    trainer.run()
    moments = [
        tensor
        for part in trainer.engine.optimizer.parts.values()
        for state in part.state.values()
        for tensor in state.values()
        if isinstance(tensor, torch.Tensor) and tensor.numel() > 1
    ]
    assert cost.memory.optimizer == sum(tensor.nbytes for tensor in moments)


def test_a_step_is_work_over_peak() -> None:
    cost = estimate(recipe("2b/pretrain.yaml"), machine("H100", 128), 0.4)
    assert cost.step_seconds == pytest.approx(cost.flops / (128 * 989e12 * 0.4))
    assert cost.hours == pytest.approx(cost.step_seconds * cost.steps / 3600)
    assert cost.step.slots == 128 * 8192
    twice = estimate(recipe("2b/pretrain.yaml"), machine("H100", 64), 0.4)
    assert twice.step == cost.step and twice.hours == pytest.approx(2 * cost.hours)
    assert twice.micro_batches == 2 * cost.micro_batches


def test_a_growing_context_is_weighed_by_its_steps() -> None:
    cost = estimate(recipe("2b/midtrain.yaml"), machine("H100", 128), 0.4)
    assert cost.step.slots == pytest.approx(128 * (0.4 * 16384 + 0.35 * 24576 + 0.25 * 36864))
    alone = estimate(recipe("2b/midtrain.yaml", "data.length=36864"), machine("H100", 128), 0.4)
    assert cost.memory == alone.memory and cost.flops < alone.flops


def test_sharding_divides_what_is_kept_and_multiplies_what_is_sent() -> None:
    costs = {
        shard: estimate(recipe("2b/sft.yaml", f"parallel.shard={shard}"), machine("H100", 128), 0.4)
        for shard in (8, 128)
    }
    for part in ("weights", "optimizer"):
        assert getattr(costs[8].memory, part) == pytest.approx(16 * getattr(costs[128].memory, part))
    assert costs[128].communication.across == 0 < costs[8].communication.across
    assert costs[128].communication.gather > costs[8].communication.gather
    assert communication(machine("H100", 1), 1, 1e9, 1e9, 1).bytes == 0


@pytest.mark.parametrize(
    ("name", "override", "gpus", "expected"),
    [
        ("2b/sft.yaml", "data.packs=100", 8, "data.packs: 100 packs a step cannot be shared evenly by 8 GPUs"),
        ("2b/sft.yaml", "parallel.shard=3", 8, "parallel.shard: 3 does not divide 8 GPUs"),
        ("2b/sft.yaml", "model.size=null", 8, "is not there yet; for a dry run without it, name model.size too"),
    ],
)
def test_what_cannot_run_is_said(name: str, override: str, gpus: int, expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        estimate(recipe(name, override), machine("H100", gpus), 0.4)


def test_unknown_gpus_are_refused() -> None:
    with pytest.raises(InputError, match="--gpu V100: not known; use one of A100"):
        machine("V100", 8)


def test_machine_is_the_recipes() -> None:
    assert machine_for(recipe("2b/sft.yaml")).gpus == 8
    assert machine_for(recipe("2b/sft.yaml", "data.packs=6")).gpus == 2
    assert machine_for(recipe("nano/sft.yaml"), "H200").gpus == 1


def test_command_prints_tables_and_json() -> None:
    run = CliRunner()
    arguments = ["train", str(RECIPES / "mini" / "sft.yaml"), "--dry-run", "--gpus", "1"]
    shown = run.invoke(app, arguments)
    assert shown.exit_code == 0 and "adapters" in shown.stdout and "GPU hours" not in shown.stdout
    told = json.loads(run.invoke(app, [*arguments, "--json", "--mfu", "0.2"]).stdout)
    assert told["mfu"] == 0.2 and told["parameters"]["language"][1] == 0 < told["parameters"]["adapters"][1]
    assert told["memory_total"] == pytest.approx(sum(told["memory"].values()))
    refused = run.invoke(app, ["train", str(RECIPES / "mini" / "sft.yaml"), "--mfu", "0.2"])
    assert refused.exit_code == 2 and "--dry-run" in refused.output

"""What each stage trains: by module, exactly, and what is frozen does not move."""

from __future__ import annotations

import pytest
import torch

from pixelword.training import building
from pixelword.training.optimizer import parameter_groups, schedule_factor
from pixelword.training.recipe import ScheduleRecipe
from pixelword.training.stages import ROLES, role_parameters, set_trainable
from pixelword.training.trainer import Trainer

STAGE_1 = ("patch_embedding", "pre_buffer", "hw_projections")


@pytest.fixture
def model(tiny):
    recipe = tiny()
    return building.build_model(recipe, building.build_processor(recipe))


def trained_names(model, trainable) -> set[str]:
    chosen = {id(p) for p in set_trainable(model, trainable)}
    return {name for name, p in model.named_parameters() if id(p) in chosen}


def test_stage_one_trains_pixels_the_pre_buffer_and_every_layers_hw(model) -> None:
    layers = "language_model.model.layers"
    expected = {name for name, _ in model.named_parameters() if name.startswith(("vision_model.", f"{layers}.0."))}
    for layer in (1, 2):
        for module in ("q_proj_hw", "k_proj_hw", "q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w"):
            expected.add(f"{layers}.{layer}.self_attn.{module}.weight")
    assert trained_names(model, STAGE_1) == expected


def test_every_parameter_has_a_role_and_all_trains_them(model) -> None:
    everything = {id(p) for p in model.parameters()}
    assert {id(p) for group in role_parameters(model).values() for p in group} == everything
    assert trained_names(model, ["all"]) == trained_names(model, ROLES) == {n for n, _ in model.named_parameters()}


def test_training_moves_what_is_trained_and_nothing_else(tiny) -> None:
    trainer = Trainer(tiny(f"trainable=[{', '.join(STAGE_1)}]", "steps=3"))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trained = {name for name, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.run()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained


def test_muon_has_the_layers_matrices_and_adamw_the_rest(model, tiny) -> None:
    set_trainable(model, ["all"])
    adamw, muon = parameter_groups(model, tiny("optimizer.groups={patch_embedding: 0.5}").optimizer)
    names = {id(p): name for name, p in model.named_parameters()}
    in_muon = {names[id(p)] for group in muon for p in group["params"]}
    in_adamw = {names[id(p)] for group in adamw for p in group["params"]}
    assert in_muon == {n for n, p in model.named_parameters() if ".layers." in n and p.ndim == 2}
    assert in_muon | in_adamw == set(names.values()) and not in_muon & in_adamw
    rates = {names[id(p)]: group["lr"] for group in adamw for p in group["params"]}
    assert rates["vision_model.embeddings.patch_embedding.weight"] == 1.5e-3
    assert rates["language_model.model.embed_tokens.weight"] == 3e-3
    decays = {names[id(p)]: group["weight_decay"] for group in adamw for p in group["params"]}
    assert decays["language_model.model.norm.weight"] == 0.0


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        ({"kind": "constant", "warmup": 4}, {(0, 0.0): 0.25, (3, 0.3): 1.0, (9, 1.0): 1.0}),
        ({"kind": "cosine", "floor": 0.1}, {(0, 0.0): 1.0, (5, 0.5): 0.55, (9, 1.0): 0.1}),
        ({"kind": "wsd", "decay": 0.2}, {(0, 0.0): 1.0, (8, 0.8): 1.0, (9, 0.9): 0.5, (9, 1.0): 0.0}),
    ],
)
def test_schedules(schedule, points) -> None:
    for (step, progress), factor in points.items():
        assert schedule_factor(ScheduleRecipe(**schedule), step, progress) == pytest.approx(factor)

"""One step: the same gradients however its documents are laid out, checkpointed or averaged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from pixelword.data.types import Pack
from pixelword.errors import PixelwordError
from pixelword.training.building import checkpoint_activations
from pixelword.training.ema import Average
from pixelword.training.parallel import World
from pixelword.training.recipe import SpikeRecipe
from pixelword.training.spikes import Spikes
from pixelword.training.trainer import Trainer

MIXED = ("data.mixture={colour: 1, pair: 1, motion: 1, text: 1}", "data.level=1")


def gradients(trainer: Trainer, packs: list[Pack]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one step of these packs, by the training path."""
    loss, _ = trainer.engine.backward(packs, sum(pack.weight for pack in packs))
    found = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.engine.optimizer.zero_grad()
    return loss, found


def alone(pack: Pack) -> Iterator[Pack]:
    """Every document of a pack with a loss, in a pack of its own."""
    types, merged = pack.mm_token_type_ids.flatten(), pack.image_grid_hw.prod(-1) // 4
    first_patch = torch.cat([torch.zeros(1, dtype=torch.int64), pack.image_grid_hw.prod(-1).cumsum(0)])
    picture = 0
    for start, stop in pairwise(pack.cu_seqlens.tolist()):
        first, left = picture, int((types[start:stop] > 0).sum())
        while left > 0:
            left -= int(merged[picture])
            picture += 1
        rows = {
            name: getattr(pack, name).flatten()[start:stop][None]
            for name in ("input_ids", "labels", "loss_weight", "mm_token_type_ids")
        }
        if rows["loss_weight"].sum() > 0:
            yield replace(
                pack,
                **rows,
                pixel_values=pack.pixel_values[first_patch[first] : first_patch[picture]],
                image_grid_hw=pack.image_grid_hw[first:picture],
                cu_seqlens=torch.tensor([0, stop - start], dtype=torch.int32),
            )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_step_of_packs_equals_a_step_of_their_documents_one_by_one(tiny, attention) -> None:
    trainer = Trainer(tiny(*MIXED, f"attention={attention}"))
    packs = [trainer.source(0), trainer.source(1)]
    loss, packed = gradients(trainer, packs)
    documents = [document for pack in packs for document in alone(pack)]
    assert len(documents) > 8
    by_one, single = gradients(trainer, documents)
    assert by_one == pytest.approx(loss, rel=1e-5)
    assert packed.keys() == single.keys() == {name for name, _ in trainer.model.named_parameters()}
    for name, expected in single.items():
        torch.testing.assert_close(packed[name], expected, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("kind", ["selective", "full"])
def test_checkpointed_layers_give_the_same_gradients(tiny, kind) -> None:
    trainer = Trainer(tiny(*MIXED))
    packs = [trainer.source(0)]
    with Counted() as once:
        loss, plain = gradients(trainer, packs)
    checkpoint_activations(trainer.model, kind)
    with Counted() as twice:
        again, found = gradients(trainer, packs)
    assert again == loss
    for name, expected in plain.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-7, msg=name)
    layers, projections = 3, 9 - 1  # nobody needs the result of a layer's last one again
    assert twice.products - once.products == (0 if kind == "selective" else layers * projections)


class Counted(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts the matrix products that run."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.products += function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return function(*args, **(kwargs or {}))


def test_an_average_follows_the_parameters_and_stands_in_for_them(tiny) -> None:
    trainer = Trainer(tiny("steps=3", "optimizer.ema=0.5", "trainable=[hw_projections]"))
    name = "language_model.model.layers.1.self_attn.q_proj_hw.weight"
    weight = dict(trainer.model.named_parameters())[name]
    expected = weight.detach().clone()
    average = trainer.engine.average
    assert average is not None and set(average.tensors) == {
        name for name, p in trainer.model.named_parameters() if p.requires_grad
    }
    for step in range(3):
        trainer.engine.step([trainer.source(step)], step, step / 3)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.tensors[name], expected)
    own = weight.detach().clone()
    with average.in_place():
        torch.testing.assert_close(weight.detach(), expected)
    assert torch.equal(weight, own)


def test_a_run_exports_its_average(tiny) -> None:
    from safetensors.torch import load_file

    trainer = Trainer(tiny("optimizer.ema=0.9"))
    trainer.run()
    exported = load_file(trainer.recipe.out / "final" / "model.safetensors")
    assert isinstance(trainer.engine.average, Average)
    for name, tensor in trainer.engine.average.tensors.items():
        assert torch.equal(exported[name], tensor), name
        assert not torch.equal(exported[name], dict(trainer.model.named_parameters())[name])


def test_a_spike_is_judged_by_the_steps_before_it() -> None:
    spikes = Spikes(SpikeRecipe(above=4, window=8, patience=2))
    for loss in (1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 1.0):
        assert spikes.reason(loss, 1.0) is None
    assert spikes.reason(2.0, 1.0) is None  # seven steps are too few to tell
    assert spikes.reason(9.0, 1.0) is not None and spikes.reason(math.nan, 1.0) is not None
    with pytest.raises(PixelwordError, match="2 steps in a row up to step 12 were skipped"):
        spikes.check_patience("stage", 12)
    assert spikes.reason(1.2, 1.0) is None
    spikes.check_patience("stage", 13)
    resumed = Spikes(SpikeRecipe(above=4, window=8))
    resumed.load_state_dict(spikes.state_dict())
    assert resumed.reason(9.0, 1.0) is not None and list(resumed.losses) == list(spikes.losses)
    again = Spikes(SpikeRecipe(above=4, window=8, patience=2))
    again.load_state_dict(resumed.state_dict())
    assert again.reason(9.0, 1.0) is not None
    with pytest.raises(PixelwordError, match="2 steps in a row"):
        again.check_patience("stage", 14)


def test_without_a_spike_recipe_only_numbers_count() -> None:
    spikes = Spikes(None)
    assert [spikes.reason(loss, 1.0) for loss in (1.0, 1e9)] == [None, None]
    assert spikes.reason(1.0, math.inf) is not None


def test_a_world_of_one_agrees_with_itself() -> None:
    alone_in_it = World()
    assert alone_in_it.sum(1.0, 2.5) == [1.0, 2.5] and alone_in_it.gather("a") == ["a"]
    assert alone_in_it.on_first(lambda: 3) == 3
    with pytest.raises(KeyError):
        alone_in_it.on_first(lambda: {}["absent"])

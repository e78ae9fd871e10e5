"""The released model's loss and gradients, by the path that training takes: as one pack, and a document at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from pixelword.data.types import Pack
from pixelword.training.parallel import World
from pixelword.training.train_step import TrainStep


def whole(released: Any) -> Pack:
    """The fixture's pack."""
    inputs = released.inputs()
    labels = inputs["labels"]
    return Pack(
        input_ids=inputs["input_ids"],
        labels=labels,
        loss_weight=torch.where(labels == -100, 0.0, inputs["loss_weight"].float()),
        mm_token_type_ids=(inputs["input_ids"] == released.model.config.img_context_token_id).long(),
        pixel_values=inputs["pixel_values"],
        image_grid_hw=inputs["image_grid_hw"],
        cu_seqlens=inputs["cu_seqlens"].int(),
        tokens=labels.numel(),
    )


def by_document(pack: Pack) -> list[Pack]:
    """Every document of a pack in a pack of its own."""
    found, picture, patch = [], 0, 0
    for start, stop in pairwise(pack.cu_seqlens.tolist()):
        types = pack.mm_token_type_ids[:, start:stop]
        first, first_patch, left = picture, patch, int(types.sum()) * 4
        while left > 0:
            patches = int(pack.image_grid_hw[picture].prod())
            picture, patch, left = picture + 1, patch + patches, left - patches
        found.append(
            Pack(
                input_ids=pack.input_ids[:, start:stop],
                labels=pack.labels[:, start:stop],
                loss_weight=pack.loss_weight[:, start:stop],
                mm_token_type_ids=types,
                pixel_values=pack.pixel_values[first_patch:patch],
                image_grid_hw=pack.image_grid_hw[first:picture],
                cu_seqlens=torch.tensor([0, stop - start], dtype=torch.int32),
                tokens=stop - start,
            )
        )
    return found


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("split", [False, True], ids=["packed", "one by one"])
def test_loss_and_gradients_of_a_step(released: Any, tiny: Any, kernel: str, split: bool) -> None:
    released.model.set_attn_implementation(kernel)
    released.model.zero_grad()
    engine = TrainStep(released.model.train(), released.model, tiny(), World())
    pack = whole(released)
    packs = by_document(pack) if split else [pack]
    assert len(packs) > 1 or not split
    loss, _ = engine.backward(packs, pack.weight)
    assert loss == pytest.approx(released.packed["loss"].item(), rel=1e-4)
    released.assert_gradients()

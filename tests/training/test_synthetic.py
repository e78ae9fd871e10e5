"""Drawn packs: a function of their number, and the packed loss equals the documents one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from pixelword.training.trainer import Trainer


@pytest.fixture
def trainer(tiny):
    return Trainer(tiny("data.mixture={colour: 1, pair: 1, motion: 1, text: 1}", "data.level=1"))


def test_a_pack_is_a_function_of_its_number(trainer, tiny) -> None:
    again = Trainer(tiny("data.mixture={colour: 1, pair: 1, motion: 1, text: 1}", "data.level=1"))
    for name, value in trainer.source(4).inputs().items():
        assert torch.equal(value, again.source(4).inputs()[name]), name
    assert not torch.equal(trainer.source(4).input_ids, trainer.source(5).input_ids)


def test_easier_samples_mix_small_pictures_into_a_hard_pack(tiny) -> None:
    """Level 1 draws pictures of 64 to 128 pixels, level 0 only of 64: more easy samples, fewer patches a picture."""
    means = []
    for easier in (0, 1):
        drawn = Trainer(tiny("data.mixture={colour: 1}", "data.level=1", f"data.easier={easier}")).source
        drawn.processor.image_processor.max_pixels = 128 * 128  # as large as they are drawn
        grids = torch.cat([drawn(number).image_grid_hw for number in range(12)])
        means.append(grids.prod(-1).float().mean())
    assert means[1] < 0.9 * means[0]


def documents(pack):
    """(row slice, first picture, pictures) of every document."""
    types, ends = pack.mm_token_type_ids.flatten(), pack.cu_seqlens.tolist()
    tokens = (pack.image_grid_hw.prod(-1) // 4).tolist()
    picture = 0
    for start, stop in pairwise(ends):
        left, first = int((types[start:stop] > 0).sum()), picture
        while left > 0:
            left -= tokens[picture]
            picture += 1
        yield slice(start, stop), first, picture


def test_packed_loss_and_gradients_equal_the_documents_alone(trainer) -> None:
    pack, model = trainer.source(0), trainer.model
    assert pack.image_grid_hw.shape[0] > 2
    model(**pack.inputs(), skip_logits=True).loss.backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    patches = torch.cat([torch.zeros(1, dtype=torch.int64), pack.image_grid_hw.prod(-1).cumsum(0)])
    total = 0.0
    for place, first, last in documents(pack):
        weight = pack.loss_weight.flatten()[place]
        if weight.sum() == 0:
            continue
        alone = {
            "input_ids": pack.input_ids.flatten()[place][None],
            "labels": pack.labels.flatten()[place][None],
            "loss_weight": weight[None],
            "mm_token_type_ids": pack.mm_token_type_ids.flatten()[place][None],
        }
        if last > first:
            alone["pixel_values"] = pack.pixel_values[patches[first] : patches[last]]
            alone["image_grid_hw"] = pack.image_grid_hw[first:last]
        share = model(**alone, skip_logits=True).loss * weight.sum() / pack.loss_weight.sum()
        share.backward()
        total += share.item()
    assert total == pytest.approx(model(**pack.inputs(), skip_logits=True).loss.item(), rel=1e-5)
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, packed[name], rtol=1e-3, atol=1e-6, msg=name)

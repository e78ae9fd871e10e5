"""The proof: pictures are told apart by their pixels alone, and a wrong one is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import Assets
from pixelword.training.building import build_model, build_processor
from pixelword.training.recipe import Recipe
from pixelword_lab.studies.overfit import (
    QUESTION,
    named_pictures,
    one_pack,
    overfit,
    share,
    with_wrong_pictures,
    write,
)  # fmt: skip

SIDE = 64


@pytest.fixture
def assets(square_packs) -> Assets:
    return Assets(square_packs)


@pytest.fixture
def recipe(tiny) -> Recipe:
    rates = ("optimizer={name: adamw, lr: 3e-3}", "schedule={kind: cosine, warmup: 5}", "trainable=[all]")
    return tiny("steps=150", "model.config.llm_config.initializer_range=0.2", *rates)


def test_pictures_have_a_name_each_and_one_question(assets, recipe) -> None:
    samples = named_pictures(assets, 6, SIDE)
    answers = [sample.messages[1]["content"] for sample in samples]
    assert len(set(answers)) == 6 and {len(sample.messages) for sample in samples} == {2}
    for sample in samples:
        picture, words = sample.messages[0]["content"]
        assert picture["image"].size == (SIDE, SIDE) and words["text"] == QUESTION
    assert [item.messages[1] for item in named_pictures(assets, 6, SIDE)] == [sample.messages[1] for sample in samples]


def test_a_wrong_picture_is_that_of_the_row_before(assets, recipe) -> None:
    samples = named_pictures(assets, 3, SIDE)
    processor: NeoOVProcessor = build_processor(recipe)
    pack = one_pack(processor, samples, SIDE)
    wrong = with_wrong_pictures(pack)
    alone = [processor.encode(sample.messages, min_pixels=SIDE**2, max_pixels=SIDE**2) for sample in samples]
    patches = len(alone[0].pixel_values)
    assert torch.equal(pack.pixel_values, torch.cat([item.pixel_values for item in alone]))
    for row in range(3):
        assert torch.equal(wrong.pixel_values[row * patches : (row + 1) * patches], alone[row - 1].pixel_values)
    assert torch.equal(wrong.input_ids, pack.input_ids)


def test_it_learns_pictures_by_heart_and_a_wrong_one_takes_that_away(assets, recipe, tmp_path: Path) -> None:
    said: list[str] = []
    points = write(overfit(recipe, named_pictures(assets, 4, SIDE), SIDE), tmp_path / "points.jsonl", said.append)
    assert points[-1].right == 1.0 and points[-1].wrong is not None and points[-1].wrong <= 0.25, said
    lines = [json.loads(line) for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [point.step for point in points]
    assert "right" not in lines[0] and lines[-1]["right"] == 1.0 and "100% right" in said[-1]


def test_an_untrained_model_names_nothing(assets, recipe) -> None:
    processor = build_processor(recipe)
    pack = one_pack(processor, named_pictures(assets, 4, SIDE), SIDE)
    model = build_model(recipe, processor).train()
    assert share(model, pack, recipe) == 0.0 and model.training

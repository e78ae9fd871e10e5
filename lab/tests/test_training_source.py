"""mini's families as a stage draws them: by weight, by seed, in two splits, within a row, or refused before weights."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from pixelword.errors import InputError, RecipeError
from pixelword.training.building import build_processor
from pixelword.training.curriculum import curriculum
from pixelword.training.pack_sources import open_held_out, open_packs
from pixelword.training.synthetic import DrawnPacks


@pytest.fixture
def mini(tiny, square_packs):
    def make(*overrides: str, mixture: str = "{captions: 3, scenes: 1}"):
        where = f"tasks: mini, assets: {square_packs}, mixture: {mixture}"
        data = f"data={{{where}, turns: 4, rows: 2, length: 1024, workers: 0}}"
        return tiny(data, "data.min_pixels=9216", "data.max_pixels=9216", *overrides)

    return make


def test_packs_are_a_function_of_their_number_and_of_the_seed(mini) -> None:
    item, other = (DrawnPacks(recipe, build_processor(recipe)) for recipe in (mini(), mini("seed=6")))
    again = open_packs(item.recipe, item.processor)
    for name, value in item(3).inputs().items():
        assert torch.equal(value, again(3).inputs()[name]), name
    assert not torch.equal(item(3).input_ids, item(4).input_ids)
    assert not torch.equal(item(3).input_ids, other(3).input_ids)
    assert item(3).input_ids.shape == (2, 1024) and len(item(3).image_grid_hw) > 2


def test_families_come_by_their_weights_and_with_several_questions(mini) -> None:
    tasks = curriculum(mini().data)
    rng = np.random.default_rng(0)
    drawn = [tasks.mixed(rng, 1.0, 4) for _ in range(200)]
    captions = {"name", "choice", "sort", "caption", "ground", "is"}
    share = sum(item.kind in captions for item in drawn) / 200
    turns = Counter(sum(message["role"] == "user" for message in item.messages) for item in drawn)
    assert 0.6 < share < 0.95 and set(turns) <= {1, 2, 3, 4} and len(turns) > 1
    assert all(len(tasks.mixed(rng, 1.0, 1).messages) == 2 for _ in range(20))


def test_the_pictures_of_a_recipe_are_read_within_its_bounds(mini) -> None:
    recipe = mini()
    grids = DrawnPacks(recipe, build_processor(recipe))(0).image_grid_hw
    assert (grids.prod(-1) * 256 <= 9216).all()


def test_validation_asks_the_other_split(mini) -> None:
    recipe = mini("validation={every: 1, packs: 1, generate: 4}")
    held = open_held_out(recipe, build_processor(recipe))
    assert set(held.packs) == {"captions", "scenes"} and len(held.questions) == 4
    tasks = curriculum(recipe.data)
    taught, tried = (
        [tasks.of_kind("captions", np.random.default_rng(n), 1.0, split, 1).messages for n in range(8)]
        for split in ("train", "test")
    )
    assert not any(
        np.array_equal(a[0]["content"][0]["image"], b[0]["content"][0]["image"])
        for a, b in zip(taught, tried, strict=True)
    )


def test_what_is_too_long_for_a_row_is_drawn_anew_and_refused_where_nothing_fits(mini) -> None:
    recipe = mini("data.length=160")
    packs = DrawnPacks(recipe, build_processor(recipe))
    assert all(int((packs(number).labels != -100).sum()) > 0 for number in range(3))
    recipe = mini("data.length=24")
    packs = DrawnPacks(recipe, build_processor(recipe))
    with pytest.raises(InputError, match="does not fit a row of 24"):
        for number in range(8):  # a short question alone does fit
            packs(number)


def test_a_missing_pack_is_told_before_weights_are_loaded(mini, tmp_path) -> None:
    recipe = mini(f"data.assets={tmp_path}", "model={from: nano}")
    with pytest.raises(
        RecipeError, match=r"data.mixture: captions needs a pack: .*zip is missing: pixelword tasks fetch"
    ):
        open_packs(recipe, build_processor(recipe))
    recipe = mini(mixture="{rooms: 1}")
    with pytest.raises(RecipeError, match=r"rooms is drawn from the pool .*missing: pixelword tasks render rooms"):
        open_packs(recipe, build_processor(recipe))


def test_a_mixture_names_families(mini) -> None:
    with pytest.raises(RecipeError, match="unknown kind 'caption'; did you mean 'captions'"):
        mini(mixture="{caption: 1}")
    with pytest.raises(RecipeError, match="unknown kind 'colour'"):
        mini(mixture="{colour: 1}")

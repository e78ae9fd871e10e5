"""From a recipe over files to what it trains on and what it is tried on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixelword.data.pack_dataset import FilePacks
from pixelword.errors import RecipeError
from pixelword.training.building import build_processor
from pixelword.training.pack_sources import open_held_out, open_packs, record_set_aside
from pixelword.training.recipe import Recipe
from pixelword.training.synthetic import DrawnPacks

Tiny = Callable[..., Recipe]


def write(path: Path, count: int, *, words: int = 1, missing: int = 0) -> None:
    """`count` questions on one picture; the first `missing` ones ask about a picture that is not there."""
    Image.new("RGB", (64, 64), "red").save(path.parent / "red.png")
    with path.open("w") as file:
        for i in range(count):
            turns = [{"from": "human", "value": "<image>\nWhat colour?"}, {"from": "gpt", "value": "red " * words}]
            picture = "gone.png" if i < missing else "red.png"
            file.write(json.dumps({"image": picture, "conversations": turns}) + "\n")


@pytest.fixture
def over_files(tiny: Tiny, tmp_path: Path) -> Tiny:
    def make(*overrides: str) -> Recipe:
        source = "{path: %s, format: jsonl}"
        sources = f"{{a: {source % (tmp_path / 'a.jsonl')}, b: {source % (tmp_path / 'b.jsonl')}}}"
        data = f"data={{sources: {sources}, rows: 2, length: 128, workers: 0, index: {tmp_path / 'index'}}}"
        return tiny(data, *overrides)

    write(tmp_path / "a.jsonl", 20)
    write(tmp_path / "b.jsonl", 10)
    return make


def names(*packs: Any) -> set[str]:
    return {name for pack in packs for name in pack.names}


def opened(recipe: Recipe) -> FilePacks:
    packs = open_packs(recipe, build_processor(recipe))
    assert isinstance(packs, FilePacks)
    return packs


def test_drawn_tasks_and_files(tiny: Tiny, over_files: Tiny) -> None:
    drawn = tiny()
    assert isinstance(open_packs(drawn, build_processor(drawn)), DrawnPacks)
    packs = opened(over_files())
    assert packs(0).input_ids.shape == (2, 128) and packs(0).names


def test_held_out_samples_are_never_trained_on(over_files: Tiny) -> None:
    recipe = over_files("data.holdout=0.3", "validation={every: 1, packs: 9, generate: 5}")
    packs = opened(recipe)
    trained = names(*(packs(number) for number in range(4 * round(packs.plan.steps_per_epoch))))
    tried = open_held_out(recipe, build_processor(recipe))
    held = names(*(pack for group in tried.packs.values() for pack in group))
    assert set(tried.packs) == {"a", "b"} and all(tried.packs.values())
    assert not trained & held and len(trained | held) == 30
    assert [sample.kind for sample in tried.questions[:4]] == ["a", "b", "a", "b"], "sources in turn"


def test_validation_may_have_files_of_its_own(over_files: Tiny, tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", 4)
    own = f"validation={{every: 1, packs: 3, sources: {{test: {{path: {tmp_path / 'test.jsonl'}}}}}}}"
    recipe = over_files(own)
    tried = open_held_out(recipe, build_processor(recipe))
    assert set(tried.packs) == {"test"} and len(names(*tried.packs["test"])) == 4
    nothing = over_files("validation={every: 1}")
    with pytest.raises(RecipeError, match=r"give data.holdout or validation.sources"):
        open_held_out(nothing, build_processor(nothing))


def test_too_many_unusable_samples_are_told_before_training(over_files: Tiny, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 20, missing=3)
    with pytest.raises(RecipeError, match=r"data.sources.a: 3 of 20 samples cannot be used.*a.jsonl:1: .*gone.png"):
        opened(over_files())
    packs = opened(over_files("data.max_bad=0.2"))
    out = tmp_path / "out"
    line = record_set_aside(packs, out)
    assert line is not None and line.startswith("3 samples set aside, a: a.jsonl:1: ")
    told = [json.loads(line) for line in (out / "set_aside.jsonl").read_text().splitlines()]
    assert [item["name"] for item in told] == ["a: a.jsonl:1", "a: a.jsonl:2", "a: a.jsonl:3"]
    write(tmp_path / "a.jsonl", 20)
    assert record_set_aside(opened(over_files()), out) is None
    assert not (out / "set_aside.jsonl").exists(), "what an earlier start wrote is not true any more"


def test_over_long_samples_are_set_aside_by_name(over_files: Tiny, tmp_path: Path) -> None:
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    write(tmp_path / "b.jsonl", 5, words=500)
    with (tmp_path / "b.jsonl").open("a") as file:
        file.write("\n".join(lines))
    (first, *others) = opened(over_files()).set_aside()
    assert len(others) == 4 and first.name == "b: b.jsonl:1"
    assert "too long even with its images at min_pixels" in first.reason

"""Looking at a stage's data: what files hold and what the plan makes of them, and drawn tasks as they are drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pixelword.errors import RecipeError
from pixelword.training.named_data import named_data
from pixelword.training.recipe import Recipe
from pixelword.training.subject import Subject, open_subject
from pixelword.training.survey import survey

STAGE = """\
stage: look
out: {folder}/run
tokenizer: nano
model: {{config: {{vision_config: {{hidden_size: 16, min_pixels: 1024, max_pixels: 16384}}}}}}
data:
  sources:
    shots: {{path: {folder}/shots.jsonl}}
    words: {{path: {folder}/words.jsonl}}
  mixture: {{shots: 3, words: 1}}
  index: {folder}/index
  length: 96
  packs: 2
optimizer: {{lr: 1e-3}}
schedule: {{kind: cosine}}
steps: 4
checkpoint: {{every: 2}}
"""


def line(question: str, answer: str, picture: str | None = None) -> str:
    content = [{"type": "text", "text": question}]
    if picture is not None:
        content.insert(0, {"type": "image", "image": picture})
    return json.dumps({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]})


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A recipe over six pictures, one of them missing, and three texts, one broken and one too long for a row."""
    for number in range(5):
        Image.new("RGB", (32 + 32 * number, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")
    shots = [line("what is it?", "a shot", f"{number}.png") for number in range(6)]
    (tmp_path / "shots.jsonl").write_text("\n".join(shots))
    words = [line("hello", "yes"), '{"messages": [', line("why? " * 200, "so")]
    (tmp_path / "words.jsonl").write_text("\n".join(words))
    path = tmp_path / "stage.yaml"
    path.write_text(STAGE.format(folder=tmp_path))
    return path


def test_files_in_numbers(stage: Path) -> None:
    found = survey(open_subject(named_data(str(stage)))).report(samples=1, packs=2)
    shots, words = found.sources
    assert (shots.name, shots.weight, shots.samples, shots.faults, shots.left_out) == ("shots", 0.75, 5, 1, 0)
    assert (words.name, words.weight, words.samples, words.faults, words.left_out) == ("words", 0.25, 2, 1, 1)
    assert shots.kept == 1.0 and shots.pictures.total == 5 and words.pictures.total == 0
    packs = found.packs
    assert packs is not None and packs.packs == 2 and packs.room == 2 * 96
    assert packs.padding == pytest.approx(1 - packs.tokens.total / packs.room)


def test_packs_and_samples_of_files_to_look_at(stage: Path) -> None:
    sheets = list(survey(open_subject(named_data(str(stage))), step=1).sheets(samples=9, packs=2))
    titles = [sheet.title for sheet in sheets]
    assert titles[:3] == ["pack 2", "pack 3", "shots.jsonl:1"] and len(sheets) == 2 + 6 + 3
    assert all(sheet.pack is not None and sheet.pack.names for sheet in sheets[:2])
    bad = {sheet.title: sheet.faults[0].reason for sheet in sheets if sheet.faults}
    assert set(bad) == {"shots.jsonl:6", "words.jsonl:2"} and "5.png" in bad["shots.jsonl:6"]
    assert not bad["words.jsonl:2"].startswith("words.jsonl:2"), "the place is said once"
    assert {sheet.group for sheet in sheets} == {"pack", "shots", "words"}


def test_packs_measured_are_the_packs_read(stage: Path) -> None:
    subject = open_subject(named_data(str(stage)))
    planned = survey(subject).report(samples=1, packs=4).packs
    read = [sheet.pack for sheet in survey(subject).sheets(samples=0, packs=4)]
    assert planned is not None
    assert planned.tokens.total == sum(pack.tokens for pack in read if pack)
    assert planned.pairs.total == sum(pack.pairs for pack in read if pack)
    assert planned.documents.total == sum(len(pack.names) for pack in read if pack)


def test_files_by_themselves_need_no_recipe(stage: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where indexes are kept
    subject = open_subject(named_data(str(stage.with_name("shots.jsonl"))))
    found = survey(subject).report(samples=1, packs=1)
    assert [source.name for source in found.sources] == ["shots"] and found.packs is None
    assert len(list(survey(subject).sheets(samples=2, packs=2))) == 2
    with pytest.raises(RecipeError, match="--set changes a recipe"):
        named_data("shots.jsonl", ["steps=3"])


def test_drawn_tasks_in_numbers_and_to_look_at(tiny: Callable[..., Recipe]) -> None:
    from pixelword.training.building import build_processor

    recipe = tiny("data.mixture={colour: 3, text: 1}")
    looked = survey(Subject(recipe.data, build_processor(recipe), recipe), step=2)
    found = looked.report(samples=3, packs=2)
    colour, text = found.sources
    assert (colour.weight, text.weight) == (0.75, 0.25)
    assert colour.samples == 3 and colour.pictures.mean == 1 and text.words_only == 3
    assert found.packs is not None and found.packs.room == 2 * 2 * 128
    sheets = list(looked.sheets(samples=1, packs=1))
    assert [sheet.title for sheet in sheets] == ["pack 2", "colour 0", "text 0"]
    assert [sheet.faults for sheet in sheets] == [()] * 3

"""Training on files: every sample in its place, whatever the ranks; what cannot be read is told of and left out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pixelword.errors import PixelwordError
from pixelword.training.pack_sources import open_packs
from pixelword.training.parallel import World
from pixelword.training.rank_loader import Feed
from pixelword.training.trainer import Trainer

COLOURS = ("red", "green", "blue", "white")
FILES = "data={sources: {signs: {path: %s}}, rows: 1, length: 64, packs: 4, workers: 0, max_bad: %s, index: %s}"


@pytest.fixture
def files(tiny, tmp_path: Path):
    """files(bad=1, ...): the tiny stage over 32 small pictures, the first so many of them damaged past the header."""

    def make(*overrides: str, bad: int = 0, max_bad: float = 1.0, out: str = "run"):
        folder = tmp_path / "pictures"
        folder.mkdir(exist_ok=True)
        lines = []
        for number in range(32):
            colour = COLOURS[number % len(COLOURS)]
            Image.new("RGB", (64, 64), colour).save(folder / f"{number}.png")
            turns = [{"from": "human", "value": "<image>\nwhich colour?"}, {"from": "gpt", "value": colour}]
            lines.append(json.dumps({"image": f"pictures/{number}.png", "conversations": turns}))
        for number in range(bad):
            path = folder / f"{number}.png"
            path.write_bytes(path.read_bytes()[:60])
        (tmp_path / "signs.jsonl").write_text("\n".join(lines) + "\n")
        return tiny(FILES % (tmp_path / "signs.jsonl", max_bad, tmp_path / "index"), *overrides, out=out)

    return make


def lines(recipe, event: str) -> list[dict]:
    read = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in read if line["event"] == event]


def test_ranks_take_every_pack_of_a_step_once_and_equally_many(files) -> None:
    recipe = files("steps=3")
    source = open_packs(recipe, Trainer(recipe).processor)
    whole = [sorted(name for pack in taken for name in pack.names) for taken in Feed(source, recipe, World()).steps(0)]
    shared = [list(Feed(source, recipe, World(rank, 2)).steps(0)) for rank in (0, 1)]
    assert {len(taken) for rank in shared for taken in rank} == {2}
    for number, expected in enumerate(whole):
        found = sorted(name for rank in shared for pack in rank[number] for name in pack.names)
        assert found == expected
    later = list(Feed(source, recipe, World()).steps(2))
    assert [sorted(name for pack in taken for name in pack.names) for taken in later] == whole[2:]


def test_what_cannot_be_read_is_told_of_once_and_training_goes_on(files) -> None:
    recipe = files("steps=8", bad=2)
    outcome = Trainer(recipe).run()
    assert outcome.progress.step == 8
    told = Counter(line["name"] for line in lines(recipe, "fault"))
    assert told == {"signs: signs.jsonl:1": 1, "signs: signs.jsonl:2": 1}
    kept = [json.loads(line)["name"] for line in (recipe.out / "quarantine.jsonl").read_text().splitlines()]
    assert sorted(kept) == sorted(told)


def test_too_many_bad_samples_end_training(files) -> None:
    recipe = files("steps=200", bad=32, max_bad=0.01)
    with pytest.raises(PixelwordError, match="samples could not be read, more than"):
        Trainer(recipe).run()


def test_a_resumed_run_over_files_is_bitwise_the_whole_run(files) -> None:
    recipe = files("steps=4", "checkpoint.every=2", bad=3)
    Trainer(recipe).run()
    before = {line["step"]: line["loss"] for line in lines(recipe, "train")}
    Trainer(recipe, resume=recipe.out / "checkpoints" / "step-00000002").run()
    assert {line["step"]: line["loss"] for line in lines(recipe, "train")} == before

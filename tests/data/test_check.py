"""`pixelword data index` and `check`: every fault by file and line, and what is there otherwise."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from pixelword.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("check", "a.jsonl")`, with the tiny model's tokenizer, where the test's files are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # the default folder of indexes is under it

    def run_it(verb: str, *words: str) -> Result:
        result = CliRunner().invoke(app, ["data", verb, *words, "--model", str(tiny_model_dir), "--workers", "0"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_it


def line(picture: str, question: str = "<image>\nWhat?", answer: str = "Red.") -> str:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return json.dumps({"image": picture, "conversations": turns})


def write(tmp_path: Path, *lines: str, name: str = "a.jsonl") -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    (tmp_path / name).write_text("\n".join(lines))


def test_no_faults(tmp_path: Path, run: Run) -> None:
    write(tmp_path, line("a.png"), line("a.png", "Hm?"))
    result = run("check", "a.jsonl", "--decode")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "no faults"
    assert result.stdout.splitlines()[-2].split() == ["a", "2", "0", "64", "12", "2", "0"]


def test_every_fault_is_named_by_file_and_line(tmp_path: Path, run: Run) -> None:
    file = io.BytesIO()
    Image.new("RGB", (900, 2)).save(file, "PNG")
    (tmp_path / "long.png").write_bytes(file.getvalue())
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("not an image")
    faults = {
        line("none.png"): "none.png: no such file",
        line("a.png", "<image><image>"): "2 <image> for 1 images",
        line("a.png")[:-5]: "not JSON",
        line("a.png", answer=""): "an answer is empty",
        line("long.png"): "900x2 pixels are longer than 200:1",
        line("empty.png"): "the file is empty",
        line("words.png"): "not an image that can be read",
        line("https://example.com/a.png"): "URLs are off here",
        "{}": "no conversation in it",
    }
    write(tmp_path, line("a.png"), *faults)
    result = run("check", "a.jsonl")
    assert result.exit_code == 1
    told = [text for text in result.stdout.splitlines() if text.startswith("a.jsonl:")]
    assert len(told) == len(faults)
    for number, (text, reason) in enumerate(zip(told, faults.values(), strict=True), start=2):
        assert text.startswith(f"a.jsonl:{number}: ") and reason in text
    assert result.stdout.splitlines()[-1] == "9 faults"


def test_damage_behind_the_header_is_found_by_decoding(tmp_path: Path, run: Run) -> None:
    write(tmp_path, line("a.png"), line("cut.png"))
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    assert run("check", "a.jsonl").exit_code == 0
    result = run("check", "a.jsonl", "--decode")
    assert result.exit_code == 1
    assert "a.jsonl:2: " in result.stdout and "damaged or cut off" in result.stdout


def test_what_index_counts_check_sees_change(tmp_path: Path, run: Run) -> None:
    """A picture taken away leaves the source's own file as it was."""
    write(tmp_path, line("a.png"))
    assert run("index", "a.jsonl").exit_code == 0
    assert (tmp_path / ".cache/pixelword/index").is_dir()
    (tmp_path / "a.png").unlink()
    result = run("check", "a.jsonl")
    assert result.exit_code == 1 and "a.jsonl:1: " in result.stdout
    result = run("index", "a.jsonl")
    assert result.exit_code == 0 and "pixelword data check a.jsonl" in result.stdout


def test_what_a_run_is_tried_on_is_checked_too(tmp_path: Path, run: Run) -> None:
    write(tmp_path, line("a.png"))
    (tmp_path / "b.jsonl").write_text("{")
    name = recipe(tmp_path, one={"path": "a.jsonl"})
    values = json.loads((tmp_path / name).read_text())
    values["validation"] = {"every": 1, "sources": {"other": {"path": "b.jsonl"}}}
    (tmp_path / name).write_text(json.dumps(values))
    result = run("check", name)
    assert result.exit_code == 1
    assert result.stdout.startswith("other: b.jsonl:1: not JSON")


def recipe(tmp_path: Path, **sources: Any) -> str:
    data = {"sources": sources, "length": 64, "index": str(tmp_path / "kept")}
    values = {
        "stage": "sft",
        "out": "out",
        "model": {"size": "nano"},
        "tokenizer": "nano",
        "data": data,
        "optimizer": {"lr": 1e-3},
        "schedule": {"kind": "constant"},
        "steps": 1,
        "checkpoint": {"every": 1},
    }
    (tmp_path / "r.yaml").write_text(json.dumps(values))
    return "r.yaml"


def test_a_recipe_with_a_missing_source_still_has_the_others_checked(tmp_path: Path, run: Run) -> None:
    write(tmp_path, line("a.png"), "{")
    result = run("check", recipe(tmp_path, gone={"path": "gone.jsonl"}, here={"path": "a.jsonl"}))
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()[:2]
    assert first.startswith("data.sources.gone: no file gone.jsonl")
    assert second.startswith("here: a.jsonl:2: not JSON")
    assert result.stdout.splitlines()[-1] == "2 faults"
    assert (tmp_path / "kept").is_dir()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("none.jsonl",), "no file none.jsonl"),
        (("none.yaml",), "cannot read the recipe"),
        (("a.jsonl", "--set", "data.length=1"), "--set changes a recipe"),
    ],
)
def test_index_refuses_in_one_line(tmp_path: Path, run: Run, words: tuple[str, ...], reason: str) -> None:
    write(tmp_path, line("a.png"))
    result = run("index", *words)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1 and reason in result.stderr


@pytest.mark.parametrize("verb", ["index", "check", "stats", "view"])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = CliRunner().invoke(app, ["data", verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: pixelword data {verb}" in result.stdout

"""A user's own samples: what is asked, how it is compared, what is written down; and one line for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pixelword.cli import app
from pixelword.errors import InputError
from pixelword.evaluation.own_data import own_test

FINETUNE = Path(__file__).parents[2] / "examples" / "finetune"
CHOICE = "Which one?\nA. red\nB. dark blue\nAnswer with the letter."


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """written({...}, {...}) -> a JSONL file of these samples, beside two images a.png and b.png."""

    def write(*samples: dict[str, Any]) -> Path:
        for name, source in (("a", "held_out_clear_1"), ("b", "held_out_rainy_1")):
            (tmp_path / f"{name}.png").write_bytes((FINETUNE / "pictures" / f"{source}.png").read_bytes())
        path = tmp_path / "held_out.jsonl"
        path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
        return path

    return write


def asks(question: str, answer: str, image: str = "a.png", **more: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
    return {"image": image, "conversations": turns, **more}


@pytest.mark.parametrize(
    ("sample", "kind", "right", "wrong"),
    [
        (asks("What?", "a cat"), "exact", "Cat.", "dog"),
        (asks("How many?", "1,200"), "number", "about 1200 of them", "12"),
        (asks("How long?", "100", tolerance=0.05), "number", "it is 104", "106"),
        (asks("Where?", "[[100, 100, 200, 200]]"), "box", "[[100, 100, 200, 190]]", "[[0, 0, 9, 9]]"),
        (asks("Read it.", "one two three four five six seven eight nine"), "words", None, "one two"),
        (asks(CHOICE, "B"), "choice", "(B) dark blue", "A"),
        (asks(CHOICE, "dark blue"), "choice", "B", "red"),
        (asks("Which?", "red", choices=["blue", "red"]), "choice", "B", "A"),
        (asks("What?", "cat", answers=["kitten"], kind="animals"), "animals", "kitten", "dog"),
        (asks("How many?", "3", metric="letter"), "letter", "3", "three"),
    ],
)
def test_metrics_are_seen_from_the_right_answer(
    written: Callable[..., Path], sample: dict[str, Any], kind: str, right: str | None, wrong: str
) -> None:
    item, _ = own_test(str(written(sample, asks("?", "yes")))).items(None, 0)
    assert item.question.kind == kind
    assert item.score(item.question.answer if right is None else right).right and not item.score(wrong).right
    assert item.question.chance == (0.5 if kind == "choice" else 0)


def test_every_answer_is_asked_after_the_turns_before_it(written: Callable[..., Path]) -> None:
    sample = asks("What is it?", "a house")
    more = [{"from": "human", "value": "Whose?"}, {"from": "gpt", "value": "mine"}]
    sample["conversations"] += more
    first, second = own_test(str(written(sample))).items(None, 0)
    assert (first.key, second.key) == ("held_out.jsonl:1/1", "held_out.jsonl:1/2")
    assert [turn["role"] for turn in second.messages()] == ["user", "assistant", "user"]
    other = ({"type": "image", "image": "other.png"},)
    assert (
        second.messages(other)[0]["content"][0] == other[0] and second.messages(())[0]["content"][0]["type"] == "text"
    )
    assert first.digest != second.digest


def test_a_seed_chooses_samples(written: Callable[..., Path]) -> None:
    test = own_test(str(written(*(asks(f"{number}?", "yes") for number in range(20)))))
    drawn = [[item.key for item in test.items(5, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 5


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        (asks("What?", "x", metric="best"), "held_out.jsonl:1: metric 'best'"),
        (asks("What?", "green", metric="choice", choices=["red", "blue"]), "none of the choices"),
        (asks("What?", "x", choices="red"), "'choices' must be a list"),
        (asks("What?", "many", metric="number"), "has no number"),
        (asks("What?", "x", answers="y"), "'answers' must be a list"),
        ({"text": "only words"}, "answers no question"),
    ],
)
def test_what_cannot_be_scored_names_its_place(written: Callable[..., Path], sample: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        own_test(str(written(sample, asks("?", "yes")))).items(None, 0)


def run(*words: object) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in ("evaluate", *words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_report_with_controls_and_predictions(
    written: Callable[..., Path], tiny_model_dir: Path, tmp_path: Path
) -> None:
    samples = [asks("What?", "sun"), asks("What?", "rain", "b.png"), asks(CHOICE, "A"), asks("?", "x", "gone.png")]
    file, out = written(*samples), tmp_path / "out"
    result = run(tiny_model_dir, "--data", file, "--out", out, "--predictions", tmp_path / "p.jsonl")
    assert result.exit_code == 0, result.output
    assert "own data" in result.stdout and "held_out.jsonl" in result.stdout
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["exact", "exact", "choice", "exact"]
    assert all({"answer", "correct", "answer_none", "answer_wrong"} <= line.keys() for line in lines)
    assert "gone.png" in lines[3]["fault"] and not lines[3]["correct"]
    assert (out / "predictions.jsonl").read_bytes() == (tmp_path / "p.jsonl").read_bytes()
    report = json.loads((out / "report.json").read_text())
    assert report["tests"][0]["all"]["right"]["questions"] == 4 and report["settings"]["metric"] == "auto"
    before = (out / "answers.jsonl").read_bytes()
    assert run(tiny_model_dir, "--data", file, "--out", out).exit_code == 0
    assert (out / "answers.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", "nothing.jsonl"), "no file nothing.jsonl"),
        (("--data", FINETUNE / "held_out.jsonl", "--metric", "best"), "use one of auto"),
        (("--data", FINETUNE / "held_out.jsonl", "--suite", "nano"), "--suite is not of --data"),
        (("--metric", "exact"), "--metric is of --data"),
        (("--plan",), "pixelword benchmark"),
    ],
)
def test_a_wrong_command_is_one_line(words: tuple[object, ...], told: str) -> None:
    result = run("nano", *words)
    assert result.exit_code == 2 and told in result.stderr and result.stderr.count("\n") == 1


def test_the_old_spelling_of_benchmark_still_works() -> None:
    result = run("2b", "--suite", "paper", "--plan", "--gpu", "H100", "--tasks", "pope")
    assert result.exit_code == 0 and "POPE" in result.stdout and "pixelword benchmark" in result.stderr

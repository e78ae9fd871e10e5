"""`pixelword evaluate --suite paper`: a plan with nothing there, a run on small files, and going on with it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from pixelword.cli import app
from pixelword.evaluation.paper.asking import messages, sampling
from pixelword.evaluation.paper.benchmarks import benchmarks
from pixelword.evaluation.paper.files import Row

CLIP = Path(__file__).parents[3] / "examples" / "moving_right.mp4"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture benchmark as a table, one of several pictures and one of videos as lines."""
    folder = tmp_path_factory.mktemp("benchmarks")
    held = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(held, "PNG")
    picture = base64.b64encode(held.getvalue()).decode()
    table = [f"{index}\tWhich?\tred\tblue\tA\t{picture}" for index in range(3)]
    (folder / "MMStar.tsv").write_text("\n".join(["index\tquestion\tA\tB\tanswer\timage", *table]) + "\n")
    (folder / "a.png").write_bytes(held.getvalue())
    asked = {"question": "<image 1> or <image 2>?", "choices": ["one", "two"], "answer": "B"}
    (folder / "blink.jsonl").write_text(json.dumps({**asked, "images": ["a.png", "a.png"]}) + "\n")
    (folder / "clip.mp4").write_bytes(CLIP.read_bytes())
    moved = {"question": "Which way?", "choices": ["left", "right"], "answer": "B", "video": "clip"}
    gone = {"question": "?", "choices": ["x", "y"], "answer": "A", "images": ["broken.png"]}
    (folder / "broken.png").write_bytes(b"nothing")
    (folder / "mvbench.jsonl").write_text(json.dumps(moved) + "\n" + json.dumps(gone) + "\n")
    return folder


@pytest.fixture
def evaluate(tiny_model_dir: Path, data: Path) -> Callable[..., Any]:
    def run(*words: object, model: object = tiny_model_dir) -> Any:
        given = ["evaluate", model, "--suite", "paper", "--data", data, *words]
        result = CliRunner().invoke(app, [str(word) for word in given])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_a_plan_needs_nothing(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    result = evaluate("--plan", "--gpu", "H100", "--json", "--data", tmp_path / "nowhere", model="2b")
    assert result.exit_code == 0, result.output
    planned = {one["id"]: one for one in json.loads(result.stdout)["planned"]}
    assert len(planned) == 30 and all(one["file"] is None and one["hours"] > 0 for one in planned.values())
    assert 3500 < planned["docvqa"]["visual_tokens"] < 4200  # as it is: nothing to enlarge
    assert planned["videomme"]["visual_tokens"] == 256 * 225 and planned["mmbench"]["asked"] == 4 * 1164
    assert planned["chartqa"]["visual_tokens"] >= 1280 and planned["3dsr"]["visual_tokens"] <= 700


def test_a_plan_counts_what_is_there(evaluate: Callable[..., Any]) -> None:
    result = evaluate("--plan", "--gpu", "H100", "--tasks", "mmstar", "--tasks", "pope")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "✓ MMStar.tsv" in lines["MMStar"] and " 3 " in lines["MMStar"] and "✗ POPE.tsv" in lines["POPE"]
    assert "1 of 2 benchmarks have their file" in result.stdout


def test_every_format_is_asked_kept_and_set_beside_the_paper(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    first = evaluate("--own-limits", "--out", tmp_path, "--json", "--tasks", "mmstar")
    assert first.exit_code == 0, first.output
    before = (tmp_path / "answers.jsonl").read_text().splitlines()
    told = evaluate("--own-limits", "--out", tmp_path, "--json")
    results = {one["id"]: one for one in json.loads(told.stdout)["results"]}
    assert {name: one["asked"] for name, one in results.items()} == {"mmstar": 3, "blink": 1, "mvbench": 2}
    assert results["mvbench"]["faults"] == 1 and "broken.png" in results["mvbench"]["fault"]
    assert results["mmstar"] == json.loads(first.stdout)["results"][0]
    after = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert after[: len(before)] == before and len(after) == len(before) + 2  # known answers were not asked again
    table = (tmp_path / "paper.md").read_text()
    assert "| MMStar | 3 |" in table and "| 58.6 |" in table and "Not here: MMMU" in table
    assert "could not be asked" in table


def test_bad_input_is_one_line(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    for words, told in (
        (("--tasks", "nothing"), "has no benchmark 'nothing'"),
        (("--data", tmp_path), "has no file of any benchmark"),
        (("--sampling", "hot"), "use greedy or upstream"),
        (("--suite", "real"), "is asked by itself"),
    ):
        result = evaluate(*words)
        assert result.exit_code == 2 and told in result.stderr and len(result.stderr.splitlines()) == 1


def test_pictures_stand_where_the_text_names_them() -> None:
    muir, spatial = benchmarks(["muir"])[0], benchmarks(["3dsr"])[0]
    media = ({"type": "image", "image": "a"}, {"type": "image", "image": "b"})
    row = Row("1", "Is <image 1> or <image 2> darker?", ("first", "second"), ("A",), media)
    system, user = messages(row, muir)
    assert system["content"] == "Reason step by step."
    assert [part.get("text", part.get("image")) for part in user["content"]] == [
        "Is ", "a", " or ", "b",
        " darker?\nOptions:\nA. first\nB. second\nPlease select the correct answer from the options above.",
    ]  # fmt: skip
    (only,) = messages(Row("1", "Where?", ("x",), ("A",), media[:1]), spatial)
    assert [part["type"] for part in only["content"]] == ["image", "text"]
    assert only["content"][1]["text"].endswith("directly.")


def test_a_draw_depends_on_its_question_and_the_seed_alone() -> None:
    setting = benchmarks(["mmmu"])[0].setting
    drawn = [sampling(setting, "upstream", key, seed, 99) for key, seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1))]
    assert drawn[0] == drawn[1] and len({one.seed for one in drawn}) == 3 and drawn[0].temperature == 0.6
    assert (
        sampling(setting, "greedy", "a", 0, 99).greedy and sampling(setting, "greedy", "a", 0, 99).max_new_tokens == 99
    )

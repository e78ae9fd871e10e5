"""`pixelword ask`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pixelword

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, STAR, CLIP = EXAMPLES / "red_circle.png", EXAMPLES / "blue_star.png", EXAMPLES / "moving_right.mp4"
QUESTION = "what is it?"


@pytest.fixture
def answer(run: Callable[..., Any], tiny_model_dir: Path) -> Callable[..., dict[str, Any]]:
    def ask(*words: object) -> dict[str, Any]:
        result = run("ask", *words, "--model", tiny_model_dir, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return ask


def test_the_answer_is_the_sessions(run: Callable[..., Any], tiny_model_dir: Path) -> None:
    result = run("ask", CIRCLE, STAR, QUESTION, "--model", tiny_model_dir, "--temperature", 1, "--seed", 4)
    session = pixelword.load(str(tiny_model_dir), device="cpu")
    assert result.stdout == session.ask(QUESTION, images=[CIRCLE, STAR], temperature=1.0, seed=4) + "\n"
    assert result.exit_code == 0


def test_json_holds_the_answer_and_its_costs(answer: Callable[..., dict[str, Any]], tiny_model_dir: Path) -> None:
    facts = answer(CIRCLE, QUESTION)
    costs = {"prompt_tokens", "visual_tokens", "new_tokens", "seconds", "held_tokens", "finish_reason"}
    assert set(facts) == {"answer", "objects", "usage", "model", "dtype", *costs}
    assert facts["dtype"] == str(pixelword.load(str(tiny_model_dir), device="cpu").model.dtype).removeprefix("torch.")
    assert facts["held_tokens"] == facts["prompt_tokens"] + facts["new_tokens"] - 1
    assert facts["visual_tokens"] == 9  # 96 x 96 pixels
    assert facts["model"] == str(tiny_model_dir)


def test_media_are_pictures_then_videos_and_may_be_absent(answer: Callable[..., dict[str, Any]]) -> None:
    assert answer(QUESTION)["visual_tokens"] == 0
    assert answer("--video", CLIP, QUESTION)["visual_tokens"] == 4 * 4
    assert answer(CIRCLE, STAR, "--video", CLIP, "--video", CLIP, QUESTION)["visual_tokens"] == 2 * 9 + 2 * 16


def test_pixels_can_be_bounded(answer: Callable[..., dict[str, Any]]) -> None:
    assert answer(CIRCLE, QUESTION, "--max-pixels", 1024)["visual_tokens"] == 1
    assert answer(CIRCLE, QUESTION, "--min-pixels", 128 * 128)["visual_tokens"] == 16


def test_long_inputs_have_options(answer: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    whole = answer("--video", CLIP, QUESTION)
    assert answer("--video", CLIP, "--frame-budget", 2, QUESTION)["visual_tokens"] == 2 * 4
    kept = answer("--video", CLIP, "--kept-frames", 2, QUESTION)
    assert (kept["visual_tokens"], kept["held_tokens"] < whole["held_tokens"]) == (16, True)
    Image.effect_noise((512, 512), 90).save(tmp_path / "large.png")
    plain, shown = (answer(tmp_path / "large.png", *more, QUESTION) for more in ((), ("--crops", 1)))
    assert plain["visual_tokens"] < shown["visual_tokens"] <= 2 * plain["visual_tokens"]


def test_a_bad_option_of_long_inputs_is_refused(run: Callable[..., Any], tiny_model_dir: Path) -> None:
    result = run("ask", CIRCLE, QUESTION, "--model", tiny_model_dir, "--kept-frames", 1)
    assert result.exit_code == 2 and "kept" in result.output
    for name, method in (("--kept-frames", "frames:8"), ("--frame-budget", "frame-budget:8")):
        result = run("ask", CIRCLE, QUESTION, "--model", tiny_model_dir, name, 4, "--compress", method)
        assert result.exit_code == 2 and f"is {name} in other words" in result.output


def bad_files(folder: Path) -> dict[str, Path]:
    made = {name: folder / f"{name}.png" for name in ("missing", "empty", "truncated", "words", "thin")}
    made["empty"].touch()
    made["truncated"].write_bytes(CIRCLE.read_bytes()[:200])
    made["words"].write_text("not a picture", encoding="utf-8")
    Image.new("RGB", (1005, 5)).save(made["thin"])
    made["folder"] = folder
    return made


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "words", "thin", "folder"])
def test_a_bad_picture_is_one_line_that_names_it(
    refused: Callable[..., str], tmp_path: Path, tiny_model_dir: Path, kind: str
) -> None:
    path = bad_files(tmp_path)[kind]
    assert str(path) in refused("ask", path, QUESTION, "--model", tiny_model_dir)


@pytest.mark.parametrize("kind", ["missing", "empty", "words"])
def test_a_bad_video_is_one_line_that_names_it(
    refused: Callable[..., str], tmp_path: Path, tiny_model_dir: Path, kind: str
) -> None:
    path = bad_files(tmp_path)[kind]
    assert str(path) in refused("ask", "--video", path, QUESTION, "--model", tiny_model_dir)


def test_a_forgotten_question_is_noticed(refused: Callable[..., str]) -> None:
    assert "the question is missing" in refused("ask", CIRCLE)
    assert "put the question after the images" in refused("ask", QUESTION, CIRCLE)


def test_urls_are_read_only_when_allowed(refused: Callable[..., str], tiny_model_dir: Path) -> None:
    assert "http://127.0.0.1:9/a.png" in refused("ask", "http://127.0.0.1:9/a.png", QUESTION, "--model", tiny_model_dir)


def test_a_question_longer_than_the_context(refused: Callable[..., str], tiny_model_dir: Path) -> None:
    line = refused("ask", "why? " * 1000, "--model", tiny_model_dir)
    assert "this model reads 2048 with the answer" in line


def test_an_unknown_model_is_told_what_there_is(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "nano" in refused("ask", QUESTION, "--model", "nanno")
    assert str(tmp_path) in refused("ask", QUESTION, "--model", tmp_path)


def test_a_cut_answer_says_so(run: Callable[..., Any], tiny_model_dir: Path) -> None:
    cut = run("ask", QUESTION, "--model", tiny_model_dir, "--max-new-tokens", 3)
    assert cut.exit_code == 0 and "the answer was cut after 3 tokens" in cut.stderr
    told = run("ask", QUESTION, "--model", tiny_model_dir, "--max-new-tokens", 3, "--json")
    assert json.loads(told.stdout)["finish_reason"] == "length" and "cut after 3 tokens" in told.stderr
    whole = run("ask", "what is 2 plus 3?")
    assert whole.stdout == "5\n" and whole.stderr == ""


def test_a_stop_string_ends_the_answer(run: Callable[..., Any]) -> None:
    assert run("ask", CIRCLE, "what colour is the circle?", "--stop", "d").stdout == "re\n"


def test_half_a_character_is_told_in_one_line(refused: Callable[..., str], tiny_model_dir: Path) -> None:
    assert "not UTF-8" in refused("ask", "what \udcff?", "--model", tiny_model_dir)


def test_a_schema_in_a_file_is_the_form_of_the_answer(answer, run, tiny_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance", reason='answers with a form need pip install "pixelword[structured]"')
    form = tmp_path / "form.json"
    form.write_text('{"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 2}')
    facts = answer(CIRCLE, QUESTION, "--schema", form)
    assert json.loads(facts["answer"]) == facts["parsed"] and set(facts["parsed"]) <= {"a", "b"}
    plain = run("ask", CIRCLE, QUESTION, "--schema", form, "--model", tiny_model_dir)
    assert json.loads(plain.stdout) == facts["parsed"]
    for text, words in (('{"items": {"type": "x"}}', "schema.items: Invalid type: x"), ("{", "schema: not JSON")):
        form.write_text(text)
        result = run("ask", CIRCLE, QUESTION, "--schema", form, "--model", tmp_path)  # before there is a model
        assert result.exit_code == 2 and f"--schema {form}: {words}" in " ".join(result.stderr.split())
    assert "cannot be read" in run("ask", QUESTION, "--schema", tmp_path / "none.json").stderr

"""`pixelword benchmark`: a plan with nothing there, a run on small files, and going on with it."""

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
from pixelword.evaluation.paper.benchmarks import benchmarks
from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.paper.prompting import messages, sampling

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
        given = ["benchmark", model, "--data", data, *words]
        result = CliRunner().invoke(app, [str(word) for word in given])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_a_plan_needs_nothing(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    result = evaluate("--plan", "--gpu", "H100", "--json", "--data", tmp_path / "nowhere", model="2b")
    assert result.exit_code == 0, result.output
    planned = {sample["id"]: sample for sample in json.loads(result.stdout)["planned"]}
    assert len(planned) == 30 and all(sample["files"] == [] and sample["hours"] > 0 for sample in planned.values())
    assert 3500 < planned["docvqa"]["visual_tokens"] < 4200  # as it is: nothing to enlarge
    assert planned["videomme"]["visual_tokens"] == 256 * 20 * 11 and planned["mmbench"]["asked"] == 4329
    assert planned["chartqa"]["visual_tokens"] >= 1280 and planned["3dsr"]["visual_tokens"] <= 700
    assert 600 <= planned["vsi"]["visual_tokens"] / 32 <= 700  # frames at the pictures' own area
    assert planned["seed"]["unconfirmed"] == ["questions"] and planned["docvqa"]["counted"]


def test_a_plan_counts_what_is_there(evaluate: Callable[..., Any]) -> None:
    result = evaluate("--plan", "--gpu", "H100", "--tasks", "mmstar", "--tasks", "pope")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "✓ MMStar.tsv" in lines["MMStar"] and " 3 " in lines["MMStar"] and "✗ POPE.tsv" in lines["POPE"]
    assert "1 of 2 benchmarks have their file" in result.stdout and "Nothing public" not in result.stdout


def test_a_plan_says_what_nothing_public_confirms(evaluate: Callable[..., Any]) -> None:
    lines = evaluate("--plan", "--gpu", "H100", "--tasks", "seed", "--tasks", "pope").stdout.splitlines()
    assert any("SEEDBench_IMG.tsv" in line and "~14,233" in line for line in lines)
    assert any("Nothing public confirms: SEED-I (questions)." in line for line in lines)


def test_every_format_is_asked_kept_and_set_beside_the_paper(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    first = evaluate("--own-limits", "--out", tmp_path, "--json", "--tasks", "mmstar")
    assert first.exit_code == 0, first.output
    before = (tmp_path / "answers.jsonl").read_text().splitlines()
    told = evaluate("--own-limits", "--out", tmp_path, "--json")
    results = {result["id"]: result for result in json.loads(told.stdout)["results"]}
    assert {name: item["asked"] for name, item in results.items()} == {"mmstar": 3, "blink": 1, "mvbench": 2}
    assert results["mvbench"]["faults"] == 1 and "broken.png" in results["mvbench"]["fault"]
    assert results["mmstar"] == json.loads(first.stdout)["results"][0]
    after = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert after[: len(before)] == before and len(after) == len(before) + 2  # known answers were not asked again
    table = (tmp_path / "paper.md").read_text()
    assert "| MMStar | 3 |" in table and "| 58.6 |" in table and "Not here: MMMU" in table
    assert "failed and count as wrong" in table


def test_bad_input_is_one_line(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    for words, told in (
        (("--tasks", "nothing"), "unknown benchmark 'nothing'"),
        (("--data", tmp_path), "has no file of any benchmark"),
        (("--sampling", "hot"), "use greedy or upstream"),
    ):
        result = evaluate(*words)
        assert result.exit_code == 2 and told in result.stderr and len(result.stderr.splitlines()) == 1


def asked(name: str, question: str, *choices: str, pictures: int = 1, video: bool = False, hint: str = "") -> list[Any]:
    """The system message and the user's parts of a question, pictures as their letters."""
    media = [{"type": "image", "image": letter} for letter in "abcd"[:pictures]]
    media += [{"type": "video", "video": str(CLIP)}] * video
    *system, user = messages(Row("1", question, choices, ("A",), tuple(media), hint), benchmarks([name])[0])
    parts = [part[part["type"]] for part in user["content"]]
    return [*(item["content"] for item in system), *parts]


ASKS = "Answer with the option's letter from the given choices directly."


@pytest.mark.parametrize(
    ("name", "question", "choices", "told"),
    [
        ("mmstar", "Which?", ("red", "blue"), f"Which?\nA. red\nB. blue\n{ASKS}"),
        ("realworldqa", "How many?", (), "How many?\nAnswer the question directly."),
        ("docvqa", "Who?", (), "Who?\nAnswer the question using a single word or phrase."),
        ("ocrbench", "What is written?", (), "What is written?\nAnswer the question using a single word or phrase."),
        ("pope", "Is there a dog?", (), "Is there a dog?"),
        ("hallusion", "Is it?", (),
         "Is it? Please answer yes or no. Answer the question using a single word or phrase."),
    ],
)  # fmt: skip
def test_questions_are_put_in_upstreams_words(name: str, question: str, choices: tuple[str, ...], told: str) -> None:
    assert asked(name, question, *choices) == ["Reason step by step.", "a", told]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("3dsr", f"Look.\nWhere?\nA. here\nB. there\n{ASKS}"),
        ("embspatial", f"Look.\nWhere?\nA. here\nB. there\n{ASKS}"),
        ("mmsi", f"Hint: Look.\nWhere?\nOptions: A: here, B: there, \n{ASKS} Enclose the option's letter within ``."),
        ("viewspatial",
         "Question: Where?\nChoices: A. here\nB. there\nReply only to the corresponding option.\nAnswer:"),
        ("site",
         "Question: Where?\nOptions:\nA: here\nB: there\nGive me the answer letter directly. The best answer is:"),
        ("spar", "Where?\nAnswer the question using a single word or phrase."),
    ],
)  # fmt: skip
def test_questions_about_space_have_no_system_message(name: str, told: str) -> None:
    assert asked(name, "Where?", "here", "there", hint="Look.") == ["a", told]


def test_several_pictures_follow_the_text_or_have_labels_before_it() -> None:
    assert asked("mmmu", "Is <image 1> or <image 2> darker?", pictures=0)[1].endswith("<image 2> darker?")
    _, text, *pictures = asked("mmstar", "Which is darker?", "first", "second", pictures=2)
    assert text.startswith("Which is darker?\nA. first") and pictures == ["a", "b"]
    blink = asked("blink", "Is <image> darker?", "yes", "no", pictures=2)
    assert blink == ["Image-1: ", "a", "Image-2: ", "b", f"Is  darker?\nA. yes\nB. no\n{ASKS}"]
    muir = asked("muir", "Like <image>?", "<image>", "none", pictures=2)
    assert muir[:4] == ["<Image-1>: ", "a", "<Image-2>: ", "b"]
    assert muir[4] == (
        "Question: Like<Image-1>?\nChoices: \n(A)<Image-2>(B) none\n\n"
        "Hint: Please provide the correct option letter, such as A, B, C, D, directly.\nAnswer:"
    )


def test_frames_have_times_numbers_or_nothing_by_the_benchmark() -> None:
    _, video, text = asked("videomme", "Which way?", "left", "right", pictures=0, video=True)
    assert video == str(CLIP) and text == (
        "\nThese are the frames of a video. Select the best answer to the following multiple-choice question based on "
        "the video. Respond with only the letter (A, B, C, or D) of the correct option.\nQuestion: Which way?\n"
        f"A. left\nB. right \n{ASKS}"
    )
    _, video, text = asked("mvbench", "Which way?", "left", "right", pictures=0, video=True)
    assert video.frames and not video.timestamps
    assert text.endswith("Question: Which way?\nOptions:\n(A) left\n(B) right\nOnly give the best option.")
    *frames, text = asked("vsi", "How many?", pictures=0, video=True)
    assert frames[::2][:2] == ["Frame-1: ", "Frame-2: "] and {frame.size for frame in frames[1::2]} == {frames[1].size}
    assert text == "These are frames of a video.\nHow many?\nAnswer briefly and directly in one float number."
    assert asked("site", "?", "x", pictures=0, video=True)[-1].startswith("Select the best answer")


def test_a_picture_that_comes_with_a_video_stands_where_it_is_named() -> None:
    _, video, before, picture, after = asked("videommmu", "See <image 1>: what?", "x", video=True)
    assert (video, picture, after) == (str(CLIP), "a", ": what?\nA. x") and before.endswith("See ")
    *_, text = asked("videommmu", "What?", "x", pictures=0, video=True)
    assert text.startswith("What?answer the following") and text.endswith("last frame of the video.")


def test_mmmu_shows_its_first_picture_twice_as_large() -> None:
    picture = {"type": "image", "image": Image.new("RGB", (30, 20))}
    _, user = messages(Row("1", "?", ("x",), ("A",), (picture, picture)), benchmarks(["mmmu"])[0])
    assert [part["image"].size for part in user["content"][1:]] == [(60, 40), (30, 20)]


def test_a_draw_depends_on_its_question_and_the_seed_alone() -> None:
    setting = benchmarks(["mmmu"])[0].setting
    drawn = [sampling(setting, "upstream", key, seed, 99) for key, seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1))]
    assert drawn[0] == drawn[1] and len({item.seed for item in drawn}) == 3 and drawn[0].temperature == 0.6
    assert sampling(benchmarks(["3dsr"])[0].setting, "upstream", "a", 0, 99).greedy  # as upstream is there
    assert (
        sampling(setting, "greedy", "a", 0, 99).greedy and sampling(setting, "greedy", "a", 0, 99).max_new_tokens == 99
    )

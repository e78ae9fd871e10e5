"""Tables and other libraries' files become samples that training reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pixelword.cli import app
from pixelword.data.convert import convert
from pixelword.data.recipe import SourceRecipe
from pixelword.data.sources import open_source
from pixelword.errors import InputError

PICTURE = Path(__file__).parents[2] / "examples" / "blue_star.png"
TURNS = [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "a star"}]


def read(path: Path) -> list[tuple[dict[str, Any], ...]]:
    source = open_source("own", SourceRecipe(path=str(path)))
    return [source.read(number).messages for number in range(len(source))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", "image,question,answer\nstar.png,What?,a star\n"),
        ("table.tsv", "image\tquestion\tanswer\nstar.png\tWhat?\ta star\n"),
        ("alpaca.json", json.dumps([{"instruction": "What?", "input": "", "output": "a star", "image": "star.png"}])),
        ("trl.jsonl", json.dumps({"prompt": "What?", "completion": "a star", "images": ["star.png"]})),
        ("trl-chat.jsonl", json.dumps({"prompt": TURNS[:1], "completion": TURNS[1:], "images": ["star.png"]})),
        ("factory.json", json.dumps([{"messages": TURNS, "images": ["star.png"]}])),
        ("sharegpt.json", json.dumps([{"conversations": [{"from": "human", "value": "<image>\nWhat?"},
                                                         {"from": "gpt", "value": "a star"}], "image": "star.png"}])),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_sample(tmp_path: Path, name: str, content: str) -> None:
    source, out = tmp_path / "in" / name, tmp_path / "out" / "train.jsonl"
    source.parent.mkdir()
    out.parent.mkdir()
    (source.parent / "star.png").write_bytes(PICTURE.read_bytes())
    source.write_text(content)
    assert convert(source, out) == 1
    ((question, answer),) = read(out)
    image, text = question["content"]
    assert os.path.samefile(image["image"], source.parent / "star.png") and text["text"] == "What?"
    assert answer["content"] == "a star"


def test_a_hugging_face_folder_of_captions(tmp_path: Path) -> None:
    (tmp_path / "star.png").write_bytes(PICTURE.read_bytes())
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "star.png", "text": "a blue star"}))
    assert convert(tmp_path, tmp_path / "train.jsonl") == 1
    ((question, answer),) = read(tmp_path / "train.jsonl")
    assert [part["type"] for part in question["content"]] == ["image"] and answer["content"] == "a blue star"


def test_history_and_system_of_alpaca(tmp_path: Path) -> None:
    record = {"instruction": "And now?", "output": "red", "history": [["What?", "blue"]], "system": "Be short."}
    (tmp_path / "a.json").write_text(json.dumps([record]))
    convert(tmp_path / "a.json", tmp_path / "b.jsonl")
    (messages,) = read(tmp_path / "b.jsonl")
    assert [message["content"] for message in messages] == ["Be short.", "What?", "blue", "And now?", "red"]


def test_a_column_map(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frage,truth\nWhat?,a star\n")
    words = ["data", "convert", str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2 and "--column answer=NAME" in refused.stderr
    done = CliRunner().invoke(app, [*words, "--column", "question=frage", "--column", "answer=truth"])
    assert done.exit_code == 0 and "1 samples" in done.stdout
    assert read(tmp_path / "b.jsonl")[0][1]["content"] == "a star"


@pytest.mark.parametrize(
    ("columns", "told"), [({"colour": "x"}, "use one of image"), ({"answer": "x"}, "no column 'x'")]
)
def test_a_wrong_map_is_one_line(tmp_path: Path, columns: dict[str, str], told: str) -> None:
    (tmp_path / "a.csv").write_text("question,answer\nWhat?,a star\n")
    with pytest.raises(InputError, match=told):
        convert(tmp_path / "a.csv", tmp_path / "b.jsonl", columns)

"""What a job's inputs are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from pixelword.batch.rows import Inputs, Row, is_input
from pixelword.errors import InputError


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)


def paths(rows: Inputs) -> list[str]:
    return [Path(row.images[0]).name for row in rows]


def test_folders_and_globs_give_their_images_in_order(tmp_path: Path) -> None:
    images(tmp_path, "b.png", "a/2.JPG", "a/1.webp", ".hidden/c.png", "a/.d.png")
    (tmp_path / "notes.txt").write_text("no image")
    folder = Inputs([str(tmp_path)], "what?")
    assert paths(folder) == ["1.webp", "2.JPG", "b.png"]
    assert len(folder) == 3 and paths(folder) == paths(folder)  # as often as needed
    assert [row.number for row in folder] == [0, 1, 2]
    assert paths(Inputs([f"{tmp_path}/**/*.png"], "what?")) == ["b.png"]
    both = Inputs([f"{tmp_path}/a", str(tmp_path / "b.png")], "what?")
    assert [row.id for row in both] == [row.named[0] for row in both] == [row.images[0] for row in both]


def test_json_lines_have_their_own_questions(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "image": "a.png", "question": "what?"},
        {"image": ["a.png", "https://example.org/b.png"], "video": "c.mp4"},
        "no object",
        {"image": 3, "question": "what?"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n\n".join(map(json.dumps, rows)) + "\n{")
    first, second, third, fourth, cut = Inputs([str(file)], "else?")
    place = str(tmp_path / "a.png")
    assert first == Row(0, 7, "what?", (place,), (), None, ("a.png",))
    assert (second.question, second.images[1]) == ("else?", "https://example.org/b.png")
    assert second.videos == (str(tmp_path / "c.mp4"),)
    assert [row.number for row in (third, fourth, cut)] == [2, 3, 4]
    assert "not an object" in str(third.fault) and "paths" in str(fourth.fault) and "line 8 of" in str(cut.fault)


def test_csv_has_columns(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b'\xef\xbb\xbfid,image,question\r\nx,a.png,"who, what?"\r\ny,,\r\n')
    first, second = Inputs([str(file)], None)
    assert (first.id, first.question, first.images) == ("x", "who, what?", (str(tmp_path / "a.png"),))
    assert (second.id, second.fault) == ("y", f"row 2 of {file} is not a row: it has no question")


def test_what_is_missing_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no glob that matches any"):
        Inputs([str(tmp_path / "*.png")], "what?")
    with pytest.raises(InputError, match="has no question"):
        Inputs([str(tmp_path)], None)
    assert is_input(str(tmp_path)) and is_input(f"{tmp_path.parent}/*") and not is_input("is it a cat? [yes/no]")

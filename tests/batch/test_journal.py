"""The journal: no line is lost, doubled or half, whoever is killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixelword.batch.journal import Failures, Journal, content_key, described
from pixelword.batch.rows import Row
from pixelword.errors import InputError


def row(name: str, number: int = 0) -> Row:
    return Row(number, name, "what?", (f"/x/{name}",), named=(name,))


def key(text: str) -> str:
    return content_key("model", "what?", [text])


def answer(text: str) -> dict[str, object]:
    return {"answer": text, "objects": [], "usage": {}}


def test_an_answer_is_found_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with Journal(file) as journal:
        offset = journal.write(row("a"), key("1"), answer("yes"))
    with Journal(file) as journal:
        assert journal.line(row("a"), key("1")) == offset
        assert journal.line(row("renamed"), key("1")) is None
        assert journal.answer(key("1")) == answer("yes")
        assert journal.answer(key("2")) is None
        assert journal.line(row("a"), key("2")) is None  # the file was changed
    assert json.loads(file.read_text()) == {**described(row("a")), **answer("yes"), "key": key("1")}


def test_equal_inputs_have_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with Journal(file) as journal:
        for _ in range(2):
            assert journal.line(row("a"), key("1")) is None
            journal.write(row("a"), key("1"), answer("yes"))
    with Journal(file) as journal:
        assert [journal.line(row("a"), key("1")) is None for _ in range(3)] == [False, False, True]
        assert len(journal) == 2


def test_names_that_are_not_utf_8_have_one_line(tmp_path: Path) -> None:
    file, odd = tmp_path / "a.jsonl", row("\udcff.png")
    with Journal(file) as journal:
        journal.write(odd, key("1"), answer("yes"))
    with Journal(file) as journal:
        assert journal.line(odd, key("1")) == 0


def test_half_a_line_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with Journal(file) as journal:
        journal.write(row("a"), key("1"), answer("yes"))
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"id": "b", "ans')
    with Journal(file) as journal:
        journal.write(row("c"), key("3"), answer("no"))
    assert file.read_bytes().startswith(whole)
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["a", "c"]


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "mine"}\n')
    with pytest.raises(InputError, match="line 1 is not of such a job"):
        Journal(file)
    assert file.read_text() == '{"text": "mine"}\n'


def test_two_processes_do_not_write_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "a.jsonl"), pytest.raises(InputError, match="another process"):
        Journal(tmp_path / "a.jsonl")


def test_data_urls_are_not_repeated(tmp_path: Path) -> None:
    url = "data:image/png;base64," + "A" * 5000
    inline = Row(0, None, "what?", (url,), named=(url,))
    assert len(described(inline)["image"]) < 60


def test_failures_leave_no_empty_file(tmp_path: Path) -> None:
    failures = Failures(tmp_path / "failed.jsonl")
    failures.close()
    assert not (tmp_path / "failed.jsonl").exists()
    failures = Failures(tmp_path / "failed.jsonl")
    failures.write(row("a"), "no such file", 3)
    assert not (tmp_path / "failed.jsonl").exists()  # whole or not at all
    failures.close()
    assert json.loads((tmp_path / "failed.jsonl").read_text()) == {
        **described(row("a")),
        "error": "no such file",
        "tries": 3,
    }


def test_failures_do_not_replace_another_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    for text in ('{"image": "a.png"}\n', "[]\n", "words"):
        file.write_text(text)
        with pytest.raises(InputError, match="something other than failures"):
            Failures(file)
        assert file.read_text() == text and [*tmp_path.iterdir()] == [file]

"""A command writes between two marks of a page, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelword.errors import InputError
from pixelword.evaluation.markdown_section import Section


def write(page: Path) -> None:
    Section(page, "<!-- a -->", "<!-- end -->", "a", "--page").write("new")


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- end -->\nbefore\n<!-- a -->\nold\n<!-- end -->\nafter <!-- end -->\n")
    for _ in range(2):
        write(page)
        assert page.read_text() == "<!-- end -->\nbefore\n<!-- a -->\nnew\n<!-- end -->\nafter <!-- end -->\n"


@pytest.mark.parametrize(("content", "told"), [
    (None, "cannot be read"), (b"\xff\xfe<!-- a -->", "cannot be read"), (b"nothing", "no place for a"),
    (b"<!-- a --> never closed", "no place for a"), (b"<!-- end --> before <!-- a -->", "no place for a"),
])  # fmt: skip
def test_a_page_without_its_place_is_left_alone(tmp_path: Path, content: bytes | None, told: str) -> None:
    page = tmp_path / "page.md"
    if content is not None:
        page.write_bytes(content)
    for act in (write, lambda page: Section(page, "<!-- a -->", "<!-- end -->", "a", "--page").check()):
        with pytest.raises(InputError, match=told):
            act(page)
    assert content is None or page.read_bytes() == content

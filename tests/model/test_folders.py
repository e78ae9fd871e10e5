"""A folder is whole or absent, whatever happens while it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelword.errors import CheckpointError
from pixelword.model.folders import whole_folder


def test_a_full_disk_is_one_line_and_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No space left"), whole_folder(tmp_path / "new" / "final") as folder:
        (folder / "a").write_text("begun")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_another_error_passes_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("old")
    with pytest.raises(KeyError), whole_folder(tmp_path / "old", replace=True) as folder:
        (folder / "a").write_text("new")
        raise KeyError("a")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "a").read_text() == "old"


def test_a_folder_is_replaced_only_where_asked(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with whole_folder(tmp_path / "final", replace=True) as folder:
            (folder / "a").write_text(text)
    assert (tmp_path / "final" / "a").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    with pytest.raises(CheckpointError, match="not an empty folder"), whole_folder(tmp_path / "final"):
        pass


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "final") as folder:
        (folder / "a").touch(mode=0o600)
    assert (tmp_path / "final" / "a").stat().st_mode & 0o777 == 0o644

"""A folder is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pixelword.errors import CheckpointError, InputError
from pixelword.utils.files import atomic_file, atomic_write, lock, sha256, try_lock, whole_folder


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


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    assert atomic_write(path, "größer") == len("größer".encode())
    with pytest.raises(KeyError), atomic_file(path) as unfinished:
        unfinished.write_text("half")
        raise KeyError("a")
    assert path.read_text(encoding="utf-8") == "größer"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"] and path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written \(.+\); free some space"):
        atomic_write(tmp_path / "a" / "b", "x")


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_lock_is_one_process_alone_and_ends_with_it(reentrant: bool, tmp_path: Path) -> None:
    path = tmp_path / "locks" / ".lock"
    held = try_lock(path, reentrant=reentrant)
    assert held is not None
    again = try_lock(path, reentrant=reentrant)
    assert (again is not None) is reentrant
    code = (
        "from pathlib import Path; from pixelword.utils.files import try_lock; "
        f"print(try_lock(Path({str(path)!r}), reentrant={reentrant}))"
    )
    other = [sys.executable, "-c", code]
    assert subprocess.run(other, capture_output=True, text=True, check=True).stdout == "None\n"
    for item in (held, again):
        if item is not None:
            item.close()
    assert subprocess.run(other, capture_output=True, text=True, check=True).stdout != "None\n"


def test_whoever_waits_for_a_lock_gets_it(tmp_path: Path) -> None:
    path, order = tmp_path / ".lock", []

    def wait() -> None:
        with lock(path):
            order.append("second")

    with lock(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf")

"""Archives are read and never unpacked: names lead nowhere, links and bombs are left out, pickles run nothing."""

from __future__ import annotations

import io
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelword.errors import AssetError
from pixelword_lab.builders import archives
from pixelword_lab.builders.archives import Archive, inner_zip
from pixelword_lab.builders.frames import Unreadable, frame, plain_pickle


def everything(name: str) -> bool:
    return True


def tar(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Archive:
    with tarfile.open(path, "w:gz") as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            opened.addfile(info)
    return Archive("tiny", path)


def test_names_lead_nowhere_and_links_are_left_out(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = tar(
        inside / "a.tgz", {"package/a.txt": b"a", "../evil.txt": b"evil", "/tmp/evil": b"evil"}, {"link": "/etc/passwd"}
    )
    assert archive.files(everything) == {"a.txt": b"a", "../evil.txt": b"evil", "/tmp/evil": b"evil"}
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "a.tgz"]


def test_wheels_give_their_files_but_no_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("folder/", "")
        opened.writestr("folder/a.txt", "a")
    archive = Archive("tiny", path)
    assert archive.file("folder/a.txt") == b"a" and list(archive.files(everything)) == ["folder/a.txt"]
    with pytest.raises(AssetError, match=r"has no file b\.txt"):
        archive.file("b.txt")
    assert dict(inner_zip(path.read_bytes(), everything, "inner")) == {"folder/a.txt": b"a"}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb, which this system has not")
def test_debian_packages_give_their_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: tiny\n"
    )
    (root / "DEBIAN" / "postinst").write_text("#!/bin/sh\ntouch /tmp/this-was-run\n")
    (root / "DEBIAN" / "postinst").chmod(0o755)
    (root / "usr" / "share").mkdir(parents=True)
    (root / "usr" / "share" / "a.txt").write_text("a")
    path = tmp_path / "tiny_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, path], check=True, capture_output=True)
    assert Archive("tiny", path).files(everything) == {"usr/share/a.txt": b"a"}
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(AssetError, match=r"cannot be read|is damaged"):
        Archive("tiny", path).files(everything)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(tmp_path / "a.tgz", {"a": bytes(600), "b": bytes(600)})
    assert len(archive.files(everything)) == 2
    with monkeypatch.context() as smaller:
        smaller.setattr(archives, "MEMBER", 500)
        with pytest.raises(AssetError, match="a is larger than any file of a package should be"):
            archive.files(everything)
    monkeypatch.setattr(archives, "TOTAL", 1000)
    with pytest.raises(AssetError, match="b is larger"):
        archive.files(everything)


@pytest.mark.parametrize("ending", ["tgz", "whl"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(AssetError, match=r"cannot be read .*; delete it, then fetch again"):
        Archive("tiny", path).files(everything)


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/this-was-run",)


def test_a_pickle_runs_nothing() -> None:
    for read in (plain_pickle, frame):
        with pytest.raises(Unreadable, match=r"posix\.system|nt\.system"):
            read(pickle.dumps(_Evil()))
        with pytest.raises(Unreadable):
            read(b"\x80\x05broken")
    assert plain_pickle(pickle.dumps({"a": ["b", 1]})) == {"a": ["b", 1]}
    with pytest.raises(Unreadable, match="not a table"):
        frame(pickle.dumps({"a": 1}))


def test_a_table_of_pandas_is_read_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle is what pandas 2 writes: a manager of blocks, each of columns of one type, and two axes."""

    def named(module: str, name: str) -> type:
        """A class that is pickled by its name, and says itself what it is made of."""
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            path = ".".join(parts[:length])
            monkeypatch.setitem(sys.modules, path, sys.modules.get(path) or types.ModuleType(path))
        made = type(name, (), {"__module__": module, "__reduce__": lambda self: self.told})
        monkeypatch.setattr(sys.modules[module], name, made, raising=False)
        return made

    frame_class = named("pandas.core.frame", "DataFrame")
    manager = named("pandas.core.internals.managers", "BlockManager")
    index, ranged = named("pandas.core.indexes.base", "Index"), named("pandas.core.indexes.range", "RangeIndex")
    block, new_index = (
        named("pandas._libs.internals", "_unpickle_block"),
        named("pandas.core.indexes.base", "_new_Index"),
    )

    def told(cls: type, *reduced: Any) -> Any:
        item = cls()
        item.told = reduced  # type: ignore[attr-defined]
        return item

    numbers = told(block, block, (np.array([[1.5, 2.5], [3.0, 4.0]]), slice(0, 4, 2), 2))
    words = told(block, block, (np.array([["a", "b"]], dtype=object), np.array([1]), 2))
    names = told(index, new_index, (index, {"data": np.array(["x", "word", "y"], dtype=object), "name": None}))
    rows = told(ranged, new_index, (ranged, {"start": 0, "stop": 2, "step": 1, "name": None}))
    held = told(manager, manager, ((numbers, words), [names, rows]))
    table = told(frame_class, frame_class, (), {"_mgr": held, "_typ": "dataframe"})
    content = lzma.decompress(lzma.compress(pickle.dumps(table)))
    assert frame(content) == {"x": [1.5, 2.5], "word": ["a", "b"], "y": [3.0, 4.0]}

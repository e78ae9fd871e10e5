"""Packs: whole or not there, read by any process, each asset in one split for good."""

from __future__ import annotations

import multiprocessing
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets, default_folder, split_of, write_pack

THINGS: list[tuple[dict[str, Any], dict[str, bytes]]] = [
    ({"key": f"thing {number}", "file": f"{number}.bin"}, {f"{number}.bin": bytes([number]) * 100})
    for number in range(40)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "things.zip"
    assert write_pack(path, THINGS, licences={"drawn": "CC0-1.0"}) == 40
    return path


def test_a_pack_gives_back_what_was_written(path: Path) -> None:
    pack = AssetPack(path)
    assert (pack.name, pack.licences) == ("things", {"drawn": "CC0-1.0"})
    assert pack.items == [item for item, _ in THINGS]
    assert pack.files == tuple(f"{number}.bin" for number in range(40))
    assert {item["key"]: pack.read(item["file"]) for item in pack.items} == {
        item["key"]: content for item, files in THINGS for content in files.values()
    }


def test_an_asset_is_in_one_split_whatever_else_is_there(path: Path, tmp_path: Path) -> None:
    pack = AssetPack(path)
    train, test = ({item["key"] for item in pack.of(split)} for split in ("train", "test"))
    assert train | test == {item["key"] for item, _ in THINGS} and not train & test and test
    few = tmp_path / "few.zip"
    write_pack(few, THINGS[10:20], licences={})
    assert {item["key"] for item in AssetPack(few).of("test")} == test & {f"thing {n}" for n in range(10, 20)}


def test_an_item_may_name_its_split(tmp_path: Path) -> None:
    path = tmp_path / "own.zip"
    write_pack(path, (({**item, "split": "test"}, files) for item, files in THINGS), licences={})
    assert len(AssetPack(path).of("test")) == 40 and AssetPack(path).of("train") == []


def test_the_share_that_is_held_out() -> None:
    keys = [f"key {number}" for number in range(4000)]
    assert sum(split_of(key) == "test" for key in keys) / 4000 == pytest.approx(0.15, abs=0.02)
    assert [split_of(key, 0.5) for key in keys[:3]] == [split_of(key, 0.5) for key in keys[:3]]


def test_forked_and_pickled_packs_open_their_file_anew(path: Path) -> None:
    pack = AssetPack(path)
    assert pack.read("0.bin")  # opened here
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map(pack.read, ["1.bin", "2.bin", "3.bin"]) == [bytes([number]) * 100 for number in (1, 2, 3)]
    assert pickle.loads(pickle.dumps(pack)).read("4.bin") == bytes([4]) * 100


def test_a_missing_pack_names_the_command_that_brings_it(tmp_path: Path) -> None:
    assets = Assets(tmp_path)
    assert not assets.has("emoji")
    with pytest.raises(AssetError, match="is missing: pixelword tasks fetch emoji"):
        assets.pack("emoji")


def test_damage_is_found(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AssetError, match=r"is damaged .*: delete it, then pixelword tasks fetch things"):
        AssetPack(path)
    stored = path.with_name("stored.zip")
    write_pack(stored, [({"key": "a", "file": "a.png"}, {"a.png": b"x" * 1000})], licences={})
    content = bytearray(stored.read_bytes())
    content[500] ^= 1
    stored.write_bytes(content)
    with pytest.raises(AssetError, match="damaged"):
        AssetPack(stored).read("a.png")


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(AssetError, match=r"has no file 'other\.bin': pixelword tasks fetch things"):
        AssetPack(path).read("other.bin")


def test_a_stopped_build_leaves_the_pack_as_it_was(path: Path) -> None:
    before = path.read_bytes()

    def stopped() -> Any:
        yield THINGS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pack(path, stopped(), licences={})
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_pack_as_it_was(path: Path) -> None:
    """The disk is full, as far as this process is concerned, behind the 64th kilobyte of any file."""
    before = path.read_bytes()
    program = f"""
import signal, resource
from pathlib import Path
from pixelword.errors import AssetError
from pixelword.synthetic.assets import write_pack
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({2**16}, {resource.RLIM_INFINITY}))
try:
    write_pack(Path({str(path)!r}), [({{"key": "a"}}, {{"a.png": bytes(2**20)}})], licences={{}})
except AssetError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert "cannot write the pack" in told.stdout and "free some space" in told.stdout, told.stderr
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_where_packs_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIXELWORD_ASSETS", str(tmp_path))
    assert default_folder() == tmp_path and Assets().folder == tmp_path
    monkeypatch.delenv("PIXELWORD_ASSETS")
    assert default_folder() == Path.home() / ".cache" / "pixelword" / "assets"

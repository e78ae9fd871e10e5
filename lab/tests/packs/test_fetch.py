"""Fetching: by the real pip from a folder of wheels; what is lacking is one line, and nothing is left half-written."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack
from pixelword_lab.builders import PACKS, Part
from pixelword_lab.builders.archives import Archive
from pixelword_lab.packs.fetch import fetch
from pixelword_lab.packs.packages import PACKAGES, Package

PACK = "letters"


def letters(archive: Archive) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    for name, content in archive.members(lambda name: name.endswith(".txt") and "dist-info" not in name):
        yield {"key": name, "from": archive.name}, {name: content}


def wheel(folder: Path, name: str, content: str) -> str:
    """A wheel of one text, which the real pip downloads; its hash. Installing or importing it would end the process."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}/__init__.py": "raise SystemExit('this was run')",
        f"{name}/{name}.txt": content,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages of one pack in a registry that is a folder: pip is told of no other."""
    folder = tmp_path / "registry"
    hashes = {name: wheel(folder, name, f"text of {name}") for name in ("tinya", "tinyb")}
    for name, found in hashes.items():
        monkeypatch.setitem(PACKAGES, name, Package("pip", name, "1.0", found, "CC0-1.0"))
    monkeypatch.setitem(PACKS, PACK, (Part(("tinya",), letters), Part(("tinyb",), letters)))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    return tmp_path / "assets"


def keys(assets: Path) -> list[str]:
    return [item["key"] for item in AssetPack(assets / f"{PACK}.zip").items]


def half_written(assets: Path) -> list[str]:
    return [path.name for path in assets.rglob("*") if "partial" in path.name or path.name.startswith(".coming")]


def test_a_pack_its_archives_and_where_they_came_from(registry: Path, assets: Path) -> None:
    told: list[tuple[str, int]] = []
    assert fetch(assets, [PACK], shown=lambda what, done: told.append((what, done))) == []
    assert keys(assets) == ["tinya/tinya.txt", "tinyb/tinyb.txt"]
    assert AssetPack(assets / f"{PACK}.zip").read("tinyb/tinyb.txt") == b"text of tinyb"
    manifest = json.loads((assets / "manifest.json").read_text())
    kept = manifest["packages"]["tinya"]
    assert (kept["kind"], kept["version"], kept["licence"]) == ("pip", "1.0", "CC0-1.0")
    assert hashlib.sha256((assets / "archives" / kept["file"]).read_bytes()).hexdigest() == kept["sha256"]
    built = manifest["packs"][PACK]
    assert built["items"] == 2 and built["made_of"] == {name: PACKAGES[name].sha256 for name in ("tinya", "tinyb")}
    assert ("fetching tinya", 0) in told and (f"building {PACK}", 2) in told
    assert half_written(assets) == []


def test_a_second_time_nothing_is_done_and_no_network_is_needed(registry: Path, assets: Path) -> None:
    fetch(assets, [PACK])
    before = (assets / f"{PACK}.zip").stat()
    shutil.rmtree(registry)
    told: list[str] = []
    assert fetch(assets, [PACK], shown=lambda what, done: told.append(what)) == [] and told == []
    assert (assets / f"{PACK}.zip").stat().st_mtime_ns == before.st_mtime_ns
    (assets / f"{PACK}.zip").unlink()
    assert fetch(assets, [PACK], offline=True) == [] and len(keys(assets)) == 2
    assert fetch(assets, [PACK], offline=True, rebuild=True) == []


def test_another_hash_is_refused_and_thrown_away(registry: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(registry, "tinyb", "something else")
    [fault] = fetch(assets, [PACK])
    assert fault.startswith("tinyb 1.0 (pip): the archive that came has the hash") and "thrown away" in fault
    assert keys(assets) == ["tinya/tinya.txt"], "the rest goes on"
    assert [path.name for path in (assets / "archives").iterdir()] == ["tinya-1.0-py3-none-any.whl"]


def test_what_is_missing_is_one_line_and_comes_the_next_time(registry: Path, assets: Path) -> None:
    away = registry / "tinya-1.0-py3-none-any.whl"
    content = away.read_bytes()
    away.unlink()
    [fault] = fetch(assets, [PACK])
    assert fault.startswith("tinya 1.0 (pip) could not be got:") and "\n" not in fault
    assert keys(assets) == ["tinyb/tinyb.txt"]
    away.write_bytes(content)
    assert fetch(assets, [PACK]) == [] and len(keys(assets)) == 2
    # once built of both, it is not made smaller by what cannot be had any more
    away.unlink()
    (assets / "archives" / "tinya-1.0-py3-none-any.whl").unlink()
    assert fetch(assets, [PACK]) == [] and len(keys(assets)) == 2


def test_a_missing_program_is_one_line(registry: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "tinyb", Package("npm", "tinyb", "1.0", "0" * 64, "MIT"))
    monkeypatch.setenv("PATH", str(assets))
    [fault] = fetch(assets, [PACK])
    assert fault == "tinyb 1.0 (npm) is left out: it comes by npm, which is not installed"
    assert keys(assets) == ["tinya/tinya.txt"]


def test_nothing_to_build_from_is_said(registry: Path, assets: Path) -> None:
    shutil.rmtree(registry)
    faults = fetch(assets, [PACK])
    assert len(faults) == 3 and faults[-1] == f"pack {PACK}: none of its packages could be got"
    assert not (assets / f"{PACK}.zip").exists()


def test_a_damaged_archive_is_got_again(registry: Path, assets: Path) -> None:
    fetch(assets, [PACK])
    kept = assets / "archives" / "tinya-1.0-py3-none-any.whl"
    kept.write_bytes(kept.read_bytes()[:-50])
    assert fetch(assets, [PACK], rebuild=True) == [] and len(keys(assets)) == 2
    kept.write_bytes(b"")
    [fault] = fetch(assets, [PACK], rebuild=True, offline=True)
    assert "tinya (pip) is not among the kept archives" in fault


def test_a_builder_that_changed_builds_anew(registry: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(assets, [PACK])

    def shout(archive: Archive) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
        for item, files in letters(archive):
            yield {**item, "key": item["key"].upper()}, files

    monkeypatch.setitem(PACKS, PACK, (Part(("tinya",), shout, version=2), Part(("tinyb",), letters)))
    assert fetch(assets, [PACK]) == [] and keys(assets) == ["TINYA/TINYA.TXT", "tinyb/tinyb.txt"]


def test_an_interrupted_build_is_taken_up_again(registry: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(archive: Archive) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
        yield from letters(archive)
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setitem(PACKS, PACK, (Part(("tinya",), letters), Part(("tinyb",), stopped)))
        with pytest.raises(KeyboardInterrupt):
            fetch(assets, [PACK])
    assert half_written(assets) == [] and not (assets / f"{PACK}.zip").exists()
    shutil.rmtree(registry)
    assert fetch(assets, [PACK]) == [], "the archives are kept"


def test_what_a_killed_fetch_left_goes_away(registry: Path, assets: Path) -> None:
    left = assets / "archives" / ".coming-dead"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    assert fetch(assets, [PACK]) == [] and not left.exists()


def test_two_do_not_fetch_at_once(registry: Path, assets: Path) -> None:
    assets.mkdir()
    with (assets / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AssetError, match="another fetch is at work"):
            fetch(assets, [PACK])


def test_a_full_disk_is_one_line(registry: Path, assets: Path) -> None:
    """In a process that may write no file beyond its first 200 bytes, a pack cannot be kept; what was there stays."""
    fetch(assets, [PACK])
    before = (assets / f"{PACK}.zip").read_bytes()
    program = f"""
import resource, signal
from pathlib import Path
from pixelword_lab.builders import PACKS, Part
from pixelword_lab.packs.fetch import fetch
from pixelword_lab.packs.packages import PACKAGES, Package
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def letters(archive):
    yield {{"key": "a"}}, {{"a.png": bytes(100_000)}}
for name, found in { ({name: PACKAGES[name].sha256 for name in ("tinya", "tinyb")})!r}.items():
    PACKAGES[name] = Package("pip", name, "1.0", found, "CC0-1.0")
PACKS[{PACK!r}] = (Part(("tinya",), letters), Part(("tinyb",), letters))
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
print(fetch(Path({str(assets)!r}), [{PACK!r}], rebuild=True))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert f"pack {PACK}: " in told.stdout and "cannot write the pack" in told.stdout, told.stderr
    assert (assets / f"{PACK}.zip").read_bytes() == before and half_written(assets) == []


def test_a_name_that_is_no_pack(assets: Path) -> None:
    with pytest.raises(AssetError, match="no pack 'emojis': choose from emoji, "):
        fetch(assets, ["emojis"])


def test_a_damaged_manifest_is_said(registry: Path, assets: Path) -> None:
    fetch(assets, [PACK])
    (assets / "manifest.json").write_text("{")
    with pytest.raises(AssetError, match=r"manifest\.json is damaged .*: delete it, then fetch again"):
        fetch(assets, [PACK])


def test_every_pack_is_made_of_packages_that_are_known() -> None:
    for parts in PACKS.values():
        for part in parts:
            assert part.packages and set(part.packages) <= set(PACKAGES)
    for package in PACKAGES.values():
        assert package.licence and (package.kind == "apt") == (package.sha256 == "") == (package.version == "")


def test_the_command_ends_with_1_when_something_is_lacking(
    registry: Path, assets: Path, run_tasks: Callable[..., Any]
) -> None:
    done = run_tasks("fetch", PACK, "--assets", assets)
    assert (done.exit_code, done.stdout) == (0, f"{assets}: up to date\n")
    wheel(registry, "tinya", "something else")
    shutil.rmtree(assets)
    done = run_tasks("fetch", PACK, "--assets", assets)
    assert done.exit_code == 1 and done.stdout.splitlines()[0].startswith("tinya 1.0 (pip): ")


def test_the_list_says_what_is_there_and_what_is_lacking(
    registry: Path, assets: Path, run_tasks: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    fetch(assets, [PACK])
    listed = run_tasks("list", "--assets", assets)
    assert "tinya, tinyb" in listed.stdout
    assert "emoji" in listed.stdout and "(trdg)" in listed.stdout


@pytest.fixture
def run_tasks() -> Callable[..., Any]:
    from typer.testing import CliRunner

    from pixelword_lab.cli.tasks import app

    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

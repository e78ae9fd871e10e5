"""Every format gives the same samples, each read alone; what is broken is told of by its place."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pixelword.data.cache import Table, kept
from pixelword.data.recipe import SourceRecipe
from pixelword.data.sources import Source, open_source
from pixelword.errors import InputError, RecipeError
from pixelword.processing.images import load_image

Open = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a source of files under the test's folder, with an index folder of its own."""

    def open_it(path: str, **options: Any) -> Source:
        return open_source("s", SourceRecipe(path=str(tmp_path / path), **options), tmp_path / "index")

    return open_it


def png(width: int = 8, height: int = 4, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def sample(answer: str, picture: str = "a.png") -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": answer}]
    return {"image": picture, "conversations": turns}


def write_tar(path: Path, members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def answers(source: Source) -> list[str]:
    return [source.read(i).messages[-1]["content"] for i in range(len(source))]


def picture(source: Source, i: int) -> Any:
    return source.read(i).messages[0]["content"][0]["image"]


def test_json_lines(tmp_path: Path, opened: Open) -> None:
    lines = [json.dumps(sample("eins ä"), ensure_ascii=False), "", json.dumps([sample("zwei"), sample("drei")])]
    (tmp_path / "a.jsonl").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    source = opened("a.jsonl")
    assert answers(source) == ["eins ä", "zwei", "drei"]
    assert [source.where(i) for i in range(3)] == ["a.jsonl:1", "a.jsonl:3 item 1", "a.jsonl:3 item 2"]
    assert source.read(0).kind == "s"


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_of_samples_and_of_packed_lists(tmp_path: Path, opened: Open, indent: int | None) -> None:
    written = [sample("eins ä"), [sample("zwei"), sample("drei 😀")], sample("vier")]
    (tmp_path / "a.json").write_text(json.dumps(written, indent=indent, ensure_ascii=False), encoding="utf-8")
    source = opened("a.json")
    assert answers(source) == ["eins ä", "zwei", "drei 😀", "vier"]
    text = (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()
    line, number = (int(word) for word in source.where(3).removeprefix("a.json:").split(" sample "))
    assert number == 4
    assert ("vier" in "".join(text[line - 1 :]) and "drei" not in "".join(text[line - 1 :])) or indent is None


def test_a_single_json_object_is_one_sample(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "a.json").write_text(json.dumps(sample("eins")))
    assert answers(opened("a.json")) == ["eins"]


def test_pictures_stand_beside_their_source_or_under_its_root(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "deep").mkdir()
    absolute, address = str(tmp_path / "c.png"), "https://example.com/d.png"
    rows = [sample("x", name) for name in ("a.png", absolute, address, "data:image/png;base64,AAAA")]
    (tmp_path / "deep" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    here, there = opened("deep/a.jsonl"), opened("deep/a.jsonl", root=tmp_path / "pictures")
    assert picture(here, 0) == tmp_path / "deep" / "a.png"
    assert picture(there, 0) == tmp_path / "pictures" / "a.png"
    assert [str(picture(there, i)) for i in (1, 2, 3)] == [absolute, address, rows[3]["image"]]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_are_read_in_place(tmp_path: Path, opened: Open, form: int) -> None:
    long = "folder/" * 12 + "sample-ä"  # beyond the 100 bytes of a plain header
    if form == tarfile.USTAR_FORMAT:
        long = "folder/sample-ä"
    two = {**sample("zwei"), "image": ["right.png", "left.png"]}
    two["conversations"] = [{"from": "human", "value": "<image><image>"}, two["conversations"][1]]
    members = {
        "001.png": png(8, 4),
        "001.txt": b"ein Bild",
        f"{long}.left.png": png(9, 4),
        f"{long}.right.PNG": png(10, 4),
        f"{long}.json": json.dumps(two).encode(),
        "003.txt": b"only words",
    }
    write_tar(tmp_path / "a.tar", members, form)
    source = opened("a.tar")
    assert answers(source) == ["ein Bild", "zwei", "only words"]
    assert [source.where(i) for i in range(3)] == ["a.tar:001", f"a.tar:{long}", "a.tar:003"]
    first, second = (part["image"] for part in source.read(1).messages[0]["content"])
    assert [load_image(item).size for item in (first, second)] == [(10, 4), (9, 4)]
    assert load_image(picture(source, 0)).size == (8, 4)


def test_several_files_are_one_source(tmp_path: Path, opened: Open) -> None:
    for number in (8, 9, 10):
        (tmp_path / f"{number:02d}").mkdir()
        write_tar(tmp_path / f"{number:02d}/a.tar", {f"k{i}.txt": f"{number} {i}".encode() for i in range(2)})
    every = opened("{08..10}/a.tar")
    assert answers(every) == ["8 0", "8 1", "9 0", "9 1", "10 0", "10 1"]
    assert every.where(3) == "09/a.tar:k1"
    assert answers(opened("*/a.tar")) == answers(every)
    assert answers(opened("*/a.tar", limit=3)) == ["8 0", "8 1", "9 0"]


def test_parquet_as_hugging_face_writes_it(tmp_path: Path, opened: Open) -> None:
    rows = [
        {
            "images": [{"bytes": png(8 + i, 4), "path": None}, {"bytes": None, "path": "beside.png"}],
            "texts": [{"user": "Hm?", "assistant": f"answer {i}"}],
        }
        for i in range(5)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=2)
    source = opened("a.parquet")
    assert answers(source) == [f"answer {i}" for i in range(5)]
    assert source.where(4) == "a.parquet:row 4"
    first, second = (part["image"] for part in source.read(3).messages[0]["content"][:2])
    assert load_image(first).size == (11, 4)
    assert second == tmp_path / "beside.png"


def told(source: Source, i: int) -> str:
    with pytest.raises(InputError) as refused:
        source.read(i)
    assert str(refused.value).startswith(f"{source.where(i)}: ")
    return str(refused.value)


def test_a_bad_line_costs_that_line_alone(tmp_path: Path, opened: Open) -> None:
    good = json.dumps(sample("gut"))
    (tmp_path / "a.jsonl").write_text(f'{good}\n{{"image": \n"words"\n{good}\n[{good}, 3]\n[]\n{good[:40]}')
    source = opened("a.jsonl")
    assert answers_of(source, (0, 3, 4)) == ["gut"] * 3
    assert "a.jsonl:2: not JSON: Expecting value" in told(source, 1)
    assert "a.jsonl:3: a sample must be an object {...}, and this is a text" in told(source, 2)
    assert "a.jsonl:5 item 2" in told(source, 5) and "a number" in told(source, 5)
    assert "a.jsonl:6" in told(source, 6) and "a list" in told(source, 6)
    assert "a.jsonl:7: not JSON" in told(source, 7)
    assert len(source) == 8


def answers_of(source: Source, which: tuple[int, ...]) -> list[str]:
    return [source.read(i).messages[-1]["content"] for i in which]


@pytest.mark.parametrize(
    ("text", "whole", "reason"),
    [
        ("[GOOD,\nGOOD,\n{bad},\nGOOD]", 2, "a.json:3 sample 3: not JSON from here on"),
        ("[GOOD,\nGOOD", 2, "a.json:2 sample 3: the file ends before its list does"),
        ("[GOOD\nGOOD]", 1, "a.json:2 sample 2: a comma or the end of the list is missing"),
        ("GOOD\nGOOD\n", 1, "use .jsonl for lines"),
        ("[GOOD] [GOOD]", 1, "data follows the end"),
    ],
)
def test_a_broken_json_file_is_read_up_to_there(
    tmp_path: Path, opened: Open, text: str, whole: int, reason: str
) -> None:
    (tmp_path / "a.json").write_text(text.replace("GOOD", json.dumps(sample("gut"))))
    source = opened("a.json")
    assert len(source) == whole + 1
    assert answers_of(source, tuple(range(whole))) == ["gut"] * whole
    assert reason in told(source, whole)


def test_a_cut_off_tar_keeps_its_whole_samples(tmp_path: Path, opened: Open) -> None:
    write_tar(tmp_path / "whole.tar", {f"{i}.txt": bytes([97 + i]) * 1000 for i in range(3)})
    data = (tmp_path / "whole.tar").read_bytes()
    assert len(opened("whole.tar")) == 3
    # in the third sample's data, in its header, and right before it; 1536 bytes a sample
    for size, whole in ((3072 + 700, 2), (3072 + 100, 2), (3072, 2)):
        (tmp_path / "cut.tar").write_bytes(data[:size])
        source = opened("cut.tar")
        assert answers_of(source, (0, 1)) == ["a" * 1000, "b" * 1000]
        assert len(source) == whole + 1
        assert "cut.tar:end: the archive" in told(source, whole) and "cut off" in told(source, whole)


def test_what_a_tar_member_may_not_be(tmp_path: Path, opened: Open) -> None:
    write_tar(tmp_path / "a.tar", {"1.json": b"{", "2.json": b"[]", "3.txt": b"\xff\xfe", "4.png": png()})
    source = opened("a.tar")
    assert "1.json is not JSON" in told(source, 0)
    assert "2.json must hold one object" in told(source, 1)
    assert "3.txt is not UTF-8" in told(source, 2)
    assert "no conversation in it" in told(source, 3)


def test_damaged_parquet(tmp_path: Path, opened: Open) -> None:
    pq.write_table(pa.table({"text": ["x" * 1000] * 10}), tmp_path / "a.parquet", compression="none")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:-20])
    assert "not a Parquet file, or cut off" in told(opened("a.parquet"), 0)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none.jsonl", "no file"),
        ("no*.tar", "no file"),
        ("folder", "is a folder"),
        ("empty.jsonl", "has no samples"),
        ("empty.json", "has no samples"),
        ("words.csv", "the format is unclear"),
        ("{0..1}.*", "the format is unclear"),
    ],
)
def test_sources_that_cannot_be_opened(tmp_path: Path, opened: Open, path: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("empty.jsonl", "empty.json", "words.csv", "0.jsonl", "1.tar"):
        (tmp_path / name).touch()
    with pytest.raises(RecipeError, match=r"^data\.sources\.s: ") as refused:
        opened(path)
    assert reason in str(refused.value)


def test_a_file_that_vanishes_is_told_of(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(sample("gut")))
    source = opened("a.jsonl")
    (tmp_path / "a.jsonl").unlink()
    assert "cannot be read (No such file or directory)" in told(source, 0)


def test_places_are_found_once_and_anew_when_a_file_changes(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(sample("eins")) + "\n")
    assert answers(opened("a.jsonl")) == ["eins"]
    saved = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.npy")}
    assert answers(opened("a.jsonl")) == ["eins"]
    assert saved and all(path.stat().st_mtime_ns == time for path, time in saved.items())
    with file.open("a") as handle:
        handle.write(json.dumps(sample("zwei")) + "\n")
    assert answers(opened("a.jsonl")) == ["eins", "zwei"]
    os.utime(file, ns=(1, 1))  # a file put back from elsewhere, as long as before
    assert answers(opened("a.jsonl")) == ["eins", "zwei"]


def test_a_table_is_whole_or_absent(tmp_path: Path) -> None:
    def interrupted() -> Table:
        raise KeyboardInterrupt

    file = tmp_path / "a"
    file.touch()
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "index", "t", {}, [file], interrupted)
    assert not [path for path in (tmp_path / "index").iterdir() if not path.name.endswith(".lock")]
    (tmp_path / "index" / "barred").touch()
    with pytest.raises(RecipeError, match=r"cannot keep an index there.*data\.index"):
        kept(tmp_path / "index" / "barred", "t", {}, [file], interrupted)


def test_a_damaged_table_is_made_anew(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(sample("eins")))
    opened("a.jsonl")
    for path in (tmp_path / "index").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:10])
    assert answers(opened("a.jsonl")) == ["eins"]

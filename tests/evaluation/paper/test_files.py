"""Questions from each format that benchmarks come in."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pixelword.errors import InputError
from pixelword.evaluation.paper.benchmarks import TITLES, Benchmark, benchmarks, models, setting
from pixelword.evaluation.paper.files import count, find, rows
from pixelword.evaluation.paper.metrics import METRICS


def png(colour: str = "red") -> bytes:
    held = io.BytesIO()
    noise = Image.effect_noise((64, 48), 50).convert("RGB")
    (noise if colour == "noise" else Image.new("RGB", (64, 48), colour)).save(held, "PNG")
    return held.getvalue()


def benchmark(name: str) -> Benchmark:
    return benchmarks([name])[0]


def table(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_there_are_thirty_in_three_categories_each_with_all_it_needs() -> None:
    found = benchmarks()
    assert len(found) == 30 == len({item.id for item in found}) == len({item.file for item in found})
    assert [len([item for item in found if item.category == name]) for name in TITLES] == [12, 8, 10]
    assert {item.category for item in found} == set(TITLES)
    for each in found:
        assert each.metric in METRICS and set(each.paper) <= set(models())
        is_video = each.seconds > 0
        assert is_video == bool(each.frames or each.up_to)
        low, high = each.setting.pixels
        assert low is not None and high is not None and low <= high
        assert each.source.startswith("vlmeval/") and bool(each.counted) != ("questions" in each.unconfirmed)
    assert benchmark("docvqa").paper["NEO-ov 2B"] == 91.2 and benchmark("mindcube").paper["Qwen3-VL 8B"] == 29.6
    assert benchmark("pope").media().max_pixels == 16384 * 1024 and benchmark("vsi").media().num_frames == 32
    assert benchmark("3dsr").media() == replace(benchmark("pope").media(), min_pixels=960 * 720, max_pixels=960 * 720)
    assert benchmark("blink").setting.area == (960, 720) and benchmark("textvqa").setting.min_tokens == 2048
    assert benchmark("videomme").media().max_pixels == 225 * 1024 and benchmark("mmmu").setting.max_tokens == 3920
    assert setting("image").min_tokens == 1280 and not setting("spatial").sampled


def test_tables_as_vlmevalkit_has_them(tmp_path: Path) -> None:
    picture = base64.b64encode(png("noise")).decode()
    path = table(
        tmp_path / "MMStar.tsv",
        "index\tquestion\thint\tA\tB\tC\tanswer\timage",
        f"7\tWhich?\tlook\tred\tblue\t\tB\t{picture}",
        "8\tAnd now?\t\tred\tblue\tgreen\tC\t7",  # the picture of question 7
    )
    first, second = rows([path], benchmark("mmstar"))
    assert (first.key, first.choices, first.answers, first.hint) == ("7", ("red", "blue"), ("B",), "look")
    assert second.media == first.media and second.choices == ("red", "blue", "green")
    assert first.media[0]["image"].startswith("data:image/png;base64,")
    assert find(tmp_path, benchmark("mmstar")) == (path,) and count([path], benchmark("mmstar")) == 2


def test_rotated_questions_count_together(tmp_path: Path) -> None:
    path = table(
        tmp_path / "mmbench.tsv",
        "index\tquestion\tA\tB\tC\tanswer",
        "1\tWhich?\tx\ty\tz\tB",
        "1000001\tWhich?\ty\tz\tx\tA",  # the file's own rotation
    )
    found = rows([path], benchmark("mmbench"))
    assert [(row.group, row.choices[ord(row.answers[0]) - 65]) for row in found] == [("1", "y")] * 3
    assert {row.answers for row in found} == {("A",), ("B",), ("C",)}
    assert count([path], benchmark("mmbench")) == 3


def test_lines_with_pictures_and_videos_beside_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    (tmp_path / "b.mp4").write_bytes(b"-")
    asked = [
        {"id": "q1", "question": "?", "choices": ["A. one", "B. two"], "answer": "two", "images": ["a.png", "a.png"]},
        {"question": "?", "answer": ["3", "three"], "video": "b"},
    ]
    path = table(tmp_path / "blink.jsonl", *map(json.dumps, asked))
    first, second = rows([path], benchmark("blink"))
    assert first.choices == ("one", "two") and first.answers == ("B",) and len(first.media) == 2
    assert second.answers == ("3", "three") and second.media[0] == {"type": "video", "video": str(tmp_path / "b.mp4")}
    assert (first.key, second.key) == ("q1", "1")


def test_columns_as_the_hub_has_them(tmp_path: Path) -> None:
    (tmp_path / "pope").mkdir()
    path = tmp_path / "pope" / "questions.parquet"
    column = {"question_id": ["1"], "question": ["Is it red?"], "answer": ["yes"], "image": [{"bytes": png()}]}
    pq.write_table(pa.table(column), path)
    assert find(tmp_path, benchmark("pope")) == (path,) and count([path], benchmark("pope")) == 1
    (row,) = rows([path], benchmark("pope"))
    assert row.media == ({"type": "image", "image": png()},) and row.choices == ()


def test_choices_by_their_letters_and_as_lines(tmp_path: Path) -> None:
    path = table(
        tmp_path / "viewspatial.tsv",
        "index\tquestion\tcandidates\tanswer",
        '1\tWhere?\t"A. back-left\nB. back\nC. front"\tB. back',
        "2\tWhere?\t['A. left', 'B. right']\tB",
        "3\tWhere?\t['A. left', 'right']\tright",
    )
    found = rows([path], benchmark("viewspatial"))
    assert [row.choices for row in found] == [("back-left", "back", "front"), ("left", "right"), ("A. left", "right")]
    assert {row.answers for row in found} == {("B",)}


def test_only_what_counts_is_asked(tmp_path: Path) -> None:
    picture = base64.b64encode(png("noise")).decode()
    path = table(
        tmp_path / "MMMU_DEV_VAL.tsv",
        "index\tquestion\tA\tanswer\tsplit\timage",
        f"1\t?\tx\tA\tdev\t{picture}",
        f"2\t?\tx\tA\tvalidation\t{picture}",
        "3\t?\tx\tA\tvalidation\t",  # its picture was left out
    )
    assert [row.key for row in rows([path], benchmark("mmmu"))] == ["2"] and count([path], benchmark("mmmu")) == 1


def test_kinds_and_groups_are_read_from_their_columns(tmp_path: Path) -> None:
    flips = table(tmp_path / "a.jsonl", *(json.dumps({"qid": f"abcdefgh{end}", "question": "?", "answer": "A"})
                                           for end in ("", "-1", "-flip", "-flip-1")))  # fmt: skip
    assert [row.group for row in rows([flips], benchmark("3dsr"))] == ["abcdefgh"] * 2 + ["abcdefgh-flip"] * 2
    kinds = table(
        tmp_path / "b.jsonl", json.dumps({"question": "?", "answer": "3", "question_type": "object_counting"})
    )
    assert rows([kinds], benchmark("vsi"))[0].kind == "object_counting"


def test_two_files_are_one_benchmark_when_both_are_there(tmp_path: Path) -> None:
    asked = json.dumps({"id": 1, "question": "?", "options": ["x", "y"], "answer": "A"})
    image = table(tmp_path / "SiteBenchImage.jsonl", asked)
    assert find(tmp_path, benchmark("site")) == ()
    video = table(tmp_path / "SiteBenchVideo.jsonl", asked)
    assert find(tmp_path, benchmark("site")) == (image, video) and count((image, video), benchmark("site")) == 2
    assert [row.key for row in rows((image, video), benchmark("site"))] == ["SiteBenchImage/1", "SiteBenchVideo/1"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.tsv", "index\tA\n1\tx\n", "question 1 has no question"),
        ("a.tsv", "question\tA\tanswer\nq\tx\tF\n", "none of its 1 choices"),
        ("a.tsv", "question\tA\tB\tanswer\nq\tx\ty\tAB\n", "'AB' is none of its 2 choices"),
        ("a.tsv", "question\n", "holds no question"),
        ("a.jsonl", "{\n", "a.jsonl:1 is not JSON"),
        ("a.jsonl", "[]\n", "is not a JSON object"),
        ("a.jsonl", '{"question": "?", "answer": "x", "image": "../../x.png"}\n', "no file"),
        ("a.parquet", "PAR1", "not a complete Parquet file"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=told):
        rows([tmp_path / name], benchmark("mmstar"))

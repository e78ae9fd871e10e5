"""`pixelword batch`."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pointing_model import POINTED

from pixelword.batch.export import export
from pixelword.evaluation.run_metadata import checksum

QUESTION = "Find the star."


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (200, 100), (number * 80, 0, 0)).save(folder / f"{number}.png")
    return folder


def batch(run: Callable[..., Any], *words: object, code: int = 0) -> str:
    result = run("batch", *words)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    return result.stderr


def test_json_lines(run: Callable[..., Any], images: Path, tmp_path: Path, pointing_model_dir: Path) -> None:
    out = tmp_path / "answers.jsonl"
    told = batch(run, images, QUESTION, "--out", out, "--model", pointing_model_dir)
    assert told.splitlines()[-1] == f"3 inputs: 3 answered; answers in {out}"
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["answer"] for line in lines} == {POINTED}
    assert all(line["objects"][0]["box"] == [20, 25, 100, 75] for line in lines)
    told = batch(run, images, QUESTION, "--out", out, "--model", pointing_model_dir)
    assert told.splitlines()[-1] == f"3 inputs: 0 answered, 3 known from before; answers in {out}"


def test_csv_and_parquet_have_the_inputs_in_order(
    run: Callable[..., Any], images: Path, tmp_path: Path, pointing_model_dir: Path
) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("id,image,question\n" + "".join(f"r{n},images/{n % 3}.png,where?\n" for n in range(7)))
    for suffix in ("csv", "parquet"):
        batch(run, table, "--out", tmp_path / f"answers.{suffix}", "--model", pointing_model_dir)
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"r{n}" for n in range(7)]
    assert json.loads(rows[6]["objects"])[0]["label"] == "star" and rows[6]["image"] == "images/0.png"
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    found = parquet.read_table(tmp_path / "answers.parquet").to_pylist()
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert found[0]["objects"][0]["box"] == [20.0, 25.0, 100.0, 75.0]


def test_failures_have_a_line_and_an_exit_code(
    run: Callable[..., Any], images: Path, tmp_path: Path, pointing_model_dir: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": 1, "image": "images/0.png"}\n\n{"id": 2, "image": "images/9.png"}\nnothing\n')
    out = tmp_path / "answers.jsonl"
    told = batch(run, rows, QUESTION, "--out", out, "--model", pointing_model_dir, code=1)
    assert "1 answered, 2 failed" in told
    failed = [json.loads(line) for line in (tmp_path / "answers.failed.jsonl").read_text().splitlines()]
    assert {item["id"]: item["error"].partition(": ")[0] for item in failed} == {
        2: str(images / "9.png"),
        None: f"line 4 of {rows} is not a row",
    }
    Image.new("RGB", (9, 9)).save(images / "9.png")
    rows.write_text(rows.read_text().replace("nothing\n", ""))
    told = batch(run, rows, QUESTION, "--out", out, "--model", pointing_model_dir)
    assert "1 answered, 1 known" in told and not (tmp_path / "answers.failed.jsonl").exists()


def test_jobs_of_a_folder_keep_their_failures_and_a_file_of_failures_is_an_input(
    run: Callable[..., Any], images: Path, tmp_path: Path, pointing_model_dir: Path
) -> None:
    rows, broken = tmp_path / "rows.jsonl", images / "9.png"
    rows.write_text('{"id": 2, "image": "images/9.png"}\n')
    batch(run, rows, QUESTION, "--out", tmp_path / "a.jsonl", "--model", pointing_model_dir, code=1)
    batch(run, images, QUESTION, "--out", tmp_path / "b.jsonl", "--model", pointing_model_dir)
    kept = (tmp_path / "a.failed.jsonl").read_text()
    assert json.loads(kept)["id"] == 2 and not (tmp_path / "b.failed.jsonl").exists()
    Image.new("RGB", (9, 9)).save(broken)
    told = batch(run, tmp_path / "a.failed.jsonl", "--out", tmp_path / "c.jsonl", "--model", pointing_model_dir)
    assert "1 inputs: 1 answered" in told and (tmp_path / "a.failed.jsonl").read_text() == kept


def test_csv_and_parquet_have_videos_and_values(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    line = {"id": "a", "image": None, "video": "v.mp4", "question": "?", "answer": '{"n": 1}', "objects": []}
    lines = [{**line, "finish_reason": "stop", "usage": usage, "key": "0"}]
    lines.append({**lines[0], "video": ["v.mp4", "w.mp4"], "parsed": {"n": 1}})
    export(tmp_path / "a.csv", lines)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], row["parsed"]) for row in rows] == [("v.mp4", ""), ('["v.mp4", "w.mp4"]', '{"n": 1}')]
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    export(tmp_path / "a.parquet", lines)
    found = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(row["video"], row["parsed"]) for row in found] == [("v.mp4", None), ('["v.mp4", "w.mp4"]', '{"n": 1}')]


def test_other_options_are_another_question(
    run: Callable[..., Any], images: Path, tmp_path: Path, pointing_model_dir: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    batch(run, images, QUESTION, "--out", out, "--model", pointing_model_dir)
    told = batch(run, images, QUESTION, "--out", out, "--model", pointing_model_dir, "--max-new-tokens", 5)
    assert "3 answered" in told


def test_an_answer_depends_on_generation_settings_and_an_adapter_s_scale(tmp_path: Path) -> None:
    before = checksum(tmp_path)
    for name in ("generation_config.json", "adapter_config.json"):
        (tmp_path / name).write_text("{}")
        assert checksum(tmp_path) != before
        before = checksum(tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["what is it?"], "put the images before the question"),
        (["no-such-folder/", "what is it?"], "no such file or folder"),
        (["{images}"], "has no question"),
        (["{images}/0.png"], "the question is missing"),
        (["{images}", "what?", "--out", "answers.txt"], "name a .jsonl, .csv or .parquet file"),
        (["{images}", "what?", "--out", "nowhere/answers.jsonl"], "nowhere is not one"),
        (["{images}", "what?", "--out", "a.jsonl", "--failed", "./a.jsonl"], "answers are written there"),
        (["{images}", "what?", "--out", "a.csv", "--failed", "a.csv.journal.jsonl"], "answers are written there"),
        (["{images}/rows.csv", "--out", "{images}/rows.csv"], "rows.csv is an input"),
        (["{images}/rows.jsonl", "--out", "{images}/rows.jsonl"], "rows.jsonl is an input"),
        (["{images}/rows.jsonl", "--out", "a.csv", "--failed", "{images}/rows.jsonl"], "rows.jsonl is an input"),
        (["{images}/a.failed.jsonl", "what?", "--out", "{images}/a.jsonl"], "a.failed.jsonl is an input"),
    ],
)
def test_mistakes_are_said_before_a_model_is_loaded(
    refused: Callable[..., str], images: Path, tmp_path: Path, words: list[str], line: str
) -> None:
    for name in ("rows.csv", "rows.jsonl", "a.failed.jsonl"):
        (images / name).write_text("image,question\n")
    given = [word.format(images=images) for word in words]
    out = [] if "--out" in given else ["--out", tmp_path / "answers.jsonl"]
    assert line in refused("batch", *given, *out, "--model", "no-such-model")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_keeps_the_answers(tmp_path: Path, tiny_model_dir: Path, number: int) -> None:
    folder, out = tmp_path / "in", tmp_path / "answers.jsonl"
    folder.mkdir()
    for place in range(60):
        Image.new("RGB", (40, 40), (place, 0, 0)).save(folder / f"{place}.png")
    command = [sys.executable, "-m", "pixelword", "batch", str(folder), "what?", "--out", str(out)]
    command += ["--model", str(tiny_model_dir), "--max-new-tokens", "60", "--max-num-seqs", "2"]
    # a shell's background job, as this may be, hands down that Ctrl-C is ignored
    fresh = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=fresh)
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "run the same command to go on" in told
    assert all(json.loads(line)["answer"] is not None for line in out.read_text().splitlines())


def test_boxes_name_their_image_in_rows_with_several(run: Callable[..., Any], images: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance", reason="grammars need llguidance")
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    names = [f"images/{n}.png" for n in range(3)]
    asked = [
        {"image": names[:count], "question": f"Find the {what}."}
        for count in (1, 3)
        for what in ("star", "red cup", "cats")
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in asked))
    how = ["--schema", "boxes", "--temperature", 1.5, "--seed", 2, "--max-new-tokens", 120]
    batch(run, rows, "--out", out, "--model", "nano", *how)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    found = [(line["image"], place) for line in lines for place in line["objects"]]
    assert all(place["box"] and 0 <= place["image"] < (1 if isinstance(of, str) else 3) for of, place in found)
    assert any(isinstance(of, list) for of, _ in found)

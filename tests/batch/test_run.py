"""A job's run: duplicates, failures, retries, and what survives kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixelword.batch.answering import Answerer, Cancelled, Content
from pixelword.batch.journal import Failures, Journal
from pixelword.batch.rows import Inputs, Row
from pixelword.batch.run import Job, may_pass
from pixelword.errors import InputError, MediaError
from pixelword.generation.session import Session, load

QUESTION = "what colour is it?"


@pytest.fixture(scope="module")
def session(tiny_model_dir: Path) -> Session:
    return load(tiny_model_dir, device="cpu")


class Counting(Answerer):
    """Counts what the model answers, and fails to read where told to."""

    asked: Counter[str]
    outages: int = 0

    def read(self, row: Row) -> Content:
        if self.outages:
            self.outages -= 1
            raise MediaError("the network drive does not respond") from OSError("timed out")
        return super().read(row)

    def answer(self, row: Row, content: Content) -> dict[str, Any]:
        self.asked[row.images[0]] += 1
        return super().answer(row, content)


@pytest.fixture
def answerer(session: Session) -> Iterator[Counting]:
    with Counting(session, session.sampling(4), max_num_seqs=3) as running:
        running.asked = Counter()
        yield running


def draw(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shade = zlib.crc32(name.encode())
        Image.new("RGB", (40, 40), (shade & 255, shade >> 8 & 255, shade >> 16 & 255)).save(folder / name)


def run(answerer: Answerer, folder: Path, out: Path, retries: int = 1) -> Job:
    with Journal(out) as journal:
        failures = Failures(out.with_name("failed.jsonl"))
        try:
            job = Job(answerer, journal, failures, retries=retries)
            job.run(Inputs([str(folder)], QUESTION))
        finally:
            failures.close()
    return job


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_input_has_a_line_and_equal_ones_are_asked_once(answerer: Counting, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    draw(folder, *(f"{n:02d}.png" for n in range(12)))
    (folder / "same.png").write_bytes((folder / "03.png").read_bytes())
    (folder / "broken.png").write_text("no image")
    summary = run(answerer, folder, out).summary
    assert (summary.answered, summary.copied, summary.known, summary.failed) == (12, 1, 0, 1)
    by_name = {Path(record["image"]).name: record for record in records(out)}
    assert len(by_name) == len(records(out)) == 13
    assert by_name["same.png"]["answer"] == by_name["03.png"]["answer"]
    assert by_name["03.png"]["usage"]["images"][0]["size"] == [40, 40]
    (failure,) = records(tmp_path / "failed.jsonl")
    assert failure["image"].endswith("broken.png") and "not an image" in failure["error"]
    assert max(answerer.asked.values()) == 1


def test_few_rows_wait_for_an_equal_one(answerer: Counting, tmp_path: Path) -> None:
    draw(tmp_path / "in", "a.png")
    taken, before_the_first = 0, []

    def rows() -> Iterator[Row]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield Row(number, number, QUESTION, (str(tmp_path / "in" / "a.png"),), named=("a.png",))

    class Late(Journal):
        def write(self, row: Row, key: str, answer: dict[str, Any]) -> int:
            before_the_first.append(taken)
            return super().write(row, key, answer)

    with Late(tmp_path / "out.jsonl") as journal:
        failures = Failures(tmp_path / "failed.jsonl")
        summary = Job(answerer, journal, failures).run(rows())
        failures.close()
    assert (summary.answered, summary.copied) == (1, 99) and before_the_first[0] <= 2 * answerer.max_num_seqs


def test_answers_are_those_of_the_session(answerer: Counting, session: Session, tmp_path: Path) -> None:
    draw(tmp_path / "in", "a.png", "b.png")
    run(answerer, tmp_path / "in", tmp_path / "out.jsonl")
    for record in records(tmp_path / "out.jsonl"):
        assert record["answer"] == session.ask(QUESTION, images=record["image"], max_new_tokens=4)


def test_renamed_files_are_not_asked_again(answerer: Counting, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    draw(folder, "a.png", "b.png", "c.png")
    run(answerer, folder, out)
    (folder / "a.png").rename(folder / "renamed.png")
    draw(folder, "dd.png")
    answerer.asked.clear()
    summary = run(answerer, folder, out).summary
    assert (summary.answered, summary.copied, summary.known) == (1, 1, 2)
    assert [Path(name).name for name in answerer.asked] == ["dd.png"]


def test_what_may_pass_is_tried_again(answerer: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelword.batch.run._PAUSE", 0.01)
    draw(tmp_path / "in", "a.png")
    answerer.outages = 2
    assert run(answerer, tmp_path / "in", tmp_path / "out.jsonl", retries=2).summary.answered == 1
    answerer.outages = 2
    assert run(answerer, tmp_path / "in", tmp_path / "other.jsonl", retries=1).summary.failed == 1
    assert records(tmp_path / "failed.jsonl")[0]["tries"] == 2
    answerer.outages = 0
    assert run(answerer, tmp_path / "in", tmp_path / "other.jsonl").summary.answered == 1
    assert not (tmp_path / "failed.jsonl").exists()
    assert not may_pass(MediaError("no such file")) and not may_pass(PermissionError())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_ends_stops_the_job(answerer: Counting, tmp_path: Path) -> None:
    draw(tmp_path / "in", *(f"{n}.png" for n in range(9)))
    answerer.engine.core.step = None  # type: ignore[assignment,method-assign] # as a fault of the device would
    with pytest.raises((Cancelled, InputError)):
        run(answerer, tmp_path / "in", tmp_path / "out.jsonl")
    assert records(tmp_path / "out.jsonl") == []


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_over_three_kills(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "answers.jsonl"
    draw(folder, *(f"{n:03d}.png" for n in range(48)))
    command = [sys.executable, "-m", "pixelword", "batch", str(folder), QUESTION, "--out", str(out)]
    command += ["--model", str(tiny_model_dir), "--max-new-tokens", "60", "--max-num-seqs", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = 0
    for stop in (6, 16, 26):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < stop):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed == 3
    before = out.read_bytes().count(b"\n")
    assert 26 <= before < 48
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"{48 - before} answered" in done.stderr
    assert Counter(record["image"] for record in records(out)) == Counter(map(str, folder.iterdir()))

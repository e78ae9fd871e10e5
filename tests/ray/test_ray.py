"""Replicas for real, in Ray's own environment (`make test-ray`): rows and requests outlive those who answer them."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray has an environment of its own: make test-ray")

import httpx
from PIL import Image, ImageDraw

from pixelword.integrations.ray.job import Job

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "batch" / "answer_rows.py"
ROWS = ROOT / "examples" / "batch" / "rows.jsonl"
EXPECTED = ["red", "3", "a yellow star", "the second", "right", "5"]
SECONDS = 300.0  # a busy machine takes minutes to start two networks
pytestmark = pytest.mark.timeout(600)


@contextmanager
def started(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which ends with all that it started."""
    # no token is written to the user's home for a cluster that lives a minute
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            for pid in session_of(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def session_of(leader: int) -> list[int]:
    """Processes that a session's leader started, itself included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def replicas(leader: int, name: str) -> list[int]:
    """Ray names its workers by what they are doing."""
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in session_of(leader)}
    return [pid for pid, title in titles.items() if title.startswith(b"ray::") and name.encode() in title]


def until(true: Callable[[], Any], log: Path, seconds: float = SECONDS) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"it did not come about:\n{log.read_text()[-3000:]}"
        time.sleep(0.05)
    return found


def test_two_replicas_answer_a_file_of_rows(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    options = ("--out", str(out), "--replicas", "2", "--cpus", "0.5", "--part-rows", "2")
    with started(str(SCRIPT), str(ROWS), *options, log=log) as process:
        assert process.wait(SECONDS) == 0, log.read_text()
    assert "6 rows answered, 0 of them with an error" in log.read_text().replace("\n", " ")
    job = Job(ROWS, out, part_rows=2, model="nano", max_tokens=64)
    assert [answer["answer"] for answer in job.answers()] == EXPECTED


def test_no_row_is_lost_or_doubled_when_a_worker_and_then_the_job_are_killed(tmp_path: Path) -> None:
    rows, out, log = tmp_path / "rows.jsonl", tmp_path / "out", tmp_path / "log"
    asked = [json.loads(line) for line in ROWS.read_text().splitlines()]
    circle = str(ROOT / "examples" / "red_circle.png")
    for item in asked:  # from another folder
        for kind in {"image", "video"} & item.keys():
            given = item[kind] if isinstance(item[kind], list) else [item[kind]]
            item[kind] = [str(ROWS.parent / path) for path in given]
    some = [{**asked[n % 6], "id": n} for n in range(120)]
    some[17] = {"image": [circle, "missing.png"], "question": "what is it?"}
    rows.write_text("".join(json.dumps(item) + "\n" for item in some))

    def done() -> set[str]:
        return {path.name for path in out.glob("part-*.jsonl")}

    command = [str(SCRIPT), str(rows), "--out", str(out), "--replicas", "2", "--cpus", "0.5", "--part-rows", "3"]
    with started(*command, log=log) as process:
        until(lambda: len(done()) >= 2, log)
        victim = until(lambda: replicas(process.pid, "Answerer"), log)[0]
        os.kill(victim, signal.SIGKILL)
        before = len(done())
        until(lambda: len(done()) >= before + 3, log)
        assert process.poll() is None, "all was done before the job could be killed"
    first = {name: (out / name).stat().st_mtime_ns for name in done()}
    assert len(first) < 40
    with started(*command, log=log) as process:
        assert process.wait(SECONDS) == 0, log.read_text()[-3000:]
    assert all((out / name).stat().st_mtime_ns == then for name, then in first.items())
    job = Job(rows, out, part_rows=3, model="nano", max_tokens=64)
    assert (job.check().rows, job.check().errors) == (120, 1)
    answers = list(job.answers())
    assert "missing.png" in answers[17]["error"]
    assert [item.get("answer") for n, item in enumerate(answers) if n != 17] == [
        EXPECTED[n % 6] for n in range(120) if n != 17
    ]


def test_batch_with_replicas_has_the_lines_of_batch_without_also_after_kills(tmp_path: Path) -> None:
    folder, log, plain, out = tmp_path / "in", tmp_path / "log", tmp_path / "plain.jsonl", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in range(60):
        image = Image.new("RGB", (96, 64), (number * 4, 90, 200 - number * 3))
        ImageDraw.Draw(image).ellipse((8 + number, 12, 32 + number, 44), fill=(200, 250 - number * 4, 40))
        image.save(folder / f"{number:02d}.png")
    (folder / "broken.png").write_text("no image")
    words = ["-m", "pixelword", "batch", str(folder), "what colour is the shape?", "--max-num-seqs", "2"]
    words += ["--max-new-tokens", "16", "--retries", "2"]

    def lines(path: Path) -> list[dict[str, Any]]:
        whole = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in whole if line.endswith("\n")]

    with started(*words, "--out", str(plain), log=log) as process:
        assert process.wait(SECONDS) == 1, log.read_text()[-3000:]
    expected = {line["image"]: line for line in lines(plain)}
    assert len(expected) == 60 and all(line["answer"] for line in expected.values())

    command = [*words, "--out", str(out), "--ray", "local", "--replicas", "1"]
    with started(*command, log=log) as process:
        (victim,) = until(lambda: lines(out) and replicas(process.pid, "Replica"), log)
        os.kill(victim, signal.SIGSTOP)
        assert process.poll() is None and len(lines(out)) < 60, "all was done before it could be killed"
        os.kill(victim, signal.SIGKILL)
        before = len(lines(out))
        until(lambda: len(lines(out)) > before, log)  # by another replica
        process.kill()
    assert process.returncode == -signal.SIGKILL
    first = lines(out)
    assert len(first) < 60
    with started(*command, log=log) as process:
        assert process.wait(SECONDS) == 1, log.read_text()[-3000:]
    assert f"{len(first)} known from before, 1 failed" in log.read_text().replace("\n", " ")
    assert lines(out)[: len(first)] == first and len(lines(out)) == 60
    assert {line["image"]: line for line in lines(out)} == expected
    assert (tmp_path / "out.failed.jsonl").read_text() == (tmp_path / "plain.failed.jsonl").read_text()


def test_requests_outlive_a_replica_behind_one_address(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # as docs/serving.md says it, on a free port
    (told,) = re.findall(r"^serve (run .+)$", (ROOT / "docs" / "serving.md").read_text(), re.MULTILINE)
    words = [*told.split(), "cpus=0.5"]
    code = (
        "from ray import serve; from ray.serve.scripts import cli; "
        f"serve.start(http_options={{'port': {port}}}); cli({words})"
    )
    address = f"http://127.0.0.1:{port}"
    picture = base64.b64encode((ROOT / "examples" / "red_circle.png").read_bytes()).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "text", "text": "what colour is the circle?"},
    ]
    body = {"model": "nano", "messages": [{"role": "user", "content": parts}], "max_tokens": 16}

    with started("-c", code, log=log) as process, httpx.Client(base_url=address, timeout=60) as http:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                answer = http.post("/v1/chat/completions", json=body)
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "red"

        until(answers, log)
        assert len(replicas(process.pid, "ServeReplica")) == 2
        with http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert len(lines) > 2 and lines[-1] == "data: [DONE]"
        assert http.post("/v1/chat/completions", json={**body, "messages": []}).status_code == 400

        victim = replicas(process.pid, "ServeReplica")[0]
        os.kill(victim, signal.SIGKILL)
        until(answers, log, 30.0)  # by the other one
        until(lambda: len(set(replicas(process.pid, "ServeReplica")) - {victim}) == 2, log)
        until(answers, log)
        out = tmp_path / "out"
        command = [str(SCRIPT), str(ROWS), "--out", str(out), "--server", address, "--replicas", "1", "--cpus", "0.5"]
        with started(*command, log=log) as batch:
            assert batch.wait(SECONDS) == 0, log.read_text()[-3000:]
        assert [item["answer"] for item in Job(ROWS, out, model="nano", max_tokens=64).answers()] == EXPECTED

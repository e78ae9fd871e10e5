"""Jobs of rows: what is planned, kept and counted, and what answers them, without Ray."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pixelword.errors import InputError
from pixelword.generation.session import Session, load
from pixelword.integrations.ray.askers import Asking, EngineAsker, ServerAsker
from pixelword.integrations.ray.batch import Answerer, folder_of
from pixelword.integrations.ray.job import Job, Part, as_dict

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = EXAMPLES / "batch" / "rows.jsonl"


def written(folder: Path, count: int, **more: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"r{n}", "question": f"what is {n}?", **more}) + "\n" for n in range(count))
    )
    return path


def answer_all(job: Job, parts: list[Part], word: str = "yes") -> None:
    for part in parts:
        rows = job.read(part)
        job.write(part, rows, [{"answer": f"{word} {row.question}"} for row in rows])


@pytest.mark.parametrize(("count", "part_rows"), [(1, 256), (256, 256), (257, 256), (10, 3), (9, 3), (7, 1)])
def test_parts_are_all_rows_once(tmp_path, count, part_rows) -> None:
    job = Job(written(tmp_path, count), tmp_path / "out", part_rows=part_rows)
    read = [row for part in job.parts for row in job.read(part)]
    assert [row.number for row in read] == list(range(count))
    assert [row.question for row in read] == [f"what is {n}?" for n in range(count)]
    assert max(part.count for part in job.parts) <= part_rows


def test_a_job_goes_on_with_what_has_no_file(tmp_path) -> None:
    rows = written(tmp_path, 10)
    first = Job(rows, tmp_path / "out", part_rows=3, model="nano")
    answer_all(first, first.parts[:2], "first")
    with pytest.raises(InputError, match="2 of 4 parts are not done"):
        first.check()
    # what a worker left that died while it wrote is no part
    (tmp_path / "out" / ".part-000002.jsonl.ab12.part").write_text('{"row": 6}')
    second = Job(rows, tmp_path / "out", part_rows=3, model="nano")
    assert [part.number for part in second.missing()] == [2, 3]
    answer_all(second, second.missing(), "second")
    done = second.check()
    second.sweep()
    assert (done.rows, done.errors) == (10, 0) and second.missing() == []
    answers = list(second.answers())
    assert [answer["id"] for answer in answers] == [f"r{n}" for n in range(10)]
    assert [answer["answer"].split()[0] for answer in answers] == ["first"] * 6 + ["second"] * 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "job.json",
        *(f"part-00000{n}.jsonl" for n in range(4)),
    ]


def test_a_folder_belongs_to_one_job(tmp_path) -> None:
    rows = written(tmp_path, 4)
    Job(rows, tmp_path / "out", model="nano", question="what is it?")
    with pytest.raises(InputError, match=r"another job \(model, question differ\)"):
        Job(rows, tmp_path / "out", model="mini")
    written(tmp_path, 5)
    with pytest.raises(InputError, match="rows_sha256 differ"):
        Job(rows, tmp_path / "out", model="nano", question="what is it?")


def test_counting_finds_what_was_changed(tmp_path) -> None:
    job = Job(written(tmp_path, 6), tmp_path / "out", part_rows=3)
    answer_all(job, job.parts)
    path = job.path(job.parts[1])
    lines = path.read_text().splitlines(keepends=True)
    for changed in (lines[:-1], [*lines, lines[-1]], [lines[0], lines[0], lines[2]]):
        path.write_text("".join(changed))
        with pytest.raises(InputError, match=r"part-000001.jsonl does not hold its rows"):
            job.check()


def test_a_line_that_is_no_row_is_an_error_of_its_own(tmp_path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "what is 1?"}\n{"quest\n[]\n{"image": 5, "question": "a"}\n{"id": 7}\n\n\n')
    job = Job(rows, tmp_path / "out", part_rows=2)
    read = [row for part in job.parts for row in job.read(part)]
    assert [bool(row.fault) for row in read] == [False, True, True, True, True]
    assert "line 5 is not a row: it has no question" in (read[4].fault or "")
    for empty in ("", "\n\n"):
        rows.write_text(empty)
        with pytest.raises(InputError, match="has no rows"):
            Job(rows, tmp_path / "other")
    with pytest.raises(InputError, match="no file"):
        Job(tmp_path / "none.jsonl", tmp_path / "other")


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", device="cpu")


def test_a_network_answers_as_a_session_does(tmp_path, session) -> None:
    job = Job(ROWS, tmp_path / "out", part_rows=4)
    asker = EngineAsker(Asking(at_once=3))
    try:
        found = [item for part in job.parts for item in asker(job.read(part))]
    finally:
        asker.close()
    expected = ["red", "3", "a yellow star", "the second", "right", "5"]
    assert [item["answer"] for item in found] == expected
    assert session.ask("what is 2 plus 3?") == "5" and all(item["finish_reason"] == "stop" for item in found)


def test_a_picture_that_is_none_is_one_row_s_error(tmp_path) -> None:
    (tmp_path / "bad.png").write_text("hello")
    rows = tmp_path / "rows.jsonl"
    pictures = ["bad.png", "missing.png", str(EXAMPLES / "red_circle.png")]
    asked = [{"image": picture, "question": "what colour is the circle?"} for picture in pictures]
    rows.write_text("".join(json.dumps(item) + "\n" for item in asked))
    job = Job(rows, tmp_path / "out")
    answerer = Answerer(job, Asking())
    told = answerer({name: [value] for name, value in as_dict(job.parts[0]).items()})
    assert told == {"rows": [3], "errors": [2], "failed": [""]}
    bad, missing, good = job.answers()
    assert "bad.png" in bad["error"] and "missing.png" in missing["error"] and good["answer"] == "red"
    # asked again, a part that is there is not done again
    assert answerer({name: [value] for name, value in as_dict(job.parts[0]).items()})["errors"] == [0]
    answerer.asker.close()  # type: ignore[attr-defined]


class Told(BaseHTTPRequestHandler):
    """Answers what the test put into `replies`, one after another, and the last one from then on."""

    replies: list[tuple[int, dict[str, Any]]] = []
    seen: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        self.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, body = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def said(text: str) -> tuple[int, dict[str, Any]]:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def refused(status: int) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": f"no, {status}"}}


@pytest.fixture
def telling() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Told.seen = []
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def ask(tmp_path: Path, *servers: str, **options: Any) -> dict[str, Any]:
    job = Job(written(tmp_path, 1, image=str(EXAMPLES / "red_circle.png")), tmp_path / "out")
    asker = ServerAsker(Asking(servers=servers, **options))
    try:
        return asker(job.read(job.parts[0]))[0]
    finally:
        asker.close()


def test_a_server_that_is_busy_or_away_is_asked_again(tmp_path, telling) -> None:
    Told.replies = [refused(429), refused(503), said("red")]
    nobody = "http://127.0.0.1:9"
    answer = ask(tmp_path, nobody, f"{telling}/v1")
    assert answer == {"answer": "red", "finish_reason": "stop", "prompt_tokens": 3, "completion_tokens": 1}
    part = Told.seen[-1]["messages"][0]["content"][0]
    assert len(Told.seen) == 3 and part["image_url"]["url"].startswith("data:image/png;base64,")


def test_what_no_patience_mends(tmp_path, telling) -> None:
    Told.replies = [refused(422)]
    assert ask(tmp_path, telling) == {"error": "no, 422"}
    Told.replies = [refused(500)]
    assert "500 no, 500" in ask(tmp_path, telling)["error"]
    Told.replies = [refused(401)]
    with pytest.raises(InputError, match="will not answer this job: 401 no, 401"):
        ask(tmp_path, telling)
    with pytest.raises(InputError, match=r"no server has answered for 0 s .*ConnectError"):
        ask(tmp_path, "http://127.0.0.1:9", patience=0)


def test_a_replica_tells_why_the_job_cannot_go_on(tmp_path, telling) -> None:
    Told.replies = [refused(401)]
    job = Job(written(tmp_path, 1), tmp_path / "out")
    told = Answerer(job, Asking(servers=(telling,)))({name: [n] for name, n in as_dict(job.parts[0]).items()})
    assert "will not answer this job: 401" in told["failed"][0] and job.missing() == job.parts


def test_answers_lie_beside_the_rows(tmp_path) -> None:
    assert folder_of(tmp_path / "a.jsonl") == tmp_path / "a-answers"

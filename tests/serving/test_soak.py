"""Many clients at once, good, slow, cut and bad, on a real `pixelword serve`: the short form of benchmarks/soak.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='the server needs pip install "pixelword[serve]"')

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are watched by /proc: Linux")


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.slow
def test_a_server_keeps_its_promises_under_load(tmp_path, monkeypatch, capsys) -> None:
    import soak

    monkeypatch.setattr(sys, "argv", ["soak.py", "--quick", "--output", str(tmp_path), "--hardware", "here"])
    # ten seconds are warming up from end to end: memory and the size of pools are for the long run
    monkeypatch.setattr(soak, "MOST_GROWTH_MB", 500.0)
    monkeypatch.setattr(soak, "FILLED", 1.0)
    soak.main()  # it exits where a promise is broken
    kept = capsys.readouterr().out
    assert "kept    answers are those given alone" in kept and "kept    a killed worker costs its own request" in kept
    (page,) = tmp_path.glob("soak-here-*.md")
    text = page.read_text()
    assert "| nothing is lost | kept |" in text and text.count("## Reading\n") == 1
    monkeypatch.setattr(sys, "argv", ["soak.py", "--render", str(page.with_suffix(".jsonl"))])
    soak.main()
    assert page.read_text() == text


def held(megabytes: list[float], **last: Any) -> list[dict[str, Any]]:
    found = [
        {"at": float(n), "bytes": 1e6 * value, "worker_bytes": 0, "threads": 9, "files": 40}
        for n, value in enumerate(megabytes)
    ]
    return [*found, {**found[-1], "running": 0, "waiting": 0, **last}]


@pytest.mark.parametrize(
    ("memory", "last", "fault", "broken"),
    [
        ([500] * 30, {}, None, None),
        ([100 + 40 * min(n, 9) for n in range(30)], {}, None, None),  # growth while warming up
        ([500 + 4 * n for n in range(30)], {}, None, "memory does not grow"),
        ([500] * 30, {"threads": 10}, None, "no threads are left behind"),
        ([500] * 30, {"files": 41}, None, "no files are left behind"),
        ([500] * 30, {"waiting": 1}, None, "every place is free again"),
        ([500] * 30, {"again": 2}, None, "a killed worker costs its own request"),
        ([500] * 30, {}, "answered 'blue', but alone 'red'", "answers are those given alone"),
        ([500] * 30, {}, "ReadTimeout: ", "nothing is lost"),
    ],
)
def test_each_promise_can_be_broken(memory, last, fault, broken) -> None:
    from soak import verdicts
    from soak_clients import Outcome

    again = last.get("again", 1)
    outcomes = [Outcome("whole", "words", 0.0, 1.0), Outcome("stream", "picture", 0.0, 1.0, fault=fault, again=again)]
    assert [promise for promise, why in verdicts(outcomes, held(memory, **last), kills=1).items() if why] == (
        [broken] if broken else []
    )


def test_questions_are_of_every_kind_and_the_same_each_time() -> None:
    from soak_answers import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
    from soak_requests import KINDS, asks, bad

    assert asks(0, 15) == asks(0, 15) != asks(1, 15)
    assert [ask.kind for ask in asks(0, 15)] == [*KINDS]
    assert {(ask.form, ask.path) for ask in asks(0, 45)} >= {
        (form, path) for form in ("schema", "boxes", "tools") for path in (CHAT, RESPONSES, MESSAGES)
    }
    assert {item.status for item in bad()} == {400, 404, 422}
    assert {item.path for item in bad()} >= {CHAT, EMBEDDINGS, MESSAGES, RESPONSES}


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("schema", '{"colour": "red", "objects": 2, "words": ["a"]}', '{"colour": "red", "objects": 10, "words": []}'),
        ("choice", "a circle", "a circl"),
        ("regex", "ABC-0123", "ABC-01234"),
        ("boxes", '{"objects": []}', '{"objects": [{"label": "a", "box": [1, 2, 3]}]}'),
    ],
)
def test_an_answer_without_its_form_is_a_fault(form, good, bad) -> None:
    from soak_answers import Answer
    from soak_forms import broken

    assert broken(form, Answer(good)) is None
    assert (broken(form, Answer(bad)) or "").startswith("answered")
    assert broken(form, Answer(bad, cut=True)) is None  # it need not parse


def test_an_answer_with_no_or_other_calls_is_a_fault() -> None:
    from soak_answers import Answer
    from soak_forms import broken

    assert broken("tools", Answer(calls=[("crop", '{"side": "left", "share": 3}')])) is None
    for calls in ([], [("cut", '{"side": "left", "share": 3}')], [("crop", '{"side": "left", "share": 0}')]):
        assert (broken("tools", Answer(calls=calls)) or "").startswith("answered")


def test_each_part_of_an_answer_is_compared() -> None:
    from soak_answers import Answer, differs

    answer = Answer("a", [("crop", "{}")], [{"label": "a"}], [[0.6, 0.8]], tokens=3)
    assert differs(answer, replace(answer, vectors=[[0.60001, 0.8]], tokens=4)) is None
    for change in ({"content": "b"}, {"calls": []}, {"objects": []}, {"vectors": [[0.8, 0.6]]}, {"cut": True}):
        assert (differs(replace(answer, **change), answer) or "").startswith("answered"), change

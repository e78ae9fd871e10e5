"""Many clients at once, good, slow, cut and bad, on a real `pixelword serve`: the short form of benchmarks/soak.py."""

from __future__ import annotations

import sys
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
    assert "kept    answers are those given alone" in capsys.readouterr().out
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
        ([500] * 30, {}, "answered 'blue', but alone 'red'", "answers are those given alone"),
        ([500] * 30, {}, "ReadTimeout: ", "nothing is lost"),
    ],
)
def test_each_promise_can_be_broken(memory, last, fault, broken) -> None:
    from soak import verdicts
    from soak_clients import Outcome

    outcomes = [Outcome("whole", "words", 0.0, 1.0), Outcome("stream", "picture", 0.0, 1.0, fault=fault)]
    assert [promise for promise, why in verdicts(outcomes, held(memory, **last)).items() if why] == (
        [broken] if broken else []
    )


def test_questions_are_of_every_kind_and_the_same_each_time() -> None:
    from soak_requests import asks, bad

    assert asks(0, 12) == asks(0, 12) != asks(1, 12)
    assert {ask.kind for ask in asks(0, 12)} == {"picture", "words", "pictures", "describe", "video", "long"}
    assert {item.status for item in bad()} == {400, 404, 422}

"""The benchmark of plan and loader runs in miniature, and its page says what its samples say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_both_parts_measure_and_the_page_tells_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench_plan
    import running

    planned, read = bench_plan.measure_plan(3_000), bench_plan.measure_read(4, [0, 1])
    assert planned["fill"] > 0.9 and planned["packs"] >= 64 and planned["dealt"] <= planned["in_order"]
    assert read["workers_0"]["samples"] == read["workers_1"]["samples"] > 0
    assert read["workers_0"]["tokens"] == read["workers_1"]["tokens"]

    path = tmp_path / "plan-here.jsonl"
    meta = running.describe("here") | {"threads": 1, "samples": 3_000, "pictures": 4}
    slow = planned | {"costs_s": [80.0, 80.0], "added_bytes": 2 * 10**9}
    samples = [{"part": "plan", **slow}, {"part": "read", **read}, {"part": "read", "failed": "no disk"}]
    lines = [meta, *({"round": 0, "competing_cores": 0.1} | sample for sample in samples)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    monkeypatch.setattr(sys, "argv", ["bench_plan.py", "--render", str(path)])
    bench_plan.main()
    text = path.with_suffix(".md").read_text()
    assert "80.00 s (80.00)" in text and "2,000 MB for 3,000, **not met**" in text
    assert "| 0 workers |" in text and "| 1 workers |" in text and "read: failed: no disk" in text
    assert text.count("## Reading\n") == 1

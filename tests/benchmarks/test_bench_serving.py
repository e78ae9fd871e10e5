"""The benchmarks of serving and of decoding run in miniature: their systems, their ways, their pages."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_every_way_of_decoding_takes_a_step() -> None:
    import running
    from bench_decode import render, sample

    ways = ("plain", "packed", "int8", "text")  # compiling takes longer than a test should; tests/generation does it
    samples = [{"round": 0, "shape": "135m", "way": way, **sample("135m", way, quick=True, steps=1)} for way in ways]
    assert all(set(s["step_s"]) == {"1", "2"} and min(s["step_s"].values()) > 0 for s in samples)
    # equal bytes: the peer's feed-forward is as much wider as H and W projections weigh
    assert samples[0]["weight_bytes"] == samples[-1]["weight_bytes"]
    known = {
        "bandwidth": 2e6,
        "weight_bytes": 3000,
        "kv_bytes": {"1": 1000},
        "step_s": {"1": 4e-3},
        "competing_cores": 0.0,
    }
    failed = {"round": 0, "shape": "1.7b", "way": "text", "failed": "no memory"}
    meta = running.describe("here") | {"threads": 1, "steps": 1}
    page = render(meta, [*samples, {"round": 0, "shape": "1.7b", "way": "packed", **known}, failed])
    assert "| 4.0 ms, 250.0/s | 50% |" in page and "failed: no memory" in page
    assert page.count("| its own weights") == 1


@pytest.mark.slow
@pytest.mark.parametrize("system", ["ours", "transformers"])
def test_a_system_answers_what_the_benchmark_asks(system: str, tmp_path: Path) -> None:
    from serving_systems import Work, measured

    found = measured(system, Work("nano", 64, 3, (1, 2), 1), tmp_path, 1, None)
    assert set(found["tokens_s"]) == {"1", "2"} and found["bytes"] > 10**8
    assert all(found[key] > 0 for key in ("cold_s", "again_s", "between_s"))


def test_the_page_says_whether_the_aims_are_met() -> None:
    import running
    from bench_serving import render

    found = {
        "cold_s": 2.0,
        "again_s": 0.25,
        "between_s": 0.02,
        "tokens_s": {"1": 50.0, "16": 250.0},
        "bytes": 5e8,
        "competing_cores": 0.0,
    }
    samples = [{"round": 0, "system": "ours", **found}, {"round": 0, "system": "vllm", "failed": "it did not start"}]
    meta = running.describe("here") | {"threads": 1, "side": 64, "new_tokens": 3, "repeats": 1, "model": "nano"}
    page = render(meta, samples)
    assert "starts sooner | 5 | 8.0 | met |" in page and "to one's | 6 | 5.0 | **not met** |" in page
    assert "| 2.00 s | 0.25 s | 20.0 ms | 50.0/s | 250.0/s | 500 MB | 0.0 | 1 |" in page and "did not start" in page

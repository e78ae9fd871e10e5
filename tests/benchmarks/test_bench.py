"""The benchmark runs, end to end in miniature: its candidates, its tables, its page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pixelword.model.attention import attend_reference
from pixelword.model.masks import interval

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_every_candidate_answers_every_case() -> None:
    from cases import CANDIDATES, QUICK_CASES, impossible
    from measure import sample

    for candidate in CANDIDATES:
        for name, case in QUICK_CASES.items():
            if impossible(candidate, case) is None:
                result = sample(candidate, name, quick=True, new_tokens=2)
                assert result["first_token_s"] > 0 and result["decode_tokens_s"] > 0, (candidate, name)


def test_candidates_are_of_one_size() -> None:
    from candidates import load
    from cases import QUICK

    def per_token(candidate: str) -> int:
        """Matrices that every decoded token reads."""
        wanted = ("_proj", "_proj_hw", "embed_tokens")
        model = load(candidate, QUICK)
        text = {n: p for n, p in model.named_parameters() if "vis" not in n and any(w + ".weight" in n for w in wanted)}
        return sum(p.numel() for p in text.values())

    assert per_token("text") == per_token("ours") == per_token("dense")
    assert per_token("qwen3vl") == per_token("gemma4") < per_token("ours")


def test_dense_eager_computes_what_ours_does() -> None:
    from candidates import attend_dense

    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 9, 8, generator=generator)
    k, v = torch.randn(2, 2, 9, 8, generator=generator), torch.randn(2, 2, 9, 4, generator=generator)
    t = torch.tensor([0, 1, 2, 2, 2, 2, 3, 4, 5])
    visible = interval(t.expand(3, 2, 9))
    torch.testing.assert_close(attend_dense(q, k, v, visible, 0.3), attend_reference(q, k, v, visible, 0.3))


@pytest.mark.slow
def test_command_writes_a_page_and_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "bench_inference.py"), "--output", str(tmp_path), "--hardware", "here"]
    quick = ["--quick", "--candidates", "ours", "--cases", "picture-1024", "--rounds", "1", "--new-tokens", "2"]
    subprocess.run([*command, *quick, "--threads", "1"], check=True, timeout=120)
    samples, page = next(tmp_path.glob("*.jsonl")), next(tmp_path.glob("*.md"))
    meta, first = map(json.loads, samples.read_text().splitlines())
    assert meta["torch"] == torch.__version__ and first["peak_bytes"] > first["weight_bytes"]
    page.write_text(page.read_text().replace("(to be written by a person", "Ours is slow. ("))
    # Samples of a slower peer, and of one that could not: the tables come from the samples alone.
    peer = first | {"candidate": "dense", "first_token_s": 3 * first["first_token_s"]}
    failed = {"round": 0, "case": first["case"], "candidate": "gemma4", "failed": "RuntimeError: no"}
    samples.write_text("\n".join(json.dumps(x) for x in (meta, first, peer, failed)))
    subprocess.run([*command, "--render", str(samples)], check=True, timeout=60)
    text = page.read_text()
    assert "Ours is slow." in text and text.count("## Reading") == 1
    assert "| 3.00 |" in text and "1 of 1 failed: RuntimeError: no" in text

"""The training benchmark: layouts that train the same, what they hold in memory, and the command in miniature."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LONGEST = 256


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_every_layout_trains_the_same() -> None:
    from cases import TRAINED_QUICK as QUICK
    from train_candidates import LAYOUTS, build, cost, documents, train

    drawn = documents(11, QUICK, LONGEST)
    normalizer = float(cost(drawn)["supervised"])
    expected = None
    for name, (_, batches) in LAYOUTS.items():
        model = build(name, QUICK)
        loss = train(model, batches(drawn, LONGEST), normalizer, torch.float32)
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        if expected is None:
            expected = loss, gradients
        assert loss == pytest.approx(expected[0], rel=1e-5), name
        for key, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[1][key], rtol=1e-3, atol=1e-6, msg=f"{name}: {key}")


def test_packed_training_makes_no_tensor_of_length_times_length() -> None:
    from cases import TRAINED_QUICK as QUICK
    from measure import Largest
    from train_candidates import LAYOUTS, build, document, train

    rng = torch.Generator().manual_seed(0)
    length = 2048
    drawn = [document([(6, 6)], words, 20, QUICK, rng) for words in (800, 500, 300, 200)]
    largest = {}
    for name in ("packed", "dense"):
        model, batches = build(name, QUICK), LAYOUTS[name][1](drawn, length)
        assert len(batches) == 1
        with Largest() as watch:
            train(model, batches, 80.0, torch.float32)
        largest[name] = watch.elements
    assert largest["packed"] < length**2 <= largest["dense"]


def test_what_documents_cost_is_what_the_network_sees() -> None:
    from cases import TRAINED_QUICK as QUICK
    from train_candidates import build, cost, documents, packed

    from pixelword.model.masks import interval

    drawn = documents(9, QUICK, LONGEST)
    counted = cost(drawn)
    model = build("packed", QUICK)
    pairs = 0
    for batch in packed(drawn, LONGEST):
        positions, _ = model.get_rope_index(
            batch["input_ids"], batch.get("image_grid_hw"), cu_seqlens=batch["cu_seqlens"]
        )
        visible = interval(positions, None, batch["cu_seqlens"])
        real = (batch["input_ids"] != 0).squeeze(0)
        pairs += int((visible.hi - visible.lo + 1)[0][real].sum())
    assert pairs == counted["pairs"]
    assert counted["tokens"] == sum(len(encoded.input_ids) for encoded in drawn)
    assert 0 < counted["supervised"] < counted["tokens"]


@pytest.mark.slow
def test_command_writes_samples_and_a_page(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "bench_train.py"), "--output", str(tmp_path), "--hardware", "here"]
    small = ["--quick", "--layouts", "packed", "--rounds", "1", "--documents", "4", "--passes", "1", "--threads", "1"]
    subprocess.run([*command, *small], check=True, timeout=500)
    samples, page = next(tmp_path.glob("*.jsonl")), next(tmp_path.glob("*.md"))
    from bench_train import render

    meta, first = map(json.loads, samples.read_text().splitlines())
    assert meta["torch"] == torch.__version__
    # The page comes from the samples alone: a layout of thrice the time, and one that could not.
    slow = first | {"layout": "padded", "processor_s": 3 * first["processor_s"], "wall_s": 3 * first["wall_s"]}
    failed = {"round": 0, "layout": "dense", "failed": "RuntimeError: no"}
    text = render(meta, [first, slow, failed])
    assert "| 3.00 | 3.00 |" in text and "3.00 by processor seconds, met" in text
    assert "failed: RuntimeError: no" in text and page.read_text().count("## Reading") == 1

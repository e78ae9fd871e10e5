"""The GPU benchmarks' paths in miniature on a CPU: kernels against float64, losses alike, tables from samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(
    "title",
    ["flex, its own tiles", "flex, V padded", "SDPA block by block, V padded", "SDPA, dense L × L mask, V padded"],
)
def test_kernels_are_the_reference(title: str) -> None:
    from attention_kernels import Heads, errors, kernels, row

    (kernel,) = [kernel for kernel in kernels(sweep=False) if kernel.title == title]
    found = errors(kernel, Heads(4, 2, 32, 16), row(256, CPU), torch.float32)
    assert set(found) == ({"output"} if kernel.forward_only else {"output", "dq", "dk", "dv"})
    assert max(found.values()) < 1e-5


def test_a_wrong_kernel_is_seen() -> None:
    from attention_kernels import Heads, Kernel, errors, row
    from torch.nn.functional import pad, scaled_dot_product_attention

    def causal(row: Any, heads: Any) -> Any:
        return lambda q, k, v, scale: scaled_dot_product_attention(
            q, k, pad(v, (0, 16)), is_causal=True, scale=scale, enable_gqa=True
        )[..., :16]

    assert errors(Kernel("causal", causal), Heads(4, 2, 32, 16), row(256, CPU), torch.float32)["output"] > 0.1


def test_tiles_are_ones_that_flex_takes() -> None:
    from attention_kernels import tiles, together

    swept = list(tiles())
    assert len({kernel.title for kernel in swept}) == len(swept)
    for kernel in swept:
        options = {key.split("_", 1)[1]: value for key, value in kernel.options.items()}
        if kernel.measure == "backward":
            assert options["BLOCK_N1"] % options["BLOCK_M1"] == 0 == options["BLOCK_M2"] % options["BLOCK_N2"]
        assert all(128 % value == 0 for key, value in options.items() if key.startswith("BLOCK"))
    both = together(swept[0], swept[-1]).options
    assert {key[:4] for key in both} == {"fwd_", "bwd_"}


def test_page_of_kernels_tells_failures_and_wrong_results() -> None:
    from bench_flex import arguments, describe, render

    meta = describe(arguments(["--quick"]), CPU)
    common = {"width": "256/128", "measure": "both", "exact": True, "pairs": 7, "peak_bytes": 0}
    times = {"forward_ms": 1.0, "forward_tflops": 300.0, "backward_ms": 2.5, "backward_tflops": 250.0}
    text = render(
        meta,
        [
            common | times | {"kernel": "good", "errors": {"output": 1e-3, "dq": 4e-3}},
            common | times | {"kernel": "bad", "errors": {"output": 0.5}},
            common | {"kernel": "none", "failed": "RuntimeError: out of shared memory"},
        ],
    )
    assert "| good | 1.00 | 300 | 2.50 | 250 | 3.50 | 0 MB | 4.0e-03 |" in text
    assert "5.0e-01 **wrong**" in text and "| none | failed: RuntimeError: out of shared memory |" in text


def test_logits_of_every_token_give_the_same_loss_and_gradients() -> None:
    from candidates import config_ours
    from cases import TRAINED_QUICK
    from step import EveryLogit
    from train_candidates import stream

    from pixelword.model import NeoOVForConditionalGeneration

    torch.manual_seed(0)
    model = NeoOVForConditionalGeneration(config_ours(TRAINED_QUICK)).train()
    (pack,) = stream(1, 256, TRAINED_QUICK)
    results = []
    for network in (model, EveryLogit(model)):
        model.zero_grad()
        loss = network(**pack.inputs(), num_items_in_batch=pack.weight, skip_logits=True).loss
        loss.backward()
        results.append((loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_every_kind_of_step_trains_alike() -> None:
    from step import SETTINGS, sample, tiny

    with torch.compiler.set_stance("force_eager"):  # compiling takes a minute, and the engine's tests try it
        samples = {name: sample(name, tiny(), 256, 2, 1, "cpu") for name in SETTINGS}
    for name, found in samples.items():
        assert found["losses"] == pytest.approx(samples["eager"]["losses"], rel=1e-2), name
        assert found["tokens_s"] > 0 and found["mfu"] > 0 and 0 <= found["padding"] < 0.5
        assert found["parameters"] == samples["eager"]["parameters"]


def test_page_of_steps_judges_the_aim() -> None:
    import running
    from bench_step_gpu import render

    meta = running.describe("here") | {"gpu": "H200", "threads": 1, "length": 16384, "steps": 10, "warm": 4}
    good = {"step_s": 0.5, "tokens_s": 3e4, "pictures_s": 20.0, "mfu": 0.35, "peak_gb": 60.0, "first_s": 40.0}
    samples = [
        {"model": "2b", "candidate": "eager", "failed": "OutOfMemoryError: no"},
        {"model": "2b", "candidate": "supervised", "parameters": 2.2e9} | good,
        {"model": "0.2b", "candidate": "compile", "parameters": 2e8} | good,
    ]
    text = render(meta, samples)
    assert "Aim: 40 % MFU; best 35.0 %: **not met**." in text and "Aim: 30 % MFU; best 35.0 %: met." in text
    assert "failed: OutOfMemoryError: no" in text and "| 500 ms | 30,000 | 20.0 | 35.0 % | 60.0 GB | 40 s |" in text

"""Rates are of real tokens over all ranks, and MFU of what the packs need."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from pixelword.data.types import Fault, Pack
from pixelword.model import NeoOVConfig
from pixelword.training.cost.flops import training_flops
from pixelword.training.cost.throughput import Counts, Window, known_peak, peak_flops, time_left
from pixelword.training.synthetic import DrawnPacks
from pixelword.training.trainer import Trainer


@pytest.fixture
def pack(tiny) -> Pack:
    trainer = Trainer(tiny())
    return DrawnPacks(trainer.recipe, trainer.processor)(0)


def started_ago(window: Window, seconds: float) -> Window:
    window.started = time.monotonic() - seconds
    return window


STEP = {"loss": 2.0, "grad_norm": 1.0, "lr": 0.1, "waited": 1.0}


def test_counts_are_what_the_pack_holds(pack) -> None:
    counts = Counts.of([pack, dataclasses.replace(pack, faults=(Fault("a.jsonl:1", "torn"),))])
    assert counts.tokens == 2 * pack.tokens < counts.slots == 2 * pack.input_ids.numel()
    assert counts.supervised == 2 * int((pack.loss_weight > 0).sum()) > 0
    assert counts.pictures == 2 * len(pack.image_grid_hw) and counts.patches == 2 * len(pack.pixel_values)
    assert (counts.pairs, counts.faults) == (2 * pack.pairs, 1)


def test_a_report_is_of_the_window_and_starts_anew() -> None:
    window = started_ago(Window(), 10.0)
    window.add(Counts(tokens=60, slots=100, pictures=5), **STEP)
    window.add(Counts(tokens=90, slots=100, pictures=10), loss=1.0, grad_norm=3.0, lr=0.2, waited=0.0)
    report = window.report()
    assert report["loss"] == 1.5 and report["grad_norm"] == 3.0 and report["lr"] == 0.2
    assert report["padding"] == 0.25
    assert report["tokens_per_s"] == pytest.approx(15, rel=0.1) and report["step_s"] == pytest.approx(5, rel=0.1)
    assert report["images_per_s"] == report["pictures_per_s"] == pytest.approx(1.5, rel=0.1)
    assert report["data_wait"] == pytest.approx(0.1, rel=0.1)
    assert 0 < report["memory_gb"] < 1000
    assert "mfu" not in report and "faults" not in report
    assert (window.steps, window.counts) == (0, Counts())


def test_time_that_was_no_training_is_left_out() -> None:
    window = started_ago(Window(), 10.0)
    window.add(Counts(tokens=100, slots=100), **STEP)
    window.exclude(8.0)
    assert window.report()["tokens_per_s"] == pytest.approx(50, rel=0.1)


def test_ranks_add_up() -> None:
    """Two ranks, the other of which has twice as many tokens, waits 3 seconds and has more memory."""

    def gather(own: torch.Tensor) -> torch.Tensor:
        other = own.clone()
        other[0] *= 2
        other[-2:] = torch.tensor([3.0, 2000.0])
        return torch.stack([own, other])

    window = started_ago(Window(lambda counts: counts.tokens * 1e3, 1e3, gather), 10.0)
    window.add(Counts(tokens=10, slots=50), **STEP)
    report = window.report()
    assert report["tokens_per_s"] == pytest.approx(3, rel=0.1)
    assert report["padding"] == 0.7
    assert report["data_wait"] == pytest.approx(0.2, rel=0.1)
    assert report["memory_gb"] == 2000
    assert report["mfu"] == pytest.approx(30 * 1e3 / 10 / 2e3, rel=0.1)


def test_mfu_of_a_run_counts_what_it_trains(tiny, pack) -> None:
    config = NeoOVConfig(llm_config={"num_hidden_layers": 2, "extra_num_layers": 1})
    counts = Counts.of([pack])
    for trainable in (["all"], ["hw_projections"]):
        recipe = tiny(f"trainable={trainable}")
        window = started_ago(Window.of_run(recipe, config, torch.device("cpu")), 10.0)
        window.add(counts, **STEP)
        needed = training_flops(config, counts.tokens, counts.pairs, trainable, counts.supervised, counts.patches)
        assert window.report()["tflops"] == pytest.approx(needed / 10 / 1e12, rel=0.05)


def test_peaks() -> None:
    assert known_peak("NVIDIA H200") == known_peak("NVIDIA GH200 480GB") == 989e12
    assert known_peak("NVIDIA H100 PCIe") == 756e12
    assert known_peak("NVIDIA L40S") == 362e12
    assert known_peak("AMD EPYC") is None
    cpu = torch.device("cpu")
    assert 1e9 < peak_flops(cpu, torch.float32) < 1e15
    assert peak_flops(cpu, torch.float32) == peak_flops(cpu, torch.float32)


def test_time_left_is_by_steps_or_by_the_clock() -> None:
    assert time_left(10, 30, 2.0, 100.0, None) == 40
    assert time_left(10, 30, 2.0, 100.0, 2.0) == 20
    assert time_left(10, 30, 2.0, 100.0, 1.0) == 0

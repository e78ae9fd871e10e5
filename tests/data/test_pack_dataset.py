"""Planned packs read from files: as planned, the same in any process, and never stopped by one bad sample."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixelword.data.indexing import open_indexes
from pixelword.data.loader import packs
from pixelword.data.pack_dataset import FilePacks, time_limit
from pixelword.data.packing.plan import Plan
from pixelword.data.quarantine import Quarantine
from pixelword.data.recipe import DataRecipe
from pixelword.data.sources import Source
from pixelword.data.types import Fault, Pack
from pixelword.errors import InputError, PixelwordError
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.types import Sample

SAMPLES = 12


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: Any) -> NeoOVProcessor:
    return NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=16384), tiny_tokenizer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve questions on twelve small pictures, the last picture too large for a row."""
    rng = np.random.default_rng(0)
    with (tmp_path / "train.jsonl").open("w") as file:
        for i in range(SAMPLES):
            side = (64, 96) if i < SAMPLES - 1 else (640, 640)
            Image.fromarray(rng.integers(0, 255, (*side, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
            turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"answer {i}"}]
            file.write(json.dumps({"id": i, "image": f"{i}.png", "conversations": turns}) + "\n")
    return tmp_path


Opened = Callable[..., FilePacks]


@pytest.fixture
def opened(folder: Path, processor: NeoOVProcessor) -> Opened:
    def make(*, max_bad: float = 1.0, **values: Any) -> FilePacks:
        data = DataRecipe(
            **{"sources": {"qa": {"path": str(folder / "train.jsonl")}}, "length": 56, "rows": 2, "packs": 2}
            | {"index": folder / "index", "timeout": 20}
            | values
        )
        sources, indexes = open_indexes(data, processor)
        return FilePacks(
            Plan(indexes, processor, data, seed=1), sources, processor, Quarantine(folder / "bad.jsonl", max_bad)
        )

    return make


def number_with(files: FilePacks, index: int) -> int:
    return next(number for number in range(20) if index in [item.index for item in files.plan.pack(number)])


def equal(pack: Pack, other: Pack) -> bool:
    tensors = ("input_ids", "labels", "loss_weight", "mm_token_type_ids", "pixel_values", "image_grid_hw", "cu_seqlens")
    return all(torch.equal(getattr(pack, name), getattr(other, name)) for name in tensors) and pack.names == other.names


def test_packs_hold_what_was_planned(opened: Opened, processor: NeoOVProcessor) -> None:
    files = opened()
    seen: set[str] = set()
    for number in range(round(files.plan.steps_per_epoch * 2)):
        pack, planned = files(number), files.plan.pack(number)
        assert pack.input_ids.shape == (2, 56) and not pack.faults
        assert pack.names == tuple(f"qa: train.jsonl:{sample.index + 1}" for sample in planned)
        assert pack.tokens == sum(sample.tokens for sample in planned)
        assert pack.pairs == files.costs(number // 2)[number % 2]
        text = processor.tokenizer.decode(pack.labels[pack.labels >= 0])
        assert all(f"answer {sample.index}<" in text for sample in planned)
        seen |= set(pack.names)
    assert len(seen) == SAMPLES, "the picture that is too large was shrunk, and is there"


def test_any_process_makes_the_same_pack(opened: Opened) -> None:
    files = opened()
    numbers = range(4)
    here, there = list(packs(files, numbers, workers=0)), list(packs(opened(), numbers, workers=2))
    assert all(equal(item, other) for item, other in zip(here, there, strict=True))


def test_a_damaged_picture_is_a_fault_and_the_others_stay(opened: Opened, folder: Path) -> None:
    whole = opened()
    number = number_with(whole, 4)
    before = whole(number)
    picture = folder / "4.png"
    picture.write_bytes(picture.read_bytes()[:200])
    pack = opened()(number)
    (fault,) = pack.faults
    assert fault.name == "qa: train.jsonl:5" and "damaged or cut off" in fault.reason
    assert set(pack.names) == set(before.names) - {fault.name}
    assert pack.tokens < before.tokens


def test_a_sample_that_outgrew_its_place_is_a_fault(opened: Opened, folder: Path) -> None:
    files = opened()
    number = number_with(files, 4)
    Image.new("RGB", (128, 128)).save(folder / "4.png")
    (fault,) = files(number).faults
    assert fault.name == "qa: train.jsonl:5" and "its files changed while training ran" in fault.reason


class Hanging:
    """A source one of whose samples lies on a disk that never answers: a pipe that nobody writes to."""

    def __init__(self, source: Source, index: int, pipe: Path) -> None:
        self.source, self.index, self.pipe = source, index, pipe
        os.mkfifo(pipe)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def read(self, i: int) -> Sample:
        if i == self.index:
            self.pipe.read_bytes()
        return self.source.read(i)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_hangs_is_left_out(opened: Opened, folder: Path, workers: int) -> None:
    files = opened(timeout=0.3)
    files.sources = {"qa": Hanging(files.sources["qa"], 4, folder / "pipe")}  # type: ignore[dict-item]
    number = number_with(files, 4)
    (pack,) = packs(files, [number], workers=workers)
    # on a machine that is busy enough others may be late, too
    assert Fault("qa: train.jsonl:5", "took longer than 0.3 s to read (data.timeout); left out") in pack.faults


def test_what_failed_once_stays_out_after_a_resume(opened: Opened, folder: Path) -> None:
    files = opened()
    number = number_with(files, 4)
    step = number // 2
    bad = Fault("qa: train.jsonl:5", "the disk did not answer")
    files.quarantine.add([bad], 2, step)
    again = opened()
    assert again(number).faults == (bad,)
    assert equal(again(number), files(number)), "this run leaves it out from now on, too"
    later = step + round(files.plan.steps_per_epoch) + 1
    assert again.quarantine.reason(bad.name, later) == bad.reason
    if step:
        assert again.quarantine.reason(bad.name, step - 1) is None, "it was read before it failed"


def test_quarantine_is_a_line_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "out" / "quarantine.jsonl"
    first, second = Fault("a:1", "gone"), Fault("é:2", "cut\noff")
    quarantine = Quarantine(path)
    assert quarantine.add([first], 8, 3) == [first]
    assert quarantine.add([first, second], 8, 5) == [second]
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"name": "a:1", "reason": "gone", "step": 3},
        {"name": "é:2", "reason": "cut\noff", "step": 5},
    ]
    with path.open("a") as file:
        file.write('{"name": "b:')  # a run killed while it wrote
    resumed = Quarantine(path)
    assert resumed.reason("é:2", 5) == "cut\noff" and resumed.reason("é:2", 4) is None
    assert resumed.add([Fault("c:3", "gone")], 8, 6)
    assert Quarantine(path).reason("c:3", 6) == "gone"


def test_too_many_bad_samples_end_the_run(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.jsonl", max_bad=0.01)
    for step in range(10):
        quarantine.add([Fault(f"a:{step}", "gone")], 20, step)
    with pytest.raises(
        PixelwordError, match=r"11 of 220 samples could not be read, more than data.max_bad \(1.00%\).*"
    ):
        quarantine.add([Fault("a:10", "gone")], 20, 10)
    with pytest.raises(PixelwordError, match="1 of 4 samples"):
        Quarantine(tmp_path / "none.jsonl", max_bad=0.0).add([Fault("a:1", "gone")], 4, 0)


def test_a_time_limit_leaves_other_alarms_alone() -> None:
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0.4)
    try:
        with pytest.raises(InputError, match=r"longer than 0\.1 s"), time_limit(0.1):
            time.sleep(30)
        assert not rang
        time.sleep(0.6)
        assert rang
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, interval)


def test_a_time_limit_cannot_be_taken_for_a_broken_file() -> None:
    with pytest.raises(InputError, match="longer than"), time_limit(0.05):
        try:
            time.sleep(30)
        except Exception as error:
            raise AssertionError("a decoder would have called this a damaged picture") from error


def test_beside_the_main_thread_there_is_no_limit() -> None:
    done: list[bool] = []

    def work() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_samples_to_ask_about(opened: Opened, folder: Path) -> None:
    (folder / "3.png").write_bytes(b"not an image")
    samples: Sequence[Sample] = opened().samples(50)
    answers = {
        message["content"] for sample in samples for message in sample.messages if message["role"] == "assistant"
    }
    assert len(samples) == SAMPLES - 1 and "answer 3" not in str(answers) and "answer 4" in str(answers)

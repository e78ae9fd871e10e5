"""Damaged images and videos on the way into training: a pack each time, and every damaged file a fault by name."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pixelword.data.indexing import open_indexes
from pixelword.data.pack_dataset import FilePacks
from pixelword.data.packing.plan import Plan
from pixelword.data.quarantine import Quarantine
from pixelword.data.recipe import DataRecipe
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.training.trainer import Trainer

EACH = 12
VIDEOS = ("mp4", "mkv", "webm", "ts", "avi", "flv", "raw h264")


def beside(name: str) -> ModuleType:
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "processing" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.mark.parametrize("kind", ["image", "video"])
def test_packs_of_damaged_files_are_made_and_what_is_lost_is_named(
    kind: str, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    clips, fuzz = beside("clips"), beside("fuzz")
    if kind == "image":
        files = [(format, fuzz.image_file(format)) for format in fuzz.IMAGES]
    else:
        files = [(name, clips.clip(name, count=6)) for name in VIDEOS]
    lines = []
    for name, content in files:
        for number, changed in enumerate(fuzz.mutations(content, EACH, seed=3)):
            path = tmp_path / f"{name} {number}"
            path.write_bytes(changed)
            turns = [{"from": "human", "value": f"<{kind}>\nWhat?"}, {"from": "gpt", "value": "Red."}]
            lines.append(json.dumps({kind: path.name, "conversations": turns}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=4096), tiny_tokenizer)
    data = DataRecipe(
        sources={"s": {"path": str(tmp_path / "train.jsonl")}},
        length=512, rows=1, packs=1, index=tmp_path / "index", timeout=20, max_frames=2,
    )  # fmt: skip
    sources, indexes = open_indexes(data, processor)
    packs = FilePacks(Plan(indexes, processor, data, seed=1), sources, processor, Quarantine(tmp_path / "bad.jsonl"))
    read, lost = set(), set()
    for number in range(round(packs.plan.steps_per_epoch) + 1):
        pack = packs(number)
        read |= set(pack.names)
        lost |= {fault.name for fault in pack.faults}
        assert all("\n" not in fault.reason for fault in pack.faults)
    set_aside = {fault.name for fault in packs.set_aside()}  # faults of the index among them
    assert read | lost | set_aside == {packs.name("s", i) for i in range(len(lines))}
    assert read and set_aside and not read & (lost | set_aside)
    assert lost or kind == "video"  # the index decodes a first frame of each


@pytest.mark.parametrize("kind", ["image", "video"])
def test_training_goes_through_damaged_files_of_every_format(kind: str, tiny: Any, tmp_path: Path) -> None:
    clips, fuzz, lines = beside("clips"), beside("fuzz"), []
    for format in fuzz.IMAGES if kind == "image" else VIDEOS:
        whole = fuzz.image_file(format) if kind == "image" else clips.clip(format, count=6)
        for number, changed in enumerate(fuzz.mutations(whole, 4 if kind == "image" else 8, seed=5)):
            path = tmp_path / f"{format}-{number}"
            path.write_bytes(changed)
            turns = [{"from": "human", "value": f"<{kind}>\nWhat?"}, {"from": "gpt", "value": "Red."}]
            lines.append(json.dumps({kind: path.name, "conversations": turns}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    source = f"sources: {{s: {{path: {tmp_path / 'train.jsonl'}}}}}"
    length = 64 if kind == "image" else 256
    options = f"rows: 1, length: {length}, packs: 4, workers: 0, max_bad: 1.0, max_frames: 2, timeout: 20"
    data = f"data={{{source}, {options}, index: {tmp_path / 'index'}}}"
    recipe = tiny(data, "steps=12")
    assert Trainer(recipe).run().progress.step == 12
    # the index decodes a first frame of each video, so that most are set aside before the run
    logs = [recipe.out / name for name in ("quarantine.jsonl", "set_aside.jsonl")]
    bad = {json.loads(line)["name"] for log in logs if log.exists() for line in log.read_text().splitlines()}
    assert 0 < len(bad) < len(lines)
    shown = (recipe.out / "set_aside.jsonl").read_text()
    assert "train.jsonl:" in shown and not re.search(r"(train\.jsonl:\d+).*\1", shown)  # its place once

"""The benchmark of loading makes the checkpoint that it is given no weights for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pixelword.checkpoints.load import load_pretrained

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_missing_checkpoint_is_made_with_random_weights(tiny_config: Any, tmp_path: Path) -> None:
    from bench_loading import write_random

    write_random(tiny_config, tmp_path / "build" / "tiny")
    model = load_pretrained(tmp_path / "build" / "tiny", dtype=torch.bfloat16)
    assert model.config.llm_config.hidden_size == tiny_config.llm_config.hidden_size
    assert all(p.isfinite().all() and p.any() for name, p in model.named_parameters() if name.endswith("proj.weight"))


def test_a_missing_checkpoint_of_no_known_size_is_named(tmp_path: Path) -> None:
    from bench_loading import check_folder

    with pytest.raises(SystemExit, match=r"mine is not a size"):
        check_folder("mine", tmp_path / "absent")
    check_folder("mine", tmp_path)

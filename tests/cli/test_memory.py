"""Memory that runs out ends in one line with the command's own options that save some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import pytest
import torch
import typer

from pixelword import plugins
from pixelword.cli import app, memory

COMMANDS: dict[str, Any] = typer.main.get_group(app).commands


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`pixelword allocate`, of another distribution."""
    point = metadata.EntryPoint("allocate", "allocating:allocate", plugins.COMMANDS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == plugins.COMMANDS else [])
    plugins.entry_points.cache_clear()
    yield
    plugins.entry_points.cache_clear()


@pytest.mark.parametrize(("kind", "amount"), [("tensor", "1,073,741,824.0 GiB"), ("array", "1.00 EiB")])
def test_a_failed_allocation_is_one_line(refused: Callable[..., str], kind: str, amount: str) -> None:
    line = refused("allocate", kind)
    assert line.startswith(f"error: main memory ran out allocating {amount}: --max-pixels N")
    assert "--dtype bfloat16" in line and "--quantize int8" in line and "--kept-frames" not in line


def test_other_errors_keep_their_traceback(run: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="size of tensor"):
        run("allocate", "shape")


def test_training_names_its_fields() -> None:
    line = memory.message(MemoryError(), COMMANDS["train"])
    assert line.startswith("main memory ran out: --set data.rows=N")


def test_quantization_is_for_cpus() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has …")
    assert memory.is_out_of_memory(error)
    line = memory.message(error, COMMANDS["ask"])
    assert line.startswith("the GPU's memory ran out allocating 2.50 GiB: --max-pixels N") and "quantize" not in line

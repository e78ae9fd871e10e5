"""The machine is asked by trying: a path that fails, differs or is slower is not taken, and nothing is random."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch
from torch import Tensor

from pixelword import machine

CPU = torch.device("cpu")
NAMES = ("bfloat16", "float16")


def slow(x: Tensor) -> Tensor:
    time.sleep(0.005)
    return x


def test_a_path_pays_where_it_works_agrees_and_is_faster() -> None:
    x = torch.ones(4)
    assert machine.pays(lambda: x, lambda: slow(x))
    assert not machine.pays(lambda: slow(x), lambda: x)
    assert not machine.pays(lambda: 2 * x, lambda: slow(x))

    def unknown() -> Tensor:
        return torch.ops.mkldnn.no_such_kernel(x)

    def refused() -> Tensor:
        raise RuntimeError("bf16 path needs the cpu support avx512bw")

    assert not machine.pays(unknown, lambda: slow(x))
    assert not machine.pays(refused, lambda: slow(x))


def test_questions_leave_the_random_numbers_of_a_run_alone() -> None:
    state = torch.get_rng_state()
    for question in (machine.packing_pays, machine.int8_kernel_pays, machine.plain_attention_pays, machine.speed):
        question.__wrapped__(torch.bfloat16)
    assert torch.equal(torch.get_rng_state(), state)


def test_questions_are_quick() -> None:
    started = time.process_time()
    machine.speed.__wrapped__(torch.bfloat16)
    machine.packing_pays.__wrapped__(torch.bfloat16)
    machine.int8_kernel_pays.__wrapped__(torch.float32)
    machine.plain_attention_pays.__wrapped__(torch.bfloat16)
    machine.measured_flops.__wrapped__(CPU, torch.bfloat16)
    machine.measured_flops.__wrapped__(CPU, torch.float32)
    assert time.process_time() - started < 2 * torch.get_num_threads()


def test_float32_is_taken_where_half_types_are_emulated_and_it_fits() -> None:
    for name in NAMES:
        half = getattr(torch, name)
        expected = half if machine.is_native(half) else torch.float32
        assert machine.default_dtype(half, 1_000, CPU) == expected
        assert machine.default_dtype(half, 10**15, CPU) == half
        assert machine.default_dtype(half, 1_000, torch.device("cuda")) == half
    assert machine.default_dtype(torch.float32, 10**15, CPU) == torch.float32


def test_the_reason_is_said_where_a_type_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_native", lambda dtype: dtype == torch.float32)
    assert machine.note(torch.float32, CPU) == "float32 (bfloat16 is emulated on this CPU)"
    assert machine.note(torch.bfloat16, CPU) == "bfloat16 (emulated on this CPU)"
    assert machine.note(torch.bfloat16, torch.device("cuda")) == "bfloat16"
    monkeypatch.setattr(machine, "is_native", lambda dtype: True)
    assert machine.note(torch.bfloat16, CPU) == "bfloat16"


def test_a_container_s_memory_counts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = machine.memory()
    assert real > 1e8
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory() >= real
    (tmp_path / "memory.max").write_text("1000000\n")
    assert machine.memory() == 1_000_000


def test_what_was_chosen_can_be_told_without_a_model() -> None:
    code = "import sys; sys.argv = ['pixelword']; from pixelword import machine; print(machine.describe()); "
    code += "assert 'transformers' not in sys.modules"
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "DEFAULT" in done.stdout and "'packed weights': 'no'" in done.stdout
    assert "'default dtype': 'float32, where it fits into memory" in done.stdout

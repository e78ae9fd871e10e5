"""Out of memory, as one line that says what to change."""

from __future__ import annotations

import re
import sys
from typing import Any

#: PyTorch has no exception of its own for main memory.
_ALLOCATOR = re.compile(r"DefaultCPUAllocator: (can't allocate|not enough) memory")
_AMOUNT = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGTPE]iB)")
#: Options that save memory, the cheapest for the result first, for commands that have them.
_SAVING = {
    "--max-num-seqs": "--max-num-seqs N (fewer requests at a time)",
    "--max-model-len": "--max-model-len N (shorter prompts and answers)",
    "--max-pixels": "--max-pixels N (smaller images)",
    "--kept-frames": "--kept-frames N (fewer cached frames)",
    "--dtype": "--dtype bfloat16",
    "--quantize": "--quantize int8",
    "--quantization": "--quantization int8",
    "--dry-run": "--set data.rows=N, data.length=N or activation_checkpointing=full (--dry-run estimates the memory)",
}
_CPU_ONLY = ("--quantize", "--quantization")


def is_out_of_memory(error: Exception) -> bool:
    """Whether main memory or a GPU's memory ran out."""
    return isinstance(error, MemoryError) or _is_of_gpu(error) or bool(_ALLOCATOR.search(str(error)))


def _is_of_gpu(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # not imported: nothing of it can have failed
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def message(error: Exception, command: Any) -> str:
    """Say what ran out, and which options of the command (of click) would save memory."""
    options = {name for parameter in command.params for name in parameter.opts}
    if on_gpu := _is_of_gpu(error):
        options.difference_update(_CPU_ONLY)
    saving = [advice for name, advice in _SAVING.items() if name in options]
    where = "the GPU's memory" if on_gpu else "main memory"
    return f"{where} ran out{_amount(str(error))}: {'; or '.join(saving) or 'free some, or use a machine with more'}"


def _amount(text: str) -> str:
    found = _AMOUNT.search(text)
    if found is None:
        return ""
    number, unit = found.groups()
    return f" allocating {int(number) / 2**30:,.1f} GiB" if unit == "bytes" else f" allocating {number} {unit}"

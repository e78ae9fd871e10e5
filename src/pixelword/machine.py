"""What this machine computes well, found out by trying: the only place that asks a CPU what it can do.

Lists of instructions do not say which kernel a build of PyTorch has for them, and environment variables switch kernels
off. So each fast path is run once on a small input and compared with the plain path, for its result and for its time;
where it fails, differs or does not pay, the plain path is taken. A question takes milliseconds, once a process, and
draws nothing from the global random generators.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

CPU = torch.device("cpu")
#: A fast path pays if it takes at most this share of the plain path's time.
PAYS = 0.9
#: A type is native if a product in it takes at most this share of float32's; instructions for bfloat16 halve it.
NATIVE = 0.8
#: Share of the memory that float32 weights may take; the rest is for keys, values and everything else.
FITS = 0.7
#: The greatest whole number that `int8_split_product` takes: sums of two products by int8 then fit into 16 bits.
SPLIT = 63
#: Seconds of a product that is long enough to be timed.
_TIMED = 2e-3
#: Where Linux says what a container may use.
CGROUP = Path("/sys/fs/cgroup")
_HALF = (torch.bfloat16, torch.float16)


def pays(fast: Callable[[], Tensor], plain: Callable[[], Tensor]) -> bool:
    """Whether a fast path works here, gives what the plain path gives (to a few roundings) and takes less time."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        expected = plain()
        try:
            found = fast()
        except (RuntimeError, AttributeError):  # no such kernel in this build of PyTorch, or none for this CPU
            return False
        near = float((found - expected).abs().max()) <= 5e-2 * float(expected.abs().max())
        return near and _seconds(fast) < PAYS * _seconds(plain)


@functools.cache
def speed(dtype: torch.dtype) -> float:
    """How many times as fast as in float32 this CPU multiplies matrices in another type."""
    size = 256
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        while True:
            exact, other = _square(size, torch.float32), _square(size, dtype)
            base, own = _seconds(lambda: exact @ exact), _seconds(lambda: other @ other)  # noqa: B023
            if max(base, own) > _TIMED or size >= 4096:
                return base / own
            size *= 2


def is_native(dtype: torch.dtype) -> bool:
    """Whether this CPU has instructions for a type, so that it is no slower than float32 and half as large."""
    return dtype not in _HALF or speed(dtype) * NATIVE >= 1


@functools.cache
def packing_pays(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies a few rows faster by weights in its own order. float32 gains nothing by it."""
    if dtype not in _HALF or not torch.backends.mkldnn.is_available():
        return False
    weight, x = _matrix(1024, 1024, dtype), _matrix(1, 1024, dtype)
    packed: list[Tensor] = []

    def fast() -> Tensor:
        if not packed:
            packed.append(torch.ops.mkldnn._reorder_linear_weight(weight, 1))
        return torch.ops.mkldnn._linear_pointwise(x, packed[0], None, "none", [], "")

    return pays(fast, lambda: F.linear(x, weight))


@functools.cache
def int8_kernel_pays(dtype: torch.dtype) -> bool:
    """Whether PyTorch's kernel for few rows times int8 weights is faster than to widen the weights and multiply."""
    numbers = (_matrix(512, 512, torch.float32) * 40).to(torch.int8)
    x, scale = _matrix(4, 512, dtype), torch.full((512,), 0.01, dtype=dtype, device=CPU)
    return pays(
        lambda: torch._weight_int8pack_mm(x, numbers, scale),
        lambda: F.linear(x, numbers.to(dtype)) * scale,
    )


def int8_split_pack(numbers: Tensor) -> torch.ScriptObject:
    """An int8 matrix (out, in) in FBGEMM's order. Not for several threads at once: its library is chosen by a global.

    Raises RuntimeError or AttributeError: this build has no FBGEMM.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that these functions will go: then `int8_split_pays` is False
        plain = torch._make_per_tensor_quantized_tensor(numbers, 1.0, 0)
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        return torch.ops.quantized.linear_prepack(plain, None)
    finally:
        torch.backends.quantized.engine = engine


def int8_split_product(rows: Tensor, packed: torch.ScriptObject) -> Tensor:
    """rows (M, in) float32 of whole numbers from -63 to 63 times a matrix of `int8_split_pack`: (M, out) float32."""
    return torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(rows, 1.0, SPLIT + 1, packed)


@functools.cache
def int8_split_pays(dtype: torch.dtype) -> bool:
    """Whether FBGEMM's product of whole numbers, for twice the rows (see `generation.quantized`), is the fastest.

    So on CPUs whose kernels for int8 weights are not made for this type, for few rows and for many.
    """
    numbers = (_matrix(1024, 1024, torch.float32) * 40).clamp_(-127, 127).to(torch.int8)
    packed: list[torch.ScriptObject] = []

    def fast(count: int) -> Tensor:
        if not packed:
            packed.append(int8_split_pack(numbers))
        halves = _matrix(count, 1024, torch.float32).mul_(400).round_().clamp_(-SPLIT, SPLIT)
        return int8_split_product(torch.cat((halves, halves)), packed[0])[:count]

    def plain(count: int) -> Tensor:
        halves = _matrix(count, 1024, torch.float32).mul_(400).round_().clamp_(-SPLIT, SPLIT).to(dtype)
        if count <= 4 and int8_kernel_pays(dtype):
            return torch._weight_int8pack_mm(halves, numbers, torch.ones(1024, dtype=dtype))
        return F.linear(halves, numbers.to(dtype))

    return all(pays(lambda: fast(count), lambda: plain(count)) for count in (1, 4, 64))  # noqa: B023


@functools.cache
def plain_attention_pays(dtype: torch.dtype) -> bool:
    """Whether two plain products per key head are faster than PyTorch's flash kernel, for many queries.

    So on CPUs that have instructions for bfloat16 and no tiles (AMX), which the flash kernel uses well.
    """
    if not is_native(dtype):  # what multiplies slowly does not pay by two more products
        return False
    q, k = (_matrix(2 * 256, 128, dtype).view(1, 2, 256, 128) for _ in range(2))

    def plain() -> Tensor:
        out = torch.empty_like(q)
        for head in range(2):
            out[0, head] = (q[0, head] @ k[0, head].t()).softmax(-1) @ k[0, head]
        return out

    return pays(plain, lambda: F.scaled_dot_product_attention(q, k, k, scale=1.0))


def use_tiles() -> None:
    """Ask the system for the CPU's tiles (AMX), where there are any: kernels that use them unasked end the process."""
    if getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
        torch.cpu._init_amx()


def default_dtype(own: torch.dtype, parameters: int, device: torch.device, *, size: int | None = None) -> torch.dtype:
    """What weights are best kept in on a device: their own type, or float32 where a CPU only emulates that type.

    Args:
        own: of the weights in their checkpoint.
        parameters: of the whole model; float32 that does not fit into memory is not taken.
        size: bytes of weights that are quantized, which take no more where activations are float32.
    """
    if device.type != "cpu" or is_native(own):
        return own
    size = torch.float32.itemsize * parameters if size is None else size
    return torch.float32 if size <= FITS * memory() else own


def mixed_pays(own: torch.dtype, parameters: int, device: torch.device) -> bool:
    """Whether weights stay in their type and products are in float32: where that fits and float32 weights do not.

    Arguments as of `default_dtype`.
    """
    if device.type != "cpu" or own != torch.bfloat16 or default_dtype(own, parameters, device) != own:
        return False
    return not is_native(own) and widening_pays()


@functools.cache
def widening_pays() -> bool:
    """Whether many rows are multiplied faster by bfloat16 weights that are widened to float32 than in bfloat16."""
    weight, x = _matrix(512, 1024, torch.bfloat16), _matrix(64, 1024, torch.float32)
    return pays(lambda: F.linear(x, weight.float()), lambda: F.linear(x.bfloat16(), weight).float())


def training_dtype(device: torch.device) -> torch.dtype:
    """What products of training are best computed in: bfloat16 where the device has instructions for it."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = is_native(torch.bfloat16)
    return torch.bfloat16 if native else torch.float32


@functools.cache
def measured_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of square products with the threads that torch has at the first call: the best of three.

    Others may be at work too; then it is low. The product's size is as large as takes milliseconds.
    """
    size, largest = (1024, 8192) if device.type == "cuda" else (256, 2048)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        while True:
            square = _square(size, dtype, device)
            seconds = _seconds(lambda: square @ square, device)  # noqa: B023
            if seconds > 2 * _TIMED or size >= largest:
                return 2.0 * size**3 / seconds
            size *= 2


@functools.cache
def measured_bandwidth(device: torch.device, dtype: torch.dtype) -> float:
    """Bytes/s at which the product of a single row reads its weights, the bound of decoding: the best of three."""
    weights = torch.full((4096, 16384), 1e-3, dtype=dtype, device=device)  # 64M numbers: more than caches hold
    row = torch.ones(1, 16384, dtype=dtype, device=device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        return weights.nbytes / _seconds(lambda: F.linear(row, weights), device)


def memory() -> float:
    """Bytes that this process may have: the machine's, or what its container (cgroup) allows; inf if neither says."""
    limits = [float("inf")]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not every system says
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for place in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            limits.append(float((CGROUP / place).read_text()))
    return min(limits)


def give_back() -> None:
    """Let the C library return freed memory to the system, where it is glibc, which else keeps it to use it again."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another library, or none by that name
        ctypes.CDLL(None).malloc_trim(0)


def cpu_name() -> str:
    """The processor by the name that its vendor gives it, where the system says it, else its architecture."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def cpu_capability() -> str:
    """The instructions that PyTorch's own kernels use here, such as "AVX2"; an environment variable can lower it."""
    return torch.backends.cpu.get_cpu_capability()


def note(dtype: torch.dtype, device: torch.device) -> str:
    """A type in words, with the reason for it on a CPU: "float32 (bfloat16 is emulated on this CPU)"."""
    name = str(dtype).removeprefix("torch.")
    emulated = device.type == "cpu" and not is_native(torch.bfloat16)
    if not emulated:
        return name
    return f"{name} (emulated on this CPU)" if dtype in _HALF else f"{name} (bfloat16 is emulated on this CPU)"


def describe() -> dict[str, str]:
    """What was chosen for this machine's CPU, by subject, for people and for bug reports. Takes some milliseconds."""
    bfloat16 = torch.bfloat16
    native, factor = is_native(bfloat16), speed(bfloat16)
    rate = f"{factor:.1f} times as fast as" if factor >= 1 else f"{1 / factor:.1f} times as slow as"
    return {
        "cpu": f"{cpu_name()}, {platform.machine()}, {cpu_capability()}, {torch.get_num_threads()} threads",
        "bfloat16": f"{'native' if native else 'emulated'}: products are {rate} float32's",
        "default dtype": "the checkpoint's own" if native else f"float32, where it fits into memory{_else()}",
        "packed weights": "yes, in bfloat16" if packing_pays(bfloat16) else "no",
        "int8 kernel": ", ".join(
            f"{str(dtype).removeprefix('torch.')} ({'FBGEMM' if int8_split_pays(dtype) else 'few rows'})"
            for dtype in (torch.float32, bfloat16)
            if int8_split_pays(dtype) or int8_kernel_pays(dtype)
        )
        or "no",
        "attention": f"sdpa; {'plain products' if plain_attention_pays(bfloat16) else 'flash'} for long bfloat16 rows",
    }


def _else() -> str:
    return "; else bfloat16 weights, products in float32" if widening_pays() else ""


def _matrix(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Random numbers that are the same each time, from a generator of their own."""
    generator = torch.Generator().manual_seed(rows)
    return (torch.randn(rows, columns, generator=generator, device=CPU, dtype=torch.float32) / columns**0.5).to(dtype)


def _square(size: int, dtype: torch.dtype, device: torch.device = CPU) -> Tensor:
    return torch.full((size, size), 1 / size, dtype=dtype, device=device)


def _seconds(work: Callable[[], Tensor], device: torch.device = CPU, repeats: int = 3) -> float:
    """The best of several calls, after one that sets the library up."""
    # this thread's own time on a CPU: another process at work must not decide what is chosen
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(repeats + 1):
        _finish(device)
        started = clock()
        work()
        _finish(device)
        best = min(best, clock() - started)
    return best


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

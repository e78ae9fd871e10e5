"""Estimated cost of generation on this machine, without reading weights: precision, memory, tokens/s at best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pixelword import machine
from pixelword.checkpoints.names import Quantization
from pixelword.model.footprint import count_parameters, kv_bytes_per_token, weight_bytes

if TYPE_CHECKING:
    from pixelword.model import NeoOVConfig
    from pixelword.model.sizes import Arguments

_MIXED = "bfloat16, products in float32 (bfloat16 is emulated on this CPU)"


@dataclass(frozen=True)
class Expected:
    """Of one model on one device.

    Attributes:
        device: "cpu", "cuda" or "mps".
        dtype: What the weights would be loaded in, without `--dtype`; of quantized weights, the activations' dtype.
        reason: The dtype in words, with why it was chosen.
        weights_bytes: Of the weights in that dtype.
        kv_bytes_per_token: Of the cache.
        memory_bytes: What the device has.
        prefill_tokens_per_s: The products' floating-point operations at the measured peak of this device; attention
            comes on top, so this is a bound.
        decode_tokens_per_s: The weights that a token reads at the measured bandwidth: a bound for one request.
    """

    device: str
    dtype: str
    reason: str
    weights_bytes: int
    kv_bytes_per_token: int
    memory_bytes: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float

    @property
    def fits(self) -> bool:
        """Whether the weights leave room for keys and values."""
        return self.weights_bytes <= machine.FITS * self.memory_bytes


def expected(
    config: NeoOVConfig | Arguments, own: torch.dtype, device: torch.device, quantization: Quantization | None = None
) -> Expected:
    """Measure the device (a second or two) and set a model's size against it.

    Args:
        config: Of the model.
        own: The dtype of its checkpoint.
        device: Where it would run.
        quantization: What the checkpoint's matrices were rounded to.
    """
    parts = count_parameters(config)
    total = sum(parts.values())
    quantized = None if quantization is None else weight_bytes(config, int(quantization[-1]))
    dtype = machine.default_dtype(own, total, device, size=quantized)
    mixed = quantization is None and machine.mixed_pays(own, total, device)
    arithmetic = torch.float32 if mixed else dtype
    products = parts["pre-buffer"] + parts["post-LLM"]
    # a tied head reads the table of tokens; a head of its own is counted beside the norm, and the table is looked up
    head = parts["token embedding"]
    weights = total * dtype.itemsize if quantized is None else quantized
    memory = float(torch.cuda.mem_get_info(device)[1]) if device.type == "cuda" else machine.memory()
    return Expected(
        device=device.type,
        dtype=str(dtype).removeprefix("torch."),
        reason=_MIXED if mixed else machine.note(dtype, device),
        weights_bytes=weights,
        kv_bytes_per_token=kv_bytes_per_token(config, arithmetic.itemsize),
        memory_bytes=memory,
        prefill_tokens_per_s=machine.measured_flops(device, arithmetic) / (2 * products),
        decode_tokens_per_s=machine.measured_bandwidth(device, dtype) / _read(products + head, dtype, quantization),
    )


def _read(numbers: int, dtype: torch.dtype, quantization: Quantization | None) -> float:
    """Bytes of the matrices that a token reads."""
    return numbers * (dtype.itemsize if quantization is None else {"int8": 1, "int4": 4.25 / 8}[quantization])

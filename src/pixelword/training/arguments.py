"""Checks of command-line arguments, without heavy imports."""

from __future__ import annotations

from pathlib import Path

from pixelword.errors import CheckpointError, InputError

_PCIE4, _PCIE5 = 32e9, 64e9
#: name -> (memory, link within the node, network) of one GPU, bytes and bytes/s, from the vendors' data sheets. HGX
#: boards have NVLink and a 200 (A100) or 400 Gbit/s adapter for each GPU; the others meet over PCIe, which the adapter
#: is behind, too.
KINDS = {
    "A100": (80e9, 300e9, 25e9),
    "H100": (80e9, 450e9, 50e9),
    "H200": (141e9, 450e9, 50e9),
    "B200": (180e9, 900e9, 50e9),
    "A10": (24e9, _PCIE4, 12.5e9),
    "A10G": (24e9, _PCIE4, 12.5e9),
    "A30": (24e9, _PCIE4, 12.5e9),
    "A40": (48e9, _PCIE4, 12.5e9),
    "L4": (24e9, _PCIE4, 12.5e9),
    "L40": (48e9, _PCIE4, 12.5e9),
    "L40S": (48e9, _PCIE4, 12.5e9),
    "T4": (16e9, 16e9, 6.25e9),
    "RTX A6000": (48e9, _PCIE4, 12.5e9),
    "RTX 6000 ADA": (48e9, _PCIE4, 12.5e9),
    "RTX 3090": (24e9, _PCIE4, 12.5e9),
    "RTX 3090 TI": (24e9, _PCIE4, 12.5e9),
    "RTX 4080": (16e9, _PCIE4, 12.5e9),
    "RTX 4090": (24e9, _PCIE4, 12.5e9),
    "RTX 5070": (12e9, _PCIE5, 12.5e9),
    "RTX 5070 TI": (16e9, _PCIE5, 12.5e9),
    "RTX 5080": (16e9, _PCIE5, 12.5e9),
    "RTX 5090": (32e9, _PCIE5, 12.5e9),
}
#: Kinds without bf16 arithmetic.
NO_BF16 = ("T4",)
CPU = "CPU"


def check_kind(kind: str, gpus: int | None) -> None:
    """Raise InputError for an unknown kind, or several CPUs."""
    if kind.upper() == CPU:
        if gpus not in (None, 1):
            raise InputError("--gpus counts GPUs: leave it out with --gpu CPU, or name a GPU")
    else:
        known_kind(kind)


def known_kind(kind: str) -> str:
    """The name in `KINDS` of a GPU: "RTX 4090" of "4090", "rtx4090" or "RTX-4090". Raises InputError."""
    known = {_bare(name): name for name in KINDS}
    found = known.get(_bare(kind))
    if found is None:
        raise InputError(f"--gpu {kind}: not known; use one of {', '.join(KINDS)} or {CPU}")
    return found


def _bare(kind: str) -> str:
    letters = "".join(filter(str.isalnum, kind.upper()))
    return letters.removeprefix("NVIDIA").removeprefix("GEFORCE").removeprefix("RTX")


def check_resume(resume: str) -> None:
    """Raise CheckpointError if `resume` is neither "auto", "no" nor a folder."""
    if resume not in ("auto", "no") and not Path(resume).is_dir():
        raise CheckpointError(f"--resume {resume}: no such folder; 'auto', 'no' or a checkpoint folder")

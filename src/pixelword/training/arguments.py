"""Checks of command-line arguments, without heavy imports."""

from __future__ import annotations

from pathlib import Path

import yaml

from pixelword.errors import CheckpointError, InputError

_GPUS: dict[str, dict[str, float]] = yaml.safe_load(Path(__file__).with_name("gpus.yaml").read_text(encoding="utf-8"))
#: bf16 FLOP/s of one device, by a part of its name.
PEAKS = {name: 1e12 * gpu["peak"] for name, gpu in _GPUS.items()}
#: name -> (memory, link within the node, network) of one GPU, bytes and bytes/s.
KINDS = {
    name: (1e9 * gpu["memory"], 1e9 * gpu["link"], 1e9 * gpu["network"])
    for name, gpu in _GPUS.items()
    if "memory" in gpu
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

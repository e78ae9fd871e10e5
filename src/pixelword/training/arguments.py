"""What a command line says of a run, checked at once: nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from pixelword.errors import CheckpointError, InputError

#: name -> (memory, NVLink, network) of one GPU: HGX boards with a 200 (A100) or 400 Gbit/s adapter for each GPU.
KINDS = {
    "A100": (80e9, 300e9, 25e9),
    "H100": (80e9, 450e9, 50e9),
    "H200": (141e9, 450e9, 50e9),
    "B200": (180e9, 900e9, 50e9),
}
CPU = "CPU"


def check_kind(kind: str, gpus: int | None) -> None:
    """Raises InputError: an unknown kind, or several CPUs."""
    if kind.upper() == CPU:
        if gpus not in (None, 1):
            raise InputError("--gpus counts GPUs: leave it out with --gpu CPU, or name a GPU")
    elif kind.upper() not in KINDS:
        raise InputError(f"--gpu {kind}: not known; use one of {', '.join(KINDS)} or {CPU}")


def check_resume(resume: str) -> None:
    """Raises CheckpointError: `resume` is neither "auto", "no" nor a folder."""
    if resume not in ("auto", "no") and not Path(resume).is_dir():
        raise CheckpointError(f"--resume {resume}: no such folder; 'auto', 'no' or a checkpoint folder")

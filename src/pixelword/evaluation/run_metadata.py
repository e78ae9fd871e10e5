"""Metadata of a report (model, machine, run), so that its figures can be reproduced."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from pixelword import machine
from pixelword._version import __version__
from pixelword.checkpoints.names import resolve
from pixelword.utils.files import sha256

if TYPE_CHECKING:
    from pixelword.generation.session import Session

#: What a checkpoint's answers depend on, besides code.
_FILES = (
    *("*.safetensors", "config.json", "generation_config.json", "adapter_config.json"),
    *("tokenizer.json", "preprocessor_config.json", "processor_config.json"),
)


def about(session: Session, model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return model, packages, machine, settings and time, ready for JSON."""
    return {
        "model": {
            "name": model,
            "sha256": checksum(resolve(model)),
            "parameters": sum(parameter.numel() for parameter in session.model.parameters()),
            "dtype": str(session.model.dtype).removeprefix("torch."),
        },
        "packages": {"pixelword": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "machine": {
            "device": _device(session.model.device),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
        },
        "settings": dict(settings),
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def identity(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `about` that must match to reuse answers of an earlier run."""
    model = {name: described["model"][name] for name in ("sha256", "dtype")}
    settings = {name: item for name, item in described["settings"].items() if name != "suites"}
    return {"model": model, "packages": described["packages"], "settings": settings}


def checksum(folder: Path) -> str:
    """Return one sha256 over the files of a checkpoint or an adapter that determine its answers."""
    whole = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        whole.update(f"{path.name} {sha256(path)}\n".encode())
    return whole.hexdigest()


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return machine.cpu_name() if device.type == "cpu" else device.type

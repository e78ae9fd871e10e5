"""`pixelword version`: versions for a bug report."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from pixelword._version import __version__
from pixelword.cli import options

_PACKAGES = ("transformers", "tokenizers", "safetensors", "Pillow", "av", "numpy", "peft", "vllm")


def version() -> None:
    """Print versions, device and kernels in use, for bug reports.

    Example: pixelword version
    """
    with options.quiet_imports():
        import torch

        from pixelword import compat, machine
        from pixelword.generation.session import default_device
    rows = {"pixelword": __version__, "python": f"{platform.python_version()} on {platform.platform()}"}
    rows["torch"] = f"{torch.__version__} ({f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU build'})"
    rows |= {name.lower(): found for name in _PACKAGES if (found := _installed(name))}
    device = default_device()
    rows["device"] = f"{device}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
    rows |= machine.describe()
    rows["tested"] = _tested(compat.untested())
    for name, value in rows.items():
        print(f"{name:<15} {value}")


def _installed(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return ""


def _tested(newer: dict[str, tuple[str, str]]) -> str:
    if not newer:
        return "yes"
    names = ", ".join(f"{name} is newer than {tested}" for name, (_, tested) in newer.items())
    return f"no: {names}; each model is checked as it is loaded"

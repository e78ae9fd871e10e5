"""`pixelword convert SRC DST`: any readable checkpoint to the released layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options
from pixelword.errors import CheckpointError


def convert(
    source: Annotated[str, typer.Argument(help="A packaged model's name or a checkpoint's folder.")],
    destination: Annotated[Path, typer.Argument(help="The folder to write; it must be new or empty.")],
    dtype: options.Dtype = None,
) -> None:
    """Write a model in the released checkpoint layout, weights, configuration and processor.

    Example: pixelword convert runs/nano/final checkpoints/nano --dtype bfloat16
    """
    check_new_folder(destination)
    session = options.open_session(source, dtype=dtype, device="cpu")
    with options.progress(f"writing {destination} …"):
        save_whole(destination, session.model, session.processor)
    print(f"wrote {destination}")


def check_new_folder(folder: Path) -> None:
    """Raises CheckpointError where something would be overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already and is not an empty folder: name a new one")


def save_whole(folder: Path, *parts: object) -> None:
    """``part.save_pretrained`` of every part into the folder, which appears only once it is whole."""
    import tempfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
        whole = Path(unfinished) / "whole"
        for part in parts:
            part.save_pretrained(whole)  # type: ignore[attr-defined]
        whole.replace(folder)

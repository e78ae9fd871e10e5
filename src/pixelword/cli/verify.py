"""`pixelword verify DIR`: checks that a checkpoint is complete and behaves like another copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pixelword.cli import options

if TYPE_CHECKING:
    import torch

#: Problems that are printed; --json has all.
_MOST = 20
#: Differences from a released model that are printed.
_FEW = 4


def verify(
    model: Annotated[str, typer.Argument(metavar=options.MODEL, help=options.MODEL_HELP)],
    headers: Annotated[
        bool, typer.Option("--headers", help="Check names, shapes and types only, without reading weights.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.json", help="Compare with this report, written by --json elsewhere."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="With --against: allowed difference of logits, in standard deviations (default: by dtype).",
        ),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the probe's prompts to a safetensors file.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Precision of the probe; float32 compares best across machines.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Device of the probe.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as one JSON object.")] = False,
) -> None:
    """Check every tensor against the architecture, run a fixed probe, and print a report to compare across machines.

    Exit code: 0 if everything matches, 1 if a tensor is wrong or the reports differ, 2 if nothing can be read.

    Example: pixelword verify nano

    Example: pixelword verify nano --json > ours.json; pixelword verify nano --against ours.json
    """
    from pixelword.checkpoints.names import check_dtype, resolve

    check_dtype(dtype)
    resolve(model)
    with Console(stderr=True).status(f"reading {model} …") as status:
        with options.quiet_imports():
            from pixelword.evaluation.fingerprint import report as fingerprint
        other = fingerprint.read(against) if against else None
        report = fingerprint.report(model, headers=headers, dtype=dtype, device=device, progress=status.update)
        if inputs is not None:
            _write_inputs(model, inputs)
    found = fingerprint.differences(report, other, tolerance) if other else []
    if other is not None:
        report["differences"] = found
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _print(report, against)
    if found or report["tensors"]["problems"] or report.get("cached_step", {}).get("problem"):
        raise typer.Exit(1)


def _write_inputs(model: str, path: Path) -> None:
    """Write the probe's prompts for another implementation: ids, pixels and grids of each question."""
    from safetensors.torch import save_file

    from pixelword.checkpoints.names import resolve
    from pixelword.errors import InputError, reason
    from pixelword.evaluation.fingerprint.probe import encode_all
    from pixelword.processing import NeoOVProcessor

    tensors: dict[str, torch.Tensor] = {}
    for name, item in encode_all(NeoOVProcessor.from_pretrained(resolve(model))).items():
        tensors |= {f"{name}.input_ids": item.input_ids, f"{name}.pixel_values": item.pixel_values}
        tensors[f"{name}.image_grid_hw"] = item.image_grid_hw
    try:
        save_file(tensors, path)
    except Exception as error:  # safetensors has an error of its own for a disk's
        raise InputError(f"{path} cannot be written ({reason(error)}): name another file") from error


def _print(report: Mapping[str, Any], against: Path | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    shape = report["architecture"]
    console.print(report["model"], style="bold", markup=False)
    layers = f"{shape['num_hidden_layers']} layers, {shape['extra_num_layers']} of them pre-buffer"
    console.print(f"{shape['parameters']:,} parameters, {layers}, width {shape['hidden_size']}\n")
    _print_released(console, report["released"])
    _print_tensors(console, report["tensors"])
    if "cached_step" in report:
        problem = report["cached_step"]["problem"]
        title, well = (
            "generate and the network disagree",
            "cached step   generate agrees with a forward without a cache",
        )
        _print_problems(console, title, [problem] if problem else [], well)
    if "probe" in report:
        _print_probe(console, report["probe"])
    if against is not None:
        _print_problems(console, f"differs from {against}", report["differences"], f"agrees with {against}")


def _print_released(console: Console, found: Mapping[str, Any]) -> None:
    """Print the released model with this configuration, or the differences from the nearest one."""
    if found["models"]:
        names = " or ".join(found["models"])
        more = "" if len(found["models"]) == 1 else "; their shapes are the same, and weights alone tell them apart"
        console.print(f"released  {names}, by configuration{more}", markup=False)
    else:
        console.print(f"released  none of the released models; beside {found['size']}:", markup=False)
    if found["source"]:
        console.print(f"          made from {found['source']}", markup=False)
    for line in (shown := found["differs"][:_FEW]):
        console.print(f"          {line}", markup=False)
    if len(found["differs"]) > len(shown):
        console.print(f"          and {len(found['differs']) - len(shown)} more: --json has all")


def _print_tensors(console: Console, tensors: Mapping[str, Any]) -> None:
    if tensors["delta"]:
        console.print("tensors   a delta: what was changed in a packaged language model; whole, as it loads")
        return
    dtypes = ", ".join(f"{count} {name}" for name, count in tensors["dtypes"].items())
    console.print(f"tensors   {dtypes}; {tensors['bytes'] / 1e6:,.1f} MB")
    if "sha256" in tensors:
        console.print(f"          sha256 {tensors['sha256']}")
    well = "every name, shape and type is the architecture's"
    _print_problems(console, f"{len(tensors['problems'])} tensors are wrong", tensors["problems"], f"          {well}")


def _print_probe(console: Console, probe: Mapping[str, Any]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"\nprobe, in {probe['dtype']} on {probe['device']}"
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("", "tokens", "likeliest", "score", "spread", "loss"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_column("says", overflow="fold")  # the one that gives way on a narrow terminal
    for name, item in probe["readings"].items():
        first, score = item["top"][0]
        figures = (f"{score:.5f}", f"{item['spread']:.5f}", f"{item['prompt_loss']:.5f}")
        says = escape((item["text"].splitlines() or [""])[0])
        table.add_row(name, str(item["tokens"]), str(first), *figures, says)
    console.print(table, soft_wrap=False)


def _print_problems(console: Console, title: str, problems: list[str], well: str) -> None:
    if not problems:
        console.print(well, style="green", markup=False)
        return
    console.print(title, style="red", markup=False)
    for problem in problems[:_MOST]:
        console.print(f"  {problem}", markup=False)
    if len(problems) > _MOST:
        console.print(f"  and {len(problems) - _MOST} more: --json has all")

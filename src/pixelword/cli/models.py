"""`pixelword models` and `pixelword models pull NAME`: list models, download a released one."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pixelword.cli import options
from pixelword.cli.help import Command, Group
from pixelword.errors import InputError

app = typer.Typer(
    cls=Group,
    name="models",
    invoke_without_command=True,
    help="List packaged and released models, or download a released one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_LICENCE = "Apache-2.0"
_BITS = (16, 8, 4)


@app.callback()
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List packaged and released models with size and memory; downloads nothing.

    Example: pixelword models --json
    """
    if context.invoked_subcommand is not None:
        return
    rows = [*_packaged(), *_released()]
    if as_json:
        print(json.dumps(rows))
    else:
        _print_table(rows)


@app.command("pull", cls=Command)
def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A released model, such as NEO1_5-2B-SFT, or any org/name[@revision].")
    ],
) -> None:
    """Download a model to the Hugging Face cache, unless it is there already, and print its folder.

    Example: pixelword models pull NEO1_5-2B-SFT
    """
    from pixelword.checkpoints.names import hub_id, other_names, resolve
    from pixelword.model.sizes import RELEASED_IDS

    bare = {known.partition("/")[2].lower(): known for known in RELEASED_IDS}
    wanted = bare.get(name.lower(), name)
    if hub_id(wanted) is None:
        known = ", ".join(item.partition("/")[2] for item in RELEASED_IDS)
        raise InputError(f"{name!r} is not a model of the Hub{other_names(name)}; released ones are {known}")
    print(resolve(wanted))


def _packaged() -> list[dict[str, Any]]:
    from pixelword.checkpoints.names import WEIGHTS, packaged, read_json
    from pixelword.model.sizes import Arguments, TextArguments, VisionArguments

    rows = []
    for name in packaged():
        content = read_json(WEIGHTS / name / "config.json")
        parts = {
            "vision_config": _known(VisionArguments, content["vision_config"]),
            "llm_config": _known(TextArguments, content["llm_config"]),
        }
        size = sum(file.stat().st_size for file in (WEIGHTS / name).glob("*.safetensors"))
        use = "to try everything in seconds"
        rows.append(_row(name, Arguments(**parts), use=use, download=0, cached=True, bytes_here=size))
    return rows


def _known(kind: type, values: dict[str, Any]) -> Any:
    return kind(**{key: value for key, value in values.items() if key in kind.__dataclass_fields__})  # type: ignore[attr-defined]


def _released() -> list[dict[str, Any]]:
    from pixelword.checkpoints.hub import cached
    from pixelword.model.footprint import weight_bytes
    from pixelword.model.sizes import RELEASED_IDS, size_arguments

    rows = []
    for name, (size, use) in RELEASED_IDS.items():
        arguments = size_arguments(size)
        commit = cached(name)
        rows.append(_row(name, arguments, use=use, download=weight_bytes(arguments), cached=commit is not None))
        rows[-1]["revision"] = commit
    return rows


def _row(name: str, arguments: Any, *, use: str, download: int, cached: bool, **more: Any) -> dict[str, Any]:
    from pixelword.model.footprint import count_parameters, weight_bytes

    memory = {("bf16" if bits == 16 else f"int{bits}"): weight_bytes(arguments, bits) for bits in _BITS}
    parameters = sum(count_parameters(arguments).values())
    return {
        "name": name, "parameters": parameters, "licence": _LICENCE, "download_bytes": download,
        "memory_bytes": memory, "use": use, "cached": cached, **more,
    }  # fmt: skip


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model, and what for", no_wrap=True)
    for title in ("params", "download", "bf16 / int8 / int4"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for row in rows:
        download = options.bytes_text(row["download_bytes"]) if row["download_bytes"] else "–"
        unit, name_of_unit = (1e9, "GB") if row["parameters"] >= 1e8 else (1e6, "MB")
        memory = " / ".join(f"{size / unit:.1f}" for size in row["memory_bytes"].values()) + f" {name_of_unit}"
        here = "yes" if row["cached"] else "no"
        name = f"{escape(row['name'])}\n[dim]{escape(row['use'])}[/]"
        table.add_row(name, options.amount_text(row["parameters"]), download, memory, here)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"All are {_LICENCE}. bf16 / int8 / int4: the weights in memory; a download is bf16. Each name goes where a "
        "command takes a model, as does org/name[@revision] of any NEO checkpoint on the Hugging Face Hub.",
        markup=False,
    )

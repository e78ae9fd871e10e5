"""`pixelword tasks list|fetch|render|preview`: mini's task families and their assets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.help import Command, Group

app = typer.Typer(
    cls=Group,
    name="tasks",
    no_args_is_help=True,
    help="Fetch asset packs, pre-render slow tasks, and preview both.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--assets",
        metavar="DIR",
        help="Folder of asset packs (default: $PIXELWORD_ASSETS or ~/.cache/pixelword/assets).",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed of the tasks.")]


@app.command("list", cls=Command)
def list_(assets: Folder = None) -> None:
    """List task families with their requirements, and asset packs with their sources.

    Example: pixelword tasks list
    """
    from rich.console import Console

    from pixelword.synthetic.assets import default_folder
    from pixelword_lab.packs.listing import families_table, packs_table

    folder = assets or default_folder()
    families = families_table(folder)  # imports them all
    console = Console(highlight=False)
    console.print(families)
    console.print()
    console.print(packs_table(folder))
    console.print(f"\n{folder}", soft_wrap=True)


@app.command(cls=Command)
def fetch(
    packs: Annotated[
        list[str] | None, typer.Argument(metavar="[PACK]...", help="Packs to build (default: all).")
    ] = None,
    assets: Folder = None,
    offline: Annotated[bool, typer.Option("--offline", help="Build only from cached archives.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild packs that are up to date, too.")] = False,
) -> None:
    """Download asset packages with pip, npm and apt-get, and build packs; exit code 1 if any is missing.

    No package is installed or run. Archives and packs are cached, so that later calls work offline.

    Example: pixelword tasks fetch emoji fonts words
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from pixelword.cli import options

    with options.quiet_imports():
        from pixelword.synthetic.assets import default_folder
        from pixelword_lab.packs.fetch import fetch as fetch_packs

    folder = assets or default_folder()
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("looking …", total=None)

        def report(what: str, done: int) -> None:
            shown.update(task, description=f"{what}: {done:,} items" if done else what)

        faults = fetch_packs(folder, packs or (), offline=offline, rebuild=rebuild, shown=report)
    for fault in faults:
        print(fault)
    if faults:
        print(f"{folder}: the rest is up to date; fetch again when these can be got")
        raise typer.Exit(1)
    print(f"{folder}: up to date")


@app.command(cls=Command)
def render(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="A family with a pool: see `pixelword tasks list`.")],
    count: Annotated[int, typer.Option(min=1, help="Number of items in the pool.")] = 1000,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(min=0, help="Number of processes (default: one per core).")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Discard the existing pool.")] = False,
    assets: Folder = None,
) -> None:
    """Render a family's pool of images or clips that are slow to draw; resumes if interrupted.

    Example: pixelword tasks render charts --count 1500
    """
    from pixelword.cli import options

    with options.quiet_imports():
        from pixelword.data.progress import bar
        from pixelword.synthetic.assets import Assets
        from pixelword_lab.packs.prerendered import render_pool

    cores = (os.cpu_count() or 1) if workers is None else workers
    with bar("rendering") as shown:
        path = render_pool(
            family, Assets(assets), count, seed=seed, workers=cores, rebuild=rebuild,
            shown=lambda done, total: shown(family, done, total),
        )  # fmt: skip
    print(f"{path}: {count:,} items, {path.stat().st_size / 1e6:.1f} MB")


@app.command(cls=Command)
def preview(
    family: Annotated[str, typer.Argument(metavar="FAMILY|all", help="Family name: see `pixelword tasks list`.")],
    out: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("tasks.html"),
    count: Annotated[int, typer.Option(min=1, help="Number of tasks per split and family.")] = 6,
    seed: Seed = 0,
    assets: Folder = None,
) -> None:
    """Write a self-contained HTML page of tasks with their questions, answers and boxes.

    Example: pixelword tasks preview scenes --out scenes.html
    """
    from pixelword.cli import options

    with options.progress(f"drawing {family} …"), options.quiet_imports():
        from pixelword.synthetic.assets import Assets
        from pixelword_lab.family import NAMES
        from pixelword_lab.preview import write_preview

        names = NAMES if family == "all" else (family,)
        size = write_preview(out, names, Assets(assets), count=count, seed=seed)
    print(f"{out}: {size / 1e6:.1f} MB; open it in a browser")

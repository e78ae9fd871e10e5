"""`pixelword tasks list|fetch|render|preview`: what mini learns from, and where that comes from."""

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
    help="Fetch what tasks are made of, render what is slow to draw, and look at both.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--assets",
        metavar="DIR",
        help="Where packs are stored; $PIXELWORD_ASSETS or ~/.cache/pixelword/assets when absent.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Another one gives other tasks.")]


@app.command("list", cls=Command)
def list_(assets: Folder = None) -> None:
    """The families of tasks with what they need, and the packs with where they come from.

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
    packs: Annotated[list[str] | None, typer.Argument(metavar="[PACK]...", help="All when none is named.")] = None,
    assets: Folder = None,
    offline: Annotated[bool, typer.Option("--offline", help="Build only from archives that are kept.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Also build packs that are up to date.")] = False,
) -> None:
    """Get the packages that assets come from by pip, npm and apt-get, and make packs of them; exit 1 if one is lacking.

    Nothing of a package is run or installed. What is there already is kept, archives too, so that it works offline.

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
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="One that has a pool: see `pixelword tasks list`.")],
    count: Annotated[int, typer.Option(min=1, help="How many items the pool is to have.")] = 1000,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes; one a core when absent.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Keep nothing of the pool that is there.")] = False,
    assets: Folder = None,
) -> None:
    """Render a family's pool: images or clips that are slow to make. Stopped, it goes on where it was.

    Example: pixelword tasks render charts --count 1500
    """
    from pixelword.cli import options

    with options.quiet_imports():
        from pixelword.data.progress import bar
        from pixelword.synthetic.assets import Assets
        from pixelword_lab.packs.pools import render_pool

    cores = (os.cpu_count() or 1) if workers is None else workers
    with bar("rendering") as shown:
        path = render_pool(
            family, Assets(assets), count, seed=seed, workers=cores, rebuild=rebuild,
            shown=lambda done, total: shown(family, done, total),
        )  # fmt: skip
    print(f"{path}: {count:,} items, {path.stat().st_size / 1e6:.1f} MB")


@app.command(cls=Command)
def preview(
    family: Annotated[str, typer.Argument(metavar="FAMILY|all", help="See `pixelword tasks list`.")],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("tasks.html"),
    count: Annotated[int, typer.Option(min=1, help="Tasks of each split and family.")] = 6,
    seed: Seed = 0,
    assets: Folder = None,
) -> None:
    """Write a page of tasks with their questions, answers and boxes: one file, without any network.

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

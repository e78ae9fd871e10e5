"""Progress bar on terminals for work of more than two seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pixelword.data.indexing import Progress as Report


@contextmanager
def bar(doing: str) -> Iterator[Report]:
    """Yield a callback (source, samples done, samples in total); one bar per source, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(f"{doing} {name}", total=total)
            shown.update(tasks[name], completed=done)

        yield report

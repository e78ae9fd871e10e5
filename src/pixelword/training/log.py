"""What a run tells: `metrics.jsonl` always, and a live line in a terminal or plain lines in a log."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY = 15.0  # seconds between lines where there is no terminal


class RunLog:
    """A context manager. Steps in the file never go back: a resumed run drops the lines past its start."""

    def __init__(self, path: Path, console: Console, name: str, steps: int, start: int) -> None:
        self.path, self.console = path, console
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(path, start)
        self._file = path.open("a", encoding="utf-8")
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.fields[line]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task(name, total=steps, completed=start, line="")
        self._name, self._steps, self._last_line = name, steps, 0.0

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._file.close()

    def write(self, event: str, step: int, **values: Any) -> None:
        """One line of metrics.jsonl, on disk when this returns (a killed run keeps what it reported)."""
        self._file.write(json.dumps({"event": event, "step": step, "time": round(time.time(), 3), **values}) + "\n")
        self._file.flush()

    def show(self, step: int, line: str) -> None:
        """The state of the run: the live line in a terminal, else a plain line now and then."""
        self._progress.update(self._task, completed=step, line=line)
        if not self.console.is_terminal and time.monotonic() - self._last_line > _LINE_EVERY:
            self._last_line = time.monotonic()
            self.say(f"{self._name} {step}/{self._steps} {line}")

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _drop_after(path: Path, step: int) -> None:
    """Keep the lines of steps up to `step`; a line that a kill cut short goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError):
            continue
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    os.replace(partial, path)

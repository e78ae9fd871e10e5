"""Run logging: `metrics.jsonl`, trackers on request, and a live view or plain lines."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live

from pixelword.training.live import RunView
from pixelword.training.trackers import TensorBoard, Tracker, Wandb
from pixelword.utils.files import atomic_write

_LINE_EVERY = 15.0  # seconds between lines where there is no terminal


class RunLog:
    """Context manager. Steps in the file only increase: on resume, lines past the starting step are removed.

    Args:
        path: of metrics.jsonl.
        console: where people read.
        name, steps, start: of the stage, its steps, and the step to begin after.
        speaks: False on every rank but the first: nothing is written or printed there.
        tensorboard: also write scalars for TensorBoard into `tensorboard/` beside `path`.
        wandb: also log them to this project of Weights & Biases.
        config: the recipe, for Weights & Biases.

    Raises:
        PixelwordError: a tracker's package is not installed, or Weights & Biases cannot be reached.
    """

    def __init__(
        self,
        path: Path,
        console: Console,
        name: str,
        steps: int,
        start: int,
        *,
        speaks: bool = True,
        tensorboard: bool = False,
        wandb: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.console, self.speaks = path, console, speaks
        self.view = RunView(name, steps, start)
        self._last_line = 0.0
        self._trackers: list[Tracker] = []
        if not speaks:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(path, start)
        if tensorboard:
            self._trackers.append(TensorBoard(path.parent / "tensorboard", start))
        if wandb is not None:
            self._trackers.append(Wandb(path.parent, wandb, name, config or {}))
        self._file = path.open("a", encoding="utf-8")
        self._live = Live(self.view, console=console, refresh_per_second=2, auto_refresh=console.is_terminal)

    def __enter__(self) -> RunLog:
        if self.speaks and self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.speaks:
            return
        self._live.stop()
        self._file.close()
        for tracker in self._trackers:
            tracker.close(failed=error is not None)

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Report a window of training steps up to `step`, to the file and the view."""
        self.write("train", step, **values)
        self.view.update(step, values)
        if self.speaks and not self.console.is_terminal and time.monotonic() - self._last_line > _LINE_EVERY:
            self._last_line = time.monotonic()
            self.say(self.view.line())

    def write(self, event: str, step: int, **values: Any) -> None:
        """Append one line to metrics.jsonl, flushed to disk (a killed run keeps what it reported)."""
        if not self.speaks:
            return
        self._file.write(json.dumps({"event": event, "step": step, "time": round(time.time(), 3), **values}) + "\n")
        self._file.flush()
        scalars = dict(_scalars(event, values)) if self._trackers else {}
        for tracker in self._trackers:
            tracker.add(scalars, step)

    def say(self, line: str) -> None:
        """Print a line, above the live view if there is one."""
        if self.speaks:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _scalars(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Yield every number in `values`, including nested ones, as (name/with/slashes, number)."""
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _scalars(f"{prefix}/{name}", value)
        elif isinstance(value, int | float):
            found.append((f"{prefix}/{name}", float(value)))
    return found


def _drop_after(path: Path, step: int) -> None:
    """Keep lines up to `step`, and drop a partial last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError):
            continue
    atomic_write(path, "".join(f"{line}\n" for line in kept))

"""Runs checks on a port and prints what holds."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .checks import Check, Outcome
from .types import Tolerance

MARKS = {"holds": "holds", "differs": "DIFFERS", "failed": "FAILED", "skipped": "-"}
Row = tuple[str, str, Outcome]


def run(
    checks: Iterable[Check],
    make: Callable[[Path], Any],
    tolerance: Tolerance,
    show: Callable[[str], None] = print,
) -> list[Row]:
    """Each check's name, origin and outcome; a port is made once for all checks of a checkpoint."""
    rows: list[Row] = []
    loaded: tuple[Path, Any] | None = None
    for check in checks:
        if loaded is None or loaded[0] != check.folder:
            loaded = check.folder, made(make, check.folder)
        port = loaded[1]
        outcome = port if isinstance(port, Outcome) else check.outcome(port, tolerance)
        rows.append((check.name, check.origin, outcome))
        show(line(rows[-1]))
    return rows


def made(make: Callable[[Path], Any], folder: Path) -> Any:
    """The port, or a failed outcome for all of its checks."""
    try:
        return make(folder)
    except Exception as error:
        return Outcome("failed", f"loading {folder.name}: {type(error).__name__}: {error}".splitlines()[0][:200])


def line(row: Row) -> str:
    name, origin, outcome = row
    return f"{MARKS[outcome.state]:8} {name:44} {origin:14} {outcome.detail}"


def selected(checks: Sequence[Check], patterns: Sequence[str]) -> list[Check]:
    """Those whose names match a pattern, all without one.

    Raises:
        ValueError: a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatch(check.name, pattern) for check in checks):
            raise ValueError(f"no check matches {pattern!r}: `list` shows their names")
    return [check for check in checks if not patterns or any(fnmatch.fnmatch(check.name, p) for p in patterns)]


def verdict(rows: Sequence[Row]) -> tuple[str, int]:
    """A last line, and the exit code: 0 where something was compared and nothing differs."""
    states = Counter(outcome.state for _, _, outcome in rows)
    text = ", ".join(f"{states[state]} {word}" for state, word in
                     (("holds", "hold"), ("differs", "differ"), ("failed", "failed"), ("skipped", "skipped"))
                     if states[state])  # fmt: skip
    wrong = states["differs"] + states["failed"]
    return f"{text or 'nothing was compared'}", int(bool(wrong) or not states["holds"])

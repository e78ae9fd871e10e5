"""Plugins of other distributions, found through entry points and imported on use.

Groups: `pixelword.commands` (a command: a Typer app or a function), `pixelword.tasks` (a source of synthetic
samples: a `training.curriculum.Curriculum` with its `NAMES`), `pixelword.suites` (an `evaluation.types.Suite`).
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from pixelword.errors import InputError

COMMANDS, TASKS, SUITES = "pixelword.commands", "pixelword.tasks", "pixelword.suites"
#: The command that installs pixelword-lab.
INSTALL_LAB = "pip install --editable lab, in a clone of pixelword"
#: Commands of pixelword-lab with their help lines, known without importing it.
LAB_COMMANDS = {
    "tasks": "Fetch asset packs, pre-render slow tasks, and preview both.",
    "ablate": "Train and measure the variants of an ablation with several seeds; rerun to resume.",
    "speedrun": "Train from random weights, stage by stage, run the exam, and print a row for RECORDS.md.",
    "lab": "Build mini, and run studies: overfitting, initialisation, delta quantization, long inputs, attention maps.",
}
_LAB = {COMMANDS: tuple(LAB_COMMANDS), TASKS: ("mini",), SUITES: ("held-out", "real", "nano-real", "retrieval")}
_KINDS = {COMMANDS: "command", TASKS: "source of drawn tasks", SUITES: "suite"}


@cache
def entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    """Return the installed entry points of a group by name, those of pixelword-lab first."""
    found = {point.name: point for point in metadata.entry_points(group=group)}
    return {name: found[name] for name in dict.fromkeys((*_LAB[group], *sorted(found))) if name in found}


def load(group: str, name: str, own: tuple[str, ...] = ()) -> Any:
    """Import what an entry point names.

    Args:
        group: one of `COMMANDS`, `TASKS`, `SUITES`.
        name: of the entry point.
        own: names that the core has itself, for the message.

    Raises:
        InputError: nothing installed has this name; the message has the command that brings it, where one is known.
    """
    found = entry_points(group)
    if name in found:
        return found[name].load()
    if name in _LAB[group]:
        raise InputError(f"the {_KINDS[group]} {name!r} is part of pixelword-lab: {INSTALL_LAB}")
    raise InputError(f"unknown {_KINDS[group]} {name!r}: choose one of {', '.join((*found, *own))}")


def has_lab() -> bool:
    """Whether pixelword-lab is installed."""
    return "tasks" in entry_points(COMMANDS)

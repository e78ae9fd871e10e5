"""The lab's verbs: listed by pixelword without being imported, with the lines that they have themselves."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from pixelword import __version__, plugins
from pixelword.cli import app

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCRIPT = """
import sys
sys.argv[0] = "pixelword"
from pixelword.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def modules(*words: str) -> set[str]:
    """What a command has imported at its end."""
    command = [sys.executable, "-c", SCRIPT, *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stderr.split())


def test_the_core_lists_the_verbs_that_the_lab_brings() -> None:
    entries = PROJECT["entry-points"]
    assert (
        tuple(entries[plugins.COMMANDS]) == tuple(plugins.LAB_COMMANDS) == tuple(plugins.entry_points(plugins.COMMANDS))
    )
    assert set(entries[plugins.TASKS]) == set(plugins.entry_points(plugins.TASKS)) == {"mini"}
    assert set(entries[plugins.SUITES]) == set(plugins.entry_points(plugins.SUITES))
    assert PROJECT["version"] == __version__


@pytest.mark.parametrize("name", plugins.LAB_COMMANDS)
def test_its_line_of_help_is_its_own(name: str) -> None:
    root = typer.main.get_command(app)
    context = root.make_context("pixelword", [], resilient_parsing=True)
    stub = root.get_command(context, name)
    own = stub.make_context(name, [], parent=context, resilient_parsing=True).command
    assert own.help.replace("\n", " ").startswith(stub.help)


def test_help_imports_nothing_of_the_lab_and_a_verb_no_torch() -> None:
    assert not {name for name in modules("--help") if name.startswith("pixelword_lab")}
    assert not {"torch", "transformers", "huggingface_hub"} & modules("tasks", "list")

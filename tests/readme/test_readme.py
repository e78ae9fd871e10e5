"""The README's own commands and Python, run as they stand there; a comment behind a line that prints is its output."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pixelword.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(path for room in ("docs", "lab") for path in (ROOT / room).rglob("*.md"))])
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
RUN = [pytest.param(*block, id=f"{block[0]}-{number}") for number, block in enumerate(BLOCKS) if block[0] != "sh"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def required(*extras: str) -> set[str]:
    """The packages that these extras require, by the names that they are imported by."""
    lines = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    return {module for module, found in packages_distributions().items() if names & set(map(canonicalize_name, found))}


def absent(code: str) -> set[str]:
    """Modules that are installed here, and would not be where only the text before the block was followed.

    That installs pixelword itself, and the extras of every `.[…]` with --editable.
    """
    before = README[: README.index(code)]
    extras = {name for found in re.findall(r'--editable "\.\[([\w,]+)\]"', before) for name in found.split(",")}
    core = {name for line in PROJECT["dependencies"] for name in [canonicalize_name(Requirement(line).name)]}
    here = {module for module, found in packages_distributions().items() if core & set(map(canonicalize_name, found))}
    return required(*PROJECT["optional-dependencies"]) - required(*extras) - here - {"pytest", "_pytest"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like the repository's root to a command, and may be written to."""
    for name in ("examples", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def promised(code: str) -> list[str]:
    """What stands behind `#` on the lines of commands and of prints."""
    lines = (line for line in code.splitlines() if re.match(r"\s*(pixelword|print)\b", line) and "  # " in line)
    return [line.rpartition("  # ")[2] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(("language", "code"), RUN)
def test_a_block_runs_and_prints_what_it_promises(language: str, code: str, folder: Path) -> None:
    """In the environment that the text before it makes: what that does not install cannot be imported."""
    (folder / "hidden").mkdir()
    hide = f"import sys\nsys.modules.update(dict.fromkeys({sorted(absent(code))}))\n"
    (folder / "hidden" / "sitecustomize.py").write_text(hide)
    command = {"bash": ["bash", "-euo", "pipefail", "-c", code], "python": [sys.executable, "-c", code]}[language]
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(folder / "hidden"), os.environ.get("PYTHONPATH")))),
    }
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert [line for line in promised(code) if line not in printed] == []
    if language == "bash" and promised(code):
        assert printed == promised(code)


def commands(code: str) -> list[list[str]]:
    """The words of every `pixelword` command in a block of shell."""
    parts = (part.strip() for line in code.splitlines() for part in line.partition("  #")[0].split("&&"))
    return [shlex.split(part)[1:] for part in parts if part.startswith("pixelword ")]


@pytest.mark.parametrize("page", ["README.md", "docs/finetune.md", "docs/run.md"])
def test_what_is_not_run_are_commands_at_least(page: str) -> None:
    """Blocks of `sh` need a network, a GPU or a server: their verbs and options must be there."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = [words for code in blocks for words in commands(code)]
    assert found
    for words in found:
        command: Any = typer.main.get_command(app)
        context = command.make_context("pixelword", [], resilient_parsing=True)
        while words and hasattr(command, "commands"):  # `pixelword models` runs by itself
            verb, *words = words
            command = command.get_command(context, verb)
            context = command.make_context(verb, [], parent=context, resilient_parsing=True)
            command = context.command  # of another distribution, where that brings the verb
        context.resilient_parsing = False  # which was for what the command needs; an option that is none is an error
        command.make_parser(context).parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)", text) + re.findall(r'src="(?!https?://)([^"]+)"', text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_fine_tune_needs_the_extra_that_is_named_before_it() -> None:
    blocks = {language: code for language, code in BLOCKS if "pixelword train examples/finetune" in code}
    assert "peft" not in absent(blocks["bash"])
    assert {"peft", "fastapi"} <= absent(next(code for language, code in BLOCKS if language == "bash"))


def test_no_page_and_no_message_installs_what_pypi_does_not_have() -> None:
    pages = (path for folder in ("docs", "examples", "lab") for path in (ROOT / folder).rglob("*.md"))
    sources = (path for folder in ("src", "lab/src") for path in (ROOT / folder).rglob("*.py"))
    wrong = re.compile(r'pip install (--\S+ )*"?pixelword[\w-]*+(\[[\w,]+\])?+(?! @)')
    found = {path: wrong.search(path.read_text(encoding="utf-8")) for path in (*ROOT.glob("*.md"), *pages, *sources)}
    assert [str(path) for path, match in found.items() if match] == []

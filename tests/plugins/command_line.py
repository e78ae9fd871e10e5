"""Running the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """``run("ask", "question", input="…")``; an exception that is no one-line error fails the test."""

    from pixelword.cli import app

    def run_command(*words: object, **options: Any) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in words], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_command


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Runs a command that must be refused, with one clear line and exit code 2; gives the line."""

    def run_refused(*words: object, **options: Any) -> str:
        result = run(*words, **options)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
        return lines[0]

    return run_refused

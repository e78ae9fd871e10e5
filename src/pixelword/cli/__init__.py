"""The command line: one file a verb.

Nothing here imports torch before a verb runs, so that ``pixelword --help`` and a mistyped option answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer._click.exceptions import NoArgsIsHelpError, UsageError

from pixelword.cli import (
    ask,
    batch,
    benchmark,
    chat,
    convert,
    data,
    evaluate,
    explain,
    grow,
    info,
    models,
    probe,
    serve,
    train,
    verify,
    version,
)
from pixelword.cli.help import Command
from pixelword.cli.plugins import GroupWithPlugins
from pixelword.errors import PixelwordError


class _OneLineErrors(GroupWithPlugins):
    """Print user errors as one line and exit with 2; anything else is a bug and keeps its traceback."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except UsageError as error:
        page = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        _fail(f"{' '.join(error.format_message().split()).rstrip('.')}{page}", error)
    except PixelwordError as error:
        if os.environ.get("PIXELWORD_DEBUG") == "1":
            raise
        _fail(str(error), error)


def _fail(message: str, error: Exception) -> NoReturn:
    sys.stdout.flush()
    # soft_wrap: one line stays one line, for people with grep
    Console(stderr=True).print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(2) from error


app = typer.Typer(
    name="pixelword",
    cls=_OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version.version()
        raise typer.Exit


@app.callback()
def pixelword(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions and exit.")
    ] = False,
) -> None:
    """Native vision-language models: pixels and words in one sequence, through one decoder.

    Example: pixelword ask photo.png "what is on the left?"
    """


_VERBS: tuple[Callable[..., None], ...] = (
    ask.ask, chat.chat, batch.batch, info.info, convert.convert, grow.grow, train.train, evaluate.evaluate,
    benchmark.benchmark,    explain.explain, probe.probe, serve.serve, verify.verify, version.version,
)  # fmt: skip
for _verb in _VERBS:
    app.command(cls=Command)(_verb)
app.add_typer(models.app)
app.add_typer(data.app)


#: Packages that transformers, accelerate and peft import if installed, and that no command uses. Some take a second to
#: import, and torchao warns about every GPU kernel it cannot load.
_UNUSED = ("torchao", "torchvision", "torchaudio", "torchcodec", "sklearn", "scipy", "librosa", "soundfile")


def main() -> None:
    """The console script."""
    for name in _UNUSED:
        sys.modules[name] = None  # type: ignore[assignment] # in this process it counts as not installed
    app()

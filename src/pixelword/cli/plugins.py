"""Commands from other distributions, listed without importing them and imported when run."""

from __future__ import annotations

from typing import Any

import typer

from pixelword import plugins
from pixelword.cli.help import Command, Group


class GroupWithPlugins(Group):
    """Built-in commands, then those of the `pixelword.commands` entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *plugins.entry_points(plugins.COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is None and (cmd_name in plugins.LAB_COMMANDS or cmd_name in plugins.entry_points(plugins.COMMANDS)):
            return _Plugin(cmd_name)
        return own


class _Plugin(Command):
    """Placeholder of a command, resolved when it runs or shows its help."""

    def __init__(self, name: str) -> None:
        line = plugins.LAB_COMMANDS.get(name)
        super().__init__(name, help=line or _loaded(name).get_short_help_str(200))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.name is not None
        return _loaded(self.name).make_context(info_name, args, parent, **extra)


def _loaded(name: str) -> Any:
    """Load the command. Raises InputError if no installed distribution provides it."""
    verb = plugins.load(plugins.COMMANDS, name)
    app = typer.Typer(rich_markup_mode="rich")
    if isinstance(verb, typer.Typer):
        app.add_typer(verb, name=name)
    else:
        app.command(name, cls=Command)(verb)
    return typer.main.get_group(app).commands[name]

"""Verbs that other distributions bring: listed without importing them, imported when one runs."""

from __future__ import annotations

from typing import Any

import typer

from pixelword import plugins
from pixelword.cli.help import Command, Group


class GroupWithPlugins(Group):
    """Its own commands, then those of the entry points `pixelword.commands`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *plugins.entry_points(plugins.COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is None and (cmd_name in plugins.LAB_COMMANDS or cmd_name in plugins.entry_points(plugins.COMMANDS)):
            return _Plugin(cmd_name)
        return own


class _Plugin(Command):
    """Stands for a command until it runs, or its own help is asked for."""

    def __init__(self, name: str) -> None:
        line = plugins.LAB_COMMANDS.get(name)
        super().__init__(name, help=line or _loaded(name).get_short_help_str(200))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.name is not None
        return _loaded(self.name).make_context(info_name, args, parent, **extra)


def _loaded(name: str) -> Any:
    """The command itself. Raises InputError where nothing installed brings it."""
    verb = plugins.load(plugins.COMMANDS, name)
    app = typer.Typer(rich_markup_mode="rich")
    if isinstance(verb, typer.Typer):
        app.add_typer(verb, name=name)
    else:
        app.command(name, cls=Command)(verb)
    return typer.main.get_group(app).commands[name]

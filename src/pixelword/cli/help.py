"""Help pages say what an option takes in the words of a shell, not in Python's types."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

_WORDS = {"str": "TEXT", "path": "PATH", "int": "N", "float": "X", "int range": "N", "float range": "X", "bool": ""}


class Command(TyperCommand):
    """A verb."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)
        for param in params:
            shown = param.display_type_rich(ctx)
            if isinstance(param, TyperArgument):
                shown = ""  # its name says it
            elif param.metavar is None and shown is not None:
                plain = re.sub(r"^list\[(.*)\]$", r"\1", shown.strip("<>"))
                shown = _WORDS.get(plain.lower(), plain)
            # room for whole names of options in 80 columns: a value out of range is refused with its range
            param.display_type_rich = lambda ctx, shown=shown: shown
            param._get_number_range_help_str = lambda: None
        return params


class Group(TyperGroup):
    """Verbs with a first word in common, such as `pixelword data`."""

    command_class = Command  # of commands that are added without a class

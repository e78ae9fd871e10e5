"""Help pages that show option types in shell terms, not as Python types."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

from pixelword.cli import memory
from pixelword.errors import InputError

_WORDS = {"str": "TEXT", "path": "PATH", "int": "N", "float": "X", "int range": "N", "float range": "X", "bool": ""}


class Command(TyperCommand):
    """A command with such a help page. When memory runs out, it names its options that save some."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            raise InputError(memory.message(error, self)) from error

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)
        for param in params:
            shown = param.display_type_rich(ctx)
            if isinstance(param, TyperArgument):
                shown = ""  # the name is enough
            elif param.metavar is None and shown is not None:
                plain = re.sub(r"^list\[(.*)\]$", r"\1", shown.strip("<>"))
                shown = _WORDS.get(plain.lower(), plain)
            # leave room for full option names in 80 columns; out-of-range errors state the range
            param.display_type_rich = lambda ctx, shown=shown: shown
            param._get_number_range_help_str = lambda: None
        return params


class Group(TyperGroup):
    """A command group, such as `pixelword data`."""

    command_class = Command  # default class of added commands

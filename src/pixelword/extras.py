"""What brings an optional package: the one home of the command in every message about a missing one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement


def install_command(*extras: str, of: str = "pixelword") -> str:
    """The `pip install` of what these extras of Pixelword, or of another distribution here, require.

    It names the packages themselves, since that works wherever Pixelword came from: a clone, a path or a git URL.
    """
    try:
        declared = [Requirement(line) for line in metadata.requires(of) or ()]
    except metadata.PackageNotFoundError:  # run from its sources
        folder = "." if of == "pixelword" else of.removeprefix("pixelword-")
        return f'pip install --editable "{folder}[{",".join(extras)}]" in a clone of pixelword'
    names = dict.fromkeys(name for extra in extras for name in _required(declared, extra))
    return f"pip install {' '.join(names)}"


def _required(declared: list[Requirement], extra: str) -> Iterator[str]:
    """The requirements of one extra as the shell takes them, those of extras that it names included."""
    for one in declared:
        if one.marker is None or not one.marker.evaluate({"extra": extra}) or one.marker.evaluate({"extra": ""}):
            continue
        if one.name == "pixelword":
            for other in sorted(one.extras):
                yield from _required(declared, other)
        else:
            chosen = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            plain = f"{one.name}{chosen}{one.specifier}"
            yield f'"{plain}"' if plain != one.name else plain

"""The install command of each optional package, for messages about a missing one."""

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
        declared = []
    names = dict.fromkeys(name for extra in extras for name in _required(declared, extra))
    if not names:  # or a clone whose extra is newer than its last installation
        folder = "." if of == "pixelword" else of.removeprefix("pixelword-")
        return f'pip install --editable "{folder}[{",".join(extras)}]" in a clone of pixelword'
    return f"pip install {' '.join(names)}"


def _required(declared: list[Requirement], extra: str) -> Iterator[str]:
    """The requirements of one extra as the shell takes them, those of extras that it names included."""
    for item in declared:
        if item.marker is None or not item.marker.evaluate({"extra": extra}) or item.marker.evaluate({"extra": ""}):
            continue
        if item.name == "pixelword":
            for other in sorted(item.extras):
                yield from _required(declared, other)
        else:
            chosen = f"[{','.join(sorted(item.extras))}]" if item.extras else ""
            plain = f"{item.name}{chosen}{item.specifier}"
            yield f'"{plain}"' if plain != item.name else plain

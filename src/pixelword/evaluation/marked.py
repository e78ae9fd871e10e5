"""A section of a page that a command writes anew, between two marks; what people wrote around it stays."""

from __future__ import annotations

from pathlib import Path

from pixelword.data.files import write_whole
from pixelword.errors import InputError


def fill(page: Path, begin: str, end: str, section: str, *, what: str, option: str) -> None:
    """Write anew what stands between two marks of a page. what: its name in errors; option: what named the page.

    Raises:
        InputError: the page cannot be read or written, or it has no such marks.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{page}: cannot be read ({error}); name another with {option}") from error
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(f"{page} has no place for {what}: put {begin} and {end} around it")
    write_whole(page, f"{before}{begin}\n{section}\n{end}{after}")

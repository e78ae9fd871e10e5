"""A generated section of a Markdown page, between two marks; the rest of the page is preserved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixelword.errors import InputError, reason
from pixelword.utils.files import atomic_write


@dataclass(frozen=True)
class Section:
    """The section between two marks of a page. what: its name in errors; option: the option that named the page."""

    page: Path
    begin: str
    end: str
    what: str
    option: str

    @classmethod
    def named(cls, page: Path, name: str, option: str) -> Section:
        """Return the section between `<!-- name -->` and `<!-- end of name -->`."""
        return cls(page, f"<!-- {name} -->", f"<!-- end of {name} -->", name, option)

    def check(self) -> None:
        """Raise InputError if the page is unreadable or lacks the marks; call before long work."""
        self._around()

    def write(self, text: str) -> None:
        """Replace the section. Raises InputError like `check`, or if the page cannot be written."""
        before, after = self._around()
        atomic_write(self.page, f"{before}{self.begin}\n{text}\n{self.end}{after}")

    def _around(self) -> tuple[str, str]:
        try:
            text = self.page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{self.page}: cannot be read ({reason(error)}); name another with {self.option}"
            ) from error
        before, found, rest = text.partition(self.begin)
        _, closed, after = rest.partition(self.end)
        if not found or not closed:
            raise InputError(f"{self.page} has no place for {self.what}: put {self.begin} and {self.end} around it")
        return before, after

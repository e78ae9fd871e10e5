"""Words that the code keeps out: dialect that a reader of this field would stumble over."""

from __future__ import annotations

import re
from pathlib import Path

KEPT_OUT = re.compile(r"\b(told|whom|anew|lets go of|so many)\b", re.IGNORECASE)


def test_no_dialect_in_the_sources() -> None:
    root = Path(__file__).parents[1]
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for room in ("src", "lab/src")
        for path in sorted((root / room).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if KEPT_OUT.search(line)
    ]
    assert not found, "\n".join(found)

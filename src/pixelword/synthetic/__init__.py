"""What nano learns: tasks drawn on the fly by a few lines of code, with questions whose answers are known.

The names below are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.lazy import lazy_names

if TYPE_CHECKING:
    from .drawn import answers, chance, choices, draw, draw_kind
    from .kinds import ASKED, KINDS, READING

__all__ = ["ASKED", "KINDS", "READING", "answers", "chance", "choices", "draw", "draw_kind"]

__getattr__, __dir__ = lazy_names(
    __name__, {name: f"pixelword.synthetic.{'kinds' if name.isupper() else 'drawn'}" for name in __all__}
)

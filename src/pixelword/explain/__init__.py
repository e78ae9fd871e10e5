"""Explains answers: attention to pixels by layer, head and part of the score, and how far to trust it."""

from typing import TYPE_CHECKING

from pixelword.lazy import lazy_names

if TYPE_CHECKING:
    from pixelword.explain.explanation import Explanation, look_inside
    from pixelword.explain.figure import save_png
    from pixelword.explain.page import save_html

__all__ = ["Explanation", "look_inside", "save_html", "save_png"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Explanation": "pixelword.explain.explanation",
        "look_inside": "pixelword.explain.explanation",
        "save_html": "pixelword.explain.page",
        "save_png": "pixelword.explain.figure",
    },
)

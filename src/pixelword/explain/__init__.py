"""Look inside: which pixels an answer rests on, by layer, head and part of the score, and how far to believe it."""

from pixelword.explain.explanation import Explanation, look_inside
from pixelword.explain.page import save_html
from pixelword.explain.sheet import save_png

__all__ = ["Explanation", "look_inside", "save_html", "save_png"]

"""Explains answers: attention to pixels by layer, head and part of the score, and how far to trust it."""

from pixelword.explain.explanation import Explanation, look_inside
from pixelword.explain.figure import save_png
from pixelword.explain.page import save_html

__all__ = ["Explanation", "look_inside", "save_html", "save_png"]

"""Look inside: which pixels an answer rests on, by layer, head and part of the score, and how far to believe it."""

from pixelword.explain.explanation import Explanation, look_inside

__all__ = ["Explanation", "look_inside"]

"""What nano learns: tasks drawn on the fly by a few lines of code, with questions whose answers are known."""

from pixelword.synthetic.drawn import ASKED, KINDS, READING, answers, chance, choices, draw, draw_kind

__all__ = ["ASKED", "KINDS", "READING", "answers", "chance", "choices", "draw", "draw_kind"]

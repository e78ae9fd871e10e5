"""What a model can do, measured the same way for every model."""

from pixelword.evaluation.drawn import CONDITIONS, KindScore, evaluate

__all__ = ["CONDITIONS", "KindScore", "evaluate"]

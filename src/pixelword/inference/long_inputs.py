"""Deprecated: import `LongInputs` from `pixelword.generation.long_context`."""

from pixelword.generation.long_context import LongInputs

__all__ = ["LongInputs"]

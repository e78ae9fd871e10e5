"""Inputs larger than a model was trained on: crops of large images, eviction of a long video's old frames."""

from pixelword.generation.long_context.options import LongInputs, parse_compression

__all__ = ["LongInputs", "parse_compression"]

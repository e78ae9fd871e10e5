"""Compression of an image's tokens: before the model, after the pre-buffer, or in the cache."""

from pixelword.generation.compression.compressor import Kept, Prompt, VisualCompressor
from pixelword.generation.compression.methods import METHODS
from pixelword.generation.compression.options import Compression

__all__ = ["METHODS", "Compression", "Kept", "Prompt", "VisualCompressor"]

"""Samples in files, one module per format; see `docs/data.md`."""

from pixelword.data.sources.source import Source, media_options, open_source, open_sources

__all__ = ["Source", "media_options", "open_source", "open_sources"]

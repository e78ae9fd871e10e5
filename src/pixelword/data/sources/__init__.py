"""Samples in files. One module a format; `docs/data.md` describes them for people."""

from pixelword.data.sources.source import Source, media_options, open_source, open_sources

__all__ = ["Source", "media_options", "open_source", "open_sources"]

"""Finds all faults of a source, by file and line, before a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pixelword.data.index import Index
from pixelword.data.indexing import Progress, build_index, each
from pixelword.data.sources import Source
from pixelword.errors import PixelwordError
from pixelword.processing.options import MediaOptions
from pixelword.processing.processor import NeoOVProcessor


def check(
    source: Source,
    processor: NeoOVProcessor,
    media: MediaOptions,
    *,
    decode: bool = False,
    workers: int = 1,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Index, list[str]]:
    """Rebuild the index of a source; return it with its faults in order, each with its location.

    decode: Encode every sample in full, as training would; otherwise read only headers of images and videos.
    """
    index = build_index(source, processor, media, workers=workers, folder=folder, progress=progress, rebuild=True)
    if not decode:
        return index, [index.faults[i] for i in sorted(index.faults)]
    planned = index.lengths(processor, media).tokens
    read = each(_decoded, source, processor, media, workers=workers, progress=progress)
    return index, list(_faults(source, index, planned, read))


def _decoded(source: Source, i: int, processor: NeoOVProcessor, media: MediaOptions) -> int | str:
    """Return the token count of sample i as in training, or its fault."""
    try:
        return len(processor.encode(source.read(i).messages, media=media))
    except PixelwordError as error:
        return str(error)


def _faults(source: Source, index: Index, planned: np.ndarray, read: Iterator[int | str]) -> Iterator[str]:
    for i, found in enumerate(read):
        if i in index.faults:
            yield index.faults[i]
        elif isinstance(found, str):
            yield f"{source.where(i)}: {found}"
        elif found != planned[i]:
            yield f"{source.where(i)}: {found} tokens, where its index says {planned[i]}: a video in it is damaged"

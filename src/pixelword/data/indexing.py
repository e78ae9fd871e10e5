"""Builds the index of a source: tokenizes every sample's text and reads its image headers, once.

The index is kept beside the places of the samples (`data.index`) and rebuilt when a file of the source, the
tokenizer or the sampling of videos has changed. Resolution is not part of it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from pixelword.data.cache import Table, kept
from pixelword.data.index import FRAME, PICTURE, VIDEO, Index
from pixelword.data.sources import Source, media_options, open_sources
from pixelword.errors import PixelwordError, RecipeError
from pixelword.processing.options import MediaOptions
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.token_counts import Outline, outline

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe

_KINDS = {"picture": PICTURE, "frame": FRAME, "video": VIDEO}
_CHUNK = 256  # samples a worker takes at once: a row group of Parquet is read for many of them, not for each

Found = TypeVar("Found")
Progress = Callable[[str, int, int], None]  # (source, samples done, samples in all)


def build_index(
    source: Source,
    processor: NeoOVProcessor,
    media: MediaOptions | None = None,
    *,
    workers: int = 1,
    folder: Path | None = None,
    progress: Progress | None = None,
    rebuild: bool = False,
) -> Index:
    """Return the index of a source: the cached one if current, else a new one by `workers` processes (0: this one).

    folder: where indexes are kept (`data.index`). A build that is stopped leaves nothing. Bad samples are faults of
    the index, looked at again each time: an image that was missing may be there now. rebuild: though it is current
    (images that were replaced are not noticed). Raises RecipeError when the folder cannot be written, or a worker is
    lost.
    """
    media = media or MediaOptions()
    key = {
        "reading": 2,  # raised where the same file would give other numbers
        "root": str(source.root.resolve()),
        "samples": len(source),
        "tokenizer": _fingerprint(processor),
        "videos": [media.fps, media.max_frames, media.num_frames, processor.video_fps, processor.video_max_frames],
        "limits": asdict(media.limits),
    }

    def holds(table: Table) -> bool:
        faulty = map(int, table.notes["faults"])
        return not rebuild and all(isinstance(measured(source, i, processor, media), str) for i in faulty)

    table = kept(
        folder,
        f"{source.name}-index",
        key,
        source.files,
        lambda: _table(each(measured, source, processor, media, workers=workers, progress=progress), len(source)),
        holds=holds,
    )
    arrays = {name: table.arrays[name] for name in _ARRAYS}
    return Index(**arrays, faults={int(i): reason for i, reason in table.notes["faults"].items()})


def open_indexes(
    data: DataRecipe, processor: NeoOVProcessor, *, progress: Progress | None = None
) -> tuple[dict[str, Source], dict[str, Index]]:
    """Open every source of a recipe with its index, by name. Raises RecipeError."""
    sources = open_sources(data)
    workers = min(os.cpu_count() or 1, 16)
    indexes = {
        name: build_index(source, processor, media_options(data), workers=workers, folder=data.index, progress=progress)
        for name, source in sources.items()
    }
    return sources, indexes


_ARRAYS = ("text_tokens", "answer_tokens", "offsets", "sizes", "kinds", "counts")


def _fingerprint(processor: NeoOVProcessor) -> str:
    """Return a fingerprint of everything the tokens of a text depend on."""
    return hashlib.sha256(processor.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def each(
    item: Callable[[Source, int, NeoOVProcessor, MediaOptions], Found],
    source: Source,
    processor: NeoOVProcessor,
    media: MediaOptions,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Iterator[Found]:
    """`one(source, i, processor, media)` of every sample in order, by `workers` processes (0: this one).

    Raises RecipeError when a worker is lost.
    """
    total = len(source)
    chunks = [range(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]
    done = 0
    with _mapping(partial(_chunk, item), (source, processor, media), min(workers, len(chunks) - 1)) as mapped:
        for found in mapped(chunks):
            yield from found
            done += len(found)
            if progress is not None:
                progress(source.name, done, total)


# What the workers read: set before they are forked, so that nothing of it is copied to them.
_read: list[tuple[Source, NeoOVProcessor, MediaOptions]] = []


@contextmanager
def _mapping(
    chunk: Callable[[range], list[Found]], read: tuple[Source, NeoOVProcessor, MediaOptions], workers: int
) -> Iterator[Callable[[Sequence[range]], Iterator[list[Found]]]]:
    """`map(chunk, ...)` in order, by `workers` processes or by this one."""
    _read.append(read)
    try:
        if workers < 1:
            yield lambda chunks: map(chunk, chunks)
            return
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start_worker)
        try:
            yield lambda chunks: pool.map(chunk, chunks)
        except BrokenProcessPool as error:
            raise RecipeError(
                f"data.sources.{read[0].name}: a process that read it was ended from outside (out of memory?); "
                "start again, with fewer workers"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    finally:
        _read.pop()


def _start_worker() -> None:
    """Initialise a worker: one core; the parent handles Ctrl-C."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _chunk(item: Callable[[Source, int, NeoOVProcessor, MediaOptions], Found], samples: range) -> list[Found]:
    source, processor, media = _read[-1]
    return [item(source, i, processor, media) for i in samples]


def measured(source: Source, i: int, processor: NeoOVProcessor, media: MediaOptions) -> Outline | str:
    """Return the outline of sample i, or its fault with its location."""
    try:
        messages = source.read(i).messages
    except PixelwordError as error:
        return str(error)  # names its place already
    try:
        return outline(processor, messages, media)
    except PixelwordError as error:
        return f"{source.where(i)}: {error}"


def _table(outlines: Iterator[Outline | str], total: int) -> Table:
    text = np.zeros(total, dtype=np.int32)
    answer = np.zeros(total, dtype=np.int32)
    offsets = np.zeros(total + 1, dtype=np.int64)
    sizes, kinds, counts = array("i"), array("B"), array("i")
    faults: dict[str, str] = {}
    for i, item in enumerate(outlines):
        if isinstance(item, str):
            faults[str(i)] = item
        else:
            text[i], answer[i] = item.text_tokens, item.answer_tokens
            for medium in item.media:
                sizes.extend((medium.height, medium.width))
                kinds.append(_KINDS[medium.kind])
                counts.append(medium.count)
        offsets[i + 1] = len(kinds)
    arrays: dict[str, Any] = {
        "text_tokens": text,
        "answer_tokens": answer,
        "offsets": offsets,
        "sizes": np.array(sizes, dtype=np.int32).reshape(-1, 2),
        "kinds": np.array(kinds, dtype=np.uint8),
        "counts": np.array(counts, dtype=np.int32),
    }
    return Table(arrays, {"faults": faults})

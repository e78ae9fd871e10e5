"""Parquet with embedded images, in the Hugging Face datasets layout.

Arrays of places: `group`, a row group; `row`, in it; `number`, in the file, all from 0. To read one row is to read its
group, so the last few groups are kept; sources for training have groups of some tens of megabytes at most.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pixelword.data.sources.places import Places, Row
from pixelword.errors import InputError, RecipeError
from pixelword.extras import install_command

_GROUPS_KEPT = 2  # row groups in memory, for each process


class Parquet:
    pointers: tuple[str, ...] = ()

    def scan(self, file: Path) -> Places:
        arrow = _pyarrow()
        try:
            metadata = arrow.parquet.read_metadata(file)
        except arrow.ArrowInvalid as error:
            reason = f"not a Parquet file, or cut off ({error}); get it again"
            none = np.zeros(1, dtype=np.int64)
            return Places({"group": none, "row": none, "number": none}, {0: reason}, {})
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        rows = [np.arange(size, dtype=np.int64) for size in sizes]
        arrays = {
            "group": np.repeat(np.arange(len(sizes), dtype=np.int64), sizes),
            "row": np.concatenate(rows) if rows else np.zeros(0, np.int64),
            "number": np.arange(sum(sizes), dtype=np.int64),
        }
        return Places(arrays, {}, {})

    def row(self, file: Path, places: Places, i: int) -> Row:
        arrow = _pyarrow()
        try:
            group = _group(file, int(places.arrays["group"][i]))
        except (arrow.ArrowInvalid, OSError) as error:
            raise InputError(f"its row group cannot be read ({error}); get the file again") from error
        return Row(group.slice(int(places.arrays["row"][i]), 1).to_pylist()[0], {})

    def where(self, name: str, places: Places, i: int) -> str:
        return f"{name}:row {places.arrays['number'][i]}"


@lru_cache(maxsize=_GROUPS_KEPT)
def _group(file: Path, group: int) -> Any:
    with _pyarrow().parquet.ParquetFile(file) as parquet:
        return parquet.read_row_group(group, use_threads=False)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise RecipeError(f"Parquet needs pyarrow: {install_command('train')}") from error
    return pyarrow

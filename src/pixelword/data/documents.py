"""The documents of a pack, found again: where each lies, and which pictures are its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pixelword.data.schema import Pack


@dataclass(frozen=True)
class Document:
    """Tokens `start` .. `stop` - 1 of a row of a pack.

    pictures: numbers in the pack's `image_grid_hw`. name: where it comes from, if the pack says so; padding has none.
    """

    row: int
    start: int
    stop: int
    pictures: range
    name: str = ""
    padding: bool = False

    def __len__(self) -> int:
        return self.stop - self.start


def documents(pack: Pack, *, pad_token_id: int, merge_size: int = 2) -> Iterator[Document]:
    """Every document in order, the rows' padding as documents of their own.

    pad_token_id: what padding consists of. merge_size: patches along one side of a visual token.
    """
    length = pack.input_ids.shape[1]
    ids, types = pack.input_ids.flatten(), pack.mm_token_type_ids.flatten()
    tokens = (pack.image_grid_hw.prod(-1) // merge_size**2).tolist()
    padding = [bool((ids[a:b] == pad_token_id).all()) for a, b in pairwise(pack.cu_seqlens.tolist())]
    # names tell of documents only when every one of them has one
    names = iter(pack.names if len(pack.names) == padding.count(False) else ())
    picture = 0
    for (a, b), is_padding in zip(pairwise(pack.cu_seqlens.tolist()), padding, strict=True):
        first, seen = picture, int((types[a:b] != 0).sum())
        while seen > 0:
            seen -= tokens[picture]
            picture += 1
        row, start = divmod(a, length)
        name = "" if is_padding else next(names, "")
        yield Document(row, start, start + b - a, range(first, picture), name, is_padding)

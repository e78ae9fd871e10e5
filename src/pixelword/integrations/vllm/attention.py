"""Bidirectional attention within images, in vLLM's paged attention on a CPU.

The stock CPU backend drops the image mask without a word. What a query sees is one interval of keys, though, so a
request that reads text and images is the same as several in sequence: up to an image causal, the
image with all keys up to its end, and so on. They share one row of the block table, and the kernel, written for
batches in which some requests are causal and some are not, does the rest. On a GPU vLLM's Triton kernels keep the mask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from vllm.v1.attention.backend import CommonAttentionMetadata
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend, CPUAttentionMetadata, CPUAttentionMetadataBuilder


class WholePictureBuilder(CPUAttentionMetadataBuilder):
    """`CPUAttentionMetadataBuilder` for batches with images."""

    def build(
        self, common_prefix_len: int, common_attn_metadata: CommonAttentionMetadata, fast_build: bool = False
    ) -> CPUAttentionMetadata:
        return super().build(common_prefix_len, with_pictures_apart(common_attn_metadata), fast_build)


class WholePictureBackend(CPUAttentionBackend):
    """`CPUAttentionBackend` that keeps the image mask."""

    @classmethod
    def supports_mm_prefix(cls) -> bool:
        return True

    @staticmethod
    def get_builder_cls() -> type[WholePictureBuilder]:
        return WholePictureBuilder


def with_pictures_apart(batch: CommonAttentionMetadata) -> CommonAttentionMetadata:
    """Split a batch so that every run of text and every image is its own request; unchanged if all is text.

    Raises:
        RuntimeError: an image that this step computes in part, which would be wrong without a sign.
    """
    starts, ends = batch.query_start_loc_cpu.tolist(), batch.seq_lens.tolist()
    pieces: list[tuple[int, int, int, bool]] = []  # request, queries, keys, is it text
    for request in range(batch.num_reqs):
        ranges = (batch.mm_req_doc_ranges or {}).get(request, [])
        queries, end = starts[request + 1] - starts[request], ends[request]
        pieces += [(request, *piece) for piece in stretches(end - queries, end, ranges)]
    if all(is_text for *_, is_text in pieces):
        return batch
    rows, queries, keys, causal = zip(*pieces, strict=True)
    begins = torch.tensor((0, *queries), dtype=torch.int32).cumsum(0, dtype=torch.int32)
    changed: dict[str, Any] = {
        "query_start_loc": begins,
        "query_start_loc_cpu": begins,
        "seq_lens": torch.tensor(keys, dtype=torch.int32),
        "num_reqs": len(pieces),
        "max_query_len": max(queries),
        "block_table_tensor": batch.block_table_tensor[list(rows)],
        "causal": torch.tensor(causal, dtype=torch.int32),
        "mm_req_doc_ranges": None,
    }
    return replace(batch, **changed)


def stretches(start: int, end: int, pictures: list[tuple[int, int]]) -> list[tuple[int, int, bool]]:
    """Split the queries [start, end) of a request at image boundaries.

    pictures: first and last place of each, ascending. Returns (number of queries, number of keys they may see, whether
    they are text), in order; a request without queries is kept as it is.
    """
    found: list[tuple[int, int, bool]] = []
    place = start
    for first, last in pictures:
        if last < place or first >= end:
            continue
        if last >= end:
            raise RuntimeError(
                f"an image at {first}..{last} was cut at {end}: an image must be prefilled in one step; "
                "start vLLM with the plugin's own scheduler"
            )
        if first > place:
            found.append((first - place, first, True))
        place = max(place, first)
        found.append((last + 1 - place, last + 1, False))
        place = last + 1
    if place < end or not found:
        found.append((end - place, end, True))
    return found

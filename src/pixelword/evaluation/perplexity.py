"""Perplexity on plain text: measures language quality, and whether image training degrades it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.synthetic.assets import Assets

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor

ROW = 1024  # tokens of one row, and of the longest document: longer ones are cut


def read_texts(source: str | Path, assets: Assets | None = None) -> list[str]:
    """Read documents of a text file (one per paragraph), or of the held-out part of an asset pack ("words").

    Raises InputError: no such file or nothing in it; AssetError: no such pack.
    """
    path = Path(source)
    if path.is_file():
        found = [part.strip() for part in path.read_text(encoding="utf-8").split("\n\n")]
    elif path.suffix:
        raise InputError(f"{path}: no such text file; give one, or the name of an asset pack of texts")
    else:
        found = [item["text"] for item in (assets or Assets()).pack(str(source)).of("test") if "text" in item]
    texts = [text for text in found if text]
    if not texts:
        raise InputError(f"{source} holds no text; give a text file, or an asset pack of texts")
    return texts


def encode_texts(processor: NeoOVProcessor, texts: Iterable[str], tokens: int | None = None) -> list[Tensor]:
    """Tokenize each text to (n,) int64 with 2 <= n <= `ROW`; at most `tokens` in total."""
    documents: list[Tensor] = []
    left = math.inf if tokens is None else tokens
    for text in texts:
        for piece in torch.tensor(processor.encoder.text(text), dtype=torch.int64).split(ROW):
            piece = piece[: int(min(left, ROW))]
            if len(piece) >= 2:  # a first token is predicted by nothing
                documents.append(piece)
                left -= len(piece)
        if left < 2:
            break
    return documents


@torch.no_grad()
def perplexity(model: NeoOVForConditionalGeneration, documents: Sequence[Tensor], rows: int = 4) -> float:
    """exp of the mean negative log-likelihood over all tokens except each document's first.

    documents: ids, (n,) each, n up to `ROW`; packed `rows` rows at a time. Precision is the caller's (autocast).
    Raises InputError when there is nothing to predict.
    """
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    try:
        for ids, ends, predicted in _packs(documents, rows):
            labels = ids.to(model.device)
            output = model(input_ids=labels, labels=labels, cu_seqlens=ends.to(model.device), skip_logits=True)
            total += output.loss.item() * predicted
            count += predicted
    finally:
        model.train(was_training)
    if not count:
        raise InputError("no text of two tokens or more: nothing to predict")
    return math.exp(total / count)


def _packs(documents: Sequence[Tensor], rows: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """(ids (1, n), document boundaries, tokens predicted), as many documents as `rows` rows hold, in order."""
    held: list[Tensor] = []
    for document in documents:
        if held and sum(map(len, held)) + len(document) > rows * ROW:
            yield _joined(held)
            held = []
        held.append(document)
    if held:
        yield _joined(held)


def _joined(documents: Sequence[Tensor]) -> tuple[Tensor, Tensor, int]:
    ends = torch.tensor([0, *(len(document) for document in documents)], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return torch.cat(list(documents))[None], ends, int(ends[-1]) - len(documents)

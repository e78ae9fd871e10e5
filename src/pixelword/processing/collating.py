"""Encoded samples -> one batch: truncation, padding on either side, tensors or lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers.image_processing_utils import BatchFeature

from pixelword.errors import InputError
from pixelword.processing.types import Encoded

IGNORED = -100
_MEDIA = ("pixel_values", "image_grid_hw")


@dataclass(frozen=True)
class BatchOptions:
    """Options for collating samples into a batch, under transformers' names.

    max_length: to fill up to with padding "max_length", to cut to with truncation. assistant_masks: also return where
    an assistant's words are.
    """

    padding: bool | str | None = True
    side: str = "left"
    multiple: int | None = None
    max_length: int | None = None
    truncation: bool | str | None = False
    tensors: str | None = None
    assistant_masks: bool = False


def batch_options(options: dict[str, Any], tokenizer: Any) -> BatchOptions:
    """Pop the batch options from `options`. Raises `InputError`."""
    side = options.pop("padding_side", None) or tokenizer.padding_side
    if side not in ("left", "right"):
        raise InputError(f"padding_side {side!r} is neither 'left' nor 'right'")
    tensors = options.pop("return_tensors", None)
    return BatchOptions(
        padding=options.pop("padding", True),
        side=side,
        multiple=options.pop("pad_to_multiple_of", None),
        max_length=options.pop("max_length", None),
        truncation=options.pop("truncation", False),
        tensors="pt" if tensors == "auto" else tensors,
        assistant_masks=bool(options.pop("return_assistant_tokens_mask", False)),
    )


def collated(samples: Sequence[Encoded], options: BatchOptions, tokenizer: Any, pad: int) -> BatchFeature:
    """What `return_tensors` and the padding say. Raises `InputError`: it cannot be one tensor, or cuts an image."""
    if options.truncation not in (False, None, "do_not_truncate"):
        limit = tokenizer.model_max_length if options.max_length is None else options.max_length
        samples = [truncated(sample, limit, tokenizer.truncation_side) for sample in samples]
    longest = max(map(len, samples))
    length = longest
    if options.padding in (False, None, "do_not_pad"):
        if options.tensors is None:
            return _unpadded(samples, options.assistant_masks)
        if any(len(sample) != longest for sample in samples):
            raise InputError("conversations of different lengths cannot be one tensor; pass padding=True")
    else:
        if options.padding == "max_length":
            length = max(longest, options.max_length or 0)
        if options.multiple:
            length = -(-length // options.multiple) * options.multiple
    data = padded(samples, length, pad, side=options.side, with_labels=options.assistant_masks)
    if options.assistant_masks:
        data["assistant_masks"] = (data.pop("labels") != IGNORED).long()
    if options.tensors is None:
        return BatchFeature({name: item.numpy() if name in _MEDIA else item.tolist() for name, item in data.items()})
    return BatchFeature(data) if options.tensors == "pt" else BatchFeature(data).convert_to_tensors(options.tensors)


def truncated(sample: Encoded, limit: int, side: str) -> Encoded:
    """Keep the first `limit` tokens, or the last if `side` is "left". Raises `InputError` if an image would be cut."""
    if len(sample) <= limit:
        return sample
    begin, end = (0, limit) if side == "right" else (len(sample) - limit, len(sample))
    # <img> and </img> stand around the tokens of an image
    if any(image.start - 1 < begin or image.stop + 1 > end for image in sample.images):
        raise InputError(
            f"truncation to {limit} tokens would cut an image in two; raise max_length, shorten the conversation or "
            "lower max_pixels"
        )
    fields = ("input_ids", "labels", "mm_token_type_ids")
    kept = {name: getattr(sample, name)[begin:end] for name in fields}
    return replace(sample, **kept, images=tuple(image.moved(tokens=-begin) for image in sample.images))


def padded(
    samples: Sequence[Encoded], length: int, pad: int, *, side: str, with_labels: bool
) -> dict[str, torch.Tensor]:
    """Pad to input_ids, attention_mask, mm_token_type_ids (B, length), with the images of all samples concatenated."""
    size = (len(samples), length)
    data = {
        "input_ids": torch.full(size, pad, dtype=torch.int64),
        "attention_mask": torch.zeros(size, dtype=torch.int64),
        "mm_token_type_ids": torch.zeros(size, dtype=torch.int64),
    }
    if with_labels:
        data["labels"] = torch.full(size, IGNORED, dtype=torch.int64)
    for row, sample in enumerate(samples):
        place = slice(length - len(sample), None) if side == "left" else slice(len(sample))
        data["attention_mask"][row, place] = 1
        for name in data.keys() - {"attention_mask"}:
            data[name][row, place] = getattr(sample, name)
    return {**data, **_images(samples)}


def _images(samples: Sequence[Encoded]) -> Mapping[str, torch.Tensor]:
    if not any(len(sample.image_grid_hw) for sample in samples):
        return {}
    return {name: torch.cat([getattr(sample, name) for sample in samples]) for name in _MEDIA}


def _unpadded(samples: Sequence[Encoded], assistant_masks: bool) -> BatchFeature:
    """Return unpadded lists per sample, with images as arrays."""
    data: dict[str, Any] = {
        "input_ids": [sample.input_ids.tolist() for sample in samples],
        "attention_mask": [[1] * len(sample) for sample in samples],
        "mm_token_type_ids": [sample.mm_token_type_ids.tolist() for sample in samples],
    }
    if assistant_masks:
        data["assistant_masks"] = [(sample.labels != IGNORED).long().tolist() for sample in samples]
    return BatchFeature({**data, **{name: item.numpy() for name, item in _images(samples).items()}})

"""What travels through the data room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One conversation, pictures included, as training and evaluation see it.

    messages: chat form, assistant turns included: ``{"role": ..., "content": str | [parts]}``, a part being
        ``{"type": "text", "text": str}``, ``{"type": "image", "image": PIL.Image}`` or
        ``{"type": "video", "video": processing.videos.Video}``.
    kind: what the last turn asks for: "colour", "count", "where", ...
    """

    messages: tuple[dict[str, Any], ...]
    kind: str


@dataclass(frozen=True)
class Pack:
    """Several samples in one batch of fixed shape (rows, length); what a training step takes.

    input_ids, labels, mm_token_type_ids: (rows, length) int64; labels are -100 where there is no loss,
        the types 0 text, 1 picture, 2 video frame.
    loss_weight: (rows, length) float32, 0 where there is no loss.
    pixel_values: (patches, 768) float32, and image_grid_hw: (pictures, 2) int64 in 16-pixel patches, in order.
    cu_seqlens: (documents + 1,) int32, boundaries in the flattened stream; a row's padding is a document of its own.
    tokens: tokens without padding.
    """

    input_ids: Tensor
    labels: Tensor
    loss_weight: Tensor
    mm_token_type_ids: Tensor
    pixel_values: Tensor
    image_grid_hw: Tensor
    cu_seqlens: Tensor
    tokens: int

    def inputs(self) -> dict[str, Tensor]:
        """The model's keyword arguments."""
        text = {
            "input_ids": self.input_ids,
            "labels": self.labels,
            "loss_weight": self.loss_weight,
            "mm_token_type_ids": self.mm_token_type_ids,
            "cu_seqlens": self.cu_seqlens,
        }
        if self.image_grid_hw.shape[0] == 0:
            return text
        return {**text, "pixel_values": self.pixel_values, "image_grid_hw": self.image_grid_hw}

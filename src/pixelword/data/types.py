"""Types of the data package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pixelword.processing.types import ImageSpan


@dataclass(frozen=True)
class Fault:
    """A sample that could not be read for a pack: its name (source and location) and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class DocumentSpan:
    """One document of a pack: tokens [start, stop) of a row. Padding belongs to no document.

    Attributes:
        images: Its images and frames, their tokens as places in the row, their patches as places in the pack.
        name: The sample's source and its place there; "" for a drawn one.
    """

    row: int
    start: int
    stop: int
    images: tuple[ImageSpan, ...] = ()
    name: str = ""

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def tokens(self) -> slice:
        """Slice of its tokens in the row."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Pack:
    """Several samples in one batch of fixed shape (rows, length), the input of a training step.

    input_ids, labels, mm_token_type_ids: (rows, length) int64; labels are -100 where there is no loss,
        the types 0 text, 1 image, 2 video frame.
    loss_weight: (rows, length) float32, 0 where there is no loss.
    pixel_values: (patches, 768) float32, and image_grid_hw: (images, 2) int64 in 16-pixel patches, in order.
    cu_seqlens: (documents + 1,) int32, boundaries in the flattened stream; a row's padding is a document of its own.
    tokens: tokens without padding; pairs: visible (query, key) pairs without padding, what attention costs.
    documents: of each row in order, row after row.
    faults: planned samples that could not be read; their places are padding.
    """

    input_ids: Tensor
    labels: Tensor
    loss_weight: Tensor
    mm_token_type_ids: Tensor
    pixel_values: Tensor
    image_grid_hw: Tensor
    cu_seqlens: Tensor
    tokens: int
    pairs: int = 0
    documents: tuple[DocumentSpan, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def samples(self) -> int:
        """Number of documents, without padding."""
        return len(self.documents)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the documents in order, to report a bad step; synthetic ones have none."""
        return tuple(document.name for document in self.documents if document.name)

    @property
    def weight(self) -> float:
        """Sum of the loss weights: this pack's share of a step's normaliser."""
        return float(self.loss_weight.double().sum())

    def to(self, device: torch.device) -> Pack:
        """Return the pack with its tensors on `device`."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.type == "Tensor"}
        moved: dict[str, Any] = {name: tensor.to(device, non_blocking=True) for name, tensor in values.items()}
        return replace(self, **moved)

    def inputs(self) -> dict[str, Tensor]:
        """Return the model's keyword arguments."""
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


class PackSource(Protocol):
    """Packs of a stage by number, from synthetic tasks or files.

    Packs `step * packs_per_step` .. `(step + 1) * packs_per_step - 1` belong to one step, over all ranks together, so a
    step's data does not depend on the number of ranks.
    """

    packs_per_step: int

    def __call__(self, number: int) -> Pack:
        """Return pack `number`: a pure function of it and of the files, so that any worker may build it."""

    def costs(self, step: int) -> Sequence[int] | None:
        """Return the visible pairs of each of the step's packs, to balance ranks; None if all costs are equal."""

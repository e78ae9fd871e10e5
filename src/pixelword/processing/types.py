"""Types of a conversation before and after the processor: samples, encoded tokens and patches, image spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pixelword.errors import MediaError

if TYPE_CHECKING:
    import torch
    from PIL import Image


#: Rows and columns of patches.
Grid = tuple[int, int]


@dataclass(frozen=True)
class Video:
    """Frames of a video.

    frames: upright RGB or RGBA images; timestamps: seconds of each frame since the start (empty when unknown: then
    the prompt holds the frames alone); duration: seconds of the whole video; sizes: (width, height) of each upright
    frame before it was shrunk, empty if none was.
    """

    frames: tuple[Image.Image, ...]
    timestamps: tuple[float, ...]
    duration: float
    sizes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.frames:
            raise MediaError("a video without frames; give at least one frame")
        if self.timestamps and len(self.timestamps) != len(self.frames):
            raise MediaError(
                f"a video of {len(self.frames)} frames has {len(self.timestamps)} timestamps; give one each, or none"
            )

    def only(self, places: Sequence[int]) -> Video:
        """Return the video with the frames at these places alone; its duration stays."""
        return Video(
            frames=tuple(self.frames[place] for place in places),
            timestamps=tuple(self.timestamps[place] for place in places if self.timestamps),
            duration=self.duration,
            sizes=tuple(self.sizes[place] for place in places if self.sizes),
        )


@dataclass(frozen=True)
class Cutout:
    """A part of the image before it in the conversation, shown as an image of its own.

    image: the whole image, upright; box: (left, top, right, bottom) of the part, in its pixels.
    """

    image: Image.Image
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Origin:
    """What was sent of an image or frame, and what the model is shown of it: a part, stretched, never padded.

    Sent pixels are those of the decoded file after its EXIF orientation (or a video's rotation) was applied, from the
    top left, as every viewer shows them. All sizes are (width, height).

    Attributes:
        number: Number of the image among those sent in the conversation; of a frame, among its video's shown frames.
        size: Of what was sent.
        box: (left, top, right, bottom) of the part that is shown, in sent pixels.
        seen: Of what the model is shown: the part, resized.
    """

    number: int
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    seen: tuple[int, int]

    def to_sent(self, x: float, y: float) -> tuple[float, float]:
        """Thousandths of what the model is shown -> sent pixels."""
        left, top, right, bottom = self.box
        return left + x * (right - left) / 1000, top + y * (bottom - top) / 1000

    def to_thousandths(self, x: float, y: float) -> tuple[float, float]:
        """Sent pixels -> thousandths of what the model is shown; outside of 0..1000 where it is not shown."""
        left, top, right, bottom = self.box
        return 1000 * (x - left) / (right - left), 1000 * (y - top) / (bottom - top)


@dataclass(frozen=True)
class Sample:
    """One conversation, images included, as training and evaluation see it.

    messages: chat form, assistant turns included: ``{"role": ..., "content": str | [parts]}``, a part being
        ``{"type": "text", "text": str}``, ``{"type": "image", "image": PIL.Image}`` or
        ``{"type": "video", "video": Video}``.
    kind: what the last turn asks for: "colour", "count", "where", ...
    """

    messages: tuple[dict[str, Any], ...]
    kind: str


@dataclass(frozen=True)
class ImageSpan:
    """One image or video frame of a sequence.

    Attributes:
        start: First of its visual tokens, after `<img>`.
        stop: One past the last of them: the place of `</img>`.
        first_patch: First of its patches in `pixel_values`.
        grid_hw: Rows and columns of patches.
        video: Number of the video that this is a frame of, counted from 0 in the conversation; None for an image.
        timestamp: Seconds into the video; None for an image, and for a frame of a video without times.
        origin: How its pixels came from those that were sent.
    """

    start: int
    stop: int
    first_patch: int
    grid_hw: Grid
    video: int | None = None
    timestamp: float | None = None
    origin: Origin | None = None

    def __len__(self) -> int:
        """Number of visual tokens."""
        return self.stop - self.start

    @property
    def tokens(self) -> slice:
        """Slice of its visual tokens in the sequence."""
        return slice(self.start, self.stop)

    @property
    def patches(self) -> slice:
        """Slice of its patches in `pixel_values`."""
        return slice(self.first_patch, self.first_patch + math.prod(self.grid_hw))

    def moved(self, *, tokens: int = 0, patches: int = 0) -> ImageSpan:
        """Return the span shifted by `tokens` and `patches`."""
        return replace(self, start=self.start + tokens, stop=self.stop + tokens, first_patch=self.first_patch + patches)


@dataclass(frozen=True)
class Encoded:
    """One conversation as the model reads it: L tokens, P patches, n images and video frames.

    Attributes:
        input_ids: (L,) int64.
        labels: (L,) int64, -100 where nothing is learned. The loss falls on the assistant's words and on the
            `<|im_end|>\\n` that closes them.
        mm_token_type_ids: (L,) int64: 0 text, 1 image, 2 video.
        pixel_values: (P, 3 * patch**2) float32, images in order.
        image_grid_hw: (n, 2) int64, rows and columns of patches, video frames included.
        images: n spans, in order.

    Raises:
        ValueError: `images` disagrees with `image_grid_hw`, the tokens or the patches.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    mm_token_type_ids: torch.Tensor
    pixel_values: torch.Tensor
    image_grid_hw: torch.Tensor
    images: tuple[ImageSpan, ...] = ()

    def __post_init__(self) -> None:
        grids = self.image_grid_hw.tolist()
        if [list(image.grid_hw) for image in self.images] != grids:
            raise ValueError(f"{len(self.images)} image spans for {len(grids)} grids: give one for each, in order")
        ends = [(0, 0), *((image.stop, image.patches.stop) for image in self.images)]
        follow = all(
            len(image) > 0 and image.start >= token and image.first_patch == patch
            for image, (token, patch) in zip(self.images, ends, strict=False)
        )
        if not follow or ends[-1][0] > len(self) or ends[-1][1] != len(self.pixel_values):
            raise ValueError(f"the image spans do not fit {len(self)} tokens and {len(self.pixel_values)} patches")

    @classmethod
    def of_text(cls, input_ids: torch.Tensor) -> Encoded:
        """A plain text, without images; input_ids: (L,) int64."""
        kinds, pixels = input_ids.new_zeros(len(input_ids)), input_ids.new_zeros(0, 3 * 16 * 16).float()
        return cls(input_ids, input_ids, kinds, pixels, input_ids.new_zeros(0, 2))

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    @property
    def visual_tokens(self) -> int:
        """Number of visual tokens."""
        return sum(map(len, self.images))

    def images_within(self, start: int, stop: int) -> tuple[ImageSpan, ...]:
        """Return the images whose tokens are all in [start, stop)."""
        return tuple(image for image in self.images if start <= image.start and image.stop <= stop)

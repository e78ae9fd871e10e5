"""The cost of every sample of a source, without decoding images.

An index has the text token count and image sizes of each sample. Tokens, patches and attention pairs at any resolution
are computed from these, for a million samples at once. `build_index` (data/indexing.py) builds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pixelword.processing.options import MediaOptions
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.resize import smart_resize_all

PICTURE, FRAME, VIDEO = 0, 1, 2


@dataclass(frozen=True)
class Lengths:
    """Costs of n samples, each (n,) int64, as by `processor.encode`; undefined for faulty samples.

    tokens: all of them; patches: of all images and frames; pairs: visible (query, key) pairs.
    """

    tokens: np.ndarray
    patches: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Index:
    """n samples of a source with m media (a video is one).

    text_tokens (n,) int32: all tokens but the visual ones, so `<img>`, `</img>` and the labels of frames are counted.
    answer_tokens (n,) int32: tokens with a loss.
    offsets (n + 1,) int64: the media of sample i are `offsets[i]:offsets[i + 1]`, in order.
    sizes (m, 2) int32: height and width in pixels, upright, before any resizing.
    kinds (m,) uint8: PICTURE; FRAME, a video's frame that is given as an image; or VIDEO.
    counts (m,) int32: frames of a VIDEO that will be shown; 1 for the others.
    faults: why a sample cannot be used, by its number; its row has no tokens and no media.
    """

    text_tokens: np.ndarray
    answer_tokens: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    counts: np.ndarray
    faults: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.text_tokens)

    @property
    def usable(self) -> np.ndarray:
        """Mask of samples without a fault: (n,) bool."""
        usable = np.ones(len(self), dtype=bool)
        usable[list(self.faults)] = False
        return usable

    def take(self, rows: np.ndarray) -> Index:
        """Return the index of these samples only, in this order."""
        rows = np.asarray(rows, np.int64)
        media = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(media)])
        # the media of every row: a range a row, laid end to end
        media_rows = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], media)
        return Index(
            self.text_tokens[rows],
            self.answer_tokens[rows],
            offsets,
            self.sizes[media_rows],
            self.kinds[media_rows],
            self.counts[media_rows],
            {new: self.faults[old] for new, old in enumerate(rows.tolist()) if old in self.faults},
        )

    def lengths(
        self, processor: NeoOVProcessor, media: MediaOptions | None = None, max_pixels: np.ndarray | None = None
    ) -> Lengths:
        """Return the costs of every sample, as by `processor.encode(messages, ...)`.

        media: `min_pixels` and `max_pixels` as in encode; fps and frames are those the index was built with.
        max_pixels (n,): Per-sample override of media's; below `min_pixels` it lowers that too.
        """
        media = media or MediaOptions()
        visual = self.visual_tokens(processor, media, max_pixels)
        # a clip of c frames is c images of equal size: tokens of all of them, and pairs within each
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        seen = self._summed(owner, visual * self.counts)
        inside = self._summed(owner, visual * (visual - 1) // 2 * self.counts)
        tokens = self.text_tokens.astype(np.int64) + seen
        return Lengths(tokens, seen * processor.image_processor.merge_size**2, tokens * (tokens + 1) // 2 + inside)

    def visual_tokens(
        self, processor: NeoOVProcessor, media: MediaOptions | None = None, max_pixels: np.ndarray | None = None
    ) -> np.ndarray:
        """Visual tokens of each image, or of each frame of a video, at these resolutions: (m,) int64."""
        media = media or MediaOptions()
        factor = processor.image_processor.patch_size * processor.image_processor.merge_size
        sides = self.grids(processor, media, max_pixels)
        return sides.prod(-1) // factor**2

    def grids(
        self, processor: NeoOVProcessor, media: MediaOptions | None = None, max_pixels: np.ndarray | None = None
    ) -> np.ndarray:
        """Height and width, in pixels, that each medium (or frame) is resized to: (m, 2) int64."""
        media = media or MediaOptions()
        images = processor.image_processor
        factor = images.patch_size * images.merge_size
        low, high = images.budget(media.min_pixels, media.max_pixels)
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        is_picture = self.kinds == PICTURE
        most = np.full(len(self), high) if max_pixels is None else np.asarray(max_pixels, np.int64)
        least = np.minimum(low, most)
        # images of a sample share its budget (`shared_max_pixels`); frames have one of their own
        pictures = np.maximum(self._summed(owner, is_picture), 1)
        share = np.minimum(most, np.maximum(2 * most // pictures, least))
        frame = np.minimum(most, processor.frame_max_pixels)
        cap = np.where(is_picture, share[owner], frame[owner])
        floor = np.minimum(least[owner], cap)
        sizes = self.sizes.astype(np.int64)
        # decoding a video shrinks its frames first
        first = (self.kinds == VIDEO) & (sizes.prod(-1) > cap)
        if first.any():
            sizes[first] = smart_resize_all(sizes[first], min_pixels=1, max_pixels=cap[first])
        return smart_resize_all(sizes, min_pixels=floor, max_pixels=cap, factor=factor)

    def _summed(self, owner: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sum (m,) values per sample, exactly: (n,) int64."""
        summed = np.zeros(len(self), dtype=np.int64)
        np.add.at(summed, owner, values.astype(np.int64))
        return summed

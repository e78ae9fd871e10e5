"""Images, videos and text to tokens in vLLM, exactly as `NeoOVProcessor.encode` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.image_processing_utils import BatchFeature
from vllm.config.multimodal import MultiModalDummyOptions
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import (
    ImageProcessorItems,
    ModalityDataItems,
    MultiModalDataItems,
    MultiModalDataParser,
    VideoProcessorItems,
)
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdateDetails,
)
from vllm.multimodal.processing.processor import PlaceholderFeaturesInfo

from pixelword.errors import InputError
from pixelword.processing import NeoOVProcessor, Video, load_image
from pixelword.processing.chat import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER, Picture, expand
from pixelword.processing.resize import shared_max_pixels
from pixelword.processing.tokenizer import IMG_END, IMG_START

from .prompt import Item, Prompt
from .videos import frames_and_times

BUDGET = ("min_pixels", "max_pixels")


class NeoOVDataParser(MultiModalDataParser):
    """vLLM's parser, except that images keep alpha, preprocessed ones pass, and videos may be `pixelword.Video`s.

    A prepared image is a pair of `pixel_values` (patches, 768) and `image_grid_hw` (2,), both tensors.
    """

    def _parse_image_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        if data is None or self.is_embeddings(data):
            return super()._parse_image_data(data)
        items = list(data) if isinstance(data, list) else [data]
        return ImageProcessorItems([load_image(item) if isinstance(item, Image.Image) else item for item in items])

    def _parse_video_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        items = data if isinstance(data, list) else [data]
        if items and all(isinstance(item, (Video, tuple)) for item in items):
            pairs = [frames_and_times(item) if isinstance(item, Video) else item for item in items]
            return VideoProcessorItems(pairs, metadata=[about for _, about in pairs])
        return super()._parse_video_data(data)


def as_video(item: Any) -> Video:
    """Convert a vLLM video: frames (N, H, W, 3), with or without timing metadata."""
    frames, about = item if isinstance(item, tuple) else (item, None)
    pictures = tuple(Image.fromarray(np.asarray(frame)) for frame in frames)
    if about is None:
        return Video(pictures, (), 0.0)
    times = about.get("timestamps")
    if times is None:
        if not about.get("fps"):
            return Video(pictures, (), 0.0)
        indices = about.get("frames_indices") or range(len(pictures))
        times = [index / about["fps"] for index in indices]
    duration = about.get("duration") or about.get("total_num_frames", len(pictures)) / about["fps"]
    return Video(pictures, tuple(times), float(duration) if len(times) else 0.0)


class NeoOVProcessingInfo(BaseProcessingInfo):
    """Processing info for vLLM's planning."""

    def get_hf_processor(self, **kwargs: object) -> NeoOVProcessor:
        return self.ctx.get_hf_processor(NeoOVProcessor)

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        return {}

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": None, "video": None}

    def get_data_parser(self) -> MultiModalDataParser:
        return NeoOVDataParser(video_needs_metadata=True)

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        _, high = self.budget({})
        tokens = self.tokens(high), self.tokens(self.frame_pixels(high))
        return {"image": tokens[0], "video": self.most_frames(seq_len) * tokens[1]}

    def budget(self, kwargs: Mapping[str, object]) -> tuple[int, int]:
        """(min_pixels, max_pixels) of a request.

        Raises `InputError` for any other option, and for more pixels than the server was started with: an image that
        no step can hold would wait for ever, and all requests behind it.
        """
        given = self.ctx.get_merged_mm_kwargs(kwargs)
        unknown = sorted(set(given) - set(BUDGET))
        if unknown:
            raise InputError(f"mm_processor_kwargs has {', '.join(unknown)}: use {' and '.join(BUDGET)}")
        images, started = self.get_hf_processor().image_processor, self.ctx.get_merged_mm_kwargs({})
        _, most = images.budget(*(started.get(name) for name in BUDGET))
        low, high = images.budget(*(given.get(name) for name in BUDGET))
        if high > most:
            raise InputError(f"max_pixels of a request is {high}, above this server's {most}: lower it")
        return low, high

    def frame_pixels(self, high: int) -> int:
        return min(high, self.get_hf_processor().frame_max_pixels)

    def tokens(self, pixels: int) -> int:
        images = self.get_hf_processor().image_processor
        return pixels // (images.patch_size * images.merge_size) ** 2

    def most_frames(self, seq_len: int) -> int:
        """Return the number of frames that fill `seq_len` tokens, up to the processor's maximum."""
        around = 16  # a frame's time and marks
        return max(1, min(self.get_hf_processor().video_max_frames, seq_len // (self._frame_tokens() + around)))

    def _frame_tokens(self) -> int:
        return self.tokens(self.frame_pixels(self.budget({})[1]))


class NeoOVDummyInputs(BaseDummyInputsBuilder[NeoOVProcessingInfo]):
    """The largest images and videos, for vLLM's memory profiling."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return IMAGE_PLACEHOLDER * mm_counts.get("image", 0) + VIDEO_PLACEHOLDER * mm_counts.get("video", 0)

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: MultiModalDummyOptions
    ) -> dict[str, Any]:
        info = self.info
        _, high = info.budget({})
        side, frame = int(high**0.5), int(info.frame_pixels(high) ** 0.5)
        found: dict[str, Any] = {}
        if count := mm_counts.get("image", 0):
            found["image"] = [Image.new("RGB", (side, side), "white")] * count
        if count := mm_counts.get("video", 0):
            frames = (Image.new("RGB", (frame, frame), "white"),) * info.most_frames(seq_len)
            found["video"] = [Video(frames, tuple(map(float, range(len(frames)))), float(len(frames)))] * count
        return found


class NeoOVMultiModalProcessor(BaseMultiModalProcessor[NeoOVProcessingInfo]):
    """Preprocesses media and inserts their tokens into the prompt, at `<image>` and `<video>`."""

    def apply(self, inputs: Any, timing_ctx: Any) -> Any:
        """Like vLLM's, but the cache key includes the pixel budget, which the images of a prompt share."""
        low, high = self.info.budget(inputs.hf_processor_mm_kwargs)
        count = inputs.mm_data_items.get_count("image", strict=False)
        share = shared_max_pixels(count, min_pixels=low, max_pixels=high)
        frame = self.info.frame_pixels(high)
        options = {
            "images_kwargs": {"min_pixels": min(low, share), "max_pixels": share},
            "videos_kwargs": {"min_pixels": min(low, frame), "max_pixels": frame},
        }
        return super().apply(replace(inputs, hf_processor_mm_kwargs=options), timing_ctx)

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, Any]) -> BatchFeature:
        images, dtype = self.info.get_hf_processor().image_processor, self.info.ctx.model_config.dtype
        data: dict[str, list[Tensor]] = {}
        for modality, prefix in (("image", ""), ("video", "video_")):
            for item in mm_items.get(modality) or ():
                if modality == "image" and isinstance(item, tuple):
                    prepared = [(item[0].numpy(), tuple(item[1].tolist()))]
                else:
                    pictures = [load_image(item)] if modality == "image" else as_video(item).frames
                    prepared = [images.prepare(picture, **hf_kwargs[f"{modality}s_kwargs"]) for picture in pictures]
                patches = torch.from_numpy(np.concatenate([cells for cells, _ in prepared]))
                data.setdefault(f"{prefix}pixel_values", []).append(patches.to(dtype))
                data.setdefault(f"{modality}_grid_hw", []).append(torch.tensor([grid for _, grid in prepared]))
        return BatchFeature(data)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        image, video = MultiModalFieldConfig.batched("image"), MultiModalFieldConfig.batched("video")
        on_cpu = {item: MultiModalFieldConfig.batched(item, keep_on_cpu=True) for item in ("image", "video")}
        return {
            "pixel_values": image,
            "image_grid_hw": on_cpu["image"],
            "video_pixel_values": video,
            "video_grid_hw": on_cpu["video"],
        }

    def _get_prompt_updates(
        self, mm_items: MultiModalDataItems, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> Sequence[PromptReplacement]:
        processor = self.info.get_hf_processor()
        start, end = processor.encoder.control[IMG_START], processor.encoder.control[IMG_END]

        def picture(grid: Tensor) -> list[int]:
            cells = int(grid.prod()) // processor.image_processor.merge_size**2
            return [start, *[processor.image_token_id] * cells, end]

        def image(index: int) -> PromptUpdateDetails:
            return PromptUpdateDetails.from_seq(picture(out_mm_kwargs["image"][index]["image_grid_hw"].data))

        def video(index: int) -> PromptUpdateDetails:
            grids = iter(out_mm_kwargs["video"][index]["video_grid_hw"].data)
            ids: list[int] = []
            for segment in expand(as_video(mm_items["video"][index])):
                ids += picture(next(grids)) if isinstance(segment, Picture) else processor.words(segment)[0]
            return PromptUpdateDetails.from_seq(ids)

        # `_apply_prompt_updates` finds the places by itself: the targets here only say what stands for what.
        return [
            PromptReplacement("image", processor.encoder.text(IMAGE_PLACEHOLDER), image),
            PromptReplacement("video", processor.encoder.text(VIDEO_PLACEHOLDER), video),
        ]

    def _apply_prompt_updates(
        self, token_ids: list[int], mm_prompt_updates: Mapping[str, Sequence[Sequence[Any]]]
    ) -> tuple[list[int], dict[str, list[PlaceholderFeaturesInfo]]]:
        """Insert every item's tokens; adjacent text is merged into one string, as in `encode`."""
        items = [
            Item(modality, index, list(updates[0].content.full))
            for modality, all_updates in mm_prompt_updates.items()
            for index, updates in enumerate(all_updates)
        ]
        ids, places = Prompt(self.info.get_hf_processor()).filled(token_ids, items)
        found: dict[str, list[PlaceholderFeaturesInfo]] = {}
        for item in items:
            a, b, visual = places[item.modality, item.index]
            placeholder_features_info = PlaceholderFeaturesInfo(
                item.modality, item.index, a, ids[a:b], torch.tensor(visual)
            )
            found.setdefault(item.modality, []).append(placeholder_features_info)
        return ids, found

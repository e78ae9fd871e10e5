"""NeoOVProcessor: conversations with images and videos -> model inputs.

`encode` is the typed entry point for training, chat and serving; `apply_chat_template` and `__call__` wrap it under
transformers' names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import MultiModalData, ProcessorMixin

from pixelword.errors import InputError
from pixelword.processing import pretrained
from pixelword.processing.chat import (
    CHAT_TEMPLATE,
    IMAGE_PLACEHOLDER,
    VIDEO_PLACEHOLDER,
    Clip,
    Control,
    Picture,
    Segment,
    Words,
    as_text,
    expanded,
    is_own_template,
    picture_text,
    segments,
    segments_from_prompt,
)
from pixelword.processing.collating import IGNORED, batch_options, collated, padded
from pixelword.processing.frame_sampling import CANDIDATES, spend
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.images import load_image
from pixelword.processing.options import HARMLESS, MEDIA_OPTIONS, MediaOptions, check_standard, flattened, media_options
from pixelword.processing.placeholders import dealt, is_batch_of_conversations
from pixelword.processing.resize import shared_max_pixels
from pixelword.processing.tokenizer import IMG_CONTEXT, IMG_END, IMG_START, TURN_END, TextEncoder
from pixelword.processing.types import Cutout, Encoded, Grid, ImageSpan, Origin
from pixelword.processing.video_processor import NeoOVVideoProcessor
from pixelword.processing.videos import FRAME_MAX_PIXELS, Video, frames_to_video, listed_frames, load_video

TEXT, IMAGE, VIDEO = 0, 1, 2
#: Options of a call that are the processor's own, not a chat template's.
NOT_FOR_TEMPLATES = frozenset((*MEDIA_OPTIONS, *HARMLESS, *(
    "padding", "padding_side", "pad_to_multiple_of", "max_length", "truncation", "return_tensors",
    "return_assistant_tokens_mask",
)))  # fmt: skip


class NeoOVProcessor(ProcessorMixin):
    """Tokenizer + image processor + the chat and video formats.

    video_fps, video_max_frames: sampling of videos that do not say otherwise; frame_max_pixels: pixels of one frame.
    The tokenizer is made to pad on the left, as generation needs, unless it has a `padding_side` of its own;
    `processor.tokenizer.padding_side = "right"` and `processor(..., padding_side="right")` pad on the right.
    `image_token` ("<image>") and `video_token` ("<video>") are the placeholders of `__call__`'s text.
    `grid_name` may be set to "image_grid_thw": the grid then has three columns, as trainers made for Qwen expect
    (TRL's GRPOTrainer with images), and the model takes it under that name too.
    Raises `CheckpointError` when the tokenizer lacks a control token.
    """

    grid_name: Literal["image_grid_hw", "image_grid_thw"] = "image_grid_hw"

    def __init__(
        self,
        image_processor: NeoOVImageProcessor | None = None,
        tokenizer: Any = None,
        chat_template: str | dict[str, str] | None = None,
        video_fps: float = 1.0,
        video_max_frames: int = 128,
        frame_max_pixels: int = FRAME_MAX_PIXELS,
    ) -> None:
        if not isinstance(chat_template, dict) and is_own_template(chat_template):
            chat_template = CHAT_TEMPLATE
        super().__init__(image_processor or NeoOVImageProcessor(), tokenizer, chat_template=chat_template)
        self.encoder = TextEncoder(tokenizer)
        if tokenizer.init_kwargs.get("padding_side") is None:
            tokenizer.padding_side = "left"
        self.video_fps, self.video_max_frames = float(video_fps), int(video_max_frames)
        self.frame_max_pixels = int(frame_max_pixels)
        self.image_token, self.video_token = IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER
        self.image_token_id = self.video_token_id = self.encoder.control[IMG_CONTEXT]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> NeoOVProcessor:
        """From a folder (or hub name) that `save_pretrained` wrote, or a released checkpoint's config and tokenizer.

        Never runs code from the checkpoint, whatever `trust_remote_code` says. Raises `CheckpointError`.
        """
        tokenizer, settings = pretrained.load(pretrained_model_name_or_path, **kwargs)
        images = kwargs.get("image_processor") or NeoOVImageProcessor(**settings["image_processor"])
        own = {name: settings[name] for name in pretrained.PROCESSOR_SETTINGS if name in settings}
        processor = cls(images, tokenizer, chat_template=settings.get("chat_template"), **own)
        if kwargs.get("tokenizer") is None:
            tokenizer.padding_side = kwargs.get("padding_side") or "left"
        return processor

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", self.grid_name]

    @property
    def video_processor(self) -> NeoOVVideoProcessor:
        """The video processor: a view of this processor, not saved separately."""
        return NeoOVVideoProcessor(self)

    # The one typed path

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = False,
        *,
        media: MediaOptions | None = None,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Encoded:
        """One conversation -> `Encoded`.

        Args:
            tools: Those that the assistant may call, in OpenAI's form.
            media: Options for reading its images and videos.
            options: Fields of `MediaOptions` by name, overriding `media`.

        Raises:
            InputError: The messages are malformed, or an option is unknown.
            MediaError: An image or a video cannot be read.
        """
        found = segments(
            messages,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            tools=tools,
        )
        return self._assemble(found, media_options(options, media))

    def batch(self, samples: Sequence[Encoded], *, with_labels: bool = False) -> BatchFeature:
        """Left-padded input_ids, attention_mask, mm_token_type_ids (B, L); pixel_values (P, 768); image_grid_hw (n, 2).

        Images of all samples follow each other in order; without any, the last two are left out.
        """
        if not samples:
            raise InputError("a batch of no samples; give at least one")
        return BatchFeature(
            padded(samples, max(map(len, samples)), self.pad_token_id, side="left", with_labels=with_labels)
        )

    @property
    def pad_token_id(self) -> int:
        """Padding token of batches and packs: the tokenizer's, or the end-of-turn token if it has none."""
        pad = self.tokenizer.pad_token_id
        return self.encoder.control[TURN_END] if pad is None else pad

    def _assemble(self, found: Sequence[Segment], options: MediaOptions) -> Encoded:
        low, high = self.image_processor.budget(options.min_pixels, options.max_pixels)
        clips = [self.video(item, high, options) for item in found if isinstance(item, Clip)]
        flat = expanded(found, clips)
        pictures = sum(isinstance(item, Picture) and not item.frame for item in flat)
        share = shared_max_pixels(pictures, min_pixels=low, max_pixels=high)
        ids, labels, kinds = list[int](), list[int](), list[int]()
        patches: list[np.ndarray] = []
        images: list[ImageSpan] = []
        for segment in flat:
            if isinstance(segment, Picture):
                kind = VIDEO if segment.frame else IMAGE
                most = min(high, self.frame_max_pixels) if segment.frame else share
                cells, grid, origin = self._picture(segment, low, most, options)
                tokens, start = len(cells) // self.image_processor.merge_size**2, len(ids) + 1
                first = images[-1].patches.stop if images else 0
                patches.append(cells)
                images.append(ImageSpan(start, start + tokens, first, grid, segment.video, segment.timestamp, origin))
                marks = self.encoder.control
                new = [marks[IMG_START], *[self.image_token_id] * tokens, marks[IMG_END]]
                kinds += [TEXT, *[kind] * tokens, TEXT]
                labels += [IGNORED] * len(new)
            else:
                new, learn = self.words(segment)
                kinds += [TEXT] * len(new)
                labels += new if learn else [IGNORED] * len(new)
            ids += new
        none = np.zeros((0, 3 * self.image_processor.patch_size**2), np.float32)
        return Encoded(
            input_ids=torch.tensor(ids, dtype=torch.int64),
            labels=torch.tensor(labels, dtype=torch.int64),
            mm_token_type_ids=torch.tensor(kinds, dtype=torch.int64),
            pixel_values=torch.from_numpy(np.concatenate(patches) if patches else none),
            image_grid_hw=torch.tensor([image.grid_hw for image in images], dtype=torch.int64).reshape(-1, 2),
            images=tuple(images),
        )

    def words(self, segment: Segment) -> tuple[list[int], bool]:
        """Return the ids of text or a control token, and whether they are labels."""
        if isinstance(segment, Control):
            token = self.encoder.added.get(segment.token)
            return self.encoder.text(segment.token) if token is None else [token], segment.learn
        assert isinstance(segment, Words)
        return (self.encoder.answer if segment.answer else self.encoder.text)(segment.text), segment.answer

    def _picture(self, segment: Picture, low: int, high: int, options: MediaOptions) -> tuple[np.ndarray, Grid, Origin]:
        source, patch = segment.source, self.image_processor.patch_size
        part = isinstance(source, Cutout)
        image = source.image.crop(source.box) if part else self._load(source, options)
        size = source.image.size if part else segment.sent_size or image.size
        cells, grid = self.image_processor.prepare(image, min_pixels=min(low, high), max_pixels=high)
        seen = grid[1] * patch, grid[0] * patch
        return cells, grid, Origin(segment.number, size, source.box if part else (0, 0, *size), seen)

    def _load(self, source: Any, options: MediaOptions) -> Image.Image:
        return load_image(source, limits=options.limits, allow_urls=options.allow_urls, allow_files=options.allow_files)

    def video(self, clip: Clip, high: int, options: MediaOptions) -> Video:
        """Load the frames of a clip, of at most `high` pixels each."""
        return spend(self._frames(clip, high, options), options.frame_budget)

    def _frames(self, clip: Clip, high: int, options: MediaOptions) -> Video:
        """Load the candidate frames, before the frame budget is applied."""
        source = clip.source
        if isinstance(source, (np.ndarray, torch.Tensor)) and source.ndim == 4:
            source = list(source)  # (frames, height, width, channels) or (frames, channels, height, width)
        if isinstance(source, Video):
            return source
        if isinstance(source, (list, tuple)):
            frames = listed_frames(source, options.limits)
            return frames_to_video([self._load(frame, options) for frame in frames], self.given_rate(clip, options))
        return load_video(
            source,
            **self.sampling(clip, options),
            max_pixels=min(high, self.frame_max_pixels),
            limits=options.limits,
            allow_urls=options.allow_urls,
            allow_files=options.allow_files,
        )

    def sampling(self, clip: Clip, options: MediaOptions) -> dict[str, Any]:
        """Return fps, max_frames and num_frames: the clip's own, else the call's, else the processor's."""
        fps, most = self.given_rate(clip, options), clip.options.get("max_frames", options.max_frames)
        number = clip.options.get("num_frames", options.num_frames)
        if options.frame_budget is not None and most is None:
            most = max(self.video_max_frames, CANDIDATES * options.frame_budget)
        return {"fps": fps or self.video_fps, "max_frames": most or self.video_max_frames, "num_frames": number}

    @staticmethod
    def given_rate(clip: Clip, options: MediaOptions) -> float | None:
        """Return the frame rate given by the clip or the call; without it, the times of listed frames are unknown."""
        return clip.options.get("fps", options.fps)

    # transformers' names for it

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Messages, or a list of conversations, -> the prompt (tokenize=False), its ids, or everything the model reads.

        For a prompt only, {"type": "image"} needs no source. Control tokens in messages stay plain text.
        With a custom chat template, text that contains control tokens is rejected.
        Raises `InputError` or `MediaError`.
        """
        options = flattened({**kwargs, "processor_kwargs": processor_kwargs})
        options.pop("sanitize_control_tokens", None)  # always so
        is_batch = is_batch_of_conversations(conversation)
        conversations = conversation if is_batch else [conversation]
        flags = {"add_generation_prompt": add_generation_prompt, "continue_final_message": continue_final_message}
        found = [segments(item, **flags, need_sources=tokenize, tools=tools) for item in conversations]
        template = self._template(chat_template)
        if template is not None and not is_own_template(template):
            if options.get("return_assistant_tokens_mask"):
                raise InputError("return_assistant_tokens_mask needs the model's own chat template")
            prompts = self._rendered(conversations, found, template, {**options, **flags, "tools": tools})
            found = [self._with_media(*prompt) for prompt in zip(prompts, found, strict=True)] if tokenize else []
        elif not tokenize:
            prompts = [as_text(item) for item in found]
        if not tokenize:
            check_standard(options)
            return prompts if is_batch else prompts[0]
        data = self._features(found, {"padding": True, "return_tensors": return_tensors, **options})
        return data if return_dict else data["input_ids"]

    def _template(self, wanted: str | None) -> str | None:
        """Return a template given by name or as text; the default if None. Raises `InputError`."""
        known = self.chat_template
        if not isinstance(known, dict):
            return wanted or known
        if wanted is None and "default" not in known:
            raise InputError(f"this processor has several chat templates: pass chat_template={' or '.join(known)}")
        return known.get(wanted or "default", wanted)

    def _rendered(
        self,
        conversations: Sequence[Any],
        found: Sequence[Sequence[Segment]],
        template: str,
        options: Mapping[str, Any],
    ) -> list[str]:
        """Render prompts with a Jinja template. Raises `InputError` for text that would become control tokens."""
        control = (*self.encoder.added, IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER)
        for segment in (item for each in found for item in each):
            held = [token for token in control if isinstance(segment, Words) and token in segment.text]
            if held:
                raise InputError(f"a message holds {held[0]}, which a chat template of your own would make a token of")
        known = {name: value for name, value in options.items() if name not in NOT_FOR_TEMPLATES}
        return [
            self.tokenizer.apply_chat_template(conversation, chat_template=template, tokenize=False, **known)
            for conversation in conversations
        ]

    def _with_media(self, prompt: str, found: Sequence[Segment]) -> list[Segment]:
        """Parse a rendered prompt into segments, with the conversation's images and videos in order."""
        images = [item.source for item in found if isinstance(item, Picture)]
        clips = [item.source for item in found if isinstance(item, Clip)]
        return segments_from_prompt(prompt, images, clips, self.encoder.added)

    def __call__(
        self, images: Any = None, text: str | Sequence[str] | None = None, videos: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """A trusted, formatted prompt (or several) with `<image>` and `<video>` where `images` and `videos` stand.

        For several prompts, `images` is a list a prompt, or one flat list in order. Words that are not to be trusted go
        through `apply_chat_template` or `encode`.
        """
        if text is None:
            raise InputError("no text was given; pass text=, or use image_processor for images alone")
        prompts = [text] if isinstance(text, str) else list(text)
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise InputError("text must be a string or a list of strings")
        images_of = dealt(images, [prompt.count(IMAGE_PLACEHOLDER) for prompt in prompts], "images", IMAGE_PLACEHOLDER)
        videos_of = dealt(videos, [prompt.count(VIDEO_PLACEHOLDER) for prompt in prompts], "videos", VIDEO_PLACEHOLDER)
        added = self.encoder.added
        found = [segments_from_prompt(*item, added) for item in zip(prompts, images_of, videos_of, strict=True)]
        options = flattened(kwargs)
        if options.get("return_assistant_tokens_mask"):
            raise InputError("return_assistant_tokens_mask needs messages: use apply_chat_template")
        return self._features(found, {"padding": len(prompts) > 1, **options})

    def _features(self, found: Sequence[Sequence[Segment]], options: Mapping[str, Any]) -> BatchFeature:
        options = dict(options)
        batch = batch_options(options, self.tokenizer)
        images = self.image_processor.adjusted(options)
        reader = self
        if images is not self.image_processor:
            reader = copy.copy(self)
            reader.image_processor = images
        media = media_options(options)
        samples = [reader._assemble(item, media) for item in found]
        data = collated(samples, batch, self.tokenizer, self.pad_token_id)
        if self.grid_name == "image_grid_thw" and "image_grid_hw" in data:
            grid = data.pop("image_grid_hw")
            ones = grid[:, :1] * 0 + 1
            data["image_grid_thw"] = (torch.cat if isinstance(grid, torch.Tensor) else np.concatenate)((ones, grid), 1)
        return data

    def image_tokens(self, height: int, width: int, **budget: int | None) -> int:
        """Return the visual tokens of a single image of this size, without the two marks around them."""
        return self.image_processor.image_tokens(height, width, **budget)

    def _get_num_multimodal_tokens(
        self, image_sizes: Sequence[Sequence[int]] | None = None, **budget: int | None
    ) -> MultiModalData:
        """Return visual tokens and patches of single images of these (height, width), for engines that plan ahead."""
        if image_sizes is None:
            return MultiModalData()
        tokens = [self.image_tokens(int(size[0]), int(size[1]), **budget) for size in image_sizes]
        return MultiModalData(
            num_image_tokens=tokens,
            num_image_patches=[count * self.image_processor.merge_size**2 for count in tokens],
        )

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int = 0, **unused: Any) -> str:
        """Return the placeholder text of image `image_idx` in the image processor's output."""
        rows, columns = (int(side) for side in image_inputs["image_grid_hw"][image_idx])
        return picture_text(rows * columns // self.image_processor.merge_size**2)

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> list[str]:
        """Decode generated ids (B, L) or (L,) to text."""
        ids = torch.as_tensor(generated_outputs)
        return self.tokenizer.batch_decode(
            ids[None] if ids.ndim == 1 else ids, skip_special_tokens=skip_special_tokens, **kwargs
        )

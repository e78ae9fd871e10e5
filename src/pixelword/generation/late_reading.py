"""Late reading: the pre-buffer reads each image alone and text alone; they meet in the layers after it.

An image's states after the pre-buffer then depend on its pixels alone, so they are cached by content and reused
anywhere in a prompt, not only in a common prefix; and text never reads visual keys in the pre-buffer, so they are not
kept. It is another computation than the model was trained with; `LateReading` (`late_options.py`) holds the
measurement that allows it. (With several images the processor may shrink each, and then their pixels are others.)
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.generation.compression.prefill import LayerwisePrefill, run_layers
from pixelword.model.rope import rope_index

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.types import Encoded, ImageSpan


class ImageStates:
    """States of images after the pre-buffer, by content, at most `most_bytes`; the least recently used go first.

    Not for several threads at once. computed, found: visual tokens so far, for figures.
    """

    def __init__(self, model: NeoOVForConditionalGeneration, most_bytes: int) -> None:
        self.model, self.most_bytes = model, most_bytes
        self.nbytes = self.computed = self.found = 0
        self._held: OrderedDict[bytes, Tensor] = OrderedDict()

    def of(self, prompt: Encoded, image: ImageSpan) -> Tensor:
        """(n, hidden_size) of an image of a prompt; the same bits wherever it stands."""
        pixels = prompt.pixel_values[image.patches].contiguous()
        name = hashlib.sha256(repr(list(image.grid_hw)).encode() + pixels.numpy().tobytes()).digest()
        if name in self._held:
            self._held.move_to_end(name)
            self.found += len(image)
            return self._held[name]
        states = self._computed(pixels, image.grid_hw)
        self.computed += len(image)
        if states.nbytes <= self.most_bytes:
            self._held[name] = states
            self.nbytes += states.nbytes
        while self.nbytes > self.most_bytes:
            self.nbytes -= self._held.popitem(last=False)[1].nbytes
        return states

    @torch.inference_mode()
    def _computed(self, pixels: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """An image by itself, at t = 0: only differences of t matter, and it has one t."""
        model, config = self.model, self.model.config
        grid = torch.tensor([grid_hw], dtype=torch.int64, device=model.device)
        hidden = model.vision_model.embeddings(pixels.to(model.device), grid)[None].to(model.dtype)
        visual = torch.ones(1, hidden.shape[1], dtype=torch.bool, device=model.device)
        positions = rope_index(visual, grid // config.vision_config.merge_size)
        return run_layers(model, hidden, positions, visual, range(config.llm_config.extra_num_layers), None)[0]


class LatePrefill(LayerwisePrefill):
    """Reads one prompt: text through the pre-buffer, images from `ImageStates`, both through the rest.

    In its cache the pre-buffer's layers hold text alone.
    """

    def __init__(self, model: NeoOVForConditionalGeneration, prompt: Encoded, images: ImageStates) -> None:
        super().__init__(model, prompt)
        self.images = images

    @torch.inference_mode()
    def read_whole(self) -> Tensor:
        """Read the prompt; returns logits (vocabulary,) of its last token."""
        model, prompt = self.model, self.prompt
        before, device = model.config.get_text_config().extra_num_layers, model.device
        text = (prompt.mm_token_type_ids == 0).nonzero()[:, 0]
        words = model.get_input_embeddings()(prompt.input_ids[text][None].to(device))
        words = self.run(words, text, range(before))
        hidden = words.new_zeros(1, len(prompt), words.shape[-1])
        hidden[:, text.to(device)] = words
        for image in prompt.images:
            hidden[0, image.tokens] = self.images.of(prompt, image)
        self.held = torch.arange(len(prompt))
        self.peak_tokens = len(prompt)
        return self.finished(
            self.run(hidden, self.held, range(before, model.config.get_text_config().num_hidden_layers))
        )

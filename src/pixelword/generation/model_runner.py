"""The network over the slots of the requests that run: prefill of prompts, and decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pixelword.generation.compiled_decode import CompiledStep
from pixelword.generation.kv_slots import KVSlots
from pixelword.generation.prepared_weights import prepare, restore
from pixelword.generation.request import BatchingOptions
from pixelword.model.attention_sdpa import kernel_of
from pixelword.model.masks import interval, side_by_side
from pixelword.processing.types import Encoded

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration


class ModelRunner:
    """A model made as fast as it can be here, until `close`. Not for several threads at once.

    Raises InputError: the options are not available with this model or on this machine.
    """

    def __init__(self, model: NeoOVForConditionalGeneration, slots: KVSlots, options: BatchingOptions) -> None:
        self.model, self.slots = model, slots
        prepared = prepare(model, quantization=options.quantization, pack=options.pack)
        self._compiled: CompiledStep | None = None
        if options.compile:
            self._compiled = CompiledStep(model, prepared)
            with torch.inference_mode():
                self._compiled.warm_up(options.max_num_seqs, 1 + options.num_speculative_tokens)

    def close(self) -> None:
        """Leave the model as it was."""
        restore(self.model)

    def prefill(self, prompt: Encoded, positions: Tensor, slot: int, start: int, stop: int) -> Tensor:
        """Read tokens [start, stop) of a prompt, which cut no image, into its slot; positions (3, 1, L) of all of it.

        Returns:
            logits (1, 1, vocabulary) of the last.
        """
        device = self.model.device
        starts = torch.tensor([start], device=device)
        view = self.slots.view(slice(slot, slot + 1), starts, stop - start)
        positions = positions[:, :, start:stop].to(device)
        inputs: dict[str, Any] = {
            "input_ids": prompt.input_ids[None, start:stop].to(device),
            "mm_token_type_ids": prompt.mm_token_type_ids[None, start:stop].to(device),
            **images_within(prompt, start, stop, device),
        }
        visible = interval(positions, past=start)
        return self.model(
            **inputs, position_ids=positions, cache=view, visible=visible, use_cache=True, logits_to_keep=1
        ).logits

    def kernel(self, tokens: int) -> str:
        """What reads this many tokens of a prompt; see `kernel_of`."""
        text = self.model.config.get_text_config()
        return kernel_of(tokens, text.num_attention_heads // text.num_key_value_heads)

    def prefill_batch(self, prompts: Sequence[tuple[Encoded, Tensor, int]], slot: int) -> Tensor:
        """Read the text-only ends of several prompts at once, into the slots from `slot` on. Where one `kernel` reads
        them all, each gets the very logits that `prefill` gives it.

        Args:
            prompts: each with its positions (3, 1, L) and the place its end begins at.

        Returns:
            logits (B, vocabulary) of the last token of each.
        """
        device = self.model.device
        lengths = [len(prompt) - start for prompt, _, start in prompts]
        widths = torch.tensor(lengths)
        starts = torch.tensor([start for _, _, start in prompts], device=device)
        width = int(widths.max())
        ids = torch.zeros(len(prompts), width, dtype=torch.int64)
        positions = torch.zeros(3, len(prompts), width, dtype=torch.int64)
        for place, (prompt, own, start) in enumerate(prompts):  # filled up on the right, where nobody looks
            ids[place, : widths[place]] = prompt.input_ids[start:]
            positions[:, place, : widths[place]] = own[:, 0, start:]
        view = self.slots.view(slice(slot, slot + len(prompts)), starts, width)
        few = self.kernel(width) == "few"
        columns, which = (widths - 1).unique(return_inverse=True)
        logits = self.model(
            input_ids=ids.to(device),
            mm_token_type_ids=torch.zeros_like(ids, device=device),
            position_ids=positions.to(device),
            cache=view,
            visible=view.visible(width) if few else side_by_side(starts, lengths),
            use_cache=True,
            logits_to_keep=columns.to(device),
        ).logits
        return logits[torch.arange(len(prompts), device=device), which.to(device)]

    def prefill_padded(self, prompts: Sequence[tuple[Encoded, Tensor, int]], slot: int) -> Tensor:
        """As `prefill_batch`, images included, with fewer kernel calls; but sums may differ in their last bits from
        those of each prompt alone."""
        device = self.model.device
        lengths = [len(prompt) - start for prompt, _, start in prompts]
        starts = torch.tensor([start for _, _, start in prompts], device=device)
        ids = _right_padded([prompt.input_ids[start:] for prompt, _, start in prompts], 0).to(device)
        kinds = _right_padded([prompt.mm_token_type_ids[start:] for prompt, _, start in prompts], 0).to(device)
        # a padding token's t is no image's, so that no image sees it
        positions = _right_padded([own[:, 0, start:].T for _, own, start in prompts], -1).permute(2, 0, 1).to(device)
        columns, which = (torch.tensor(lengths) - 1).unique(return_inverse=True)
        logits = self.model(
            input_ids=ids,
            mm_token_type_ids=kinds,
            **_joined([images_within(prompt, start, len(prompt), device) for prompt, _, start in prompts]),
            position_ids=positions,
            cache=self.slots.view(slice(slot, slot + len(prompts)), starts, max(lengths)),
            visible=interval(positions, past=starts[:, None]),
            use_cache=True,
            logits_to_keep=columns.to(device),
        ).logits
        return logits[torch.arange(len(prompts), device=device), which.to(device)]

    def decode(self, ids: Tensor, first: Tensor, starts: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Logits (B, L, vocabulary) of new text tokens (B, L), whose t and places in the slots start at (B,) each.

        dropped: (B,) visual tokens whose keys the pre-buffer's layers do not have.
        """
        if self._compiled is not None:
            return self._compiled(ids, first, self.slots, starts)
        width = ids.shape[1]
        view = self.slots.view(slice(0, len(ids)), starts, width, dropped)
        return self.model(
            input_ids=ids,
            mm_token_type_ids=torch.zeros_like(ids),
            position_ids=(first[:, None] + torch.arange(width, device=ids.device)).expand(3, -1, -1),
            cache=view,
            visible=view.visible(width),
            use_cache=True,
        ).logits


def _right_padded(rows: Sequence[Tensor], value: int) -> Tensor:
    """(B, longest, …)."""
    return pad_sequence(list(rows), batch_first=True, padding_value=value)


def _joined(images: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The images of several prompts, in order; {} where there is none."""
    found = [inputs for inputs in images if inputs]
    return {name: torch.cat([inputs[name] for inputs in found]) for name in found[0]} if found else {}


def images_within(prompt: Encoded, start: int, stop: int, device: torch.device) -> dict[str, Tensor]:
    """Pixels and grids of the images within tokens [start, stop), which cut none; {} where there is none."""
    images = prompt.images_within(start, stop)
    if not images:
        return {}
    return {
        "pixel_values": prompt.pixel_values[images[0].first_patch : images[-1].patches.stop].to(device),
        "image_grid_hw": torch.tensor([image.grid_hw for image in images], dtype=torch.int64, device=device),
    }

"""A port of any model behind transformers' Auto classes. Needs torch and transformers."""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .golden import read_json
from .types import Array, Inputs, NotOffered

#: Names that implementations give the patch grid, and what marks the boundaries of packed documents.
GRIDS = ("image_grid_hw", "grid_hw", "image_grid_thw")


class TransformersPort:
    """`AutoModelForImageTextToText` in float32 or another type, greedy, one process.

    A model whose forward has no `cu_seqlens` is not given packed documents, and embeddings are compared where it has
    `get_image_features`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        imports: Sequence[str] = (),
        dtype: str = "float32",
        device: str = "cpu",
        attention: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """imports: modules that register classes with the Auto classes."""
        for module in imports:
            importlib.import_module(module)
        import torch
        from transformers import AutoModelForImageTextToText

        options: dict[str, Any] = {"attn_implementation": attention} if attention else {}
        self.torch, self.folder = torch, folder
        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=getattr(torch, dtype), trust_remote_code=trust_remote_code, **options
        )
        self.model = self.model.to(device).eval()
        self.context_id = read_json(folder / "config.json")["img_context_token_id"]
        self.parameters = self._parameters()
        self._trust, self._processors = trust_remote_code, {}

    def _parameters(self) -> set[str]:
        """Names of the arguments of forward."""
        return set(inspect.signature(self.model.forward).parameters)

    def _tensor(self, values: Array) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(values)).to(self.model.device)

    def _images(self, inputs: Inputs) -> dict[str, Any]:
        if not len(inputs.grid_hw):
            return {}
        grid = next((name for name in GRIDS if name in self.parameters), None)
        if grid is None:
            raise NotOffered(f"forward has none of {', '.join(GRIDS)}")
        sizes = inputs.grid_hw
        if grid == "image_grid_thw":
            sizes = np.concatenate((np.ones((len(sizes), 1), np.int64), sizes), 1)
        pixels = self._tensor(inputs.pixel_values)
        return {"pixel_values": pixels.to(self.model.dtype), grid: self._tensor(sizes)}

    def _row(self, inputs: Inputs) -> dict[str, Any]:
        return {"input_ids": self._tensor(inputs.input_ids)[None], **self._images(inputs)}

    def _numpy(self, logits: Any) -> Array:
        return logits.detach().float().cpu().numpy()

    def logits(self, inputs: Inputs) -> Array:
        given = self._row(inputs)
        if len(inputs.starts) > 1:
            if "cu_seqlens" not in self.parameters:
                raise NotOffered("forward has no cu_seqlens")
            given |= {"cu_seqlens": self._tensor(np.array((*inputs.starts, len(inputs)), np.int64)), "use_cache": False}
        with self.torch.no_grad():
            return self._numpy(self.model(**given).logits[0])

    def batch_logits(self, rows: list[Inputs]) -> list[Array]:
        """Padded on the left, images of all rows one after another."""
        length = max(len(row) for row in rows)
        ids, mask = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), np.int64)
        for number, row in enumerate(rows):
            ids[number, length - len(row) :], mask[number, length - len(row) :] = row.input_ids, 1
        images = Inputs(
            ids[0],
            np.concatenate([row.pixel_values for row in rows]),
            np.concatenate([row.grid_hw for row in rows]),
        )
        with self.torch.no_grad():
            given = {"input_ids": self._tensor(ids), "attention_mask": self._tensor(mask), **self._images(images)}
            found = self._numpy(self.model(**given).logits)
        return [found[number, length - len(row) :] for number, row in enumerate(rows)]

    def chunked(self, inputs: Inputs, cuts: tuple[int, ...]) -> Array:
        """Through a DynamicCache. A cut inside an image is for `generate` with `prefill_chunk_size`, which gives the
        last logits alone."""
        try:
            pieces = inputs.pieces(cuts, self.context_id)
        except ValueError:
            return self._prefilled(inputs, max(cuts[0], 1))
        cache, found = None, []
        with self.torch.no_grad():
            for piece in pieces:
                output = self.model(**self._row(piece), past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                found.append(self._numpy(output.logits[0]))
        return np.concatenate(found)

    def _prefilled(self, inputs: Inputs, size: int) -> Array:
        given = {**self._row(inputs), "prefill_chunk_size": size, "max_new_tokens": 1}
        return self._numpy(self._generate(given).logits[0])

    def generate(self, inputs: Inputs, count: int) -> list[int]:
        given = {**self._row(inputs), "max_new_tokens": count, "min_new_tokens": None}
        return self._generate(given).sequences[0, len(inputs) :].tolist()

    def _generate(self, given: dict[str, Any]) -> Any:
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "return_dict_in_generate": True}
        ones = self.torch.ones_like(given["input_ids"])
        return self.model.generate(**given, **settings, attention_mask=ones, output_logits=True)

    def positions(self, inputs: Inputs) -> Array:
        """From `get_rope_index`, whose rows are M-RoPE's (t, t + h, t + w)."""
        if not hasattr(self.model, "get_rope_index"):
            raise NotOffered("the model has no get_rope_index()")
        given = {"input_ids": self._tensor(inputs.input_ids)[None], **self._images(inputs)}
        given.pop("pixel_values", None)
        if len(inputs.starts) > 1:
            if "cu_seqlens" not in inspect.signature(self.model.get_rope_index).parameters:
                raise NotOffered("get_rope_index has no cu_seqlens")
            given["cu_seqlens"] = self._tensor(np.array((*inputs.starts, len(inputs)), np.int64))
        t, th, tw = self.model.get_rope_index(**given)[0][:, 0].cpu().numpy()
        return np.stack((t, th - t, tw - t))

    def embeddings(self, pixel_values: Array, grid_hw: Array) -> Array:
        if not hasattr(self.model, "get_image_features"):
            raise NotOffered("the model has no get_image_features()")
        with self.torch.no_grad():
            found = self.model.get_image_features(**self._images(Inputs(np.zeros(0), pixel_values, grid_hw)))
        found = getattr(found, "last_hidden_state", found)
        return self._numpy(self.torch.cat(tuple(found)) if isinstance(found, tuple | list) else found)

    def _processor(self, **pixels: int) -> Any:
        """The folder's processor; with other pixel limits, from a copy of its small files."""
        from transformers import AutoProcessor

        if not (self.folder / "tokenizer.json").is_file():
            raise NotOffered("the checkpoint has no tokenizer")
        key = tuple(pixels.values())
        if key not in self._processors:
            with tempfile.TemporaryDirectory() as place:
                for path in self.folder.glob("*.j*"):
                    shutil.copy(path, place)
                if pixels:
                    settings = Path(place) / "preprocessor_config.json"
                    settings.write_text(json.dumps({**json.loads(settings.read_text()), **pixels}))
                self._processors[key] = AutoProcessor.from_pretrained(place, trust_remote_code=self._trust)
        return self._processors[key]

    def tokens(self, prompt: str) -> Array:
        tokenizer = self._processor().tokenizer
        return np.array(tokenizer(prompt, add_special_tokens=False).input_ids, np.int64)

    def prompt(self, turns: list[dict[str, Any]]) -> str:
        """By the chat template, each `<image>` a part of its own."""
        messages = [
            {
                "role": turn["role"],
                "content": turn["content"] if turn["role"] == "assistant" else parts(turn["content"]),
            }
            for turn in turns
        ]
        text = self._processor().apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text.replace("<image>", "<img><IMG_CONTEXT></img>")

    def image(self, path: Path, min_pixels: int, max_pixels: int) -> tuple[Array, tuple[int, int]]:
        from PIL import Image

        with Image.open(path) as picture:
            return self._prepared(picture, min_pixels, max_pixels)

    def resize(self, height: int, width: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
        from PIL import Image

        grid = self._prepared(Image.new("RGB", (width, height)), min_pixels, max_pixels)[1]
        return grid[0] * 16, grid[1] * 16

    def _prepared(self, picture: Any, min_pixels: int, max_pixels: int) -> tuple[Array, tuple[int, int]]:
        prepare = self._processor(min_pixels=min_pixels, max_pixels=max_pixels).image_processor
        found = prepare(images=[picture], return_tensors="np")
        rows, columns = np.asarray(next(found[name] for name in GRIDS if name in found))[0][-2:]
        return np.asarray(found["pixel_values"]), (int(rows), int(columns))


def parts(content: str) -> list[dict[str, Any]]:
    """`<image>` markers as image parts. The newline after one is the template's to write."""
    pieces = content.split("<image>")
    found: list[dict[str, Any]] = [{"type": "text", "text": pieces[0]}] if pieces[0] else []
    for piece in pieces[1:]:
        found.append({"type": "image"})
        if text := piece.removeprefix("\n"):
            found.append({"type": "text", "text": text})
    return found

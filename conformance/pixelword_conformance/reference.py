"""NEO-ov in float64 NumPy, from the architecture alone: what the golden values of the tiny checkpoints were made with.

It imports no other implementation. The values of the released code in `released/` pin it (`python -m
pixelword_conformance self-test`). `mistake` makes a deliberately wrong model of it, to show that the checks catch one.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from .types import Array, Inputs

#: Deliberately wrong models, and what is wrong in each.
MISTAKES = {
    "causal-images": "the mask is causal inside images, too",
    "positions-off-by-one": "what follows an image is one step of t too far",
    "frames-swapped": "the first two images or frames change places",
    "coordinates-from-one": "rows and columns of visual tokens start at 1",
    "rows-as-columns": "rows and columns of visual tokens are exchanged",
    "scale-of-whole-head": "scores are divided by the root of 2 * head_dim",
    "one-rotary-base": "rope_theta turns all three parts",
    "patches-unturned": "patches are not rotated by their place",
    "answers-from-length": "generated tokens go on from the prompt's length, not from its last t",
    "documents-leak": "packed documents see each other",
}


def norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def turned(x: Array, position: Array, theta: float) -> Array:
    """Rotate pairs (x[i], x[i + d / 2]) of the last axis. x: (heads, L, d); position: (L,)."""
    half = x.shape[-1] // 2
    angle = position[:, None] * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = x[..., :half], x[..., half:]
    return np.concatenate((first * cos - second * sin, second * cos + first * sin), -1)


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


class Reference:
    """A port in the sense of `ports`: a checkpoint of the released layout, read and run."""

    def __init__(self, folder: Path, mistake: str | None = None) -> None:
        if mistake is not None and mistake not in MISTAKES:
            raise ValueError(f"mistake {mistake!r}: use one of {', '.join(MISTAKES)}")
        self.config = json.loads((folder / "config.json").read_text())
        self.text, self.vision = self.config["llm_config"], self.config["vision_config"]
        self.weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
        self.mistake = mistake

    def positions(self, inputs: Inputs) -> Array:
        """(3, L) int64: t, h and w of every token. What is past the described images is text, whatever its id."""
        visual = np.zeros(len(inputs), bool)
        places = np.flatnonzero(inputs.input_ids == self.config["img_context_token_id"])
        visual[places[: sum(inputs.image_tokens)]] = True
        found = np.zeros((3, len(inputs)), np.int64)
        t, place, image = -1, 0, 0
        while place < len(inputs):
            if place in inputs.starts:
                t = -1
            t += 1
            if not visual[place]:
                found[0, place] = t
                place += 1
                continue
            height, width = (int(side) // 2 for side in inputs.grid_hw[image])
            rows, columns = (axis.ravel() for axis in np.mgrid[:height, :width])
            if self.mistake == "rows-as-columns":
                rows, columns = columns, rows
            if self.mistake == "coordinates-from-one":
                rows, columns = rows + 1, columns + 1
            found[:, place : place + height * width] = np.full(height * width, t), rows, columns
            place, image = place + height * width, image + 1
            if self.mistake == "positions-off-by-one":
                t += 1
        return found

    def embeddings(self, pixel_values: Array, grid_hw: Array) -> Array:
        """(visual tokens, hidden_size)."""
        prefix = "vision_model.embeddings."
        kernel, bias = self.weights[prefix + "patch_embedding.weight"], self.weights[prefix + "patch_embedding.bias"]
        hidden = gelu(pixel_values.astype(np.float64) @ kernel.reshape(len(kernel), -1).T + bias)
        kernel, bias = self.weights[prefix + "dense_embedding.weight"], self.weights[prefix + "dense_embedding.bias"]
        found, first = [], 0
        for height, width in grid_hw:
            patches = self._by_place(hidden[first : first + height * width], int(width))
            first += height * width
            cells = patches.reshape(height // 2, 2, width // 2, 2, -1).transpose(0, 2, 4, 1, 3)
            found.append(cells.reshape(height * width // 4, -1) @ kernel.reshape(len(kernel), -1).T + bias)
        return np.concatenate(found) if found else np.zeros((0, len(kernel)))

    def _by_place(self, hidden: Array, width: int) -> Array:
        """Rotate channel pairs (0, 1), (2, 3), …: the first half of the channels by x, the second by y."""
        if self.mistake == "patches-unturned":
            return hidden
        y, x = np.divmod(np.arange(len(hidden)), width)
        quarter = hidden.shape[1] // 4
        frequency = self.vision.get("rope_theta_vision", 10000.0) ** (-np.arange(quarter) / quarter)
        angle = np.concatenate((x[:, None] * frequency, y[:, None] * frequency), 1)
        even, odd, found = hidden[:, 0::2], hidden[:, 1::2], np.empty_like(hidden)
        found[:, 0::2] = even * np.cos(angle) - odd * np.sin(angle)
        found[:, 1::2] = even * np.sin(angle) + odd * np.cos(angle)
        return found

    def visible(self, inputs: Inputs, t: Array) -> Array:
        """(L, L) bool: key j is visible to query i in one document where j <= i, or both are of one image."""
        place = np.arange(len(inputs))
        document = np.searchsorted(inputs.starts, place, side="right")
        allowed = place[None, :] <= place[:, None]
        same = document[:, None] == document[None, :]
        if self.mistake != "causal-images":
            allowed |= (t[:, None] == t[None, :]) & same
        return allowed if self.mistake == "documents-leak" else allowed & same

    def _swapped(self, inputs: Inputs) -> Inputs:
        sizes = inputs.grid_hw.prod(-1)
        if self.mistake != "frames-swapped" or len(sizes) < 2 or (inputs.grid_hw[0] != inputs.grid_hw[1]).any():
            return inputs
        first, second, rest = np.split(inputs.pixel_values, (sizes[0], 2 * sizes[0]))
        return Inputs(inputs.input_ids, np.concatenate((second, first, rest)), inputs.grid_hw, inputs.starts)

    def logits(self, inputs: Inputs, answer: int = 0) -> Array:
        """(L, vocabulary). answer: this many tokens at the end are generated ones."""
        inputs = self._swapped(inputs)
        positions = self.positions(inputs)
        if self.mistake == "answers-from-length" and answer:
            positions[0, -answer:] = np.arange(len(inputs) - answer, len(inputs))
        hidden = self.weights["language_model.model.embed_tokens.weight"][inputs.input_ids]
        visual = np.flatnonzero(inputs.input_ids == self.config["img_context_token_id"])[: sum(inputs.image_tokens)]
        hidden[visual] = self.embeddings(inputs.pixel_values, inputs.grid_hw)
        allowed = self.visible(inputs, positions[0])
        for number in range(self.text["num_hidden_layers"]):
            hidden = self._layer(hidden, number, positions, allowed)
        hidden = norm(hidden, self.weights["language_model.model.norm.weight"], self.text["rms_norm_eps"])
        head = self.weights.get("language_model.lm_head.weight")
        return hidden @ (self.weights["language_model.model.embed_tokens.weight"] if head is None else head).T

    def _layer(self, hidden: Array, number: int, positions: Array, allowed: Array) -> Array:
        eps, prefix = self.text["rms_norm_eps"], f"language_model.model.layers.{number}."
        weights = {k.removeprefix(prefix): v for k, v in self.weights.items() if k.startswith(prefix)}
        x = norm(hidden, weights["input_layernorm.weight"], eps)
        head_dim = self.text["head_dim"]
        q, k = (self._head(x, weights, name, positions) for name in "qk")
        v = (x @ weights["self_attn.v_proj.weight"].T).reshape(len(x), -1, head_dim).swapaxes(0, 1)
        repeat = len(q) // len(k)
        k, v = k.repeat(repeat, 0), v.repeat(repeat, 0)
        size = 2 * head_dim if self.mistake == "scale-of-whole-head" else head_dim
        score = np.where(allowed, q @ k.swapaxes(1, 2) / math.sqrt(size), -np.inf)
        weight = np.exp(score - score.max(-1, keepdims=True))
        mixed = (weight / weight.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(x), -1)
        hidden = hidden + mixed @ weights["self_attn.o_proj.weight"].T
        x = norm(hidden, weights["post_attention_layernorm.weight"], eps)
        gate = x @ weights["mlp.gate_proj.weight"].T
        gated = gate / (1 + np.exp(-gate)) * (x @ weights["mlp.up_proj.weight"].T)
        return hidden + gated @ weights["mlp.down_proj.weight"].T

    def _head(self, x: Array, weights: dict[str, Array], name: str, positions: Array) -> Array:
        """(heads, L, 2 * head_dim), ordered [T: head_dim | H: head_dim / 2 | W: head_dim / 2], normed and turned."""
        head_dim, eps = self.text["head_dim"], self.text["rms_norm_eps"]
        base, base_hw = self.text["rope_theta"], self.text["rope_theta_hw"]
        if self.mistake == "one-rotary-base":
            base_hw = base
        plain, hw = (
            (x @ weights[f"self_attn.{name}_proj{end}.weight"].T).reshape(len(x), -1, head_dim).swapaxes(0, 1)
            for end in ("", "_hw")
        )
        parts = (plain, "", base), (hw[..., : head_dim // 2], "_h", base_hw), (hw[..., head_dim // 2 :], "_w", base_hw)
        return np.concatenate(
            [
                turned(norm(part, weights[f"self_attn.{name}_norm{end}.weight"], eps), position, theta)
                for (part, end, theta), position in zip(parts, positions, strict=True)
            ],
            -1,
        )

    def generate(self, inputs: Inputs, count: int) -> list[int]:
        """Greedy tokens; an end token does not end them."""
        return self.generate_with_logits(inputs, count)[0]

    def generate_with_logits(self, inputs: Inputs, count: int) -> tuple[list[int], Array]:
        """Greedy tokens and the logits (count, vocabulary) that each is the highest of."""
        tokens: list[int] = []
        rows = []
        for _ in range(count):
            rows.append(self.logits(inputs.then(Inputs(np.array(tokens, np.int64))), len(tokens))[-1])
            tokens.append(int(rows[-1].argmax()))
        return tokens, np.stack(rows)

    def chunked(self, inputs: Inputs, cuts: tuple[int, ...]) -> Array:
        """(L, vocabulary); without a cache, cuts change nothing."""
        return self.logits(inputs)

    def batch_logits(self, rows: list[Inputs]) -> list[Array]:
        return [self.logits(row) for row in rows]

"""Fixed probe of a model: a few synthetic images and questions, with digests of inputs, logits and outputs.

The same weights give the same numbers; differences show which part differs: prompt, pixels or network. Images are made
with integer arithmetic, at a size that released models read without resizing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelword.generation.messages import user_message
from pixelword.generation.sampling import Sampling

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.processing.types import Encoded

#: Side of an image: its area is the least that released models take, so nothing is resized.
SIDE = 256
#: Tokens generated, scores sampled from the whole vocabulary, and likeliest tokens.
NEW_TOKENS, SAMPLED, TOP = 16, 64, 8
#: How far scores may differ, in standard deviations of the scores, by the coarser of two types of weights.
TOLERANCE = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 2e-1}


@dataclass(frozen=True)
class Reading:
    """Results of one question.

    ids, pixels: sha256 of the prompt's ids as int64 and of its prepared pixels as float16, "" without any.
    sampled: scores after the prompt of `SAMPLED` ids, evenly over the vocabulary; top: the likeliest (id, score).
    spread: standard deviation of the scores. prompt_loss: mean negative log-probability of the prompt's words, which
    depends on every position. said, text: the greedy tokens, past the end of the answer if it comes.
    """

    tokens: int
    visual_tokens: int
    ids: str
    pixels: str
    sampled: tuple[float, ...]
    top: tuple[tuple[int, float], ...]
    spread: float
    prompt_loss: float
    said: tuple[int, ...]
    text: str


def picture(number: int = 0) -> Image.Image:
    """Draw ramps and a chessboard of 256 x 256; other numbers rotate it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    board = (x // 32 + y // 32) % 2 * 255
    return Image.fromarray(np.rot90(np.stack([x, y, board], -1).astype(np.uint8), number).copy())


def questions() -> dict[str, list[dict[str, Any]]]:
    """Return the conversations by name."""
    item, other = picture(), picture(1)
    clip = [{"type": "video", "video": [item, other], "fps": 1.0}, {"type": "text", "text": "What changes?"}]
    return {
        "words": [user_message("What is 2 plus 3?")],
        "picture": [user_message("Describe the picture.", item)],
        "pictures": [user_message("What is different between the two pictures?", [item, other])],
        "video": [{"role": "user", "content": clip}],
    }


def probe(session: Session) -> dict[str, Reading]:
    """Run the probe. Raises InputError if the model's context is too short."""
    return {name: _reading(session, prompt) for name, prompt in encode_all(session.processor).items()}


def encode_all(processor: NeoOVProcessor) -> dict[str, Encoded]:
    """Encode all prompts, to run them elsewhere."""
    return {name: processor.encode(messages, add_generation_prompt=True) for name, messages in questions().items()}


@torch.inference_mode()
def _reading(session: Session, prompt: Encoded) -> Reading:
    inputs = {name: item.to(session.model.device) for name, item in session.processor.batch([prompt]).items()}
    logits = session.model(**inputs, use_cache=False).logits[0].float().cpu()
    (request,) = session.generate([prompt], [Sampling(NEW_TOKENS, ignore_eos=True)])
    last, words = logits[-1], prompt.mm_token_type_ids == 0
    losses = torch.nn.functional.cross_entropy(logits[:-1], prompt.input_ids[1:], reduction="none")
    top = last.topk(min(TOP, len(last)))
    spread, loss = _rounded(torch.stack([last.std(), losses[words[1:]].mean()]))
    return Reading(
        len(prompt),
        int((~words).sum()),
        _sha256(prompt.input_ids),
        _sha256(prompt.pixel_values.half()) if len(prompt.pixel_values) else "",
        tuple(_rounded(last[:: max(1, len(last) // SAMPLED)][:SAMPLED])),
        tuple(zip(map(int, top.indices), _rounded(top.values), strict=True)),
        spread,
        loss,
        tuple(request.token_ids),
        session.processor.encoder.decode(request.token_ids).strip(),
    )


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{item:.7g}") for item in values.tolist()]


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]


def as_json(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """Convert the readings to JSON values."""
    return {name: asdict(item) for name, item in readings.items()}


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float) -> list[str]:
    """What differs between two probes as `as_json` gives them, in words; scores by more than `tolerance` spreads."""
    found = [f"{name}: in only one of the two reports" for name in sorted({*ours} ^ {*theirs})]
    for name in (item for item in ours if item in theirs):
        found += [f"{name}: {what}" for what in _of_one(ours[name], theirs[name], tolerance)]
    return found


def _of_one(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float) -> list[str]:
    if ours["ids"] != theirs["ids"]:  # the rest follows from that
        return [f"the prompts differ ({ours['tokens']} and {theirs['tokens']} tokens)"]
    found = ["the prepared pixels differ"] if ours["pixels"] != theirs["pixels"] else []
    pairs = list(zip(ours["sampled"], theirs["sampled"], strict=False))
    far = max(abs(a - b) for a, b in pairs) / max(theirs["spread"], 1e-9)
    if len(ours["sampled"]) != len(theirs["sampled"]) or not far <= tolerance:
        found.append(f"scores differ by up to {far:.2g} standard deviations (allowed: {tolerance:g})")
    loss = abs(ours["prompt_loss"] - theirs["prompt_loss"])
    if not loss <= tolerance:
        found.append(f"the prompt's loss differs by {loss:.2g} (allowed: {tolerance:g})")
    if list(ours["said"]) != list(theirs["said"]):
        found.append(f"greedy answers differ: {ours['text']!r} and {theirs['text']!r}")
    return found

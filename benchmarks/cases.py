"""What is measured: the prompts, and the shape that all candidates share. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Text stack of every candidate, as far as its configuration allows."""

    hidden_size: int = 1024
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    extra_num_layers: int = 4
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    vocab_size: int = 32768
    vision_depth: int = 24  # of the modular peer's encoder
    vision_hidden_size: int = 1024


FULL = Shape()
QUICK = Shape(64, 128, 3, 1, 4, 2, 32, 512, 3, 64)


@dataclass(frozen=True)
class Case:
    """A batch of equal prompts: half the words, the pictures (each between two marks), the other half.

    side: visual tokens along each side of a picture, which is square.
    video: the pictures are one clip's frames.
    """

    name: str
    title: str
    batch: int
    pictures: int
    side: int
    video: bool = False
    words: int = 32

    @property
    def tokens_per_picture(self) -> int:
        return self.side**2

    @property
    def length(self) -> int:
        """Tokens of one row."""
        return self.words + self.pictures * (self.tokens_per_picture + 2)


CASES = {
    case.name: case
    for case in (
        Case("picture-1024", "one picture of 1,024 tokens", 1, 1, 32),
        Case("picture-4096", "one picture of 4,096 tokens", 1, 1, 64),
        Case("pictures-8", "eight pictures of 256 tokens", 1, 8, 16),
        Case("video-32", "a video of 32 frames of 144 tokens", 1, 32, 12, video=True),
        Case("batch-8", "a batch of 8, each one picture of 256 tokens", 8, 1, 16),
    )
}
#: The same prompts in miniature: they try the paths, not the speed.
QUICK_CASES = {
    name: replace(case, title=f"{case.title} (in miniature)", side=4, batch=min(case.batch, 2))
    for name, case in CASES.items()
}

#: name -> what stands in the table.
CANDIDATES = {
    "ours": "Pixelword (sdpa)",
    "dense": "dense-mask eager forward, as the released code",
    "qwen3vl": "transformers Qwen3-VL (24-layer encoder, sdpa)",
    "qwen3vl-pairs": "the same, two frames to a token as it does by itself",
    "gemma4": "transformers Gemma 4 Unified (no encoder, sdpa)",
    "text": "transformers Qwen3, text only, same weight bytes (sdpa)",
}


def impossible(candidate: str, case: Case) -> str | None:
    """Why a candidate is not measured on a case, in the table's words; None where it is."""
    if candidate == "qwen3vl-pairs" and not case.video:
        return "merges frames of videos only; on pictures it is the row above"
    return None


#: Text stack that trains on a CPU: 19 M parameters in layers of width 512, keys twice as wide as values as always.
TRAINED = Shape(512, 1536, 6, 2, 8, 4, 64, 8192, vision_hidden_size=256)
TRAINED_QUICK = Shape(64, 128, 3, 1, 4, 2, 16, 256, vision_hidden_size=64)
LONGEST = 4096  # tokens of a document at most, and of a pack

#: How documents are laid out to be trained: name -> what stands in the table.
LAYOUTS = {
    "packed": "packed, interval attention (Pixelword)",
    "padded": "unpacked, 8 documents padded to the longest, our attention",
    "grouped": "the same, documents of like length together",
    "padded-dense": "unpacked, 8 documents padded, dense mask and eager attention",
    "single": "one document at a time, our attention",
    "dense": "packed, dense L × L float mask and eager attention, as upstream trains",
}

#: Whole steps on a GPU: name -> arguments of `NeoOVConfig` that differ from the size "2b" (None: that size as it is).
STEP_MODELS: dict[str, dict[str, Any] | None] = {
    "0.2b": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 10,
        "extra_num_layers": 3,
        "vocab_size": 32768,
        "tie_word_embeddings": True,
    },
    "2b": None,
}
#: What is switched on one after the other: name -> what stands in the table.
STEPS = {
    "eager": "eager layers, logits of every token",
    "compile": "+ layers compiled",
    "supervised": "+ logits of supervised tokens only",
    "selective": "+ selective activation checkpointing",
    "full": "full activation checkpointing instead",
}

#: Shapes that are decoded: mini, and that of Qwen3-1.7B with H and W projections.
DECODED = {
    "135m": Shape(576, 1536, 36, 6, 9, 3, 64, 49152, vision_hidden_size=512),
    "1.7b": Shape(2048, 6144, 28, 8, 16, 8, 128, 151936),
}
#: How the network multiplies: name -> what stands in the table.
WAYS = {
    "plain": "its own weights (as transformers runs it)",
    "packed": "packed weights (what the engine does on a CPU)",
    "compiled": "packed weights, compiled step",
    "int8": "int8 weights",
    "int8-compiled": "int8 weights, compiled step",
    "int4": "int4 weights",
    "text": "transformers Qwen3, text only, same weight bytes",
}

"""The known sizes of NEO-ov, and the arguments of a configuration with their defaults; imports nothing heavy.

What is checked or counted before a model is loaded (recipes, `pixelword info 2b`) needs no more than these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class VisionArguments:
    """Those of `NeoOVVisionConfig`, which says what they are."""

    hidden_size: int = 1024
    llm_hidden_size: int = 2048
    patch_size: int = 16
    downsample_ratio: float = 0.5
    num_channels: int = 3
    rope_theta_vision: float = 10000.0
    max_position_embeddings_vision: int = 10000
    min_pixels: int = 65536
    max_pixels: int = 4194304

    @property
    def merge_size(self) -> int:
        """Patches along one side of a visual token."""
        return round(1 / self.downsample_ratio)


@dataclass(frozen=True)
class TextArguments:
    """Those of `NeoOVTextConfig`."""

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 40
    extra_num_layers: int = 12
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    hidden_act: str = "silu"
    max_position_embeddings: int = 40960
    max_position_embeddings_hw: int = 10000
    rope_theta: float | None = None
    rope_theta_hw: float = 10000.0
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    qk_norm: bool = True
    text_bypasses_pre_buffer: bool = False
    attention_bias: bool = False
    use_cache: bool = True
    rope_scaling: dict | None = None
    rope_parameters: dict | None = None


@dataclass(frozen=True)
class Arguments:
    """Those of `NeoOVConfig`."""

    vision_config: VisionArguments = VisionArguments()
    llm_config: TextArguments = TextArguments()
    img_context_token_id: int = 151669
    img_start_token_id: int = 151670
    img_end_token_id: int = 151671
    downsample_ratio: float | None = None
    template: str = "neo1_0"


def _size(hidden: int, ff: int, layers: int, extra: int, heads: int, kv: int, **more: Any) -> dict[str, Any]:
    vision = {"hidden_size": more.pop("vision_hidden_size", 1024)}
    return {
        "vision_config": vision,
        "llm_config": {
            "hidden_size": hidden,
            "intermediate_size": ff,
            "num_hidden_layers": layers,
            "extra_num_layers": extra,
            "num_attention_heads": heads,
            "num_key_value_heads": kv,
            **more,
        },
    }


#: Keyword arguments of `NeoOVConfig` for each known size: "2b" and "9b" are NEO-ov's, "0.6b" the same on Qwen3-0.6B,
#: "mini" is SmolLM2-135M under six layers of pre-buffer, its visual tokens in the first spare ids of that vocabulary.
SIZES: dict[str, dict[str, Any]] = {
    "mini": {
        **_size(
            *(576, 1536, 36, 6, 9, 3),
            head_dim=64,
            vision_hidden_size=512,
            vocab_size=49152,
            rope_theta=1e5,
            rms_norm_eps=1e-5,
            qk_norm=False,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        ),
        "img_context_token_id": 3,
        "img_start_token_id": 4,
        "img_end_token_id": 5,
    },
    "0.6b": _size(1024, 3072, 40, 12, 16, 8, head_dim=128, tie_word_embeddings=True),
    "2b": _size(2048, 6144, 40, 12, 16, 8, head_dim=128, tie_word_embeddings=True),
    "9b": _size(4096, 12288, 42, 6, 32, 8, head_dim=128, tie_word_embeddings=False),
}

#: The newest released weights of a size, by their id on the Hugging Face Hub.
RELEASED = {"2b": "Paranioar/NEO1_5-2B-SFT", "9b": "Paranioar/NEO1_5-9B-SFT"}

_STAGES = {
    "PT": "NEO, pre-trained: to train on",
    "MT": "NEO, mid-trained: to fine-tune",
    "SFT": "NEO: questions on one image",
}
#: Every released model by its id: its size, and what it is for.
RELEASED_IDS: dict[str, tuple[str, str]] = {
    **{f"Paranioar/NEO1_5-{size.upper()}-SFT": (size, "NEO-ov: images, video, space") for size in RELEASED},
    **{
        f"Paranioar/NEO1_0-{size.upper()}-{stage}": (size, use)
        for size in RELEASED
        for stage, use in reversed(_STAGES.items())
    },
}


def size_arguments(size: str) -> Arguments:
    """The whole configuration of a known size, as `NeoOVConfig(**SIZES[size])` has it."""
    given = SIZES[size]
    text = TextArguments(**given["llm_config"])
    return Arguments(
        **{
            **given,
            "llm_config": text,
            "vision_config": VisionArguments(**given["vision_config"], llm_hidden_size=text.hidden_size),
        }
    )

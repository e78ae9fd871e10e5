"""The configuration of a NEO-ov model, read from and written to the released `config.json`."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from .family import check_keys


def _scalar(value: Any) -> Any:
    """Unwrap the one-element lists that released configs hold where a number is meant (`"min_pixels": [65536]`)."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return value[0]
    return value


def _base(rope_theta: float | None, rope_parameters: dict) -> float:
    """The temporal rotation's base, from either place. Raises ValueError: they contradict each other."""
    other = rope_parameters.get("rope_theta")
    if None not in (rope_theta, other) and rope_theta != other:
        raise ValueError(f"llm_config has rope_theta = {rope_theta} and rope_parameters = {rope_parameters}: keep one")
    found = other if rope_theta is None else rope_theta
    return 1e6 if found is None else found


def _check_unscaled(name: str, rope_parameters: dict) -> None:
    if rope_parameters.get("rope_type", rope_parameters.get("type", "default")) != "default":
        raise ValueError(
            f"llm_config.{name} = {rope_parameters} is not supported: only unscaled Native-RoPE is defined"
        )


class NeoOVVisionConfig(PreTrainedConfig):
    """Patch embedding: pixels to visual tokens.

    Args:
        hidden_size: channels between the two convolutions; a multiple of 4, since the 2-D rotation turns pairs.
        llm_hidden_size: width of a visual token, equal to `llm_config.hidden_size`.
        patch_size: side of the first convolution's patch in pixels.
        downsample_ratio: visual tokens per patch along one side; 0.5 makes one token of 2 x 2 patches.
        rope_theta_vision: base of the rotation; 10000 where a released config leaves it out.
        min_pixels, max_pixels: area that an image is resized into.
    """

    model_type = "neo_vision"
    base_config_key = "vision_config"

    def __init__(
        self,
        hidden_size: int = 1024,
        llm_hidden_size: int = 2048,
        patch_size: int = 16,
        downsample_ratio: float = 0.5,
        num_channels: int = 3,
        rope_theta_vision: float = 10000.0,
        max_position_embeddings_vision: int = 10000,
        min_pixels: int = 65536,
        max_pixels: int = 4194304,
        **kwargs: Any,
    ) -> None:
        self.hidden_size = _scalar(hidden_size)
        self.llm_hidden_size = _scalar(llm_hidden_size)
        self.patch_size = _scalar(patch_size)
        self.downsample_ratio = _scalar(downsample_ratio)
        self.num_channels = _scalar(num_channels)
        self.rope_theta_vision = _scalar(rope_theta_vision)
        self.max_position_embeddings_vision = _scalar(max_position_embeddings_vision)
        self.min_pixels = _scalar(min_pixels)
        self.max_pixels = _scalar(max_pixels)
        kwargs.pop("model_type", None)
        super().__init__(**kwargs)

    @property
    def merge_size(self) -> int:
        """Patches along one side of a visual token."""
        return round(1 / self.downsample_ratio)


class NeoOVTextConfig(PreTrainedConfig):
    """The one stack of decoder layers: Qwen3's keys and what the native model adds.

    Args:
        num_hidden_layers: all layers, the pre-buffer's among them.
        extra_num_layers: the pre-buffer's layers, the first of the stack.
        rope_theta, rope_theta_hw: bases of the temporal and of the spatial (height, width) rotation. `rope_parameters`
            ({"rope_type": "default", "rope_theta": …}) is transformers 5's name of the first.
        qk_norm: whether the temporal branch has per-head RMSNorm; False where the language model had none (Llama type).
            The H and W branches always have it.
        text_bypasses_pre_buffer: a departure from the released models: words leave the pre-buffer as they entered it
            (images read them there), and in the layers after it their keys have no H and W part, so that whatever
            pre-buffer and H/W projections learn, text without images is answered as before.
    """

    model_type = "neo_text"
    base_config_key = "llm_config"
    keys_to_ignore_at_inference = ["cache", "past_key_values"]

    def __init__(
        self,
        vocab_size: int = 151936,
        hidden_size: int = 2048,
        intermediate_size: int = 6144,
        num_hidden_layers: int = 40,
        extra_num_layers: int = 12,
        num_attention_heads: int = 16,
        num_key_value_heads: int | None = 8,
        head_dim: int | None = 128,
        hidden_act: str = "silu",
        max_position_embeddings: int = 40960,
        max_position_embeddings_hw: int = 10000,
        rope_theta: float | None = None,
        rope_theta_hw: float = 10000.0,
        rms_norm_eps: float = 1e-6,
        initializer_range: float = 0.02,
        tie_word_embeddings: bool = True,
        qk_norm: bool = True,
        text_bypasses_pre_buffer: bool = False,
        attention_bias: bool = False,
        use_cache: bool = True,
        rope_scaling: dict | None = None,
        rope_parameters: dict | None = None,
        **kwargs: Any,
    ) -> None:
        scaled = rope_scaling or rope_parameters or {}
        _check_unscaled("rope_scaling" if rope_scaling else "rope_parameters", scaled)
        if attention_bias:
            raise ValueError("llm_config.attention_bias = true is not supported: a NEO layer has no biases")
        if hidden_act != "silu":
            raise ValueError(
                f"llm_config.hidden_act = {hidden_act!r} is not supported: a NEO layer uses SwiGLU ('silu')"
            )
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.extra_num_layers = _scalar(extra_num_layers)
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_attention_heads if num_key_value_heads is None else num_key_value_heads
        self.head_dim = hidden_size // num_attention_heads if head_dim is None else head_dim
        self.hidden_act = hidden_act
        self.max_position_embeddings = max_position_embeddings
        self.max_position_embeddings_hw = _scalar(max_position_embeddings_hw)
        self.rope_theta = _base(rope_theta, scaled)
        self.rope_theta_hw = _scalar(rope_theta_hw)
        self.rms_norm_eps = rms_norm_eps
        self.initializer_range = initializer_range
        self.qk_norm = qk_norm
        self.text_bypasses_pre_buffer = text_bypasses_pre_buffer
        self.attention_bias = attention_bias
        self.use_cache = use_cache
        kwargs.pop("model_type", None)
        super().__init__(**kwargs)
        self.tie_word_embeddings = tie_word_embeddings

    @property
    def rope_parameters(self) -> dict[str, Any]:
        """The temporal rotation as transformers 5 writes it; `rope_theta` is what config.json holds."""
        return {"rope_type": "default", "rope_theta": self.rope_theta}

    @rope_parameters.setter
    def rope_parameters(self, value: dict | None) -> None:
        _check_unscaled("rope_parameters", value or {})
        self.rope_theta = (value or {}).get("rope_theta", self.rope_theta)


class NeoOVConfig(PreTrainedConfig):
    """Configuration of `NeoOVForConditionalGeneration`; `model_type` is the released checkpoints' `neo_chat`.

    `vision_config` and `llm_config` are dicts or configs. `get_text_config()` is `llm_config`, which may also be passed
    as `text_config`; `image_token_id` is `img_context_token_id`.
    Unknown keys are kept and written back; two are ours: `grown_from`, the packaged language
    model (a name of `checkpoints.registry.BASES`) that the model grew from, and `made_from`, the model of the Hub,
    `org/name@commit`, that it was converted or trained from.
    """

    model_type = "neo_chat"
    sub_configs = {"vision_config": NeoOVVisionConfig, "llm_config": NeoOVTextConfig}
    keys_to_ignore_at_inference = ["cache", "past_key_values"]
    attribute_map = {"image_token_id": "img_context_token_id"}

    def __init__(
        self,
        vision_config: dict | NeoOVVisionConfig | None = None,
        llm_config: dict | NeoOVTextConfig | None = None,
        img_context_token_id: int = 151669,
        img_start_token_id: int = 151670,
        img_end_token_id: int = 151671,
        downsample_ratio: float | None = None,
        template: str = "neo1_0",
        **kwargs: Any,
    ) -> None:
        check_keys(kwargs.keys())
        renamed = kwargs.pop("text_config", None)
        if renamed is not None and llm_config is not None:
            raise ValueError("text_config and llm_config are two names of one argument: pass one of them")
        vision, text = vision_config or {}, (llm_config if renamed is None else renamed) or {}
        self.vision_config = vision if isinstance(vision, NeoOVVisionConfig) else NeoOVVisionConfig(**vision)
        self.llm_config = text if isinstance(text, NeoOVTextConfig) else NeoOVTextConfig(**text)
        # One truth for a number that released configs repeat: the width of the language part.
        self.vision_config.llm_hidden_size = self.llm_config.hidden_size
        self.img_context_token_id = img_context_token_id
        self.img_start_token_id = img_start_token_id
        self.img_end_token_id = img_end_token_id
        self.downsample_ratio = _scalar(downsample_ratio) or self.vision_config.downsample_ratio
        self.template = template
        # Released configs carry `auto_map` for remote code, which is never run and so never written.
        kwargs.pop("auto_map", None)
        tied = kwargs.pop("tie_word_embeddings", None)
        super().__init__(**kwargs)
        if tied is not None:
            self.llm_config.tie_word_embeddings = tied
        self.tie_word_embeddings = self.llm_config.tie_word_embeddings

    @property
    def text_config(self) -> NeoOVTextConfig:
        """The name under which transformers, PEFT and vLLM look for the language part (`get_text_config`)."""
        return self.llm_config

    @text_config.setter
    def text_config(self, value: dict | NeoOVTextConfig) -> None:
        self.llm_config = value if isinstance(value, NeoOVTextConfig) else NeoOVTextConfig(**value)

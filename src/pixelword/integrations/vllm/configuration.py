"""Settings vLLM needs before the model is built, and checks that reject wrong configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig
from vllm.config import ModelConfig, VllmConfig
from vllm.model_executor.models import ModelRegistry
from vllm.model_executor.models.config import MODELS_CONFIG_MAP, VerifyAndUpdateConfig
from vllm.renderers.registry import RENDERER_REGISTRY
from vllm.tokenizers import TokenizerRegistry
from vllm.transformers_utils.model_arch_config_convertor import (
    MODEL_ARCH_CONFIG_CONVERTORS,
    ModelArchConfigConvertorBase,
)

from pixelword.checkpoints.names import is_delta
from pixelword.errors import CheckpointError, InputError
from pixelword.model.auto import register
from pixelword.model.config import NeoOVConfig
from pixelword.processing import NeoOVProcessor

from . import rendering, videos

ARCHITECTURE = "NeoOVForConditionalGeneration"


class NeoOVEngineConfig(NeoOVConfig):
    """The configuration for vLLM, with attributes that vLLM needs and a checkpoint may lack."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.architectures = [ARCHITECTURE]  # released configurations name another class, or none
        size = self.llm_config.head_dim
        self.llm_config.mrope_section = [size // 2, size // 4, size // 4]  # there being one turns three axes on


class NeoOVArchitecture(ModelArchConfigConvertorBase):
    """Cache heads are as wide as Q and K, and images attend bidirectionally."""

    def get_head_size(self) -> int:
        return 2 * self.hf_text_config.head_dim

    def is_mm_prefix_lm(self, supports_multimodal: bool = True) -> bool:
        return supports_multimodal


class NeoOVSettings(VerifyAndUpdateConfig):
    """Checks run after vLLM has parsed its options, before anything is loaded."""

    @staticmethod
    def verify_and_update_model_config(model_config: ModelConfig) -> None:
        if model_config.tokenizer_mode in ("auto", "hf"):
            model_config.tokenizer_mode = rendering.MODE

    @staticmethod
    def verify_and_update_config(vllm_config: VllmConfig) -> None:
        """Raise `InputError` or `CheckpointError` if answers would be wrong or impossible."""
        model, scheduler = vllm_config.model_config, vllm_config.scheduler_config
        check_folder(model.model)
        check_parallel(model.hf_config, vllm_config.parallel_config.tensor_parallel_size)
        if model.multimodal_config is None or not model.is_mm_prefix_lm:
            return
        given = model.multimodal_config.mm_processor_kwargs or {}
        processor = NeoOVProcessor.from_pretrained(model.tokenizer)
        images = processor.image_processor
        _, most = images.budget(given.get("min_pixels"), given.get("max_pixels"))
        check_steps(most // (images.patch_size * images.merge_size) ** 2, scheduler)
        io_kwargs = model.multimodal_config.media_io_kwargs
        for modality, options in videos.settings(processor, most).items():
            io_kwargs[modality] = options | io_kwargs.get(modality, {})
        if scheduler.scheduler_cls is None:
            scheduler.scheduler_cls = "pixelword.integrations.vllm.scheduling.scheduler"


def check_folder(name: str) -> None:
    """Raise `CheckpointError` for a delta: vLLM reads complete checkpoints."""
    if is_delta(Path(name)):
        raise CheckpointError(
            f"{name} holds only what was changed in its base: write it whole with `pixelword convert {name} FOLDER`, "
            "and give vLLM that folder"
        )


def check_parallel(config: NeoOVConfig, ranks: int) -> None:
    """Raise `InputError` if heads cannot be split evenly."""
    heads, keys = config.llm_config.num_attention_heads, config.llm_config.num_key_value_heads
    if heads % ranks or keys % ranks:
        raise InputError(
            f"--tensor-parallel-size {ranks} does not divide {heads} heads and {keys} key heads: take a divisor of "
            f"{keys}, and --data-parallel-size for more"
        )


def check_steps(tokens: int, scheduler: Any) -> None:
    """Raise `InputError` if the largest image would not fit into one step."""
    for option, most in (
        ("--max-num-batched-tokens", scheduler.max_num_batched_tokens),
        ("--long-prefill-token-threshold", scheduler.long_prefill_token_threshold or tokens),
    ):
        if most < tokens:
            raise InputError(
                f"{option} {most} is below the largest image's {tokens} tokens, and an image is prefilled in one step: "
                f"raise it to {tokens}, or shrink images with --mm-processor-kwargs "
                f"'{{\"max_pixels\": {most * 1024}}}'"
            )


def install() -> None:
    """Register the model, its settings, video loader and chat renderer with vLLM."""
    if register():  # another plugin that has the type keeps it
        AutoConfig.register("neo_chat", NeoOVEngineConfig, exist_ok=True)  # in place of its base, which is ours
        MODEL_ARCH_CONFIG_CONVERTORS["neo_chat"] = NeoOVArchitecture
    ModelRegistry.register_model(ARCHITECTURE, "pixelword.integrations.vllm.model:NeoOVForConditionalGeneration")
    MODELS_CONFIG_MAP[ARCHITECTURE] = NeoOVSettings
    if rendering.MODE not in RENDERER_REGISTRY.renderers:
        TokenizerRegistry.register(rendering.MODE, "vllm.tokenizers.hf", "CachedHfTokenizer")
        RENDERER_REGISTRY.register(rendering.MODE, rendering.__name__, rendering.NeoOVRenderer.__name__)

"""Released configurations with their quirks, and what is written back."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from pixelword.model import SIZES, NeoOVConfig, NeoOVTextConfig
from pixelword.model.footprint import count_parameters, kv_bytes_per_token, visual_tokens

#: As in the released files: lists of one number, a missing rope_theta_vision, keys that nobody knows, remote code.
RELEASED: dict[str, Any] = {
    "architectures": ["NEOChatModel"],
    "auto_map": {"AutoConfig": "configuration_neo_chat.NEOChatConfig"},
    "model_type": "neo_chat",
    "downsample_ratio": [0.5],
    "template": "neo1_0",
    "use_llm_lora": 0,
    "vision_config": {
        "hidden_size": 1024,
        "llm_hidden_size": [2048],
        "downsample_ratio": [0.5],
        "min_pixels": [65536],
        "max_pixels": [4194304],
        "patch_size": 16,
        "dropout": 0.1,
    },
    "llm_config": {
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": 2048,
        "num_hidden_layers": 40,
        "extra_num_layers": [12],
        "rope_theta": 5000000,
        "rope_theta_hw": [10000.0],
        "rope_scaling": None,
        "max_window_layers": 28,
        "tie_word_embeddings": True,
        "eos_token_id": 151645,
    },
}


def test_quirks_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(RELEASED))
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, NeoOVConfig)
    vision, text = config.vision_config, config.llm_config
    assert (vision.min_pixels, vision.max_pixels, vision.llm_hidden_size) == (65536, 4194304, 2048)
    assert (vision.rope_theta_vision, vision.downsample_ratio, vision.merge_size) == (10000.0, 0.5, 2)
    assert (text.extra_num_layers, text.rope_theta, text.rope_theta_hw) == (12, 5000000, 10000.0)
    assert (config.img_context_token_id, config.img_start_token_id, config.img_end_token_id) == (151669, 151670, 151671)
    assert config.downsample_ratio == 0.5 and config.tie_word_embeddings is True


def test_what_is_written_is_what_was_read(tmp_path: Path) -> None:
    config = NeoOVConfig.from_dict(copy.deepcopy(RELEASED))
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert "auto_map" not in written
    assert written["model_type"] == "neo_chat" and written["use_llm_lora"] == 0
    assert written["vision_config"]["dropout"] == 0.1
    assert written["vision_config"]["min_pixels"] == 65536
    for key in ("num_hidden_layers", "extra_num_layers", "rope_theta", "rope_theta_hw", "max_window_layers"):
        expected = RELEASED["llm_config"][key]
        assert written["llm_config"][key] == (expected[0] if isinstance(expected, list) else expected), key
    again = NeoOVConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()


def test_the_text_part_is_found() -> None:
    config = NeoOVConfig()
    assert config.get_text_config() is config.llm_config
    assert config.get_text_config(decoder=True) is config.llm_config
    assert isinstance(config.llm_config, NeoOVTextConfig)


def test_a_tie_at_the_top_is_the_language_parts() -> None:
    assert NeoOVConfig(tie_word_embeddings=False).llm_config.tie_word_embeddings is False
    assert NeoOVConfig(llm_config={"tie_word_embeddings": False}).tie_word_embeddings is False


@pytest.mark.parametrize(
    "wrong",
    [{"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, {"attention_bias": True}, {"hidden_act": "gelu"}],
    ids=str,
)
def test_what_no_layer_of_ours_does_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NeoOVConfig(llm_config=wrong)


def test_facts() -> None:
    config = NeoOVConfig(**SIZES["2b"])
    parts = count_parameters(config)
    assert sum(parts.values()) - parts["patch embedding"] == pytest.approx(2.58e9, rel=0.005)
    assert kv_bytes_per_token(config) == 245_760
    assert kv_bytes_per_token(NeoOVConfig(**SIZES["9b"])) == 258_048
    assert visual_tokens(config, 704, 1280) == 22 * 40


def test_mini_is_its_language_model_and_what_grows_on_it() -> None:
    parts = count_parameters(NeoOVConfig(**SIZES["mini"]))
    assert parts["patch embedding"] == pytest.approx(1.6e6, rel=0.03)
    assert parts["pre-buffer"] == pytest.approx(23.9e6, rel=0.005)
    assert sum(parts.values()) == pytest.approx(134.5e6 + 38.7e6, rel=0.002)

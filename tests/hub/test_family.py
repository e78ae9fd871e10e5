"""The family told apart: config.json as the eight released models have it, and the others that share its type.

Sizes are tiny; the keys, their order of nesting and their quirks are the released ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForImageTextToText

import pixelword
from pixelword.checkpoints.identify import identified
from pixelword.checkpoints.load import convert, load_pretrained
from pixelword.checkpoints.names import resolve
from pixelword.checkpoints.released import read_config
from pixelword.errors import CheckpointError
from pixelword.model.sizes import RELEASED_IDS, SIZES
from pixelword.processing import NeoOVProcessor


def config_of(name: str, tiny: Any) -> dict[str, Any]:
    """The config.json of a released model, with the tiny network's numbers where that has its own."""
    size, _ = RELEASED_IDS[name]
    text, tied = tiny.llm_config, size == "2b"
    misnamed = name.endswith("NEO1_0-2B-PT")
    ratio: Any = [0.5] if "NEO1_0" in name else 0.5
    code = "internvl_chat" if misnamed else "neo_chat"
    vision = {
        "architectures": ["NEOVisionModel"],
        "model_type": "neo_vision",
        "hidden_size": tiny.vision_config.hidden_size,
        "llm_hidden_size": text.hidden_size,
        "downsample_ratio": ratio,
        "patch_size": 16,
        "num_channels": 3,
        "max_position_embeddings_vision": 10000,
        "min_pixels": [65536],
        "max_pixels": [4194304],
    }
    if not misnamed:  # absent in some of them
        vision["rope_theta_vision"] = 10000.0
    return {
        "architectures": ["NEOChatModel"],
        "auto_map": {
            "AutoConfig": f"configuration_{code}.NEOChatConfig",
            "AutoModel": f"modeling_{code}.NEOChatModel",
            "AutoModelForCausalLM": f"modeling_{code}.NEOChatModel",
        },
        "downsample_ratio": ratio,
        "llm_config": {
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 256,
            "eos_token_id": text.eos_token_id,
            "extra_num_layers": text.extra_num_layers,
            "head_dim": text.head_dim,
            "hidden_act": "silu",
            "hidden_size": text.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": 2048,
            "max_position_embeddings_hw": 10000,
            "max_window_layers": 28 if tied else 36,
            "model_type": "qwen3",
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "rope_theta_hw": 10000.0,
            "sliding_window": None,
            "tie_word_embeddings": tied,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": text.vocab_size,
        },
        "model_type": code,
        "img_context_token_id": tiny.img_context_token_id,
        "img_start_token_id": tiny.img_start_token_id,
        "img_end_token_id": tiny.img_end_token_id,
        "template": "neo1_0",
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "transformers_version": None,
        "use_llm_lora": 0,
        "vision_config": vision,
    }


@pytest.fixture
def made(tiny_model_dir: Path, tiny_config: Any, tmp_path: Path) -> Callable[..., Path]:
    """`made(name)`: the tiny weights under a released model's config.json, without a preprocessor_config.json."""

    def make(name: str) -> Path:
        folder = tmp_path / name.partition("/")[2]
        folder.mkdir()
        tensors = {key: tensor.bfloat16() for key, tensor in load_file(tiny_model_dir / "model.safetensors").items()}
        if "9B" in name:
            head = tensors["language_model.model.embed_tokens.weight"]
            tensors["language_model.lm_head.weight"] = head.flip(0).contiguous()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config_of(name, tiny_config)))
        for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            shutil.copyfile(tiny_model_dir / file, folder / file)
        return folder

    return make


@pytest.mark.parametrize("name", RELEASED_IDS)
def test_every_released_form_is_read_and_saved_repaired(name: str, made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(name)
    answer = pixelword.load(str(folder), device="cpu", dtype="float32").ask("what?", max_new_tokens=4)
    convert(str(folder), tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert saved["model_type"] == "neo_chat" and "auto_map" not in saved and saved["use_llm_lora"] == 0
    assert saved["vision_config"]["min_pixels"] == 65536
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert type(again) is pixelword.NeoOVForConditionalGeneration
    assert (
        pixelword.load(str(tmp_path / "saved"), device="cpu", dtype="float32").ask("what?", max_new_tokens=4) == answer
    )
    images = NeoOVProcessor.from_pretrained(folder).image_processor
    assert (images.min_pixels, images.max_pixels, images.patch_size, images.merge_size) == (65536, 4194304, 16, 2)


def test_a_real_internvl_is_not_taken(tiny_config: Any, tmp_path: Path) -> None:
    config = config_of("Paranioar/NEO1_0-2B-PT", tiny_config)
    for key in ("extra_num_layers", "rope_theta_hw"):
        del config["llm_config"][key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="model_type is 'internvl_chat', not 'neo_chat'"):
        resolve(tmp_path)


GENERATING = {"use_pixel_head": True, "fm_head_layers": 2, "fm_head_dim": 1536, "extra_num_layers_post": 0}


def test_sensenova_is_named_by_its_configuration(made: Callable[..., Path]) -> None:
    folder = made("Paranioar/NEO1_5-9B-SFT")
    config = json.loads((folder / "config.json").read_text())
    del config["llm_config"]["extra_num_layers"]
    config["llm_config"]["rope_theta"] = 5e6
    (folder / "config.json").write_text(json.dumps({**config, **GENERATING}))
    with pytest.raises(CheckpointError, match=r"this is a SenseNova-U1 model.*only NEO is read here"):
        pixelword.load(str(folder))


def test_sensenova_is_named_by_its_tensors(made: Callable[..., Path]) -> None:
    folder = made("Paranioar/NEO1_5-9B-SFT")
    tensors = load_file(folder / "model.safetensors")
    tensors["language_model.model.layers.0.self_attn.q_proj_mot_gen.weight"] = torch.zeros(32, 32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="this is a SenseNova-U1 model"):
        load_pretrained(folder)


@pytest.mark.parametrize("named", [True, False], ids=["with its class", "without"])
def test_a_vocabulary_and_merges_are_a_tokenizer(named: bool, made: Callable[..., Path]) -> None:
    folder = made("Paranioar/NEO1_5-2B-SFT")
    before = NeoOVProcessor.from_pretrained(folder)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.model.save(str(folder))
    state = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    keys = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    config = {
        "added_tokens_decoder": {
            str(token["id"]): {key: token[key] for key in keys} for token in state["added_tokens"]
        },
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    if named:
        config["tokenizer_class"] = "Qwen2Tokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    after = NeoOVProcessor.from_pretrained(folder)
    messages = [{"role": "user", "content": "what is the red cup, and the 12 blue ones?"}]
    ours, theirs = (item.encode(messages, add_generation_prompt=True) for item in (after, before))
    assert ours.input_ids.tolist() == theirs.input_ids.tolist()


def test_a_released_model_is_named() -> None:
    for size, settings in SIZES.items():
        config = pixelword.NeoOVConfig(**settings)
        found = identified(config, {"model_type": "neo_chat"})
        assert found["models"] == [name for name, (of, _) in RELEASED_IDS.items() if of == size]
    two = pixelword.NeoOVConfig(**SIZES["2b"])
    found = identified(two, {"model_type": "internvl_chat"})
    assert found["models"] == ["Paranioar/NEO1_0-2B-PT"] and "`pixelword convert` repairs it" in found["differs"][0]
    exact = identified(two, {"model_type": "neo_chat"}, "Paranioar/NEO1_0-2B-MT@abc")
    assert exact["models"] == ["Paranioar/NEO1_0-2B-MT"]
    two.llm_config.vocab_size += 64
    assert identified(two, {})["differs"] == ["vocab_size is 152000, not 151936"]


def test_verify_says_what_differs(run_verify: Callable[..., dict[str, Any]], made: Callable[..., Path]) -> None:
    found = run_verify(made("Paranioar/NEO1_0-2B-PT"))["released"]
    assert found["models"] == [] and found["size"] == "2b"
    assert "num_hidden_layers is 2, not 40" in found["differs"]
    assert "model_type is internvl_chat" in found["differs"][-1]


@pytest.fixture
def run_verify() -> Callable[..., dict[str, Any]]:
    from pixelword.evaluation.fingerprint.report import report

    return lambda folder: report(folder, headers=True)


REGISTERED = """
import warnings
from transformers import AutoConfig, PreTrainedConfig

class Theirs(PreTrainedConfig):
    model_type = "neo_chat"

AutoConfig.register("neo_chat", Theirs)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import pixelword
print(len([one for one in told if "pixelword.register(replace=True)" in str(one.message)]))
print(type(AutoConfig.for_model("neo_chat")) is Theirs)
print(pixelword.load("nano", device="cpu").ask("what colour is the circle?", images=[PICTURE]))
pixelword.register(replace=True)
print(type(AutoConfig.for_model("neo_chat")) is pixelword.NeoOVConfig)
pixelword.unregister()
AutoConfig.register("neo_chat", Theirs)
print(type(AutoConfig.for_model("neo_chat")) is Theirs)
"""


def test_another_packages_type_stays_its_own() -> None:
    picture = Path(__file__).parents[2] / "examples" / "red_circle.png"
    code = REGISTERED.replace("PICTURE", repr(str(picture)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1", "True", "red", "True", "True"]


OWN_CODE = """
import pixelword
from transformers import AutoConfig
try:
    AutoConfig.from_pretrained("FOLDER", trust_remote_code=True)
except pixelword.errors.CheckpointError as error:
    print("pixelword.unregister()" in str(error))
pixelword.unregister()
print(type(AutoConfig.from_pretrained("FOLDER", trust_remote_code=True)).__name__)
"""


def test_sensenovas_own_code_has_a_way(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("Paranioar/NEO1_5-9B-SFT")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "configuration_own.OwnConfig"}
    (folder / "config.json").write_text(json.dumps({**config, **GENERATING}))
    code = (
        "from transformers import PreTrainedConfig\nclass OwnConfig(PreTrainedConfig):\n    model_type = 'neo_chat'\n"
    )
    (folder / "configuration_own.py").write_text(code)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", OWN_CODE.replace("FOLDER", str(folder))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["True", "OwnConfig"], done.stderr


def test_what_is_read_again_keeps_its_source(made: Callable[..., Path]) -> None:
    folder = made("Paranioar/NEO1_5-2B-SFT")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "made_from": "org/name@abc"}))
    assert read_config(folder).made_from == "org/name@abc"

"""The family told apart: config.json as the eight released models have it, and the others that share its type.

Sizes are tiny; the keys, their order of nesting and their quirks are the released ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import config_of
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


@pytest.mark.parametrize("name", RELEASED_IDS)
def test_every_released_form_is_read_and_saved_repaired(
    name: str, released: Callable[..., Path], tmp_path: Path
) -> None:
    folder = released(name)
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


def test_sensenova_is_named_by_its_configuration(released: Callable[..., Path]) -> None:
    folder = released("Paranioar/NEO1_5-9B-SFT")
    config = json.loads((folder / "config.json").read_text())
    del config["llm_config"]["extra_num_layers"]
    config["llm_config"]["rope_theta"] = 5e6
    (folder / "config.json").write_text(json.dumps({**config, **GENERATING}))
    with pytest.raises(CheckpointError, match=r"this is a SenseNova-U1 model.*only NEO is read here"):
        pixelword.load(str(folder))


def test_sensenova_is_named_by_its_tensors(released: Callable[..., Path]) -> None:
    folder = released("Paranioar/NEO1_5-9B-SFT")
    tensors = load_file(folder / "model.safetensors")
    tensors["language_model.model.layers.0.self_attn.q_proj_mot_gen.weight"] = torch.zeros(32, 32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="this is a SenseNova-U1 model"):
        load_pretrained(folder)


@pytest.mark.parametrize("named", [True, False], ids=["with its class", "without"])
def test_a_vocabulary_and_merges_are_a_tokenizer(named: bool, released: Callable[..., Path]) -> None:
    folder = released("Paranioar/NEO1_5-2B-SFT")
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


def test_verify_says_what_differs(run_verify: Callable[..., dict[str, Any]], released: Callable[..., Path]) -> None:
    found = run_verify(released("Paranioar/NEO1_0-2B-PT"))["released"]
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


def test_sensenovas_own_code_has_a_way(released: Callable[..., Path], tmp_path: Path) -> None:
    folder = released("Paranioar/NEO1_5-9B-SFT")
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


def test_what_is_read_again_keeps_its_source(released: Callable[..., Path]) -> None:
    folder = released("Paranioar/NEO1_5-2B-SFT")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "made_from": "org/name@abc"}))
    assert read_config(folder).made_from == "org/name@abc"

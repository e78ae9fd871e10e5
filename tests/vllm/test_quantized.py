"""A checkpoint with int8 weights, as llm-compressor writes them: every projection is read and run as int8."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

PROJECTION = re.compile(r"\.(self_attn|mlp)\.\w+_proj(_hw)?\.weight$")
WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False}
INPUTS = {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}


def quantized(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    tensors = {}
    for name, weight in load_file(source / "model.safetensors").items():
        tensors[name] = weight
        if PROJECTION.search(name):
            scale = weight.float().abs().amax(1, keepdim=True) / 127
            tensors[name] = (weight.float() / scale).round().to(torch.int8)
            tensors[f"{name}_scale"] = scale
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head", "language_model.lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": WEIGHTS, "input_activations": INPUTS}},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_int8(engine: Any, nano: Any, nano_folder: Path, questions: Any, greedy: Any, tmp_path: Path) -> None:
    llm = engine(quantized(nano_folder, tmp_path / "int8"))
    core = llm.llm_engine.engine_core.engine_core
    layer = core.model_executor.driver_worker.model_runner.model.language_model.model.layers[0]
    parts = (layer.self_attn.qkv_proj, layer.self_attn.qk_proj_hw, layer.self_attn.o_proj, layer.mlp.gate_up_proj)
    assert {type(part.scheme).__name__ for part in parts} == {"CompressedTensorsW8A8Int8"}
    answers = [list(item.outputs[0].token_ids) for item in greedy(llm, list(questions.values()))]
    equal = [answer == nano.tokens(item) for answer, item in zip(answers, questions.values(), strict=True)]
    assert sum(equal) >= len(equal) - 1

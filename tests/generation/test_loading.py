"""Loading takes the memory of the weights and little more, whatever they are loaded as."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pixelword.checkpoints.load import load_pretrained
from pixelword.generation.loading import load_model
from pixelword.generation.prepared_weights import prepare
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.model.footprint import count_parameters, weight_bytes

#: Layers of 5.2 million numbers each, a table of 4.1 million.
SHAPE = {
    "vision_config": {"hidden_size": 64},
    "llm_config": {
        "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 24,
        "extra_num_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
    },
    "img_context_token_id": 5, "img_start_token_id": 6, "img_end_token_id": 7,
}  # fmt: skip
#: Megabytes that allocators and a layer's temporaries may take.
SLACK = 40e6
PROBE = """
import json, re, sys
from pathlib import Path
import torch
from pixelword.generation.loading import load_model
torch.set_num_threads(1)
def memory(name): return 1024 * int(re.search(rf"{name}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
small, folder, dtype, quantize = sys.argv[1:]
load_model(small, dtype=dtype, quantize=json.loads(quantize))  # what is imported and measured at first use
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
model = load_model(folder, dtype=dtype, quantize=json.loads(quantize))
for parameter in model.parameters():
    parameter.sum()  # mapped pages count once they are read
print(memory("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in bfloat16, in several files."""
    folder = tmp_path_factory.mktemp("sharded")
    torch.manual_seed(0)
    NeoOVForConditionalGeneration(NeoOVConfig(**SHAPE)).bfloat16().save_pretrained(folder, max_shard_size="40MB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    return folder


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux' /proc")
@pytest.mark.parametrize(
    ("dtype", "quantize"), [("bfloat16", None), ("float32", None), ("float32", "int8"), ("bfloat16", "int4")]
)
def test_the_peak_is_that_of_the_weights(sharded: Path, dtype: str, quantize: str | None) -> None:
    config = NeoOVConfig(**SHAPE)
    weights = sum(count_parameters(config).values()) * getattr(torch, dtype).itemsize
    if quantize is not None:
        weights = weight_bytes(config, int(quantize[-1]))
    command = [sys.executable, "-c", PROBE, "nano", str(sharded), dtype, json.dumps(quantize)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 1.1 * weights + SLACK


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float16"])
def test_every_tensor_is_the_file_s_in_the_type_that_is_wanted(sharded: Path, dtype: str) -> None:
    kind = getattr(torch, dtype)
    expected = NeoOVForConditionalGeneration.from_pretrained(sharded, dtype=kind).state_dict()
    found = load_pretrained(sharded, dtype=dtype)
    assert found.dtype == found.config.dtype == kind and not found.training
    assert found.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())
    assert found.get_output_embeddings().weight is found.get_input_embeddings().weight


def test_what_is_changed_in_memory_is_not_changed_in_the_file(sharded: Path) -> None:
    model = load_pretrained(sharded)
    before = model.get_input_embeddings().weight[0].clone()
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()
    assert torch.equal(load_pretrained(sharded).get_input_embeddings().weight[0], before)


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_layer_by_layer_gives_the_logits_of_the_whole_model_quantized(sharded: Path, quantize: str) -> None:
    whole = load_pretrained(sharded, dtype="float32")
    prepare(whole, quantization=quantize)
    ids = torch.tensor([[9, 10, 11, 12]])
    with torch.inference_mode():
        logits = load_model(sharded, dtype="float32", quantize=quantize)(input_ids=ids).logits
        assert torch.equal(logits, whole(input_ids=ids).logits)

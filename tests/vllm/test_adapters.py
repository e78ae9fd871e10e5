"""Adapters of PEFT's, on every projection that the model has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from vllm.lora.request import LoRARequest

from pixelword.checkpoints.load import load_pretrained

PROJECTIONS = ("q_proj", "q_proj_hw", "k_proj", "k_proj_hw", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def test_lora(
    engine: Any, nano: Any, nano_folder: Path, questions: Any, greedy: Any, assert_equal: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = load_pretrained(nano_folder, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=list(PROJECTIONS)))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.save_pretrained(tmp_path / "adapter")

    llm = engine(nano_folder, enable_lora=True, max_lora_rank=8)
    request = LoRARequest("adapter", 1, str(tmp_path / "adapter"))
    conversations = list(questions.values())
    changed = type(nano)(adapted.eval(), nano.processor)
    for answer, conversation in zip(greedy(llm, conversations, lora_request=request), conversations, strict=True):
        assert_equal(answer, changed, conversation, tolerance=1e-3)
    for answer, conversation in zip(greedy(llm, conversations), conversations, strict=True):
        assert_equal(answer, nano, conversation)
    assert all(changed.answer(item) != nano.answer(item) for item in conversations)

"""TRL's trainers in the form of their own documentation, on nano with LoRA: `make test-trl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from pixelword.checkpoints.names import resolve

pytest.importorskip("trl", reason="TRL has an environment of its own: make test-trl")

EXAMPLES = Path(__file__).parents[2] / "examples"
ASKED = [("red_circle.png", "what colour is the circle?", "red"), ("three_squares.png", "how many objects?", "3")]
COMMON: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-2,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "gradient_checkpointing": False,
}


def image(name: str) -> Image.Image:
    return Image.open(EXAMPLES / name).convert("RGB")


@pytest.fixture
def nano() -> tuple[Any, Any]:
    folder = resolve("nano")
    return AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)


@pytest.fixture
def lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, target_modules="all-linear")


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def has_learnt(trainer: Any) -> bool:
    """LoRA's second factors begin at zero."""
    model = trainer.model
    return all(
        bool(item.any()) for name, item in model.named_parameters() if "lora_B" in name and "layers.0.mlp" in name
    )


@pytest.mark.parametrize("options", [{}, {"assistant_only_loss": True}, {"max_length": None}], ids=str)
def test_sft(nano: tuple[Any, Any], lora: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, processor = nano
    rows = [
        {
            "images": [image(name)],
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]},
                {"role": "assistant", "content": [{"type": "text", "text": answer}]},
            ],
        }
        for name, question, answer in ASKED
    ]
    trainer = SFTTrainer(
        model=model,
        processing_class=processor,
        args=SFTConfig(output_dir=str(tmp_path), **COMMON, **options),
        train_dataset=Dataset.from_list(rows * 2),
        peft_config=lora,
    )
    trainer.train()
    found = losses(trainer)
    assert len(found) == 2 and all(0 < item < 20 for item in found) and has_learnt(trainer)
    if options.get("assistant_only_loss"):  # nano knows these answers, and the questions are not learnt
        assert found[0] < 1


@pytest.mark.parametrize("images", [True, False], ids=["images", "words"])
def test_grpo(nano: tuple[Any, Any], lora: Any, tmp_path: Path, images: bool) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    model, processor = nano
    processor.grid_name = "image_grid_thw"  # the one name of a grid that GRPOTrainer passes on
    rows = [
        {"prompt": [{"role": "user", "content": question}], **({"image": image(name)} if images else {})}
        for name, question, _ in ASKED
    ]

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [float(number % 2) for number in range(len(completions))]

    torch.manual_seed(0)
    trainer = GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(tmp_path), num_generations=2, max_completion_length=4, temperature=3.0, **COMMON
        ),
        train_dataset=Dataset.from_list(rows),
        peft_config=lora,
    )
    trainer.train()
    assert len(losses(trainer)) == 2 and has_learnt(trainer)

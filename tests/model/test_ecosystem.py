"""What people do with a transformers model: place, train, adapt, quantize, compile and resize it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pixelword.model import NeoOVForConditionalGeneration
from pixelword.model.masks import BLOCK

Prompt = Callable[..., dict[str, Tensor]]


@pytest.fixture
def pictured(prompt: Prompt) -> dict[str, Tensor]:
    return prompt(3, (2, 3), 2, (1, 2), 2, seed=1)


def loss_of(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    return model(**inputs, labels=inputs["input_ids"]).loss


@pytest.mark.parametrize("place", ["auto", "cpu", {"": "cpu"}], ids=str)
def test_device_map(model: Any, pictured: dict[str, Tensor], place: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    placed = NeoOVForConditionalGeneration.from_pretrained(tmp_path, device_map=place)
    with torch.no_grad():
        assert torch.equal(placed(**pictured).logits, model(**pictured).logits)


def test_layers_may_wait_on_a_disk(model: Any, pictured: dict[str, Tensor], tmp_path: Path) -> None:
    """accelerate's hooks move what goes into a layer, the interval too."""
    from accelerate import dispatch_model

    model.save_pretrained(tmp_path / "model")
    placed = NeoOVForConditionalGeneration.from_pretrained(tmp_path / "model")
    parts = {"vision_model": "cpu", "language_model.lm_head": "cpu", "language_model.model.norm": "cpu"}
    parts |= {"language_model.model.embed_tokens": "cpu"}
    parts |= {f"language_model.model.layers.{i}": "disk" if i else "cpu" for i in range(3)}
    dispatch_model(placed, parts, main_device="cpu", offload_dir=str(tmp_path / "offload"))
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 4, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        assert torch.equal(placed(**pictured).logits, model(**pictured).logits)
        assert torch.equal(placed.generate(**pictured, **options), model.generate(**pictured, **options))


def test_trainer_takes_a_step(fresh_model: Any, batch: Prompt, prompt: Prompt, tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    prompts = [prompt(3, (2, 3), 2, seed=1), prompt(5, seed=2), prompt((1, 2), 4, seed=3), prompt(6, seed=4)]

    def collate(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        together = batch(rows)
        return {**together, "labels": together["input_ids"].masked_fill(together["attention_mask"] == 0, -100)}

    network = fresh_model()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-2,
        remove_unused_columns=False,
        report_to=[],
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=1,
        seed=0,
    )
    result = Trainer(network, arguments, data_collator=collate, train_dataset=prompts).train()
    # num_items_in_batch: the mean over all labels of both micro-batches, as one batch of four has it
    network_before = fresh_model()
    with torch.no_grad():
        logits_loss, labels = torch.tensor(0.0), 0
        for item in prompts:
            count = item["input_ids"].shape[1] - 1
            logits_loss += loss_of(network_before, item) * count
            labels += count
    assert result.training_loss == pytest.approx((logits_loss / labels).item(), rel=0.2)
    changed = [name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])]
    assert len(changed) == len(before)
    again = NeoOVForConditionalGeneration.from_pretrained(tmp_path / "checkpoint-1")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "q_proj_hw", "k_proj", "k_proj_hw", "v_proj", "o_proj"]])
def test_lora(fresh_model: Any, pictured: dict[str, Tensor], targets: Any, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    network = fresh_model()
    with torch.no_grad():
        plain = network(**pictured).logits
    saved = ["patch_embedding", "dense_embedding"]
    adapted = get_peft_model(network, LoraConfig(r=2, target_modules=targets, modules_to_save=saved))
    torch.testing.assert_close(adapted(**pictured).logits, plain)
    loss_of(adapted, pictured).backward()
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name or "modules_to_save" in name for name in trained)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
        changed = adapted(**pictured).logits
        adapted.save_pretrained(tmp_path)
        again = PeftModel.from_pretrained(fresh_model(), tmp_path).eval()
        torch.testing.assert_close(again(**pictured).logits, changed)
        merged = again.merge_and_unload()
        torch.testing.assert_close(merged(**pictured).logits, changed, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(changed, plain)


def test_int8_weights(fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    network = fresh_model(tie_word_embeddings=False)
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 4, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        exact = network(**pictured).logits
        quantize_(network.language_model, Int8WeightOnlyConfig())
        assert "AffineQuantized" in type(network.language_model.model.layers[0].mlp.up_proj.weight).__name__ or hasattr(
            network.language_model.model.layers[0].mlp.up_proj.weight, "qdata"
        )
        rough = network(**pictured).logits
        assert network.generate(**pictured, **options).shape == (1, pictured["input_ids"].shape[1] + 4)
    assert float((rough - exact).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(fresh_model: Any, pictured: dict[str, Tensor], reentrant: bool) -> None:
    gradients = []
    for checkpointed in (False, True):
        network = fresh_model().train()
        if checkpointed:
            network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
            network.enable_input_require_grads()
        loss_of(network, pictured).backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_layers_compile(fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    """Whole, without a graph break; "aot_eager" traces both passes and leaves out the C++ compiler's minutes."""
    network, plain = (fresh_model(num_hidden_layers=1, extra_num_layers=0).train() for _ in range(2))
    network.language_model.model.layers[0].compile(dynamic=False, fullgraph=True, backend="aot_eager")
    losses = [loss_of(item, pictured) for item in (network, plain)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    for loss in losses:
        loss.backward()
    for (name, item), other in zip(network.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(item.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)


class Text(torch.nn.Module):
    """Text alone, as `torch.export` wants it: a module of tensors."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.network(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits


@pytest.mark.parametrize(
    ("way", "bypasses"),
    [
        ("export", False),
        pytest.param("export", True, marks=pytest.mark.slow),
        *(
            pytest.param(way, bypasses, marks=pytest.mark.slow)
            for way in ("export of any length", "fullgraph")
            for bypasses in (False, True)
        ),
    ],
)
@torch.no_grad()
def test_text_is_exported_and_compiled_as_one_graph(fresh_model: Any, way: str, bypasses: bool) -> None:
    """Padding is an input of the graph; what cannot be checked in tracing is checked when the graph runs."""
    network = fresh_model(text_bypasses_pre_buffer=bypasses).eval()
    ids = torch.arange(8, 26).view(2, 9)
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    text = Text(network)
    if way == "fullgraph":
        graph: Any = torch.compile(text, fullgraph=True, backend="aot_eager")
    else:
        length = {1: torch.export.Dim.DYNAMIC} if way == "export of any length" else None
        graph = torch.export.export(text, (ids, torch.ones_like(mask)), dynamic_shapes=(length, length)).module()
    inputs = [(ids, mask), (ids, torch.ones_like(mask))]
    if way == "export of any length":
        inputs.append((ids.repeat(1, 5), mask.repeat(1, 5).sort(1).values))
    for item in inputs:
        torch.testing.assert_close(graph(*item)[item[1] == 1], text(*item)[item[1] == 1], rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="visual tokens but no images"):
        graph(torch.full_like(ids, network.config.img_context_token_id), mask)
    gap = mask.clone()
    gap[1, 5] = 0
    with pytest.raises(RuntimeError, match="zeros between ones"):
        graph(ids, gap)


@pytest.mark.slow
@torch.no_grad()
def test_with_images_a_compiled_network_answers_alike(fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    """In several graphs: how many tokens an image has is a value, not a shape."""
    network = fresh_model().eval()
    expected = network(**pictured).logits
    found = torch.compile(network, backend="aot_eager")(**pictured).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Largest(TorchDispatchMode):
    """Remembers the most elements that any operator returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(item, Tensor):
                self.elements = max(self.elements, item.numel())
        return result


@pytest.mark.parametrize("layout", ["words", "pictures", "packed", "padded", "step"])
def test_memory_grows_linearly(fresh_model: Any, prompt: Prompt, layout: str) -> None:
    """No operator makes an L x L tensor. Linear: what doubling L doubles, forward and backward."""
    network = fresh_model(num_hidden_layers=1, extra_num_layers=0, hidden_size=16, num_attention_heads=2, head_dim=4)
    largest = []
    for length in (2048, 4096):
        parts = [(8, 8), 30] * (length // 96) if layout != "words" else [length]
        inputs = prompt(*parts)
        size = inputs["input_ids"].shape[1]
        if layout == "packed":
            inputs["cu_seqlens"] = torch.tensor([0, size // 3 // 96 * 96, size])
        if layout == "padded":
            inputs = {**inputs, "input_ids": inputs["input_ids"].repeat(2, 1)}
            inputs |= {name: inputs[name].repeat(2, 1) for name in ("image_grid_hw", "pixel_values")}
            inputs["attention_mask"] = torch.ones(2, size, dtype=torch.long)
            inputs["attention_mask"][0, size - 5 :] = 0
        with Largest() as seen:
            if layout == "step":
                with torch.no_grad():
                    cache = network(**inputs, use_cache=True, logits_to_keep=1).past_key_values
                    network(input_ids=inputs["input_ids"][:, :1], past_key_values=cache)
            else:
                network(**inputs, labels=inputs["input_ids"], skip_logits=True).loss.backward()
        assert seen.elements < size * size
        largest.append(seen.elements)
    assert largest[1] <= 2.1 * max(largest[0], BLOCK * 2048)


def test_vocabulary_may_be_resized(fresh_model: Any, pictured: dict[str, Tensor], tmp_path: Path) -> None:
    network = fresh_model(tie_word_embeddings=True)
    with torch.no_grad():
        before = network(**pictured).logits
        network.resize_token_embeddings(70)
        after = network(**pictured).logits
    assert after.shape[-1] == 70 == network.config.llm_config.vocab_size
    torch.testing.assert_close(after[..., :64], before)
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight
    network.save_pretrained(tmp_path)
    assert NeoOVForConditionalGeneration.from_pretrained(tmp_path).get_input_embeddings().weight.shape[0] == 70


def test_the_kernel_is_chosen_without_noise(fresh_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    network = fresh_model()
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        for kernel in ("eager", "flex_attention", "sdpa"):
            network.set_attn_implementation(kernel)
            parts = (network.config, network.config.llm_config, network.config.vision_config)
            assert [part._attn_implementation for part in parts] == [kernel] * 3
        network.set_attn_implementation({"llm_config": "eager"})
        assert network.config.llm_config._attn_implementation == "eager"
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records
    for wrong in ("flash_attention_2", {"llm_config": "sparse"}):
        with pytest.raises(ValueError, match="use one of eager, sdpa, flex_attention"):
            network.set_attn_implementation(wrong)

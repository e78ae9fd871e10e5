"""Adapters over projections in 8 bits: they train as over the matrices that the numbers stand for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from pixelword.model import NeoOVForConditionalGeneration
from pixelword.training.lora import add_adapters, merged
from pixelword.training.recipe import LoraRecipe
from pixelword.training.recipe_file import load_recipe
from pixelword.training.rounded_base import RoundedLinear, dense, round_frozen
from pixelword.training.stages import decoder_layers, set_trainable
from pixelword.training.trainer import Trainer

FINETUNE = Path(__file__).parents[2] / "examples" / "finetune"
LORA = LoraRecipe(rank=2, alpha=8.0)
IDS = torch.arange(6, 30)[None]


@pytest.fixture
def linear() -> Iterator[nn.Linear]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield nn.Linear(48, 32, bias=False).requires_grad_(False)


@pytest.fixture
def rounded(tiny_config) -> NeoOVForConditionalGeneration:
    """A tiny model with adapters, moved at random, over rounded projections."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NeoOVForConditionalGeneration(tiny_config).eval()
        set_trainable(model, [])
        round_frozen(decoder_layers(model))
        with torch.no_grad():
            for parameter in add_adapters(model, LORA):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def unrounded(model: NeoOVForConditionalGeneration) -> NeoOVForConditionalGeneration:
    """A copy whose projections are the dense matrices that the rounded ones stand for."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, RoundedLinear):
                plain = nn.Linear(module.in_features, module.out_features, bias=False)
                plain.weight = nn.Parameter(dense(dict(module.named_parameters(prefix="x")))["x.weight"], False)
                setattr(parent, name, plain)
    return model


def loss_and_gradients(model: NeoOVForConditionalGeneration) -> tuple[Tensor, dict[str, Tensor]]:
    loss = model(IDS, labels=IDS).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_a_product_and_its_gradient_are_those_of_the_dense_matrix(linear) -> None:
    layer = RoundedLinear(linear)
    matrix = layer.weight.float() * layer.scale.float()[:, None]
    x = torch.randn(2, 5, 48, requires_grad=True)
    again = x.detach().clone().requires_grad_()
    out, expected = layer(x), F.linear(again, matrix)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, again.grad, rtol=1e-5, atol=1e-4)
    assert not torch.equal(matrix, linear.weight) and layer.weight.dtype == torch.int8


def test_autocast_computes_in_its_type_and_keeps_no_wide_matrix(linear) -> None:
    layer, kept = RoundedLinear(linear), []
    x = torch.randn(5, 48, requires_grad=True)

    def keep(tensor: Tensor) -> Tensor:
        kept.append((tensor.dtype, tuple(tensor.shape)))
        return tensor

    with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    assert [dtype for dtype, shape in kept if shape == (32, 48)] == [torch.int8]
    out.float().sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), layer(x), rtol=0.02, atol=0.02)


def test_a_compiled_product_is_one_graph(linear) -> None:
    layer = RoundedLinear(linear)
    x = torch.randn(5, 48, requires_grad=True)
    out = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
    out.sum().backward()
    torch.testing.assert_close(out, layer(x))
    assert x.grad is not None


def test_loss_and_gradients_of_adapters_are_those_over_the_dense_base(rounded) -> None:
    loss, gradients = loss_and_gradients(rounded)
    expected_loss, expected = loss_and_gradients(unrounded(rounded))
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected.keys() and all("lora_" in name for name in gradients)
    for name, gradient in gradients.items():
        scale = expected[name].norm()
        assert (gradient - expected[name]).norm() <= 1e-4 * scale, name


def test_merged_is_the_model_that_was_trained(rounded, tiny_config) -> None:
    plain = NeoOVForConditionalGeneration(tiny_config).eval()
    tensors = merged(dict(rounded.named_parameters()), LORA)
    found = plain.load_state_dict(tensors, strict=False)
    assert not found.unexpected_keys
    with torch.no_grad():
        torch.testing.assert_close(plain(IDS).logits, rounded(IDS).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("overrides", [(), ("activation_checkpointing=full", "precision=bf16")])
def test_a_run_goes_on_bitwise_and_writes_a_plain_model(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    own = (f"data.sources.weather.path={FINETUNE / 'train.jsonl'}", f"out={tmp_path / 'run'}", "lora.base=int8")
    short = ("steps=4", "checkpoint={every: 2, keep: 9}", "data.rows=2", "data.workers=0", "validation=null")
    made = load_recipe(FINETUNE / "lora.yaml", [*own, *short, "export=fp32", *overrides])
    trainer = Trainer(made)
    base = trainer.model.language_model.model.layers[0].mlp.up_proj.base_layer
    assert isinstance(base, RoundedLinear)
    trainer.run()
    written = tmp_path / "run" / "final" / "model.safetensors"
    whole = load_file(written)
    assert all(tensor.dtype == torch.float32 for tensor in whole.values())
    assert not any(name.endswith(".scale") for name in whole)
    Trainer(made, resume=tmp_path / "run" / "checkpoints" / "step-00000002").run()
    again = load_file(written)
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)

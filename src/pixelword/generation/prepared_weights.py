"""The network's matrix products made ready for answering: weights in the order a CPU reads fastest, or quantized.

Decoding reads every weight for each token, so that their bytes and their order decide its speed. `prepare` changes
what a loaded model computes with, never what it computes (quantization apart, which rounds); `restore` undoes it.
Gradients still go through the model's own weights, as long as these are kept.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelword import machine
from pixelword.checkpoints.names import Quantization, check_quantization
from pixelword.checkpoints.rounding import Rounded, joined, round_matrix
from pixelword.errors import InputError
from pixelword.generation.mixed import MixedLinear
from pixelword.generation.quantized import quantized

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.model.network import Layer

Product = Callable[[Tensor], Tensor]
#: The matrix of one of a model's modules, (out, in), as it is or rounded already.
Weights = Callable[[nn.Linear], "Tensor | Rounded"]
#: Weights up to this many bytes are kept beside their packed copy, for what wants gradients or saves the model.
KEPT = 1 << 30


class DenseLinear:
    """x (..., in) -> (..., out), by the weight as it is; the reference of the others."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class MkldnnLinear:
    """As `DenseLinear`, by oneDNN with the weight in its own order, which it reads in longer strides: for few rows."""

    def __init__(self, weight: Tensor) -> None:
        try:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), 1)
        except (RuntimeError, AttributeError) as error:  # no oneDNN in this build, or no such kernel for this CPU
            kind = str(weight.dtype).removeprefix("torch.")
            raise InputError(f"packed weights: this CPU cannot multiply them in {kind}; leave --pack out") from error

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")


@dataclass
class LayerProducts:
    """One layer's: `branches` gives q | q_hw | k | k_hw | v, `gate_up` gate | up, each from one matrix."""

    branches: Product
    out: Product
    gate_up: Product
    down: Product


@dataclass
class Prepared:
    """What `prepare` made of a model: its products by layer and its head's."""

    layers: list[LayerProducts]
    head: Product
    quantization: Quantization | None
    released: bool


_PREPARED: weakref.WeakKeyDictionary[nn.Module, Prepared] = weakref.WeakKeyDictionary()


def packing_pays(model: nn.Module) -> bool:
    """Whether oneDNN's own order is worth its copy: on a CPU that `machine.packing_pays` of."""
    parameter = next(model.parameters())
    return parameter.device.type == "cpu" and machine.packing_pays(parameter.dtype)


def prepare(
    model: NeoOVForConditionalGeneration,
    *,
    quantization: Quantization | None = None,
    pack: bool | None = None,
    release: bool | None = None,
    weights: Weights | None = None,
) -> Prepared | None:
    """Let a model multiply by packed or quantized weights from now on, wherever no gradient is wanted.

    Args:
        quantization: "int8" (a scale for each output) or "int4" (a scale for each group of inputs) rounds the matrices
            of layers and head; the table of words is held in bfloat16 where that loses nothing.
        pack: None packs where it pays (see `packing_pays`).
        release: free the model's own matrices one by one as they are prepared; None does with quantization and where
            they take more than `KEPT` bytes. A model without them answers, and can do nothing else.
        weights: with quantization, where the matrices of layers and head come from, which then may be on the meta
            device; they are called for one layer after another. None takes the model's own.

    Returns:
        the products, or None where the model stays as it is.

    Raises:
        InputError: quantization on a device other than a CPU, or of matrices that are not plain ones (an adapter's,
            say); `pack` where this CPU has no packed products of the weights' type.
    """
    check_quantization(quantization)
    if quantization is None and quantization_of(model) is not None:
        return _PREPARED[model]
    if quantization is None and not (packing_pays(model) if pack is None else pack):
        return None
    linears = [linear for layer in layers(model) for linear in _linears(layer)]
    plain = all(type(x) is nn.Linear and x.bias is None for x in (*linears, model.language_model.lm_head))
    if not plain or next(model.parameters()).device.type != "cpu":
        if quantization is None:
            return None
        what = "a model on a CPU" if plain else "plain matrices: merge the adapter into the model first"
        raise InputError(f"quantization {quantization} is for {what}")
    if release is None:
        release = quantization is not None or sum(x.weight.nbytes for x in linears) > KEPT
    if (known := _PREPARED.get(model)) is not None:
        if known.quantization != quantization:
            raise InputError("the model's weights are prepared in another way already: load it again for this one")
        return known
    make = _packed_product if quantization is None else _quantizer(quantization, model.dtype, weights or _own)
    with torch.no_grad():
        head = make([model.language_model.lm_head])  # before the layers: while it is rounded, they take no memory yet
        prepared_layers = [_prepare_layer(layer, make, release) for layer in layers(model)]
        _stand_in(model.language_model.lm_head, "forward", head)
        if quantization is not None and release:
            _shrink_table(model)
        if release:
            model.__dict__.update(save_pretrained=_gone, state_dict=_gone)
    _PREPARED[model] = prepared = Prepared(prepared_layers, head, quantization, release)
    return prepared


def dense_products(model: NeoOVForConditionalGeneration) -> Prepared:
    """The products of a model's own weights, joined: for compiled steps without packing or quantization."""

    def make(*linears: nn.Linear) -> Product:
        weight = linears[0].weight if len(linears) == 1 else torch.cat([linear.weight for linear in linears])
        return DenseLinear(weight) if weight.dtype == model.dtype else MixedLinear(weight)

    made = []
    for layer in layers(model):
        *branches, out, gate, up, down = _linears(layer)
        made.append(LayerProducts(make(*branches), make(out), make(gate, up), make(down)))
    return Prepared(made, model.language_model.lm_head, None, False)


def quantization_of(model: nn.Module) -> Quantization | None:
    """How a model's weights were quantized by `prepare`; None where they were not."""
    prepared = _PREPARED.get(model)
    return None if prepared is None else prepared.quantization


def restore(model: NeoOVForConditionalGeneration) -> None:
    """Let a model multiply by its own weights again; nothing where it does, or has freed them."""
    prepared = _PREPARED.get(model)
    if prepared is None or prepared.released:
        return
    del _PREPARED[model]
    for module in model.modules():
        for name in ("forward", "branches"):
            if isinstance(module.__dict__.get(name), _Instead):
                delattr(module, name)


def _own(linear: nn.Linear) -> Tensor:
    return linear.weight


def _packed_product(linears: Sequence[nn.Linear]) -> Product:
    return MkldnnLinear(torch.cat([linear.weight for linear in linears]))


def _quantizer(quantization: Quantization, dtype: torch.dtype, weights: Weights) -> Callable[..., Product]:
    """What makes one product of several modules; matrices of one width, so of one number of bits but for odd shapes."""

    def rounded(linear: nn.Linear) -> Rounded:
        found = weights(linear)
        return found if isinstance(found, Rounded) else round_matrix(found, quantization)

    def make(linears: Sequence[nn.Linear]) -> Product:
        parts = [rounded(linear) for linear in linears]
        if len({part.bits for part in parts}) > 1:  # one has a shape that 4 bits cannot have: all take 8
            parts = [round_matrix(part.dense(), "int8") for part in parts]
        return quantized(joined(parts), dtype)

    return make


def _prepare_layer(layer: Layer, make: Callable[[Sequence[nn.Linear]], Product], release: bool) -> LayerProducts:
    attention, mlp = layer.self_attn, layer.mlp
    *branches, out, gate, up, down = _linears(layer)
    sizes = [linear.out_features for linear in branches]
    products = LayerProducts(make(branches), make([out]), make([gate, up]), make([down]))
    if release:
        for linear in (*branches, out, gate, up, down):
            linear.weight = _freed(linear.weight)
            linear.__dict__["forward"] = _gone
        machine.give_back()
    _stand_in(attention, "branches", lambda x: products.branches(x).split(sizes, -1))
    _stand_in(mlp, "forward", lambda x: products.down(gated(products.gate_up(x))))
    _stand_in(out, "forward", products.out)
    return products


def _shrink_table(model: NeoOVForConditionalGeneration) -> None:
    """Hold the table of words in bfloat16 where that is exact, as in a checkpoint of bfloat16 computed in float32; and
    free the head's own matrix."""
    table, head = model.language_model.model.embed_tokens, model.language_model.lm_head
    own: Tensor = table.weight.detach()
    tied = head.weight is table.weight
    head.__dict__["forward"].method = _gone
    if not tied:
        head.weight = _freed(own)
    half, dtype = own, model.dtype
    if own.dtype == torch.float32 and all(torch.equal(x.bfloat16().float(), x) for x in own.split(4096)):
        half = own.bfloat16()
    if half.dtype == dtype:
        return
    table.__dict__["forward"] = _Instead(_gone, lambda ids: F.embedding(ids, half).to(dtype))
    table.weight = _freed(own)
    if tied:
        head.weight = table.weight


def _freed(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.empty(0, dtype=weight.dtype), requires_grad=False)


def layers(model: NeoOVForConditionalGeneration) -> list[Layer]:
    """A model's decoder layers, pre-buffer first."""
    return list(model.get_decoder().layers)  # type: ignore[arg-type]


def _linears(layer: Layer) -> Sequence[nn.Linear]:
    """A layer's matrices, in the order in which they are joined."""
    attention, mlp = layer.self_attn, layer.mlp
    branches = (attention.q_proj, attention.q_proj_hw, attention.k_proj, attention.k_proj_hw, attention.v_proj)
    return (*branches, attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def _stand_in(module: nn.Module, method: str, prepared: Callable[[Tensor], Any]) -> None:
    module.__dict__[method] = _Instead(getattr(module, method), prepared)


def gated(gate_up: Tensor) -> Tensor:
    """SwiGLU's middle: (..., 2 * width), gate | up, -> (..., width)."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def _gone(*_: Any, **__: Any) -> Tensor:
    raise InputError("this model was made ready for answering and has freed its weights: load it again for this")


class _Instead:
    """Stands in for a module's method: the method itself where gradients are wanted, else what was prepared."""

    def __init__(self, method: Callable[..., Any], prepared: Callable[[Tensor], Any]) -> None:
        self.method, self.prepared = method, prepared

    def __call__(self, x: Tensor) -> Any:
        return self.method(x) if torch.is_grad_enabled() else self.prepared(x)

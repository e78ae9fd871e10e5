"""A step of decoding with everything between the matrix products compiled (torch.compile, which needs a C++ compiler).

A small model's step is hundreds of operations on a few numbers each, and calling them costs more than they do.
Compiled, a layer is four products and four kernels. The code is that of the network's own modules; one compilation
serves all layers, any number of requests and any length of what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pixelword.errors import InputError
from pixelword.generation.kv_slots import KVSlots
from pixelword.generation.prepared_weights import Prepared, dense_products, gated, layers
from pixelword.model.rope import rotate

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.model.network import Attention

#: Keys that are looked at are rounded up to this, so that the kernels' loops end evenly.
_KEYS = 64


def add_and_norm(hidden: Tensor, more: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """The residual stream with one more addend, and that normed."""
    hidden = hidden + more
    return hidden, norm(hidden)


def attended(
    attention: Attention,
    branches: Tensor,
    rotary: tuple[Tensor, Tensor],
    keys: Tensor,
    values: Tensor,
    place: tuple[Tensor, Tensor],
    spatial: bool,
) -> Tensor:
    """Attention of a few new text tokens a row over all before them and themselves, whose keys it writes in place.

    Args:
        branches: (B, L, …), q | q_hw | k | k_hw | v of the new tokens.
        keys, values: (B, kv_heads, K, …), the rows' buffers.
        place: row (B, 1) and column (B, L) of each new token in them.
        spatial: False where the new keys have no H and W part.

    Returns:
        (B, L, heads * head_dim), to go through `o_proj`.
    """
    dim, heads, kv_heads = attention.head_dim, attention.q_proj.out_features, attention.k_proj.out_features
    q, q_hw, k, k_hw, v = branches.split((heads, heads, kv_heads, kv_heads, kv_heads), -1)
    q = rotate(attention._head(q, q_hw, "q"), *rotary)
    k = rotate(attention._head(k, k_hw if spatial else torch.zeros_like(k_hw), "k"), *rotary)
    row, column = place
    keys[row, :, column] = k.transpose(1, 2).to(keys.dtype)
    values[row, :, column] = v.unflatten(-1, (-1, dim))
    rows, _, length, width = q.shape
    # Written out as sums: the compiler makes them loops that read the cache once, where a product would copy it.
    q = (q * attention.scaling).view(rows, kv_heads // dim, -1, length, width).float()
    scores = (q[..., None, :] * keys[:, :, None, None].float()).sum(-1)
    seen = torch.arange(keys.shape[2], device=keys.device) <= column[:, None, None, :, None]
    shares = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    out = (shares[..., None] * values[:, :, None, None].float()).sum(-2)
    return out.to(branches.dtype).flatten(1, 2).transpose(1, 2).flatten(2)


class CompiledStep:
    """Logits of new text tokens of several requests, each in its row; as the network's own forward over a `SlotView`.

    compiled=False runs the same functions as they are written: the reference.
    """

    def __init__(
        self, model: NeoOVForConditionalGeneration, prepared: Prepared | None = None, *, compiled: bool = True
    ) -> None:
        self.model = model
        self.products = prepared or dense_products(model)
        work: list[Callable[..., Any]] = [add_and_norm, attended, gated]
        if compiled:
            work = [torch.compile(function, fullgraph=True) for function in work]
        self._add_and_norm, self._attended, self._gated = work

    def warm_up(self, most_rows: int, most_length: int) -> None:
        """Compile for one and several rows, one and several tokens, as far as these limits allow.

        Raises InputError: no compiler is installed, or it fails.
        """
        text = self.model.config.get_text_config()
        slots = KVSlots(text.num_hidden_layers)
        size, dtype = text.head_dim, self.model.dtype
        count = min(most_rows, 2)
        for slot in range(count):
            none = torch.zeros(text.num_key_value_heads, 1, 3 * size, dtype=dtype, device=self.model.device)
            slots.put(slot, 0, [none.split((2 * size, size), -1)] * text.num_hidden_layers)
        slots.reserve(count, 3 * _KEYS)
        shapes = [(b, n) for b in {1, count} for n in {1, min(most_length, 2), min(most_length, 3)}]
        try:
            # twice with another number of keys: then the compiler knows that it varies
            for batch, length in shapes:
                for start in (1, _KEYS + 1):
                    ids = torch.zeros(batch, length, dtype=torch.int64, device=self.model.device)
                    starts = torch.full((batch,), start, device=self.model.device)
                    self(ids, starts, slots, starts)
        except (RuntimeError, OSError) as error:
            why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"compiling failed ({why[:200]}): it needs a C++ compiler; or leave --compile out"
            ) from error

    def __call__(self, ids: Tensor, first: Tensor, slots: KVSlots, starts: Tensor) -> Tensor:
        """ids (B, L) of new text tokens; first, starts (B,): their first t, and their first place in the slots.

        Returns:
            (B, L, vocabulary).
        """
        decoder, config = self.model.get_decoder(), self.model.config.get_text_config()
        new = torch.arange(ids.shape[1], device=ids.device)
        column = starts[:, None] + new
        place = torch.arange(len(ids), device=ids.device)[:, None], column
        most = int(column.max()) + 1
        slots.reserve(len(ids), most)
        rotary = decoder.rotary((first[:, None] + new).expand(3, -1, -1), self.model.dtype)
        bypass = config.extra_num_layers if config.text_bypasses_pre_buffer else 0
        hidden = decoder.embed_tokens(ids)
        more = torch.zeros_like(hidden)
        with _several_compilations():
            for number, (layer, products) in enumerate(zip(layers(self.model), self.products.layers, strict=True)):
                attention, views = layer.self_attn, slots.views(number, len(ids), -(-most // _KEYS) * _KEYS)
                hidden, normed = self._add_and_norm(hidden, more, layer.input_layernorm)
                spatial = number < bypass or not bypass
                out = self._attended(attention, products.branches(normed), rotary, *views, place, spatial)
                if number < bypass:  # words leave it as they came; their keys stay, for images that follow
                    more = torch.zeros_like(hidden)
                    continue
                hidden, normed = self._add_and_norm(hidden, products.out(out), layer.post_attention_layernorm)
                more = products.down(self._gated(products.gate_up(normed)))
            return self.products.head(self._add_and_norm(hidden, more, decoder.norm)[1])


@contextmanager
def _several_compilations() -> Iterator[None]:
    """One and several rows and tokens, and words that bypass the pre-buffer: more cases than the usual limit of 8."""
    patched: Callable[..., Any] = torch._dynamo.config.patch
    with patched(recompile_limit=32):
        yield

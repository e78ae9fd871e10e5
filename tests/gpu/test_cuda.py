"""What only a GPU shows: flex's backward pass, and the kernels against each other there. Left out without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelword.checkpoints.load import load_pretrained
from pixelword.model.attention import attend, attend_reference
from pixelword.model.masks import Interval, interval
from pixelword.model.rope import rope_index

pytestmark = pytest.mark.gpu
FIXTURES = Path(__file__).parents[2] / "conformance" / "pixelword_conformance" / "released" / "neo-parity"


def layout(device: str) -> Interval:
    """Two rows of packed documents with pictures, 300 tokens each."""
    visual = torch.zeros(2, 300, dtype=torch.bool, device=device)
    visual[0, 10:74] = visual[0, 100:228] = visual[1, 150:278] = True
    sizes = torch.tensor([[8, 8], [8, 16], [16, 8]], device=device)
    cu_seqlens = torch.tensor([0, 90, 300, 420, 600], device=device)
    return interval(rope_index(visual, sizes, None, cu_seqlens), None, cu_seqlens)


@pytest.mark.parametrize("kernel", ["sdpa", "flex_attention"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-2), (torch.bfloat16, 4e-2)])
def test_kernels_are_the_reference(kernel: str, dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = ((2, 4, 300, 128), (2, 2, 300, 128), (2, 2, 300, 64))
    given = [torch.randn(s, generator=generator, device="cuda") for s in shapes]
    visible, results = layout("cuda"), []
    for function in (lambda *x: attend(*x, visible, 0.125, kernel), lambda *x: attend_reference(*x, visible, 0.125)):
        inputs = [x.to(dtype).float().requires_grad_() for x in given]
        typed = [x.to(dtype) for x in inputs] if len(results) == 0 else inputs
        out = function(*typed)
        out.float().square().sum().backward()
        results.append([out.detach().float(), *(x.grad for x in inputs)])
    for found, expected in zip(*results, strict=True):
        assert float((found - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize("kernel", ["eager", "sdpa", "flex_attention"])
@pytest.mark.parametrize("which", ["a", "b"])
def test_released_numbers(which: str, kernel: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    packed = {name: x.cuda() for name, x in load_file(FIXTURES / which / "packed_forward.safetensors").items()}
    model = load_pretrained(FIXTURES / which, dtype=torch.float32, device="cuda")
    model.set_attn_implementation(kernel)
    rows = {name: packed[name].view(1, -1) for name in ("input_ids", "labels", "loss_weight")}
    pictures = {"pixel_values": packed["pixel_values"], "image_grid_hw": packed["grid_hw"]}
    output = model(**rows, **pictures, cu_seqlens=packed["cu_seqlens"])
    output.loss.backward()
    assert float((output.logits.view(packed["logits"].shape) - packed["logits"]).abs().max()) < 5e-3
    parameters = dict(model.named_parameters())
    for name, expected in packed.items():
        if name.startswith("grad."):
            found = parameters[name.removeprefix("grad.")].grad
            assert found is not None
            assert float((found - expected).norm() / expected.norm()) < 5e-3, name


def test_generation_is_the_released() -> None:
    model = load_pretrained(FIXTURES / "a", dtype=torch.float32, device="cuda")
    greedy = load_file(FIXTURES / "a" / "greedy_generate.safetensors")
    case = {name.removeprefix("two."): x.cuda() for name, x in greedy.items() if name.startswith("two.")}
    ids = case["input_ids"][None]
    for options in ({}, {"cache_implementation": "static", "disable_compile": True}):
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=case["pixel_values"],
            image_grid_hw=case["grid_hw"],
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=None,
            **options,
        )
        assert output[0, ids.shape[1] :].tolist() == case["new_tokens"].tolist()

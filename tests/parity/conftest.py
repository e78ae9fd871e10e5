"""The numbers that the released model produced; see conformance/pixelword_conformance/released/neo-parity/README.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pixelword.checkpoints.load import load_pretrained
from pixelword.model import NeoOVForConditionalGeneration

FIXTURES = Path(__file__).parents[2] / "conformance" / "pixelword_conformance" / "released" / "neo-parity"


@dataclass(frozen=True)
class Released:
    """A released-layout model, its packed forward, and its greedy generations by case."""

    model: NeoOVForConditionalGeneration
    packed: dict[str, Tensor]
    greedy: dict[str, dict[str, Tensor]]

    def inputs(self) -> dict[str, Tensor]:
        """The pack as one row."""
        rows = {name: self.packed[name].view(1, -1) for name in ("input_ids", "labels", "loss_weight")}
        return {
            **rows,
            "pixel_values": self.packed["pixel_values"],
            "image_grid_hw": self.packed["grid_hw"],
            "cu_seqlens": self.packed["cu_seqlens"],
        }

    def assert_gradients(self) -> None:
        """The model's gradients are the released ones, to 1e-4 of their norms."""
        parameters = dict(self.model.named_parameters())
        gradients = {name.removeprefix("grad."): x for name, x in self.packed.items() if name.startswith("grad.")}
        assert len(gradients) == 4
        for name, expected in gradients.items():
            found = parameters[name].grad
            assert found is not None
            assert float((found - expected).norm() / expected.norm()) < 1e-4, name


@pytest.fixture(scope="module", params=["a", "b"])
def released(request: pytest.FixtureRequest) -> Released:
    folder = FIXTURES / request.param
    greedy: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_file(folder / "greedy_generate.safetensors").items():
        case, key = name.split(".")
        greedy.setdefault(case, {})[key] = tensor
    model = load_pretrained(folder, dtype=torch.float32)
    return Released(model, load_file(folder / "packed_forward.safetensors"), greedy)

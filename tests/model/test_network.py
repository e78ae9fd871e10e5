"""The network needs torch alone; its patch embedding equals the two convolutions and the rotation it stands for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

from pixelword.model import NeoOVVisionConfig, network
from pixelword.model.network import PatchEmbedding


def test_the_network_imports_torch_and_its_own_room_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(Path(network.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1
            if not node.level:
                imported.add(str(node.module).partition(".")[0])
    assert imported - sys.stdlib_module_names == {"torch"}


def test_the_network_is_read_without_transformers() -> None:
    # "pixelword" is the console script, whose process registers nothing with transformers
    code = "import sys; sys.argv = ['pixelword']; import pixelword.model.network; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def convolved(embedding: PatchEmbedding, picture: torch.Tensor) -> torch.Tensor:
    """(tokens, hidden) of one picture (3, H, W), by `conv2d` on the whole picture and a loop over its patches."""
    first, second = embedding.patch_embedding, embedding.dense_embedding
    hidden = F.gelu(F.conv2d(picture[None], first.weight, first.bias, stride=16))[0]
    channels, height, width = hidden.shape
    frequency = embedding.config.rope_theta_vision ** -(torch.arange(channels // 4) / (channels // 4))
    turned = torch.empty_like(hidden)
    for y in range(height):
        for x in range(width):
            angle = torch.cat((x * frequency, y * frequency))
            even, odd = hidden[0::2, y, x], hidden[1::2, y, x]
            turned[0::2, y, x] = even * angle.cos() - odd * angle.sin()
            turned[1::2, y, x] = even * angle.sin() + odd * angle.cos()
    return F.conv2d(turned[None], second.weight, second.bias, stride=2)[0].flatten(1).T


@torch.no_grad()
def test_pictures_of_any_sizes_at_once() -> None:
    torch.manual_seed(0)
    embedding = PatchEmbedding(NeoOVVisionConfig(hidden_size=16, llm_hidden_size=24))
    pictures = [torch.randn(3, 16 * height, 16 * width) for height, width in ((2, 4), (4, 2), (2, 2))]
    grid = torch.tensor([[2, 4], [4, 2], [2, 2]])
    patches = [F.unfold(picture[None], 16, stride=16)[0].T for picture in pictures]  # row-major, channel-first
    found = embedding(torch.cat(patches), grid)
    torch.testing.assert_close(
        found, torch.cat([convolved(embedding, picture) for picture in pictures]), rtol=1e-4, atol=1e-5
    )

"""A stage small enough to train in a test: three layers, two rows, and everything the real ones have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe

TINY = """\
stage: tiny
out: {out}
tokenizer: nano
model:
  config:
    vision_config: {{hidden_size: 16, min_pixels: 4096, max_pixels: 4096}}
    llm_config:
      hidden_size: 32
      intermediate_size: 48
      num_hidden_layers: 3
      extra_num_layers: 1
      num_attention_heads: 2
      num_key_value_heads: 1
      head_dim: 16
data: {{mixture: {{colour: 1, count: 1, text: 1}}, level: [[0, 0], [1, 1]], turns: 2, rows: 2, length: 128, workers: 0}}
optimizer: {{name: muon, lr: 3e-3, muon_lr: 3e-3}}
schedule: {{kind: wsd, warmup: 2, decay: 0.5}}
steps: 6
attention: eager
precision: fp32
export: fp32
checkpoint: {{every: 3, keep: 9}}
log_every: 1
seed: 5
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Recipe]:
    """tiny("steps=2", out="name"): the small stage, changed, in its own folder."""

    def make(*overrides: str, out: str = "run") -> Recipe:
        path = tmp_path / "tiny.yaml"
        path.write_text(TINY.format(out=tmp_path / out))
        return load_recipe(path, overrides)

    return make

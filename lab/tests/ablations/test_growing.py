"""A language model trained here is a Qwen3, and each start of the H/W branch is what it says."""

from __future__ import annotations

import pytest
import torch

from pixelword.checkpoints.load import load_pretrained
from pixelword.errors import RecipeError
from pixelword.training.building import build_processor
from pixelword_lab.ablations.growing import as_qwen3, build_language_model, grown
from pixelword_lab.ablations.recipe import Growth

WORDS = ("trainable=[language]", "model.config.llm_config.num_hidden_layers=2",
         "model.config.llm_config.extra_num_layers=0", "model.config.llm_config.rope_theta_hw=100")  # fmt: skip


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return torch.randint(20, 200, (2, 17), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tiny, tmp_path):
    """A language model with uneven weights, and its processor."""
    recipe = tiny(*WORDS)
    processor = build_processor(recipe)
    torch.manual_seed(0)
    model = build_language_model(recipe, processor).eval()
    with torch.no_grad():
        for name, parameter in model.language_model.named_parameters():
            if "_hw" not in name:
                parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.2)
    out = tmp_path / "words"
    model.save_pretrained(out)
    processor.save_pretrained(out)
    return out


def test_it_is_a_qwen3(folder, ids) -> None:
    model = load_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(as_qwen3(model)(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)


def test_it_is_blind(tiny) -> None:
    recipe = tiny(*WORDS)
    model = build_language_model(recipe, build_processor(recipe))
    seen = model.vision_model.embeddings(torch.randn(16, 768), torch.tensor([[4, 4]]))
    assert seen.shape[0] == 4 and seen.abs().max() == 0


@pytest.mark.parametrize("spatial", ["released", "gentle", "random"])
def test_starts(folder, ids, tmp_path, spatial) -> None:
    out = tmp_path / "grown"
    grown(folder, out, Growth(layers=1, spatial=spatial), seed=3)
    model, before = (load_pretrained(place, dtype=torch.float32) for place in (out, folder))
    text = model.config.llm_config
    assert (text.num_hidden_layers, text.extra_num_layers, text.rope_theta_hw) == (3, 1, 100)
    with torch.no_grad():
        moved = (model(ids).logits[..., : before.config.llm_config.vocab_size] - before(ids).logits).abs().max()
    assert moved > 1e-2 if spatial == "random" else moved < 1e-3
    own = model.language_model.model.layers[1].self_attn
    assert bool((own.k_proj_hw.weight == 0).all()) == (spatial == "released")
    if spatial == "gentle":  # nothing is said through it yet, and it can learn from the first step
        model(ids, labels=ids).loss.backward()
        assert own.k_norm_h.weight.abs().max() == 0 and own.k_norm_h.weight.grad.abs().max() > 0


@pytest.mark.parametrize("fault", ["model.config.llm_config.extra_num_layers=1", "trainable=[all]"])
def test_what_cannot_be_grown_from_is_refused(tiny, fault) -> None:
    recipe = tiny(*WORDS, fault)
    with pytest.raises(RecipeError, match="a language model to grow from"):
        build_language_model(recipe, build_processor(recipe))

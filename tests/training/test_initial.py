"""Initial values: whitened waves in the patch embedding."""

from __future__ import annotations

import pytest
import torch

from pixelword.errors import RecipeError
from pixelword.training.building import build_model, build_processor
from pixelword.training.initial import cosine_filters


@pytest.mark.parametrize(("count", "side"), [(3, 4), (64, 16), (256, 16), (255, 16)])
def test_filters_are_orthogonal_waves_weighed_by_frequency(count: int, side: int) -> None:
    filters = cosine_filters(count, side)
    assert filters.shape == (count, 3, side, side)
    gram = filters.flatten(1) @ filters.flatten(1).T
    assert torch.allclose(gram, torch.diag(gram.diagonal()), atol=1e-4)
    assert gram.diagonal()[0] == gram.diagonal().min()
    assert count == 3 or len(gram.diagonal().round(decimals=4).unique()) > 1


def test_answers_to_pictures_have_about_the_same_spread() -> None:
    """Of 1/f noise, as pictures are: random filters' answers lie along its mean colour alone."""
    torch.manual_seed(0)
    frequency = torch.hypot(torch.fft.fftfreq(128)[:, None], torch.fft.fftfreq(128)) * 128
    noise = torch.fft.ifft2(torch.fft.fft2(torch.randn(3, 128, 128)) / frequency.clamp(min=1)).real
    patches = (noise / noise.std()).unfold(1, 16, 16).unfold(2, 16, 16).permute(1, 2, 0, 3, 4).flatten(0, 1)
    spread = torch.einsum("pchw,fchw->pf", patches, cosine_filters(64, 16)).std(0)
    drawn = torch.einsum("pchw,fchw->pf", patches, torch.randn(64, 3, 16, 16)).T.cov()
    assert spread.max() / spread.median() < 4
    eigenvalues = torch.linalg.eigvalsh(drawn)
    assert eigenvalues[-1] / eigenvalues.median() > 30


def test_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="possible"):
        cosine_filters(300, 16)


def test_a_recipe_chooses_them(tiny) -> None:
    recipe = tiny("model.patches=cosine")
    weight = build_model(recipe, build_processor(recipe)).vision_model.embeddings.patch_embedding.weight
    assert torch.equal(weight, cosine_filters(weight.shape[0], weight.shape[-1]))
    with pytest.raises(RecipeError, match="random weights"):
        tiny("model={from: nano, patches: cosine}")

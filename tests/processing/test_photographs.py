"""Photographs are told from drawn images by their brightness, and a packaged model warns of them once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import pixelword
from pixelword import synthetic as nano
from pixelword.errors import DomainWarning
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.photographs import brightness_entropy, looks_photographic


def pixels(image: Image.Image) -> torch.Tensor:
    return NeoOVImageProcessor()(image, return_tensors="pt")["pixel_values"]


def landscape(seed: int) -> Image.Image:
    """1/f noise in three colours: the statistics of a photograph."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) * 256
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((3, 256, 256))) / np.maximum(frequency, 1)).real
    scaled = 128 + 50 * field / field.std()
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


@pytest.mark.parametrize("seed", range(5))
def test_a_photograph_is_known(seed: int) -> None:
    assert looks_photographic(pixels(landscape(seed)))


@pytest.mark.parametrize("kind", ["describe", "count", "glyph", "read", "line", "find", "box", "letters"])
def test_drawn_images_are_no_photographs(kind: str) -> None:
    rng = np.random.default_rng(0)
    images = [nano.draw(kind, rng, split="test").messages[-2]["content"][0]["image"] for _ in range(40)]
    assert sum(looks_photographic(pixels(image)) for image in images) == 0


def test_entropy_is_that_of_the_shades() -> None:
    assert brightness_entropy(torch.zeros(4, 768)) == 0.0
    halves = torch.cat([torch.full((2, 768), -1.0), torch.full((2, 768), 1.0)])
    assert brightness_entropy(halves) == pytest.approx(1.0)
    assert not looks_photographic(torch.zeros(0, 768))


def test_a_packaged_model_warns_once_and_of_photographs_alone() -> None:
    session = pixelword.load("nano")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.ask("What is it?", images=Image.new("RGB", (64, 64), "red"), max_new_tokens=1)
    with pytest.warns(DomainWarning, match="drawn images and text"):
        session.ask("What is it?", images=landscape(0), max_new_tokens=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.ask("What is it?", images=landscape(1), max_new_tokens=1)

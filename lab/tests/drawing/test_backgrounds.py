"""Grounds, and what wears an image."""

from __future__ import annotations

from random import Random

from PIL import Image

from pixelword_lab.drawing.backgrounds import weathered


def test_weather_keeps_the_size_and_repeats() -> None:
    picture = Image.effect_noise((120, 96), 40).convert("RGB")
    for seed in range(20):
        once, again = (weathered(Random(seed), picture, 24) for _ in range(2))
        assert once.size == picture.size and once.tobytes() == again.tobytes()

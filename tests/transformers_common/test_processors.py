"""transformers' ProcessorTesterMixin and ImageProcessingTestMixin over the processors."""

from __future__ import annotations

import unittest
from typing import Any

from pixelword.checkpoints import names
from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor

from .adapting import common, without

processing, imaging = common("test_processing_common"), common("test_image_processing_common")


@without("processor")
class TestProcessor(processing.ProcessorTesterMixin, unittest.TestCase):
    """Over nano's tokenizer and settings."""

    processor_class = NeoOVProcessor

    @classmethod
    def _setup_tokenizer(cls) -> Any:
        return NeoOVProcessor.from_pretrained(names.resolve("nano")).tokenizer

    @classmethod
    def _setup_image_processor(cls) -> Any:
        return NeoOVImageProcessor(min_pixels=4096, max_pixels=16384)


class ImageTester:
    """What the mixin asks of a tester."""

    image_processing_classes = {"pil": NeoOVImageProcessor}
    batch_size, num_channels, min_resolution, max_resolution = 3, 3, 30, 80

    def __init__(self, parent: Any) -> None:
        self.parent = parent

    def prepare_image_processor_dict(self) -> dict[str, Any]:
        return {"min_pixels": 1024, "max_pixels": 4096, "do_resize": True}

    def prepare_image_inputs(
        self, equal_resolution: bool = False, numpify: bool = False, torchify: bool = False, batch_size: int = 3
    ) -> list[Any]:
        return imaging.prepare_image_inputs(
            batch_size=batch_size,
            num_channels=self.num_channels,
            min_resolution=self.min_resolution,
            max_resolution=self.max_resolution,
            equal_resolution=equal_resolution,
            numpify=numpify,
            torchify=torchify,
        )


@without("images")
class TestImages(imaging.ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = ImageTester
    image_processing_classes = ImageTester.image_processing_classes

    def setUp(self) -> None:  # release 5.16 would look for the classes by the folder's name
        self.image_processor_tester = ImageTester(self)

    @property
    def image_processor_dict(self) -> dict[str, Any]:
        return self.image_processor_tester.prepare_image_processor_dict()

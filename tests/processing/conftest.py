"""A small tokenizer with the model's control tokens, a processor for small pictures, and video files."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor

FIXTURES = Path(__file__).parents[2] / "conformance" / "pixelword_conformance" / "released"
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<IMG_CONTEXT>", "<img>", "</img>", "<ref>", "</ref>"]
# The pieces that Qwen's tokenizer cuts text into.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_tokenizer(*, in_vocabulary: bool = False, leave_out: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE; control tokens are added behind the vocabulary (as Qwen's are) or stand in it."""
    specials = [token for token in CONTROL if token != leave_out]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials if in_vocabulary else [],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(["user assistant system what is this image video frames"] * 4, trainer)
    if not in_vocabulary:
        backend.add_special_tokens(specials)
        backend.add_tokens(["<think>", "</think>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<|endoftext|>", eos_token="<|endoftext|>")


@pytest.fixture(scope="session", params=[False, True], ids=["added", "in-vocabulary"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return build_tokenizer(in_vocabulary=request.param)


@pytest.fixture(scope="session")
def processor(tokenizer: PreTrainedTokenizerFast) -> NeoOVProcessor:
    return NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=16_384), tokenizer)


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    return build_tokenizer


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES


@pytest.fixture
def picture() -> Image.Image:
    """32 x 96 pixels: three visual tokens."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (32, 96, 3), dtype=np.uint8))


def grey_at(index: int) -> int:
    """The brightness of a test video's frame `index`."""
    return index * 7 % 200 + 20


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Write a video whose frame i is grey `grey_at(i)` with a red top left corner, shown from `times[i]` ms on."""

    def write(
        name: str,
        times: Sequence[int],
        *,
        size: tuple[int, int] = (64, 48),
        rotation: int | None = None,
        key_frame_every: int | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
            if key_frame_every:
                stream.gop_size = key_frame_every
            for index, time in enumerate(times):
                pixels = np.full((size[1], size[0], 3), grey_at(index), np.uint8)
                pixels[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if rotation:
            path.write_bytes(_rotated(path.read_bytes(), rotation))
        return path

    return write


def _rotated(mp4: bytes, degrees: int) -> bytes:
    """The file as a camera writes it that was turned: the track header asks for a clockwise turn by so many degrees."""
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    upright, turned = (
        struct.pack(">9i", *(value * 65_536 for value in (e, f, 0, g, h, 0, 0, 0)), 1 << 30)
        for e, f, g, h in ((1, 0, 0, 1), (a, b, c, d))
    )
    at = mp4.index(upright, mp4.index(b"tkhd"))
    return mp4[:at] + turned + mp4[at + len(turned) :]


@pytest.fixture
def audio_file(tmp_path: Path) -> Path:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        for index in range(5):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 16_000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

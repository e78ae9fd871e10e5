"""Mutations of small files: in a process of its own, so that a crash or a hang of a decoder is a failed test."""

from __future__ import annotations

import io
import multiprocessing
import random
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from PIL import Image

from pixelword.errors import MediaError
from pixelword.processing import Limits, load_image, load_video
from pixelword.processing.token_counts import image_size

LIMITS = Limits(max_image_pixels=1 << 20, max_frames=4)
IMAGES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA")


def image_file(format: str, side: int = 24) -> bytes:
    """A small image with metadata where the format has any."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x0131], exif[0x011A] = 6, "a camera", 72.0
    options: dict[str, Any] = {"exif": exif} if format in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF") else {}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`data` with flipped bits, extreme bytes and fields, pieces lost, doubled or zeroed, or its end cut off."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            # the structure of most formats is at their start
            place = rng.randrange(min(len(changed), 128) if rng.random() < 0.5 else len(changed))
            size = rng.choice((1, 2, 4, 32))
            match rng.randrange(7):
                case 0:
                    changed[place] ^= 1 << rng.randrange(8)
                case 1:
                    changed[place] = rng.choice((0, 1, 127, 128, 255))
                case 2:
                    changed[place : place + size] = rng.choice((b"\0", b"\xff", b"\x7f")) * size
                case 3:
                    del changed[place : place + size]
                case 4:
                    changed[place:place] = changed[place : place + size]
                case 5:
                    changed[place : place + size] = rng.randbytes(size)
                case _:
                    if rng.random() < 0.3:
                        del changed[max(place, 1) :]
            if not changed:
                changed = bytearray(b"\0")
        yield bytes(changed)


def read_image(data: bytes) -> None:
    image = load_image(data, limits=LIMITS)
    assert image.mode in ("RGB", "RGBA")
    assert image_size(data) == (image.height, image.width), "the header's size is not the image's"


def read_video(data: bytes) -> None:
    video = load_video(data, num_frames=2, max_pixels=64 * 64, limits=LIMITS)
    assert all(time >= 0 for time in video.timestamps) and video.duration >= 0


def outcomes(read: Callable[[bytes], None], data: bytes, count: int, seed: int, seconds: float) -> tuple[int, int]:
    """(read, refused) of the mutations. AssertionError: another ending, a crash, or more than `seconds` in all."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_run, args=(there, read, data, count, seed))
    process.start()
    there.close()
    try:
        assert here.poll(seconds), f"not finished after {seconds:g} s"
        told = here.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"the decoder ended its process: exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    assert not isinstance(told, str), told
    return told


def _run(pipe: Connection, read: Callable[[bytes], None], data: bytes, count: int, seed: int) -> None:
    warnings.simplefilter("ignore")
    whole = refused = 0
    for number, changed in enumerate(mutations(data, count, seed)):
        try:
            read(changed)
            whole += 1
        except MediaError as error:
            refused += 1
            if len(str(error)) > 400 or "\n" in str(error):
                pipe.send(f"mutation {number}: a long message: {error}")
                return
        except BaseException as error:  # the point of the test
            pipe.send(f"mutation {number}: {type(error).__name__}: {error}")
            return
    pipe.send((whole, refused))

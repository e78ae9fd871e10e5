"""What the soak's clients send: questions with words, pictures and videos, and requests that no server should take."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black")
QUESTIONS = ("what colour is the circle?", "how many objects are there?", "what is on the left?")
WORDS = ("what is 2 plus 3?", "what is the opposite of hot?", "what is 7 minus 4?", "which is larger, 3 or 8?")
DESCRIBE = "describe the picture"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Ask:
    """A good request: what it is about, and its body."""

    kind: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """A request that has to be refused, and with which status."""

    kind: str
    content: bytes
    status: int
    path: str = "/v1/chat/completions"


def asks(seed: int, count: int) -> list[Ask]:
    """`count` different questions: words, one picture, two, a video, long answers. The same ones for the same seed."""
    rng = random.Random(seed)
    pictures = [drawn(rng) for _ in range(max(count // 2, 2))]
    clip = _url("video/mp4", (EXAMPLES / "moving_right.mp4").read_bytes())
    found = []
    for number in range(count):
        kind = ("picture", "words", "pictures", "describe", "video", "long")[number % 6]
        some = rng.sample(pictures, 2)
        if kind == "words":
            # numbers in front, so that no two prompts begin alike
            found.append(_ask(kind, f"{number}: {rng.choice(WORDS)}"))
        elif kind == "video":
            found.append(_ask(kind, f"{rng.choice(('which way does it move?', DESCRIBE))} {number}", video=clip))
        elif kind == "pictures":
            found.append(_ask(kind, "which picture has more objects?", *some))
        elif kind == "long":
            found.append(_ask(kind, DESCRIBE, some[0], max_tokens=rng.randint(100, 200), ignore_eos=True))
        else:
            found.append(_ask(kind, DESCRIBE if kind == "describe" else rng.choice(QUESTIONS), some[0]))
    return found


def _ask(kind: str, text: str, *pictures: str, video: str | None = None, **options: Any) -> Ask:
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    parts += [{"type": "video_url", "video_url": {"url": video}}] if video else []
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
    return Ask(kind, {"messages": messages, "max_tokens": 48, **options})


def drawn(rng: random.Random) -> str:
    """A picture of a few shapes, of any size between small and middling, as a data URL."""
    width, height = rng.randint(48, 320), rng.randint(48, 320)
    image = Image.new("RGB", (width, height), rng.choice(("white", "lightgray", "beige")))
    brush = ImageDraw.Draw(image)
    for _ in range(rng.randint(1, 5)):
        size = rng.randint(12, 40)
        x, y = rng.randint(0, width - size), rng.randint(0, height - size)
        shape = brush.ellipse if rng.random() < 0.5 else brush.rectangle
        shape((x, y, x + size, y + size), fill=rng.choice(COLOURS))
    kind = rng.choice(("png", "jpeg", "webp"))
    out = io.BytesIO()
    image.save(out, kind)
    return _url(f"image/{kind}", out.getvalue())


def bad() -> list[Bad]:
    """One of each way to be wrong."""
    whole = (EXAMPLES / "red_circle.png").read_bytes()
    clip = (EXAMPLES / "moving_right.mp4").read_bytes()
    seventeen = [_url("image/png", whole)] * 17
    return [
        Bad("no JSON", b'{"messages": [', 400),
        Bad("no messages", b"{}", 400),
        Bad("half a character", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        Bad("no such model", _body(_ask("", "hello", model="gpt-9")), 404),
        Bad("no such route", b"{}", 404, "/v1/images/generations"),
        Bad("too long an answer", _body(_ask("", "hello", max_tokens=10**7)), 400),
        Bad("too many pictures", _body(_ask("", "hello", *seventeen)), 400),
        Bad("no picture", _body(_ask("", "hello", _url("image/png", b"hello"))), 422),
        Bad("half a picture", _body(_ask("", "hello", _url("image/png", whole[: len(whole) // 2]))), 422),
        Bad("a bomb", _body(_ask("", "hello", _url("image/png", _header(60_000, 60_000)))), 422),
        Bad("an address", _body(_ask("", "hello", "https://127.0.0.1/a.png")), 422),
        Bad("half a video", _body(_ask("", "hello", video=_url("video/mp4", clip[: len(clip) // 2]))), 422),
    ]


def _body(ask: Ask) -> bytes:
    return json.dumps(ask.body).encode()


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _header(width: int, height: int) -> bytes:
    """A PNG that claims to be this large, and holds nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

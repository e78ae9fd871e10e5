"""What the soak's clients send: questions with words, pictures and videos, and requests that no server should take."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soak_forms
from PIL import Image, ImageDraw
from soak_answers import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
from soak_forms import Form

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black")
QUESTIONS = ("what colour is the circle?", "how many objects are there?", "what is on the left?")
WORDS = ("what is 2 plus 3?", "what is the opposite of hot?", "what is 7 minus 4?", "which is larger, 3 or 8?")
DESCRIBE = "describe the picture"
#: Enough for every answer in a form that nano begins.
FORM_TOKENS = 160
JSON = {"Content-Type": "application/json"}


#: What questions are about; each in turn.
KINDS = (
    *("picture", "words", "pictures", "describe", "video", "long"),
    *("schema", "choice", "regex", "boxes", "tools", "response", "conversation", "message", "embedding"),
)
#: Routes that can answer in a form; questions of such a kind go to each in turn.
ROUTES = (CHAT, RESPONSES, MESSAGES)


@dataclass(frozen=True)
class Ask:
    """A good request: what it is about, and its body.

    form: that the answer must have. then: the body of a second request, which continues the first one's response.
    chat: the body of the same question for chat completions, which can say how sure the answer is.
    """

    kind: str
    body: dict[str, Any]
    path: str = CHAT
    form: Form | None = None
    then: dict[str, Any] | None = None
    chat: dict[str, Any] | None = None


@dataclass(frozen=True)
class Bad:
    """A request that has to be refused, and with which status."""

    kind: str
    content: bytes
    status: int
    path: str = CHAT


def asks(seed: int, count: int) -> list[Ask]:
    """`count` different questions of all kinds in turn. The same ones for the same seed."""
    rng = random.Random(seed)
    pictures = [drawn(rng) for _ in range(max(count // 2, 2))]
    return [_made(KINDS[number % len(KINDS)], number, rng, rng.sample(pictures, 2)) for number in range(count)]


def _made(kind: str, number: int, rng: random.Random, some: list[str]) -> Ask:
    """A question; numbers in it, so that no two prompts without pictures begin alike."""
    question = rng.choice(QUESTIONS)
    match kind:
        case "words":
            return _ask(kind, f"{number}: {rng.choice(WORDS)}")
        case "video":
            clip = _url("video/mp4", (EXAMPLES / "moving_right.mp4").read_bytes())
            return _ask(kind, f"{rng.choice(('which way does it move?', DESCRIBE))} {number}", video=clip)
        case "pictures":
            return _ask(kind, "which picture has more objects?", *some)
        case "long":
            return _ask(kind, DESCRIBE, some[0], max_tokens=rng.randint(100, 200), ignore_eos=True)
        case "choice" | "regex" as form:
            return replace(_ask(kind, question, some[0], **soak_forms.chat(form)), form=form)
        case "schema" | "boxes" | "tools" as form:
            return _in(ROUTES[(number // len(KINDS)) % len(ROUTES)], kind, question, some[0], form)
        case "response":
            return _in(RESPONSES, kind, question, some[0])
        case "conversation":
            then = {"input": rng.choice(QUESTIONS), "max_output_tokens": 48}
            return replace(_in(RESPONSES, kind, DESCRIBE, some[0]), then=then)
        case "message":
            return _in(MESSAGES, kind, question, some[0])
        case "embedding":
            return _embedding(f"{number}: {rng.choice(WORDS)}", some[0] if number // len(KINDS) % 2 else None)
    return _ask(kind, DESCRIBE if kind == "describe" else question, some[0])


def _embedding(text: str, picture: str | None) -> Ask:
    if picture is None:
        return Ask("embedding", {"input": [text, "a red circle"]}, EMBEDDINGS)
    return Ask("embedding", {"messages": _ask("", text, picture).body["messages"]}, EMBEDDINGS)


def _in(path: str, kind: str, text: str, picture: str, form: Form | None = None) -> Ask:
    """A question about a picture in a route's own words."""
    options = {"max_tokens": FORM_TOKENS, **soak_forms.chat(form)} if form else {}
    ask = replace(_ask(kind, text, picture, **options), form=form)
    if path == CHAT:
        return ask
    tokens = FORM_TOKENS if form else 48
    if path == RESPONSES:
        parts: list[dict[str, Any]] = [
            {"type": "input_image", "image_url": picture},
            {"type": "input_text", "text": text},
        ]
        body = {"input": [{"role": "user", "content": parts}], "max_output_tokens": tokens}
        return Ask(kind, body | (soak_forms.responses(form) if form else {}), path, form, chat=ask.body)
    kind_of, data = picture.removeprefix("data:").split(";base64,")
    blocks: list[dict[str, Any]] = [
        {"type": "image", "source": {"type": "base64", "media_type": kind_of, "data": data}},
        {"type": "text", "text": text},
    ]
    body = {"messages": [{"role": "user", "content": blocks}], "max_tokens": tokens}
    return Ask(kind, body | (soak_forms.messages(form) if form else {}), path, form, chat=ask.body)


def _ask(kind: str, text: str, *pictures: str, video: str | None = None, **options: Any) -> Ask:
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    parts += [{"type": "video_url", "video_url": {"url": video}}] if video else []
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
    body = {"messages": messages, "max_tokens": 48, **options}
    return Ask(kind, body, chat=body)


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
    half = _url("image/png", whole[: len(whole) // 2])
    unknown = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {"type": "string"}}}}
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
        Bad("half a picture", _body(_ask("", "hello", half)), 422),
        Bad("a bomb", _body(_ask("", "hello", _url("image/png", _header(60_000, 60_000)))), 422),
        Bad("an address", _body(_ask("", "hello", "https://127.0.0.1/a.png")), 422),
        Bad("no such form", _body(_ask("", "hello", response_format=unknown)), 400),
        Bad("half a picture of two", _body(_ask("", "hello", drawn(random.Random(1)), half)), 422),
        Bad(
            "a response that is not here",
            json.dumps({"input": "hello", "previous_response_id": "resp_0"}).encode(),
            404,
            RESPONSES,
        ),
        *(Bad("half a picture", _body(_in(path, "", "hello", half)), 422, path) for path in (RESPONSES, MESSAGES)),
        Bad("half a picture", _body(_embedding("hello", half)), 422, EMBEDDINGS),
        Bad("no tokens", _body(_in(MESSAGES, "", "hello", half), max_tokens=None), 400, MESSAGES),
        Bad("half a video", _body(_ask("", "hello", video=_url("video/mp4", clip[: len(clip) // 2]))), 422),
    ]


def _body(ask: Ask, **changes: Any) -> bytes:
    return json.dumps(ask.body | changes).encode()


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _header(width: int, height: int) -> bytes:
    """A PNG that claims to be this large, and holds nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

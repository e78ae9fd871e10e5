"""Checks of requests: URLs, headers and keys, before anything is opened or decoded.

URLs are fetched only from allowed hosts, over https; every address of the host must be global, the checked address is
the one connected to, every redirect is checked again, and bytes and time are capped. Files are opened only under the
configured folder. Image sizes are read from headers; decoding happens in `workers`.
"""

from __future__ import annotations

import hmac
import io
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pixelword.errors import InputError, MediaError
from pixelword.processing.fetch import fetch_url, global_address
from pixelword.processing.images import check_size, open_picture
from pixelword.processing.media_io import read_bytes, read_file
from pixelword.serving.protocol_conversation import ChatMessage, Part
from pixelword.serving.settings import Settings

_LONGEST_ADDRESS = 2048  # of an address that is not a data URL


def authorised(authorization: str | None, api_key: str | None, *, keys: Sequence[str]) -> bool:
    """Whether a request has one of the keys; all keys are compared, in constant time.

    authorization: the header `Authorization: Bearer …`. api_key: the header `x-api-key` of Anthropic's clients.
    """
    if not keys:
        return True
    scheme, _, bearer = (authorization or "").partition(" ")
    given = [bearer if scheme.lower() == "bearer" else "", api_key or ""]
    found = False
    for key in keys:
        for value in given:
            found |= hmac.compare_digest(value.strip().encode(), key.encode())
    return found


def foreign(origin: str | None, allowed: Sequence[str] = ()) -> bool:
    """Whether a page of another name asks, by the `Origin` that browsers send with it; other clients send none.

    allowed: origins that are not foreign; "*" is every one.

    Any name can be made to lead here (DNS rebinding), and its page is then our own to the browser; an address cannot.
    """
    if origin is None or origin in allowed or "*" in allowed:
        return False
    try:
        host = urlsplit(origin).hostname or ""
        if host != "localhost":
            ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def check_messages(messages: Sequence[ChatMessage], settings: Settings, *, tools: Sequence[Any] = ()) -> None:
    """Raise InputError for too many images, videos or characters, or images where none are allowed.

    tools: that the prompt offers, whose characters count as well.
    """
    counts = {"image": 0, "video": 0}
    words = len(json.dumps(tools, ensure_ascii=False)) if tools else 0
    for message in messages:
        words += sum(len(call.function.arguments) for call in message.tool_calls or ())
        for part in message.content if isinstance(message.content, list) else ():
            if part.type == "text":
                words += len(part.text or "")
                continue
            if message.role not in ("user", "tool"):
                raise InputError(f"images and videos belong in user messages, not in those of role {message.role!r}")
            counts[part.type.removesuffix("_url")] += 1
        words += len(message.content) if isinstance(message.content, str) else 0
    for kind, count in counts.items():
        most = settings.limit_mm_per_prompt.get(kind, 0)
        if count > most:
            raise InputError(f"{count} {kind}s are more than the {most} that a request may have; send fewer")
    if words > settings.max_text:
        raise InputError(f"{words:,} characters are more than the {settings.max_text:,} that a request may have")


def fetched(part: Part, settings: Settings) -> bytes:
    """Fetch the bytes of a part's URL; blocks. Raises MediaError."""
    kind = "image" if part.type == "image_url" else "video"
    address = part.address
    if address.startswith("data:"):
        # base64 is a third longer than what it holds
        if len(address) > settings.limits.max_bytes * 3 // 2:
            raise MediaError(f"a {kind} of more than {settings.limits.max_bytes:,} bytes; send a smaller one")
        return read_bytes(address, kind=kind, limits=settings.limits, allow_files=False)
    if len(address) > _LONGEST_ADDRESS:
        raise MediaError(f"an address of {len(address):,} characters; send the {kind} as a data URL")
    scheme = urlsplit(address).scheme.lower()
    if scheme == "file":
        return _local(address, kind, settings)
    if scheme != "https":
        raise MediaError(f"only data: and https: addresses are read here; send the {kind} as a data URL")

    def address_of(host: str, port: int) -> str:
        return _dialled(host, port, settings)

    return fetch_url(address, settings.limits, address_of=address_of, only_https=True)


def _dialled(host: str, port: int, settings: Settings) -> str:
    """Return the address to connect to; called again at every redirect."""
    if host.lower().rstrip(".") not in {domain.lower() for domain in settings.allowed_media_domains}:
        raise MediaError(f"images are not fetched from {host}: the server's --allowed-media-domains does not name it")
    if port != 443:
        raise MediaError(f"{host}: only port 443 is dialled")
    return global_address(host, port)


def _local(address: str, kind: str, settings: Settings) -> bytes:
    folder = settings.allowed_local_media_path
    if folder is None:
        raise MediaError(f"files are not opened here; send the {kind} as a data URL")
    parts = urlsplit(address)
    path = Path(unquote(parts.path))
    # resolved: neither .. nor a link leads out of the folder
    inside = not parts.netloc and "\0" not in str(path) and path.resolve().is_relative_to(folder.resolve())
    if not inside or not path.is_file():
        raise MediaError(f"no such {kind} in the folder that this server may read")
    return read_file(path.resolve(), kind=kind, limits=settings.limits, allow_files=True)


def picture_pixels(data: bytes, settings: Settings) -> int:
    """Return height times width from an image's header. Raises MediaError if invalid, too large or too elongated."""
    with open_picture(io.BytesIO(data), "the image") as image:
        width, height = image.size
    check_size(width, height, "the image", settings.limits)
    return width * height


def conversation(
    messages: Sequence[ChatMessage], settings: Settings, *, tools: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Return messages in chat form with every image and video as checked bytes.

    Blocks; raises InputError or MediaError.
    """
    check_messages(messages, settings, tools=tools)
    pixels = 0
    chat: list[dict[str, Any]] = []
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        calls = {"tool_calls": [call.model_dump() for call in message.tool_calls]} if message.tool_calls else {}
        if not isinstance(message.content, list):
            chat.append({"role": role, "content": message.content, **calls})
            continue
        parts: list[dict[str, Any]] = []
        for part in message.content:
            if part.type == "text":
                parts.append({"type": "text", "text": part.text})
                continue
            data = fetched(part, settings)
            if part.type == "image_url":
                pixels += picture_pixels(data, settings)
                if pixels > settings.max_request_pixels:
                    raise InputError(
                        f"a request's images may have {settings.max_request_pixels:,} pixels in all; send smaller ones"
                    )
                parts.append({"type": "image", "image": data})
            else:
                parts.append({"type": "video", "video": data})
        chat.append({"role": role, "content": parts, **calls})
    return chat

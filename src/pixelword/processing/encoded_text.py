"""Images and videos encoded as text: bare base64 or data: URLs.

Parsed leniently, as in browsers: white space, the base64url alphabet, missing padding and case are accepted.
"""

from __future__ import annotations

import base64
import io
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pixelword.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

# Shorter strings without a file behind them are mistyped paths, not base64.
SHORTEST_BASE64 = 64
# No path is as long; and no name in one.
_LONGEST_PATH, _LONGEST_NAME = 4096, 255

# The second form has lost its scheme on the way.
_DATA_URL = re.compile(r"\s*(data:|[\w.+-]+/[\w.+-]+;base64,)", re.IGNORECASE)
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
_STANDARD = str.maketrans("-_", "+/")


def is_data_url(text: str) -> bool:
    return _DATA_URL.match(text) is not None


def data_url(image: Image.Image, format: str, **options: Any) -> str:
    """Encode an image as a data: URL. format: "PNG", "WEBP", ...; options: passed to PIL's `save`."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def from_data_url(url: str, kind: str) -> bytes:
    """Decode a data: URL. Raises `MediaError`."""
    header, comma, body = url.partition(",")
    if not comma or not header.rstrip().lower().endswith(";base64"):
        raise MediaError(f"data URL: must look like data:<type>;base64,<data>; encode the {kind} as base64")
    return _decoded(
        unquote(body) if "%" in body else body, f"data URL: not valid base64 ({{}}); encode the {kind} again"
    )


def from_base64(text: str, kind: str) -> bytes | None:
    """Decode bare base64, or return None if the text looks like a path. Raises `MediaError` for invalid base64."""
    if len(text) < SHORTEST_BASE64 or (len(text) < _LONGEST_PATH and _exists(text)):
        return None
    letters = _letters(text)
    # no encoder mixes the two alphabets
    is_mixed = "/" in text and ("-" in text or "_" in text)
    if not _too_long_for_a_path(text) and (_FOREIGN.search(letters) or len(letters) % 4 == 1 or is_mixed):
        return None
    return _decoded(
        text, f"{len(text):,} characters that look like base64, but are not valid ({{}}); encode the {kind} again"
    )


def _too_long_for_a_path(text: str) -> bool:
    return len(text) >= _LONGEST_PATH or max(map(len, text.split("/"))) > _LONGEST_NAME


def _exists(text: str) -> bool:
    try:
        return os.path.exists(text)
    except ValueError:  # a zero byte
        return False


def _letters(text: str) -> str:
    return "".join(text.split()).rstrip("=").translate(_STANDARD)


def _decoded(text: str, problem: str) -> bytes:
    letters = _letters(text)
    if foreign := _FOREIGN.search(letters):
        raise MediaError(problem.format(f"{foreign[0]!a} after {foreign.start():,} letters"))
    if len(letters) % 4 == 1:
        raise MediaError(problem.format("it is cut off"))
    return base64.b64decode(letters + "=" * (-len(letters) % 4))

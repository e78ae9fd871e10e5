"""Guard around Pillow and PyAV: any decoder error becomes a `MediaError` with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pixelword.errors import MediaError, PixelwordError

_LONGEST_REASON = 160


@contextmanager
def decoding(name: str, kind: str, problem: str = "the {kind} is damaged or cut off") -> Iterator[None]:
    """Run decoder code. `name`: what the media is called in messages; `kind`: "image" or "video".

    Decoders raise anything on damaged input (RuntimeError, PermissionError, TypeError, struct.error, ...), so every
    `Exception` becomes a `MediaError`; our own errors pass unchanged.
    """
    try:
        yield
    except PixelwordError:
        raise
    except MemoryError as error:
        raise MediaError(f"{name}: decoding needs more memory than is available; shrink the {kind}") from error
    except Exception as error:
        text = f"{problem.format(kind=kind)} ({reason(error)})"
        raise MediaError(f"{name}: {text}; give a whole file") from error


def reason(error: BaseException) -> str:
    """Summarise a decoder's error, without the paths and buffers that some decoders print."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = " ".join(str(text).split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"

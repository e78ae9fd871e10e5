"""Server settings and request limits. Defaults are safe; names are vLLM's where it has them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pixelword.errors import InputError
from pixelword.processing.limits import Limits

#: As browsers send it: no path, no default port, small letters.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


@dataclass(frozen=True)
class Settings:
    """Settings of one server.

    served_model_name: what clients call the model; any other name gets a 404.
    api_keys: any of these as `Authorization: Bearer …`; without one everybody who reaches the server may ask.
    allowed_media_domains: hosts that images and videos may be fetched from, over https alone; none by default.
    allowed_local_media_path: the one folder that `file://` addresses may name; none by default.
    limit_mm_per_prompt: images and videos in one request.
    max_body_bytes: of a request. max_text: characters of all its words.
    max_request_pixels: pixels of all its images together, by their headers, before anything is decoded.
    max_waiting: requests that wait for a place; further ones get a 429 with `retry_after` seconds.
    workers: processes that decode media. media_seconds, media_bytes: what one request's media may take there.
    max_tokens: the longest answer that a request may name. default_max_tokens: where it names none, an answer gets what
        the context has left, up to this.
    allowed_origins: origins (`https://app.example.org`) whose pages may ask from a browser, or "*" for all; none by
        default. Pages of this server's own need no entry.
    max_choices: `n` of a request. max_explain_tokens: the longest prompt whose answer can be looked into; 0: none.
    max_stored_responses, max_stored_bytes: responses that are stored for `previous_response_id`, and their size with
        their conversations; 0: none are stored.
    limits: of one image, one video, one download.
    """

    served_model_name: str = "nano"
    api_keys: tuple[str, ...] = ()
    allowed_media_domains: tuple[str, ...] = ()
    allowed_local_media_path: Path | None = None
    limit_mm_per_prompt: dict[str, int] = field(default_factory=lambda: {"image": 16, "video": 2})
    max_body_bytes: int = 64 << 20
    max_text: int = 200_000
    max_request_pixels: int = 100_000_000
    max_waiting: int = 64
    retry_after: int = 2
    workers: int = 2
    media_seconds: float = 30.0
    media_bytes: int = 1 << 30
    max_tokens: int = 4096
    default_max_tokens: int = 4096
    allowed_origins: tuple[str, ...] = ()
    max_choices: int = 4
    max_explain_tokens: int = 2048
    max_stored_responses: int = 1000
    max_stored_bytes: int = 256 << 20
    limits: Limits = field(
        default_factory=lambda: Limits(
            max_image_pixels=40_000_000, max_bytes=32 << 20, max_frames=256, url_timeout=5.0, url_deadline=20.0
        )
    )

    def __post_init__(self) -> None:
        if unknown := set(self.limit_mm_per_prompt) - {"image", "video"}:
            raise InputError(f"limit_mm_per_prompt: unknown {sorted(unknown)[0]!r}; say image and video")
        if self.allowed_local_media_path is not None and not self.allowed_local_media_path.is_dir():
            raise InputError(f"allowed_local_media_path: no folder {self.allowed_local_media_path}")
        if any(not key for key in self.api_keys):
            raise InputError("api_key: an empty key lets everybody in; leave it out, or give one")
        for origin in self.allowed_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise InputError(
                    f"allowed_origins: {origin!r} is not an origin; write scheme, host and port alone, in lower case, "
                    "as in https://app.example.org or http://localhost:3000, or * for every page"
                )
        if self.default_max_tokens < 1:
            raise InputError("default_max_tokens must be at least 1")
        if self.workers < 1:
            raise InputError("workers must be at least 1: media are decoded outside the server's own process")

"""The page at `/`: static files, with no external resources.

It is a client of this server's own routes, with the same keys and limits as any other. The files contain nothing about
the model, so they need no key.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse

from pixelword.explain.page import LOOK

_FOLDER = Path(__file__).parent / "static"
#: Address -> file.
FILES = {"/": _FOLDER / "index.html"} | {
    f"/page/{file.relative_to(_FOLDER).as_posix()}": file
    for file in sorted(_FOLDER.rglob("*"))
    if file.is_file() and file.suffix in (".css", ".js", ".svg", ".png", ".mp4")
}
#: What draws an explanation here draws it in the page of `pixelword explain`, too.
FILES |= {f"/page/look/{name}": LOOK / name for name in ("draw.js", "look.js", "trust.js", "look.css")}
#: No inline script, no markup made from text, nothing from another host, no frame around it.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for again by its tag, so that a new version is seen at once
}
# a system's own table of types may call scripts text/plain, which nosniff forbids to run
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


def add_page(app: FastAPI) -> None:
    """Routes of the page's files: `/` and `/page/…`."""

    def answer(request: Request) -> FileResponse:
        file = FILES[request.scope["path"]]
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
        return FileResponse(file, media_type=kind, headers=_HEADERS)

    for address in FILES:
        app.add_api_route(address, answer, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)

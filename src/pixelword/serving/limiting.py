"""Body size limit, enforced while the body arrives: the length header may be wrong or missing."""

from __future__ import annotations

import json
from typing import Any

from pixelword.serving.error_responses import error_body


class BodyLimit:
    """ASGI middleware that buffers the body, and answers 413 above `most` bytes."""

    def __init__(self, app: Any, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _declared(scope) > self.most:
            await self._refuse(scope, send)
            return
        taken: list[dict[str, Any]] = []
        size = 0
        while not taken or taken[-1].get("more_body", False):
            taken.append(await receive())
            size += len(taken[-1].get("body", b""))
            if size > self.most:
                await self._refuse(scope, send)
                return
        waiting = iter(taken)

        async def again() -> dict[str, Any]:
            return next(waiting, None) or await receive()

        await self.app(scope, again, send)

    async def _refuse(self, scope: dict[str, Any], send: Any) -> None:
        words = f"the request has more than {self.most:,} bytes; send smaller images"
        body = error_body(scope["path"], 413, words)
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def _declared(scope: dict[str, Any]) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

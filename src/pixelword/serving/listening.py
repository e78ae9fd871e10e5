"""A server that runs until a signal, and then exits quickly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

#: Connections that wait to be taken.
BACKLOG = 2048
_SECONDS = 30  # for answers that run when a signal comes
_SENDING_SECONDS = 1.0  # for requests that are still being sent then


class _Server(uvicorn.Server):
    """uvicorn's server, which reports shutdown in `/health` and leaves ending the process to its caller."""

    stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stopped_by = sig
        self.config.app.state.server.closing = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Like uvicorn's, but drop requests that have not fully arrived instead of waiting for them."""
        dropping = asyncio.create_task(self._drop_unsent())
        try:
            await super().shutdown(sockets)
        finally:
            dropping.cancel()

    async def _drop_unsent(self) -> None:
        await asyncio.sleep(_SENDING_SECONDS)
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)  # WebSockets have none
            if cycle is not None and cycle.more_body and not cycle.response_complete:
                connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def listen(app: Any, sockets: list[socket.socket]) -> int | None:
    """Serve on bound sockets until a signal arrives and running requests have ended; return the signal."""
    config = uvicorn.Config(app, backlog=BACKLOG, timeout_graceful_shutdown=_SECONDS, server_header=False)
    server = _Server(config)
    server.run(sockets=sockets)
    return server.stopped_by


def end_by(sig: int) -> None:
    """End this process by the signal, as its sender expects, without torch's slow interpreter shutdown."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(sig, signal.SIG_DFL)
    os.kill(os.getpid(), sig)

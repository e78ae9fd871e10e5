"""An answer in pieces of text, as its tokens come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator

from pixelword.generation.detokenizer import FinishReason
from pixelword.generation.request import Request, Token


class StrippedText:
    """Pieces of a text, and all of it so far, without white space at its two ends."""

    def __init__(self) -> None:
        self.text = ""
        self._space = ""

    def add(self, piece: str) -> str:
        """What of the text has become certain by one more piece."""
        piece = self._space + piece if self.text else piece.lstrip()
        certain = piece.rstrip()
        self._space = piece[len(certain) :]
        self.text += certain
        return certain


class Stream(Iterator[str]):
    """An answer in pieces, together its text.

    Attributes:
        request: The request that is being answered.
    """

    def __init__(self, request: Request, pieces: Generator[str, None, None], text: StrippedText) -> None:
        self.request, self._pieces, self._text = request, pieces, text
        self._at_end: Callable[[], None] | None = None

    def followed_by(self, action: Callable[[], None]) -> Stream:
        """Itself, after whose last piece `action` is called; not where it is closed before, or fails."""
        self._at_end = action
        return self

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text.text

    @property
    def finish_reason(self) -> FinishReason | None:
        """As in :class:`Answer`; None until the last piece was taken."""
        reason = self.request.reason
        return None if reason == "cancelled" else reason

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration:
            if self._at_end is not None and self.request.reason is not None:
                self._at_end()
                self._at_end = None
            raise

    def close(self) -> None:
        """Stop the generation."""
        self._pieces.close()


def stream(submit: Callable[[Callable[[Token | None], None]], Request], step: Callable[[], None]) -> Stream:
    """Submit a request, and step through it as its pieces are taken.

    Args:
        submit: Queues the request, given its sink.
        step: One step of the engine that runs it.
    """
    tokens: deque[Token] = deque()
    request = submit(lambda token: tokens.append(token) if token is not None else None)
    text = StrippedText()

    def pieces() -> Generator[str, None, None]:
        while request.reason is None:
            step()
            while tokens:
                if piece := text.add(tokens.popleft().text):
                    yield piece
        request.raise_error()

    return Stream(request, pieces(), text)

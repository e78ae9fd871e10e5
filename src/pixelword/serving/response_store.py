"""Responses that `previous_response_id` and `GET /v1/responses/ID` find again: a bounded number of bounded size."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from pixelword.serving.protocol_conversation import ChatMessage

#: What a message, a part or a call takes beside its text.
_OBJECT_BYTES = 1024


@dataclass(frozen=True)
class Stored:
    """A response's body as JSON, and its conversation: input and output, without instructions."""

    body: bytes
    messages: tuple[ChatMessage, ...]


class ResponseStore:
    """Responses by ID, the least recently used evicted first. It belongs to one process and lasts as long.

    A conversation's messages, images included, are held once however many responses continue it, and count once.
    """

    def __init__(self, max_responses: int, max_bytes: int) -> None:
        self.max_responses, self.max_bytes = max_responses, max_bytes
        self.bytes = 0
        self._entries: OrderedDict[str, Stored] = OrderedDict()
        self._uses: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def enabled(self) -> bool:
        """Whether it stores anything."""
        return self.max_responses > 0 and self.max_bytes > 0

    def put(self, response_id: str, body: bytes, messages: Sequence[ChatMessage]) -> None:
        """Store a response, and evict others while there are too many or too large ones."""
        self._entries[response_id] = Stored(body, tuple(messages))
        self.bytes += len(body)
        for message in messages:
            self.bytes += 0 if self._uses[id(message)] else _size(message)
            self._uses[id(message)] += 1
        while self._entries and (len(self._entries) > self.max_responses or self.bytes > self.max_bytes):
            self._evict(next(iter(self._entries)))

    def get(self, response_id: str, field: str = "response_id") -> Stored:
        """A stored response, which is now the most recently used. Raises HTTPException: 404."""
        if (found := self._entries.get(response_id)) is None:
            raise HTTPException(404, f"{field}: {self._missing(response_id)}")
        self._entries.move_to_end(response_id)
        return found

    def delete(self, response_id: str) -> None:
        """Forget a response. Raises HTTPException: 404."""
        self.get(response_id)
        self._evict(response_id)

    def _evict(self, response_id: str) -> None:
        entry = self._entries.pop(response_id)
        self.bytes -= len(entry.body)
        for message in entry.messages:
            self._uses[id(message)] -= 1
            if not self._uses[id(message)]:
                del self._uses[id(message)]
                self.bytes -= _size(message)

    def _missing(self, response_id: str) -> str:
        if not self.enabled:
            return "this server stores no responses (--response-store-mb 0); send the whole conversation as `input`"
        return (
            f"no response {response_id!r} is stored here: it was deleted, evicted, not stored (`store: false`), or "
            "made by another server; send the whole conversation as `input`"
        )


def _size(message: ChatMessage) -> int:
    """About the bytes that a message takes; an object of it that is empty is not free."""
    calls, parts = message.tool_calls or (), message.content if isinstance(message.content, list) else ()
    texts = [call.function.arguments for call in calls]
    texts += [part.text or "" if part.type == "text" else part.address for part in parts]
    if isinstance(message.content, str):
        texts.append(message.content)
    return sum(map(len, texts)) + _OBJECT_BYTES * (1 + len(calls) + len(parts))

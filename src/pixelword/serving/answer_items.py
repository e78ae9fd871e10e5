"""An answer as a list of items, in the order of its text: texts, and calls of tools."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pixelword.processing.tools import Piece, ToolCallParser
from pixelword.serving.protocol_conversation import ChatMessage


@dataclass
class Item:
    """A text, or a call of the tool `name` with its arguments (JSON, whole if the answer was not cut) as text."""

    name: str | None = None
    text: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class AnswerItems:
    """Items of one answer as its text comes. tools: whether it may call tools; else it is one text.

    Attributes:
        items: All so far; the last may grow.
    """

    def __init__(self, *, tools: bool) -> None:
        self.items: list[Item] = [] if tools else [Item()]
        self._parser = ToolCallParser() if tools else None

    @property
    def calls(self) -> list[Item]:
        """The calls."""
        return [item for item in self.items if item.name is not None]

    @property
    def ends_with_calls(self) -> bool:
        """Whether there are calls, the last of them whole."""
        return bool(self.calls) and self._parser is not None and not self._parser.open

    @property
    def text(self) -> str:
        """All texts."""
        return "".join(item.text for item in self.items if item.name is None)

    def add(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield (index of an item, what is added to it)."""
        if self._parser is None:
            self.items[0].text += text
            yield 0, text
        else:
            yield from self._pieces(self._parser.add(text))

    def finish(self) -> Iterator[tuple[int, str]]:
        """As `add`, when the answer has ended. An answer has one item at least."""
        if self._parser is not None:
            yield from self._pieces(self._parser.finish())
        if not self.items:
            self.items.append(Item())
            yield 0, ""

    def take(self, text: str) -> None:
        """Add a whole answer."""
        for _ in (*self.add(text), *self.finish()):
            pass

    def message(self) -> ChatMessage:
        """The answer as a message of a chat."""
        calls = [
            {"id": f"call_{item.id}", "function": {"name": item.name, "arguments": item.text}} for item in self.calls
        ]
        content = self.text
        more = {"tool_calls": calls, "content": content or None} if calls else {"content": content}
        return ChatMessage.model_validate({"role": "assistant", **more})

    def _pieces(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, str]]:
        for piece in pieces:
            starts_text = piece.call is None and (not self.items or self.items[-1].name is not None)
            if piece.name is not None or starts_text:
                self.items.append(Item(piece.name))
            self.items[-1].text += piece.text
            yield len(self.items) - 1, piece.text

"""A conversation that remembers its turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Unpack

from pixelword.generation.messages import Message, assistant_message, conversation, user_message
from pixelword.generation.sampling import Sampling, SamplingArguments
from pixelword.generation.streaming import Stream


class HasText(Protocol):
    @property
    def text(self) -> str: ...


class Answers(Protocol):
    """What a chat needs of a `Session`."""

    def sampling(self, **how: Unpack[SamplingArguments]) -> Sampling: ...

    def answer(self, messages: Sequence[Message], sampling: Sampling | None = None) -> HasText: ...

    def stream_answer(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Stream: ...


class Chat:
    """A conversation that remembers its turns, with the images of earlier turns.

    A turn that fails or is cancelled is not recorded.

    Attributes:
        messages: The turns so far, in chat form.
    """

    def __init__(self, session: Answers, *, system: str | None = None) -> None:
        self.session = session
        self.system = system
        self.messages: list[Message] = []
        self.reset()

    def reset(self) -> None:
        """Forget every turn but the system message."""
        self.messages = conversation(system=self.system)

    def instruct(self, system: str | None) -> None:
        """Change the system message; the turns stay."""
        turns = self.messages[1:] if self.system else self.messages
        self.system = system
        self.messages = conversation(*turns, system=system)

    def send(self, text: str, *, images: Any = (), videos: Any = (), **how: Unpack[SamplingArguments]) -> str:
        """The answer to the next turn. Arguments and errors: :meth:`Session.ask`."""
        messages = [*self.messages, user_message(text, images, videos)]
        answer = self.session.answer(messages, self.session.sampling(**how)).text
        self.messages = [*messages, assistant_message(answer)]
        return answer

    def stream(self, text: str, *, images: Any = (), videos: Any = (), **how: Unpack[SamplingArguments]) -> Stream:
        """As :meth:`send`, in pieces; the turn is remembered once the last piece was taken."""
        messages = [*self.messages, user_message(text, images, videos)]
        answer = self.session.stream_answer(messages, self.session.sampling(**how))
        return answer.followed_by(lambda: self._remember(messages, answer))

    def _remember(self, messages: list[Message], answer: Stream) -> None:
        self.messages = [*messages, assistant_message(answer.text)]

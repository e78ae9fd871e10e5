"""The text of an answer as its tokens come, and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from pixelword.generation.sampling import Sampling

#: Why an answer ended: by itself or at a stop string or token, or because it may not be longer.
FinishReason = Literal["stop", "length"]


class AnswerText:
    """The text of one answer, token by token, until it ends as its sampling says.

    Attributes:
        most: Tokens that the answer may have.
        new_tokens: Tokens so far, the closing one included.
        finish_reason: Why the answer ended; None while it goes on.
        stop_reason: The stop string or stop token that ended it; None where the model's own end or the length did.
    """

    def __init__(self, decode: Callable[[list[int]], str], sampling: Sampling, ends: Collection[int]) -> None:
        """ends: the model's own end tokens."""
        self.most = sampling.max_new_tokens
        self.new_tokens = 0
        self.finish_reason: FinishReason | None = None
        self.stop_reason: str | int | None = None
        self._sampling = sampling
        self._ends = frozenset() if sampling.ignore_eos else frozenset(ends)
        self._words = IncrementalDetokenizer(decode, sampling.stop, include_stop=sampling.include_stop_str_in_output)

    def add(self, token: int) -> str:
        """The text that one more token makes certain: none of a token that ends the answer, unless that is wanted."""
        sampling = self._sampling
        self.new_tokens += 1
        text = ""
        if token in self._ends or token in sampling.stop_token_ids:
            self.finish_reason, self.stop_reason = "stop", None if token in self._ends else token
        elif self.new_tokens >= self.most:
            self.finish_reason = "length"
        if self.finish_reason != "stop" or sampling.include_stop_str_in_output:
            text = self._words.add(token, may_stop=self.new_tokens > sampling.min_tokens)
        if self.finish_reason is not None:
            text += self._words.finish()
        if self._words.stopped:
            self.finish_reason, self.stop_reason = "stop", self._words.stop_string
        return text


class IncrementalDetokenizer:
    """Tokens to text as it comes: no half characters, nothing that may yet become a stop string.

    include_stop: the text has the stop string that ends it.
    """

    def __init__(
        self, decode: Callable[[list[int]], str], stop: tuple[str, ...] = (), *, include_stop: bool = False
    ) -> None:
        self._decode, self.stop, self._include_stop = decode, stop, include_stop
        self.text = ""  # of all tokens, as far as it is settled
        self.given = 0  # characters of it that were given out
        self.stop_string: str | None = None
        self._ids: list[int] = []
        self._settled = 0  # tokens whose text is settled
        self._searched = 0  # characters of the text in which no stop string ends, or none counts
        self._may_stop = True

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text."""
        return self.stop_string is not None

    def add(self, token: int, *, may_stop: bool = True) -> str:
        """The text that one more token makes certain; "" while it may still change.

        may_stop: whether a stop string counts that ends with this token.
        """
        self._ids.append(token)
        self._may_stop = may_stop
        return self._settle(final=False)

    def finish(self) -> str:
        """What is left, whatever it may have become."""
        return self._settle(final=True)

    def _settle(self, *, final: bool) -> str:
        if self.stopped:
            return ""
        # decoded with the word before, since a tokenizer may join or part by a space what follows
        known = self._decode(self._ids[max(0, self._settled - 8) : self._settled])
        whole = self._decode(self._ids[max(0, self._settled - 8) :])
        if final or not whole.endswith("\N{REPLACEMENT CHARACTER}"):
            self.text += whole[len(known) :]
            self._settled = len(self._ids)
        if self._may_stop:
            self._look_for_stop()
        self._searched = len(self.text)
        safe = len(self.text) if final or self.stopped else len(self.text) - self._held_back()
        piece, self.given = self.text[self.given : safe], max(self.given, safe)
        return piece

    def _look_for_stop(self) -> None:
        """Cut the text at the first stop string that ends in what has come since the last look."""
        places = ((self.text.find(text, max(0, self._searched - len(text) + 1)), text) for text in self.stop)
        place, self.stop_string = min(((at, text) for at, text in places if at >= 0), default=(0, None))
        if self.stop_string is not None:
            self.text = self.text[: place + len(self.stop_string) * self._include_stop]

    def _held_back(self) -> int:
        """Characters at the end with which a stop string begins."""
        if self._include_stop:
            return 0
        longest = max((len(text) for text in self.stop), default=1) - 1
        for size in range(min(longest, len(self.text)), 0, -1):
            if any(text.startswith(self.text[-size:]) for text in self.stop):
                return size
        return 0

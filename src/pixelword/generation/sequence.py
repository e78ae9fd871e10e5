"""A request that runs: its answer's text, what chooses its tokens, and how much of it the network has read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.detokenizer import AnswerText
from pixelword.generation.prefix_cache import PrefixBlock
from pixelword.generation.request import Reason, Request, Token
from pixelword.generation.sampling import top_logprobs


@dataclass(eq=False)
class Running:
    """A request that has a row.

    Attributes:
        choose: Chooses the next token from scores (vocabulary,) and `tokens`.
        positions: (3, 1, length) of the prompt.
        tokens: Those of the prompt and of the answer.
        read: Tokens whose keys and values are in the row.
    """

    one: Request
    choose: Callable[[Tensor, Sequence[int]], int]
    answer: AnswerText
    positions: Tensor
    pieces: list[PrefixBlock]
    tokens: list[int]
    read: int = 0

    @property
    def prompt_length(self) -> int:
        return len(self.one.prompt)

    @property
    def left(self) -> int:
        """Tokens of the prompt that are to be read."""
        return self.prompt_length - self.read

    @property
    def only_words_left(self) -> bool:
        images = self.one.prompt.images
        return not images or images[-1].stop <= self.read

    @property
    def next_position(self) -> int:
        """t of the token after those that were read."""
        return int(self.positions[0].max()) + 1 + self.read - self.prompt_length

    def take(self, scores: Tensor, guessed: Sequence[int] = ()) -> Reason | None:
        """Take tokens from scores (1 + guessed, vocabulary), the second where the first was guessed right, and so on.

        Returns why the answer ended, None if it goes on.
        """
        for number, row in enumerate(scores):
            if number and guessed[number - 1] != self.tokens[-1]:
                return None
            self.read += number > 0  # a guess that was right has its keys in the row already
            self.one.usage.accepted_draft_tokens += number > 0
            try:
                self._take(row)
            except InputError as error:  # of this request alone
                self.one.error = error
                return "cancelled"
            if self.answer.finish_reason is not None:
                return self.answer.finish_reason
        return None

    def _take(self, scores: Tensor) -> None:
        """The next token of the answer, from scores (vocabulary,). Raises InputError: none is left to take."""
        token = self.choose(scores, self.tokens)
        self.tokens.append(token)
        text = self.answer.add(token)
        self.one.usage.completion_tokens = self.answer.new_tokens
        self.one.stop_reason = self.answer.stop_reason
        wanted = self.one.sampling.logprobs
        logprob, top = (None, ()) if wanted is None else top_logprobs(scores, token, wanted)
        self.one.emit(Token(token, text, logprob, top))

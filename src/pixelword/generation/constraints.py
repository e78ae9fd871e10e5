"""Choosing an answer's next token from the network's scores: what may not come, what is favoured, and the draw.

Names and meaning are vLLM's: https://docs.vllm.ai/en/latest/api/vllm/sampling_params.html.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.sampling import Sampler, Sampling


class Constraints:
    """`min_tokens`, `allowed_token_ids`, `bad_words` and `logit_bias` of one answer.

    Args:
        ends: Tokens that end an answer by themselves.
        encode: A text's tokens, as an answer has them.

    Raises:
        InputError: a bad word has no tokens.
    """

    def __init__(self, sampling: Sampling, ends: Collection[int], encode: Callable[[str], list[int]]) -> None:
        self._active, self._min_tokens = sampling.constrained, sampling.min_tokens
        self._ends = sorted({*ends, *sampling.stop_token_ids})
        self._bad = [ids for word in sampling.bad_words for ids in _spellings(word, encode)]
        allowed = sampling.allowed_token_ids
        self._allowed = None if allowed is None else torch.tensor(sorted(set(allowed)), dtype=torch.int64)
        self._biased = torch.tensor(list(sampling.logit_bias), dtype=torch.int64)
        self._bias = torch.tensor(list(sampling.logit_bias.values()), dtype=torch.float32)

    def __call__(self, scores: Tensor, answer: Sequence[int]) -> Tensor:
        """Scores (vocabulary,) for the token after `answer`, the answer's tokens so far; -inf where one may not come.

        Raises:
            InputError: no token is left.
        """
        if not self._active:
            return scores
        device = scores.device
        if self._allowed is not None:
            allowed = self._allowed.to(device)
            scores = torch.full_like(scores, -torch.inf).index_copy(0, allowed, scores[allowed])
        if forbidden := self._forbidden(answer):
            scores = scores.index_fill(0, torch.tensor(forbidden, device=device), -torch.inf)
        if len(self._biased):
            scores = scores.float().index_add(0, self._biased.to(device), self._bias.to(device))
        if not bool(scores.isfinite().any()):
            raise InputError(
                f"no token is left after {len(answer)} of the answer: allowed_token_ids has none that min_tokens, "
                "bad_words and structured_outputs permit"
            )
        return scores

    def _forbidden(self, answer: Sequence[int]) -> list[int]:
        """Ends that come too early, and tokens that would complete a bad word."""
        ends = self._ends if len(answer) < self._min_tokens else []
        return [*ends, *(ids[-1] for ids in self._bad if _ends_with(answer, ids[:-1]))]


class Chooser:
    """Chooses one answer's tokens: constraints, then the repetition penalty, then the draw.

    Args:
        start: Length of the prompt.
        ends, encode: As in :class:`Constraints`, which also says what is raised.
    """

    def __init__(
        self, sampling: Sampling, start: int, ends: Collection[int], encode: Callable[[str], list[int]]
    ) -> None:
        self._constraints, self._draw, self._start = Constraints(sampling, ends, encode), Sampler(sampling), start

    def __call__(self, scores: Tensor, tokens: Sequence[int]) -> int:
        """The token that follows `tokens`, prompt and answer so far, from scores (vocabulary,) of any float type.

        Raises:
            InputError: no token is left.
        """
        return self._draw(self._constraints(scores, tokens[self._start :]), tokens)


def _ends_with(answer: Sequence[int], ids: Sequence[int]) -> bool:
    return len(ids) <= len(answer) and list(answer[len(answer) - len(ids) :]) == list(ids)


def _spellings(word: str, encode: Callable[[str], list[int]]) -> Iterator[list[int]]:
    """The word's tokens at the start of a text, and after a space where that is another first token."""
    bare = word.lstrip() or word
    plain, spaced = encode(bare), encode(f" {bare}")
    if not plain:
        raise InputError(f"bad_words: {word!r} has no tokens; leave it out")
    yield plain
    if spaced[:1] != plain[:1] and len(spaced) == len(plain):
        yield spaced

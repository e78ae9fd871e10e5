"""How an answer is drawn from the network's scores, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelword.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """How to draw an answer.

    Attributes:
        max_new_tokens: The most tokens an answer may have.
        temperature: 0 takes the most likely token each time; 1 draws from the model's own distribution.
        seed: The same seed gives the same answer; None draws afresh. Without effect at temperature 0.
        top_p: Draw among the likeliest tokens that together have this probability; 1 for all.
        top_k: Draw among so many of the likeliest tokens; 0 for all.
        repetition_penalty: Makes tokens of the prompt and of the answer so far less likely, by as much as this is above
            1 (Keskar and others, 2019; as transformers and vLLM have it); at temperature 0 too.
        stop: An answer ends before any of these strings.
        logprobs: How many of the likeliest tokens to tell beside each one that was taken; None tells nothing.
        ignore_eos: Go on past the end of the answer, to `max_new_tokens` (for measuring).
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int | None = None
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    ignore_eos: bool = False
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}: an answer needs at least 1")
        if not 0.0 <= self.temperature < float("inf"):
            raise InputError(f"temperature is {self.temperature}: use 0 (the likeliest word each time) or above")
        if not 0.0 < self.top_p <= 1.0:
            raise InputError(f"top_p is {self.top_p}: use a share above 0, up to 1")
        if self.top_k < 0:
            raise InputError(f"top_k is {self.top_k}: use 0 (all) or above")
        if not 0.0 < self.repetition_penalty < float("inf"):
            raise InputError(f"repetition_penalty is {self.repetition_penalty}: use 1 (none) or above")
        if self.logprobs is not None and not 0 <= self.logprobs <= 20:
            raise InputError(f"logprobs is {self.logprobs}: use 0 to 20")
        if any(not text for text in self.stop):
            raise InputError("stop has an empty string: leave it out")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken each time."""
        return self.temperature == 0.0

    @property
    def plain(self) -> bool:
        """Whether the network's own likeliest token is taken each time, so that a guess can be held against it."""
        return self.greedy and self.repetition_penalty == 1.0


class Drawer:
    """Draws one answer's tokens; its generator is its own, on the CPU, so that a seed means the same everywhere."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)

    def __call__(self, scores: Tensor, said: Sequence[int]) -> int:
        """The token taken from scores (vocabulary,) of any float type; said: tokens of the prompt and the answer."""
        scores = penalised(scores, said, self.sampling.repetition_penalty)
        return int((scores if self.sampling.greedy else self.noisy(scores)).argmax())

    def noisy(self, scores: Tensor) -> Tensor:
        """Scores (..., vocabulary), float32, whose largest is a draw as `sampling` says: the Gumbel-max trick."""
        exponential = torch.empty(scores.shape, dtype=torch.float32).exponential_(generator=self.generator)
        return filtered(scores.float(), self.sampling) / self.sampling.temperature - exponential.log().to(scores.device)


def penalised(scores: Tensor, said: Sequence[int], penalty: float) -> Tensor:
    """Scores (vocabulary,), those of tokens that were said divided by the penalty, or multiplied where below zero."""
    if penalty == 1.0:
        return scores
    places = torch.tensor(sorted(set(said)), dtype=torch.int64, device=scores.device)
    old = scores.float()[places]
    return scores.float().index_copy(0, places, torch.where(old < 0, old * penalty, old / penalty))


def filtered(scores: Tensor, sampling: Sampling) -> Tensor:
    """Scores (..., vocabulary), -inf where top_k and top_p leave a token out; the likeliest always stays."""
    if sampling.top_k and sampling.top_k < scores.shape[-1]:
        least = scores.topk(sampling.top_k).values[..., -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, places = (scores / sampling.temperature).sort(descending=True)
        shares = ordered.softmax(-1)
        enough = shares.cumsum(-1) - shares >= sampling.top_p  # the likelier ones have it already
        scores = scores.masked_fill(torch.zeros_like(enough).scatter(-1, places, enough), -torch.inf)
    return scores


class Words:
    """Tokens to text as it comes: no half characters, nothing that may yet become a stop string."""

    def __init__(self, decode: Callable[[list[int]], str], stop: tuple[str, ...] = ()) -> None:
        self._decode, self.stop = decode, stop
        self.text = ""  # of all tokens, as far as it is settled
        self.given = 0  # characters of it that were given out
        self.stopped = False
        self._ids: list[int] = []
        self._settled = 0  # tokens whose text is settled

    def add(self, token: int) -> str:
        """The text that one more token makes certain; "" while it may still change."""
        self._ids.append(token)
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
        for text in self.stop:
            place = self.text.find(text, max(0, self.given - len(text)))
            if place >= 0:
                self.text, self.stopped = self.text[:place], True
        safe = len(self.text) if final or self.stopped else len(self.text) - self._held_back()
        piece, self.given = self.text[self.given : safe], max(self.given, safe)
        return piece

    def _held_back(self) -> int:
        """Characters at the end with which a stop string begins."""
        longest = max((len(text) for text in self.stop), default=1) - 1
        for size in range(min(longest, len(self.text)), 0, -1):
            if any(text.startswith(self.text[-size:]) for text in self.stop):
                return size
        return 0

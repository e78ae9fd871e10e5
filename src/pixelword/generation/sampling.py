"""How an answer is drawn from the network's scores, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.structured_outputs import StructuredOutputs


class SamplingArguments(TypedDict, total=False):
    """The arguments of `Session.sampling`, which `Session.ask` passes on."""

    max_new_tokens: int | None
    temperature: float
    seed: int | None
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    stop: str | Sequence[str]
    min_tokens: int
    stop_token_ids: Sequence[int]
    allowed_token_ids: Sequence[int] | None
    bad_words: Sequence[str]
    logit_bias: Mapping[int, float] | None
    include_stop_str_in_output: bool
    structured_outputs: StructuredOutputs | None


@dataclass(frozen=True)
class Sampling:
    """Sampling options of an answer.

    Attributes:
        max_new_tokens: The most tokens an answer may have.
        temperature: 0 is greedy decoding; 1 samples from the model's own distribution.
        seed: The same seed gives the same answer; None is random. No effect at temperature 0.
        top_p: Sample among the likeliest tokens that together have this probability; 1 for all.
        top_k: Sample among this many of the likeliest tokens; 0 for all.
        repetition_penalty: Makes tokens of the prompt and of the answer so far less likely, by as much as this is above
            1 (Keskar and others, 2019; as transformers and vLLM have it); at temperature 0 too.
        stop: An answer ends before any of these strings.
        min_p: Sample among tokens with at least this share of the likeliest token's probability; 0 for all.
        min_tokens: No end of the answer, stop token or stop string counts within its first `min_tokens` tokens.
        stop_token_ids: An answer ends at any of these tokens, as at the model's own end.
        allowed_token_ids: No other token is generated; None allows all.
        bad_words: Texts that are not generated, at the start of a word and after a space.
        logit_bias: Added to the scores of these tokens.
        include_stop_str_in_output: The text has the stop string, or the stop token, that ended it.
        logprobs: How many of the likeliest tokens to report beside each sampled token; None for none.
        ignore_eos: Go on past the end of the answer, to `max_new_tokens` (for measuring).
        structured_outputs: The form that the answer must have; None for any.
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
    min_p: float = 0.0
    min_tokens: int = 0
    stop_token_ids: tuple[int, ...] = ()
    allowed_token_ids: tuple[int, ...] | None = None
    bad_words: tuple[str, ...] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    include_stop_str_in_output: bool = False
    structured_outputs: StructuredOutputs | None = None

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
        if not 0.0 <= self.min_p <= 1.0:
            raise InputError(f"min_p is {self.min_p}: use a share from 0 (all) to 1")
        if not 0 <= self.min_tokens <= self.max_new_tokens:
            raise InputError(
                f"min_tokens is {self.min_tokens}: use 0 to the most that this answer may have, {self.max_new_tokens}"
            )
        if self.allowed_token_ids is not None and not self.allowed_token_ids:
            raise InputError("allowed_token_ids is empty: give at least one token, or leave it out")
        if any(not word for word in self.bad_words):
            raise InputError("bad_words has an empty string: leave it out")
        if any(not -100 <= bias <= 100 for bias in self.logit_bias.values()):
            raise InputError("logit_bias has a value outside of -100 to 100")
        if self.ignore_eos and self.structured_outputs is not None:
            raise InputError(
                "ignore_eos is true: an answer with structured_outputs ends where it is whole; leave it out"
            )

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken each time."""
        return self.temperature == 0.0

    @property
    def plain(self) -> bool:
        """Whether each token is the likeliest of the network's own scores."""
        free = not self.constrained and self.structured_outputs is None
        return self.greedy and free and self.repetition_penalty == 1.0

    @property
    def constrained(self) -> bool:
        """Whether some tokens are forbidden or favoured, which `generation.constraints` does."""
        return bool(self.min_tokens or self.bad_words or self.logit_bias) or self.allowed_token_ids is not None

    def check_tokens(self, size: int) -> None:
        """Raises InputError: a token that is named is not in a vocabulary of this size."""
        for name in ("stop_token_ids", "allowed_token_ids", "logit_bias"):
            for token in getattr(self, name) or ():
                if not 0 <= token < size:
                    raise InputError(f"{name}: {token} is not a token of this model, whose tokens are 0 to {size - 1}")


class Sampler:
    """Draws one answer's tokens; its generator is its own, on the CPU, so that a seed means the same everywhere."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)

    def __call__(self, scores: Tensor, tokens: Sequence[int]) -> int:
        """The token taken from scores (vocabulary,) of any float type; tokens: those of the prompt and the answer."""
        scores = apply_repetition_penalty(scores, tokens, self.sampling.repetition_penalty)
        return int((scores if self.sampling.greedy else self.noisy(scores)).argmax())

    def noisy(self, scores: Tensor) -> Tensor:
        """Scores (..., vocabulary), float32, whose largest is a draw as `sampling` says: the Gumbel-max trick."""
        exponential = torch.empty(scores.shape, dtype=torch.float32).exponential_(generator=self.generator)
        return apply_top_k_top_p(scores.float(), self.sampling) / self.sampling.temperature - exponential.log().to(
            scores.device
        )


def apply_repetition_penalty(scores: Tensor, tokens: Sequence[int], penalty: float) -> Tensor:
    """Scores (vocabulary,), those of `tokens` divided by the penalty, or multiplied where below zero."""
    if penalty == 1.0:
        return scores
    places = torch.tensor(sorted(set(tokens)), dtype=torch.int64, device=scores.device)
    old = scores.float()[places]
    return scores.float().index_copy(0, places, torch.where(old < 0, old * penalty, old / penalty))


def apply_top_k_top_p(scores: Tensor, sampling: Sampling) -> Tensor:
    """Scores (..., vocabulary), -inf where min_p, top_k and top_p leave a token out; the likeliest always stays."""
    if sampling.min_p > 0.0:
        shares = (scores / sampling.temperature).softmax(-1)
        scores = scores.masked_fill(shares < sampling.min_p * shares.amax(-1, keepdim=True), -torch.inf)
    if sampling.top_k and sampling.top_k < scores.shape[-1]:
        least = scores.topk(sampling.top_k).values[..., -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, places = (scores / sampling.temperature).sort(descending=True)
        shares = ordered.softmax(-1)
        enough = shares.cumsum(-1) - shares >= sampling.top_p  # the likelier ones have it already
        scores = scores.masked_fill(torch.zeros_like(enough).scatter(-1, places, enough), -torch.inf)
    return scores


def top_logprobs(scores: Tensor, token: int, count: int) -> tuple[float, tuple[tuple[int, float], ...]]:
    """A token's logarithmic probability by scores (vocabulary,), and the `count` likeliest tokens with theirs; fewer
    where the scores allow fewer."""
    chances = scores.float().log_softmax(-1)
    values, ids = chances.topk(count)
    likeliest = zip(map(int, ids.tolist()), values.tolist(), strict=True)
    return float(chances[token]), tuple((other, value) for other, value in likeliest if value > -torch.inf)

"""Attention maps of each answer token, by layer, head and part of the score; rollout; gradient × attention.

One pass from the last layer to the first. Attention is recomputed from each layer's state, some queries at a time, so
that memory never holds L x L x heads or L x L x layers; per head, only the rows of answer tokens are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixelword.explain.trace import Reading, Step
from pixelword.model.masks import Block, Interval

#: Queries whose attention is in memory at once.
CHUNK = 128
#: Tokens up to which whole maps (every token by every token) are kept.
WHOLE = 4096
STAGES = ("pre-buffer", "post-LLM")


@dataclass(frozen=True)
class Maps:
    """Maps of N words over L tokens, V of them visual, F images or frames; float32 on the CPU.

    weights: (N, layers, heads, L) attention of the state that produced each word; rows sum to 1, or are 0 where that
        layer's attention is not used (text in a pre-buffer that text bypasses).
    parts: (3, N, layers, heads, V) the T, H and W parts of its scores at the visual tokens; their sum is the score.
    rollout: (N, L) attention multiplied through the layers, half of each state staying where it is.
    gradient: (N, L) positive gradient × attention, carried through the layers likewise.
    stages: "pre-buffer" and "post-LLM", those that the network has -> (L, L) attention of every token, mean of the
        stage's layers and heads; {} above `WHOLE` tokens.
    frames: likewise -> (F, F) the share of its attention that a token of image i gives to image j.
    """

    weights: Tensor
    parts: Tensor
    rollout: Tensor
    gradient: Tensor
    stages: dict[str, Tensor]
    frames: dict[str, Tensor]


def split(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The T, H and W parts of queries or keys (..., 2 * head_dim): (..., head_dim), and twice (..., head_dim / 2)."""
    first, second = x.chunk(2, -1)
    quarter = first.shape[-1] // 4
    sizes = (2 * quarter, quarter, quarter)
    t, h, w = (torch.cat(pair, -1) for pair in zip(first.split(sizes, -1), second.split(sizes, -1), strict=True))
    return t, h, w


@torch.no_grad()
def make_maps(reading: Reading) -> Maps:
    """Compute all maps of a reading."""
    work = _Descent(reading)
    for number in reversed(range(work.layers)):
        work.layer(number)
    return work.finished()


class _Descent:
    """The pass from the last layer to the first, and its accumulators."""

    def __init__(self, reading: Reading) -> None:
        config: Any = reading.model.config.get_text_config()
        self.reading, self.length, self.count = reading, reading.length, len(reading.words)
        self.layers, self.before, self.heads = (
            config.num_hidden_layers, config.extra_num_layers, config.num_attention_heads
        )  # fmt: skip
        self.device = reading.rows.device
        self.visual = reading.visual.nonzero()[:, 0]
        self.weights = torch.zeros(self.count, self.layers, self.heads, self.length)
        self.parts = torch.zeros(3, self.count, self.layers, self.heads, len(self.visual))
        start = torch.zeros(self.count, self.length, device=self.device)
        start[torch.arange(self.count), reading.rows] = 1
        self.rollout, self.gradient = start, start.clone()
        self.slopes = self._last_slopes()
        whole = self.length if self.length <= WHOLE else 0
        depths = dict(zip(STAGES, (self.before, self.layers - self.before), strict=True))
        self.depths = {name: depth for name, depth in depths.items() if depth}
        self.stages = {name: torch.zeros(whole, whole, device=self.device) for name in self.depths}
        self.member = self._members()
        self.frames = {name: torch.zeros(self.length, self.member.shape[1], device=self.device) for name in self.depths}

    def _last_slopes(self) -> Tensor:
        """(N, L, hidden_size): gradients of the words' log-probabilities after the last layer."""
        last = self.reading.states[-1].detach().requires_grad_()
        with torch.enable_grad():
            said = self.reading.said(last).unbind()
        return torch.cat([torch.autograd.grad(item, last, retain_graph=True)[0] for item in said])

    def _members(self) -> Tensor:
        """(L, F): 1 where a token is of an image."""
        member = torch.zeros(self.length, len(self.reading.pictures), device=self.device)
        for number, picture in enumerate(self.reading.pictures):
            member[picture.tokens.start : picture.tokens.stop, number] = 1
        return member

    def layer(self, number: int) -> None:
        step, slopes = self._slopes(number)
        scaling = self.reading.model.config.get_text_config().head_dim ** -0.5
        group = step.q.shape[1] // step.k.shape[1]
        q = step.q[0].float() * scaling
        k, v = (x[0].float().repeat_interleave(group, 0) for x in (step.k, step.v))
        self._words(number, q, k)
        used = self.reading.in_use(number)
        rollout, gradient = self.rollout * torch.where(used, 0.5, 1.0), self.gradient.clone()
        name = STAGES[number >= self.before]
        layers = self.depths[name]
        for a in range(0, self.length, CHUNK):
            b = min(a + CHUNK, self.length)
            attention = _attention(q[:, a:b], k, self.reading.visible, a, b) * used[a:b, None]
            mean = attention.mean(0)
            if self.stages[name].numel():
                self.stages[name][a:b] += mean / layers
            self.frames[name][a:b] += mean @ self.member / layers
            rollout += 0.5 * self.rollout[:, a:b] @ mean
            for word in range(self.count):
                if not bool(self.gradient[word, a:b].any()):
                    continue  # nothing of this word comes from these places
                # the attention output is A v, so its gradient with respect to A is the output's times v
                along = slopes[word, a:b].transpose(0, 1) @ v.transpose(1, 2)
                gain = (along * attention).clamp(min=0).mean(0)
                gradient[word] += self.gradient[word, a:b] @ gain
        self.rollout, self.gradient = rollout, gradient

    def _slopes(self, number: int) -> tuple[Step, Tensor]:
        """The layer's parts, and the gradients (N, L, heads, head_dim) of each word at its attention's heads.

        Takes `slopes` from after the layer to before it: one layer's graph is in memory at a time.
        """
        hidden = self.reading.states[number].detach().requires_grad_()
        with torch.enable_grad():
            step = self.reading.step(number, hidden)
        before, at_heads = [], []
        for word in range(self.count):
            slope = self.slopes[word : word + 1].to(step.out.dtype)
            found = torch.autograd.grad(step.out, (hidden, step.heads), slope, retain_graph=word + 1 < self.count)
            before.append(found[0])
            at_heads.append(found[1].float().unflatten(-1, (self.heads, -1)))
        self.slopes = torch.cat(before)
        return Step(*(getattr(step, name).detach() for name in ("out", "q", "k", "v", "heads"))), torch.cat(at_heads)

    def _words(self, number: int, q: Tensor, k: Tensor) -> None:
        """The rows of words in this layer, head by head."""
        rows = self.reading.rows
        used = self.reading.in_use(number)[rows]
        for n, row in enumerate(rows.tolist()):
            if not used[n]:
                continue
            own = q[:, row : row + 1]
            self.weights[n, number] = _attention(own, k, self.reading.visible, row, row + 1)[:, 0].cpu()
            for part, (query, key) in enumerate(zip(split(own), split(k[:, self.visual]), strict=True)):
                self.parts[part, n, number] = (query @ key.transpose(1, 2))[:, 0].cpu()

    def finished(self) -> Maps:
        members = self.member.sum(0).clamp(min=1)[:, None]
        return Maps(
            self.weights, self.parts, self.rollout.cpu(), self.gradient.cpu(),
            {name: item.cpu() for name, item in self.stages.items() if item.numel()},
            {name: (self.member.T @ item / members).cpu() for name, item in self.frames.items()},
        )  # fmt: skip


def _attention(q: Tensor, k: Tensor, visible: Interval, a: int, b: int) -> Tensor:
    """Attention (heads, b - a, L) of queries [a, b), already scaled."""
    scores = q @ k.transpose(1, 2)
    seen = visible.mask(Block(slice(0, 1), a, b, 0, k.shape[1], "masked"), k.device)[0]
    return scores.masked_fill(~seen, -torch.inf).softmax(-1)

"""A contrastive head: one linear map for pictures and one for words, on the states of a model that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.inference.session import Session

#: Pairs to learn from, at least.
LEAST = 16
#: Width of the common space; steps at most, and how often the pairs that were kept back are looked at.
_WIDTH, _STEPS, _EVERY = 64, 400, 10
_KEPT_BACK = 0.15
_RATE, _DECAY, _DROPOUT = 3e-3, 0.1, 0.2


@dataclass(frozen=True)
class States:
    """Of n pairs. pictures, words: (n, width), float32 on the CPU. texts: to know equal ones."""

    pictures: Tensor
    words: Tensor
    texts: tuple[str, ...]


@torch.no_grad()
def states(
    session: Session,
    pairs: Sequence[tuple[Image.Image, str]],
    question: str,
    report: Callable[[int], None] = lambda done: None,
) -> States:
    """What the last layer says: of a picture the mean of its tokens beside the place where the answer would begin, of
    a text the mean of its words as an answer without a picture. report: told the pairs done."""
    seen: list[Tensor] = []
    read: dict[str, Tensor] = {}
    for number, (picture, text) in enumerate(pairs, 1):
        shown = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        hidden, visual, _ = _read(session, [{"role": "user", "content": shown}])
        seen.append(torch.cat((hidden[visual].mean(0), hidden[-1])))
        if text not in read:
            said = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
            hidden, _, answer = _read(session, said)
            read[text] = hidden[answer].mean(0)
        report(number)
    texts = tuple(text for _, text in pairs)
    return States(torch.stack(seen), torch.stack([read[text] for text in texts]), texts)


def _read(session: Session, messages: list[dict[str, Any]]) -> tuple[Tensor, Tensor, Tensor]:
    """(states (L, width), which are visual (L,), which are an answer's (L,)) of one conversation."""
    asks = messages[-1]["role"] == "user"
    encoded = session.processor.encode(messages, add_generation_prompt=asks, media=session.media)
    batch = session.processor.batch([encoded], with_labels=True)
    labels = batch.pop("labels")
    inputs = {name: value.to(session.model.device) for name, value in batch.items()}
    output = session.model(**inputs, output_hidden_states=True, logits_to_keep=1, use_cache=False)
    hidden = output.hidden_states[-1][0].float().cpu()
    return hidden, batch["mm_token_type_ids"][0] > 0, labels[0] >= 0


@dataclass(frozen=True)
class Side:
    """A linear map into the common space, after centring and scaling. mean, spread: (width,); weight: (width, 64)."""

    mean: Tensor
    spread: Tensor
    weight: Tensor

    @classmethod
    def begun(cls, of: Tensor, generator: torch.Generator) -> Side:
        """An untrained one for states like these, (n, width)."""
        weight = torch.randn(of.shape[1], _WIDTH, generator=generator) / of.shape[1] ** 0.5
        return cls(of.mean(0), of.std(0).clamp(min=1e-6), weight.requires_grad_())

    def __call__(self, states: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Unit vectors; with a generator some of the states are left out, against learning pairs by heart."""
        standard = (states - self.mean) / self.spread
        if generator is not None:
            standard = standard * (torch.rand(standard.shape, generator=generator) > _DROPOUT)
        return F.normalize(standard @ self.weight, dim=-1)

    def kept(self) -> Side:
        """As it is now."""
        return replace(self, weight=self.weight.detach().clone())


@dataclass(frozen=True)
class Head:
    """The two maps."""

    pictures: Side
    words: Side

    def scores(self, of: States) -> Tensor:
        """(pictures, texts): cosines."""
        return self.pictures(of.pictures) @ self.words(of.words).T


def learnt(taught: States, seed: int = 0) -> Head:
    """The head that tells the kept-back part of these pairs apart best. Raises InputError for fewer than 16 pairs."""
    if len(taught.texts) < LEAST:
        raise InputError(f"a head of {len(taught.texts)} pairs learns nothing: give at least {LEAST}")
    generator = torch.Generator().manual_seed(seed)
    head = Head(*(Side.begun(side, generator) for side in (taught.pictures, taught.words)))
    order = torch.randperm(len(taught.texts), generator=generator)
    held, own = order.split([kept := round(_KEPT_BACK * len(order)), len(order) - kept])
    scale = torch.tensor(2.6, requires_grad=True)  # of the cosines: its exponential is 13
    maps = {"params": [head.pictures.weight, head.words.weight], "weight_decay": _DECAY}
    optimizer = torch.optim.AdamW([maps, {"params": [scale], "weight_decay": 0.0}], _RATE)
    least, best = float("inf"), head
    for step in range(1, _STEPS + 1):
        optimizer.zero_grad()
        _loss(head, taught, own, scale, generator).backward()
        optimizer.step()
        if step % _EVERY == 0:
            with torch.no_grad():
                now = float(_loss(head, taught, held, scale))
            if now < least:
                least, best = now, Head(head.pictures.kept(), head.words.kept())
    return best


def _loss(head: Head, taught: States, rows: Tensor, scale: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Cross-entropy both ways over the cosines; pairs of one text are partners of each other."""
    words = head.words(taught.words[rows], generator)
    table = scale.exp() * head.pictures(taught.pictures[rows], generator) @ words.T
    texts = [taught.texts[row] for row in rows.tolist()]
    same = torch.tensor([[a == b for b in texts] for a in texts], dtype=torch.float32)
    right = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(table, right) + F.cross_entropy(table.T, right)) / 2

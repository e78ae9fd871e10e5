"""Questions in an order in which none gives a later one away."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from random import Random

from pixelword.synthetic.types import Question

Facts = frozenset[Hashable]


@dataclass(frozen=True)
class Candidate:
    """A question that could be asked. asks: the facts that it is about; tells: what question and answer give away."""

    question: Question
    asks: Facts = frozenset()
    tells: Facts = frozenset()


def choose(rng: Random, candidates: Sequence[Candidate], number: int) -> tuple[Question, ...]:
    """Up to `number` of the candidates, of as many kinds as can be, none about a fact that is known already.

    Every kind is as likely to be asked, however many candidates it has.
    """
    kinds: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        kinds.setdefault(candidate.question.kind, []).append(candidate)
    for group in kinds.values():
        rng.shuffle(group)
    asked: list[Question] = []
    known: set[Hashable] = set()
    while len(asked) < number and kinds:
        for kind in rng.sample(sorted(kinds), len(kinds)):
            group = kinds[kind]
            fresh = next((it for it in group if not it.asks & known), None)
            if fresh is None:
                del kinds[kind]
                continue
            group.remove(fresh)
            asked.append(fresh.question)
            known |= fresh.asks | fresh.tells
            if len(asked) == number:
                break
    return tuple(asked)

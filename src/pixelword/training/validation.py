"""Validation: held-out loss, exact match under teacher forcing, and a few generated answers.

An answer is exact if each of its tokens is the argmax given the reference prefix, measured in one forward pass per
pack. Generated answers use the same path as `pixelword ask`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pixelword.data.types import Pack
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session
from pixelword.model.loss import supervised_rows
from pixelword.processing.options import MediaOptions
from pixelword.processing.types import Sample
from pixelword.training.building import precision
from pixelword.training.parallel import World

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.recipe import Recipe
    from pixelword.training.synthetic import DrawnPacks

_NEW_TOKENS = 64  # of a free answer


@dataclass(frozen=True)
class HeldOut:
    """packs: by kind of task or source; questions: samples to generate answers for; media: their media options."""

    packs: Mapping[str, Sequence[Pack]]
    questions: Sequence[Sample] = ()
    media: MediaOptions | None = None


@dataclass
class _Score:
    loss: float = 0.0  # summed over tokens by their weight
    weight: float = 0.0
    right: float = 0.0
    documents: float = 0.0


def exact_documents(logits: torch.Tensor, pack: Pack, columns: torch.Tensor) -> tuple[int, int]:
    """(right, all) documents with an answer: right when at every answer token the likeliest one is the label.

    logits (rows, n, vocabulary): of each row's places `columns` (n,), ascending, `answer_columns` of this pack.
    """
    length = pack.labels.shape[1]
    rows = supervised_rows(pack.labels, pack.cu_seqlens)
    row, place = (rows - 1) // length, torch.searchsorted(columns, (rows - 1) % length)
    wrong = (logits.argmax(-1)[row, place] != pack.labels.flatten()[rows]).long()
    documents = torch.searchsorted(pack.cu_seqlens.long(), rows, right=True) - 1
    errors = torch.zeros(pack.cu_seqlens.numel() - 1, dtype=torch.int64, device=rows.device)
    errors.index_add_(0, documents, wrong)
    answered = documents.unique()
    return int((errors[answered] == 0).sum()), answered.numel()


def answer_columns(pack: Pack) -> torch.Tensor:
    """Return the positions that predict a label in any row, ascending (n,) int64; the head runs only there."""
    return ((supervised_rows(pack.labels, pack.cu_seqlens) - 1) % pack.labels.shape[1]).unique()


class Validation:
    """Validates on the same held-out samples every time. All ranks call `run` at the same step and share the packs."""

    def __init__(
        self, recipe: Recipe, held_out: HeldOut, processor: NeoOVProcessor, world: World | None = None
    ) -> None:
        assert recipe.validation is not None
        self.recipe = recipe.validation
        self._recipe, self._world = recipe, world or World()
        self._held_out, self._processor = held_out, processor
        packs = [(name, pack) for name, group in held_out.packs.items() for pack in group]
        rounds = -(-len(packs) // self._world.size)
        own = packs[self._world.rank :: self._world.size]
        # with sharded weights a rank must not sit a pass out: it repeats a pack that counts nothing
        self._own = own + [("", packs[0][1])] * (rounds - len(own))

    @torch.no_grad()
    def run(self, model: NeoOVForConditionalGeneration) -> dict[str, Any]:
        """For metrics.jsonl: "loss", the mean of "losses" by kind or source; "exact", the share of exact answers of
        each; with questions also "generated", the share answered right, and "answers", the model's answers."""
        was_training = model.training
        model.eval()
        try:
            scores = self._scores(model)
            losses = {name: round(score.loss / max(score.weight, 1e-12), 4) for name, score in scores.items()}
            exact = {name: round(score.right / max(score.documents, 1), 4) for name, score in scores.items()}
            report = {"loss": round(sum(losses.values()) / len(losses), 4), "losses": losses, "exact": exact}
            return report | (self._answers(model) if self._held_out.questions else {})
        finally:
            model.train(was_training)

    def _scores(self, model: NeoOVForConditionalGeneration) -> dict[str, _Score]:
        scores = {name: _Score() for name in ("", *self._held_out.packs)}
        for name, pack in self._own:
            on_device = pack.to(self._world.device)
            columns = answer_columns(on_device)
            with precision(self._recipe, self._world):
                output = model(**on_device.inputs(), logits_to_keep=columns)
            right, documents = exact_documents(output.logits, on_device, columns)
            score = scores[name]
            score.loss += output.loss.item() * pack.weight
            score.weight += pack.weight
            score.right += right
            score.documents += documents
        names = list(self._held_out.packs)
        sums = self._world.sum(*(value for name in names for value in vars(scores[name]).values()))
        return {name: _Score(*sums[4 * n : 4 * n + 4]) for n, name in enumerate(names)}

    def _answers(self, model: NeoOVForConditionalGeneration) -> dict[str, Any]:
        """Generate answers as `ask` does; every rank returns the same."""
        session = Session(model, self._processor, media=self._held_out.media)
        answers = []
        with uncompiled(model), precision(self._recipe, self._world):
            for sample in self._held_out.questions:
                messages, expected = first_question(sample)
                answer = session.answer(messages, Sampling(_NEW_TOKENS)).text
                answers.append({"kind": sample.kind, "expected": expected, "answer": answer})
        right = sum(item["answer"] == item["expected"] for item in answers)
        return {"generated": round(right / len(answers), 4), "answers": answers}


def lines(scores: Mapping[str, Any]) -> list[str]:
    """Format the results of `Validation.run` for the log."""
    exact = "  ".join(f"{name} {value:.2f}" for name, value in scores["exact"].items())
    parts = [f"held-out loss {scores['loss']:.3f}  {exact}"]
    if "answers" in scores:
        parts.append(f"  {scores['generated']:.0%} of {len(scores['answers'])} free answers right")
        parts += [
            f"  {answer['kind']}: {answer['answer']!r}, where {answer['expected']!r} is right"
            for answer in scores["answers"]
        ]
    return parts


def first_question(sample: Sample) -> tuple[list[dict[str, Any]], str]:
    """Return the messages before a sample's first answer, and that answer."""
    turn = next(n for n, message in enumerate(sample.messages) if message["role"] == "assistant")
    content = sample.messages[turn]["content"]
    words = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return list(sample.messages[:turn]), words.strip()


@contextmanager
def uncompiled(model: NeoOVForConditionalGeneration) -> Iterator[None]:
    """While answers are generated, or texts read: layers compiled for one shape run as they are, and flex, which then
    would write all scores out, gives way."""
    kernel = model.config._attn_implementation
    with torch.compiler.set_stance("force_eager"):
        if kernel == "flex_attention":
            model.set_attn_implementation("sdpa")
        try:
            yield
        finally:
            if kernel == "flex_attention":
                model.set_attn_implementation(kernel)


def drawn_held_out(recipe: Recipe, drawn: DrawnPacks) -> HeldOut:
    """Return held-out packs of every trained synthetic kind, and questions from each in turn."""
    assert recipe.validation is not None
    wanted, level = recipe.validation, recipe.validation.level
    kinds = [kind for kind, weight in recipe.data.mixture.items() if weight > 0]
    return HeldOut(
        packs={kind: [drawn.held_out(kind, number, level) for number in range(wanted.packs)] for kind in kinds},
        questions=[drawn.question(kinds[n % len(kinds)], n, level) for n in range(wanted.generate)],
    )

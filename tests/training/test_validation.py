"""Held-out scores: what the loss is of, which answers count as exact, and that answers are generated as `ask` would."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pixelword.data.types import Pack
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session
from pixelword.processing.types import Sample
from pixelword.training.parallel import World
from pixelword.training.synthetic import DrawnPacks
from pixelword.training.trainer import Trainer
from pixelword.training.validation import (
    _NEW_TOKENS,
    HeldOut,
    Validation,
    answer_columns,
    drawn_held_out,
    exact_documents,
    first_question,
    lines,
)

GENERATE = "validation={every: 2, packs: 2, generate: 2}"


@pytest.fixture
def trainer(tiny) -> Trainer:
    return Trainer(tiny(GENERATE))


def held_out(trainer: Trainer) -> HeldOut:
    assert isinstance(trainer.source, DrawnPacks)
    return drawn_held_out(trainer.recipe, trainer.source)


def validation(trainer: Trainer, world: World | None = None) -> Validation:
    return Validation(trainer.recipe, held_out(trainer), trainer.processor, world)


def labelled(rows: list[list[int]], documents: list[int]) -> Pack:
    labels = torch.tensor(rows)
    return Pack(
        input_ids=labels.clamp(min=0),
        labels=labels,
        loss_weight=(labels != -100).float(),
        mm_token_type_ids=torch.zeros_like(labels),
        pixel_values=torch.zeros(0, 768),
        image_grid_hw=torch.zeros(0, 2, dtype=torch.int64),
        cu_seqlens=torch.tensor(documents, dtype=torch.int32),
        tokens=labels.numel(),
    )


def test_an_answer_is_exact_when_all_its_tokens_are() -> None:
    none = -100
    # two rows of five, two documents each, and the last document has no answer
    pack = labelled([[none, 1, 2, none, 3], [none, 4, none, none, none]], [0, 3, 5, 8, 10])
    columns = answer_columns(pack)
    assert columns.tolist() == [0, 1, 3]
    logits = torch.zeros(2, 3, 6)
    for row, column, token in ((0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 4)):
        logits[row, column, token] = 1.0
    assert exact_documents(logits, pack, columns) == (3, 3)
    logits[0, 1, 5] = 2.0  # the second token of the first answer
    assert exact_documents(logits, pack, columns) == (2, 3)


def test_scores_are_those_of_the_documents_one_by_one(trainer) -> None:
    scores = validation(trainer).run(trainer.model)
    assert set(scores["losses"]) == set(scores["exact"]) == {"colour", "count", "text"}
    assert scores["loss"] == pytest.approx(sum(scores["losses"].values()) / 3, abs=1e-3)
    model = trainer.model.eval()
    for kind, packs in held_out(trainer).packs.items():
        weighted = [(model(**pack.inputs(), skip_logits=True).loss.item(), pack.weight) for pack in packs]
        mean = sum(loss * weight for loss, weight in weighted) / sum(weight for _, weight in weighted)
        assert scores["losses"][kind] == pytest.approx(mean, abs=1e-3)


def test_it_leaves_the_model_as_it_was(trainer) -> None:
    before, state = {n: p.clone() for n, p in trainer.model.named_parameters()}, torch.get_rng_state()
    trainer.model.train()
    assert validation(trainer).run(trainer.model) == validation(trainer).run(trainer.model)
    assert trainer.model.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in trainer.model.named_parameters())


def test_two_ranks_share_the_packs_and_sum_to_the_same(trainer) -> None:
    """Each rank's sums, added up by hand: five packs, so that the second rank repeats one that must not count."""
    everything = held_out(trainer)
    packs = {**everything.packs, "text": everything.packs["text"][:1]}
    parts: list[list[float]] = []

    @dataclasses.dataclass(frozen=True)
    class Ranks(World):
        def sum(self, *values: float) -> list[float]:
            parts.append(list(values))
            return [sum(column) for column in zip(*parts, strict=True)]

    def run(world: World) -> dict:
        return Validation(trainer.recipe, HeldOut(packs), trainer.processor, world).run(trainer.model)

    alone = run(World())
    run(Ranks(rank=0, size=2))
    assert run(Ranks(rank=1, size=2)) == alone


def test_free_answers_are_those_of_ask(trainer) -> None:
    scores = validation(trainer).run(trainer.model)
    questions = held_out(trainer).questions
    assert [answer["kind"] for answer in scores["answers"]] == [sample.kind for sample in questions]
    session = Session(trainer.model.eval(), trainer.processor)
    for sample, item in zip(questions, scores["answers"], strict=True):
        messages, expected = first_question(sample)
        assert item["expected"] == expected == sample.messages[-1]["content"]
        assert item["answer"] == session.answer(messages, Sampling(_NEW_TOKENS)).text
    right = sum(answer["answer"] == answer["expected"] for answer in scores["answers"])
    assert scores["generated"] == pytest.approx(right / 2, abs=1e-3)
    told = "\n".join(lines(scores))
    assert f"{scores['loss']:.3f}" in told and "of 2 free answers right" in told


def test_a_question_is_what_stands_before_the_first_answer() -> None:
    turns = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Which colour?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Red. "}]},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Blue."},
    )
    assert first_question(Sample(turns, "chat")) == (list(turns[:2]), "Red.")


def test_layers_compiled_for_packs_answer_as_they_are(tiny) -> None:
    """Compiled layers have one shape; generation must not compile one more for each of its lengths."""
    trainer = Trainer(tiny(GENERATE))
    plain = validation(trainer).run(trainer.model)
    layers = trainer.model.language_model.model.layers
    for layer in layers:
        layer.compile(dynamic=False, backend="eager")
    torch._dynamo.utils.counters.clear()
    assert validation(trainer).run(trainer.model) == plain
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= len(layers)

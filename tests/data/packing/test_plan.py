"""The plan: every sample in its turn, packs within their budgets, and the same from wherever one starts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.index import FRAME, PICTURE, Index, Lengths
from pixelword.data.packing import plan as planning
from pixelword.data.packing.best_fit import Budget, best_fit
from pixelword.data.packing.plan import Plan, assign
from pixelword.data.packing.sampler import Order, chosen
from pixelword.data.recipe import DataRecipe
from pixelword.errors import RecipeError
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor

LENGTH = 128


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: Any) -> NeoOVProcessor:
    """Pictures of 1 to 64 visual tokens."""
    return NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=65536), tiny_tokenizer)


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "WINDOW", 50)


def an_index(count: int, seed: int = 0, *, pictures: int = 2, side: int = 200, faults: Mapping[int, str] = {}) -> Index:
    """Up to 60 words and `pictures` pictures of up to `side` pixels a sample."""
    rng = np.random.default_rng(seed)
    media = rng.integers(0, pictures + 1, count)
    total = int(media.sum())
    return Index(
        text_tokens=rng.integers(10, 60, count).astype(np.int32),
        answer_tokens=rng.integers(1, 9, count).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(media)]),
        sizes=rng.integers(20, side, (total, 2)).astype(np.int32),
        kinds=np.where(rng.random(total) < 0.9, PICTURE, FRAME).astype(np.uint8),
        counts=np.ones(total, np.int32),
        faults=faults,
    )


def recipe(*names: str, **values: Any) -> DataRecipe:
    sources = {name: {"path": f"{name}.jsonl"} | values.pop(name, {}) for name in names}
    return DataRecipe(**{"sources": sources, "length": LENGTH, "rows": 2, "packs": 4} | values)


def taken(plan: Plan, packs: int) -> list[tuple[str, int]]:
    return [(item.source, item.index) for number in range(packs) for item in plan.pack(number)]


def packs_of_a_pass(plan: Plan) -> int:
    return round(plan.steps_per_epoch * plan.packs_per_step)


def test_one_pass_takes_every_sample_once(processor: NeoOVProcessor) -> None:
    indexes = {"a": an_index(130), "b": an_index(71, 1)}
    plan = Plan(indexes, processor, recipe("a", "b"), seed=3)
    found = Counter(taken(plan, packs_of_a_pass(plan)))
    assert found == Counter((name, i) for name, index in indexes.items() for i in range(len(index)))
    assert plan.passes(packs_of_a_pass(plan)) == pytest.approx(1)


def test_a_pack_is_the_same_from_wherever_one_starts(processor: NeoOVProcessor) -> None:
    indexes = {"a": an_index(300), "b": an_index(40, 1)}
    data = recipe("a", "b", mixture={"a": 1, "b": 1})
    forwards, backwards = (Plan(indexes, processor, data, seed=3) for _ in range(2))
    there = [forwards.pack(number) for number in range(90)]
    back = [backwards.pack(number) for number in reversed(range(90))]
    assert there == back[::-1]
    assert there != [Plan(indexes, processor, data, seed=4).pack(number) for number in range(90)]


def test_every_pack_fits_as_planned(processor: NeoOVProcessor) -> None:
    """A packer that takes the samples in the plan's order, each into the first row with room, places all of them."""
    index = an_index(400)
    plan = Plan({"a": index}, processor, recipe("a", rows=3), seed=1)
    costs = index.lengths(processor)
    filled = 0
    for number in range(packs_of_a_pass(plan)):
        rows = [0, 0, 0]
        for item in plan.pack(number):
            row = next(row for row in range(3) if rows[row] + item.tokens <= LENGTH)
            rows[row] += item.tokens
        filled += sum(rows)
        step, place = divmod(number, 4)
        assert plan.costs(step)[place] == sum(costs.pairs[item.index] for item in plan.pack(number))
    assert filled / (3 * LENGTH * packs_of_a_pass(plan)) > 0.9, "best fit leaves little empty, even in small windows"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=80), st.integers(64, 200), st.integers(600, 2200))
def test_rows_keep_to_every_budget(sizes: list[int], patches: int, pairs: int) -> None:
    tokens = np.array(sizes)
    lengths = Lengths(tokens, tokens * 3 // 2, tokens * (tokens + 1) // 2)
    budget = Budget(64, patches, pairs)
    possible = np.flatnonzero(budget.holds(lengths))
    kept = Lengths(*(values[possible] for values in (lengths.tokens, lengths.patches, lengths.pairs)))
    rows = best_fit(kept, budget)
    assert sorted(item for row in rows for item in row) == list(range(len(possible)))
    for row in rows:
        assert kept.tokens[row].sum() <= 64
        assert kept.patches[row].sum() <= patches
        assert kept.pairs[row].sum() <= pairs


def test_a_sample_goes_into_the_fullest_row_with_room() -> None:
    tokens = np.array([4, 9, 6, 1, 4])
    rows = best_fit(Lengths(tokens, tokens, tokens), Budget(10))
    assert sorted(sorted(int(tokens[item]) for item in row) for row in rows) == [[1, 9], [4], [4, 6]]


def test_sources_take_turns_by_their_weights() -> None:
    order = Order([1000, 10, 300], [5, 1, 2], seed=0)
    sources, positions = order.stretch(0, 2000)
    assert len(sources) == 2000
    for source, share in enumerate((5 / 8, 1 / 8, 2 / 8)):
        so_far = np.cumsum(sources == source)
        assert np.abs(so_far - share * np.arange(1, 2001)).max() <= 1
    rare = positions[sources == 1]
    passes = rare.reshape(-1, 10)
    assert (np.sort(passes) == np.arange(10)).all(), "each pass takes every sample once"
    assert len({tuple(item) for item in passes.tolist()}) > 20, "each in a new order"


def test_stretches_join_without_a_seam() -> None:
    whole = Order([70, 30], [0.3, 0.7], seed=2).stretch(0, 400)
    order = Order([70, 30], [0.3, 0.7], seed=2)
    ends = [0, 33.3, 34, 150.5, 400]
    pieces = [order.stretch(a, b) for a, b in itertools.pairwise(ends)]
    for i in range(2):
        assert (np.concatenate([piece[i] for piece in pieces]) == whole[i]).all()


def test_repeats_and_limits_of_a_pass(processor: NeoOVProcessor) -> None:
    indexes = {"a": an_index(120), "b": an_index(40, 1)}
    plan = Plan(indexes, processor, recipe("a", "b", a={"repeat": 0.5}, b={"repeat": 3}), seed=1)
    found = Counter(taken(plan, packs_of_a_pass(plan)))
    assert [found["b", i] for i in range(40)] == [3] * 40
    assert sum(found["a", i] for i in range(120)) == 60 == len([i for i in range(120) if found["a", i]])
    with pytest.raises(RecipeError, match=r"data.sources.b.repeat: the mixture decides how often"):
        Plan(indexes, processor, recipe("a", "b", b={"repeat": 3}, mixture={"a": 1, "b": 1}))


def test_a_share_is_the_same_samples_in_every_pass(processor: NeoOVProcessor) -> None:
    indexes = {"a": an_index(400)}
    plan = Plan(indexes, processor, recipe("a", mixture={"a%25": 1}), seed=1)
    packs = packs_of_a_pass(plan)
    once = set(taken(plan, packs))
    assert 60 < len(once) < 140
    assert set(taken(plan, 3 * packs)) == once
    with pytest.raises(RecipeError, match="a is named twice"):
        Plan(indexes, processor, recipe("a", mixture={"a%25": 1, "a": 1}))


def test_training_never_takes_what_is_held_out(processor: NeoOVProcessor) -> None:
    indexes = {"a": an_index(200)}
    data = recipe("a", holdout=0.2)
    trained, held = Plan(indexes, processor, data, seed=1), Plan(indexes, processor, data, seed=9, part="held_out")
    ours, theirs = (set(taken(plan, packs_of_a_pass(plan))) for plan in (trained, held))
    assert not ours & theirs
    assert len(ours | theirs) == 200 and 20 < len(theirs) < 60


def test_what_is_chosen_does_not_depend_on_how_much_there_is() -> None:
    assert (chosen(500, 0.1, 7)[:100] == chosen(100, 0.1, 7)).all()
    assert chosen(3, 1e-9, 7).sum() == 1, "a share of few is one of them at least"
    assert chosen(50, 1.0, 7).all() and not chosen(50, 0.0, 7).any()


def test_rows_grow_at_their_step_and_nobody_is_lost(processor: NeoOVProcessor) -> None:
    indexes = {"a": an_index(600)}
    data = recipe("a", length=[(0, 96), (0.1, 128), (0.35, 192)])
    plan = Plan(indexes, processor, data, seed=1, steps=60)
    for step in range(60):
        assert plan.length(step * 4) == plan.length(step * 4 + 3) == data.length_at(step / 60)
    found = Counter(taken(plan, 4 * 60))
    # a window's shuffle keeps passes apart to within it: nobody is a whole pass behind
    assert max(found.values()) - min(found[("a", i)] for i in range(600)) <= 2
    for number in range(4 * 60):
        assert sum(item.tokens for item in plan.pack(number)) <= 2 * plan.length(number)


def test_over_long_samples_shrink_or_are_set_aside(processor: NeoOVProcessor) -> None:
    index = an_index(200, pictures=5, side=800, faults={3: "no such file"})
    index.answer_tokens[5] = 0
    index.text_tokens[7] = 500
    plan = Plan({"a": index}, processor, recipe("a"), seed=1)
    planned = {item.index: item for number in range(packs_of_a_pass(plan)) for item in plan.pack(number)}
    aside = {item.index: item.reason for item in plan.set_aside()}
    assert aside.keys() | planned.keys() == set(range(200)) and not aside.keys() & planned.keys()
    assert aside[3] == "no such file" and aside[5] == "it has no answer to learn from"
    assert "too long even with its images at min_pixels" in aside[7] and "tokens of 128 in a row" in aside[7]
    full = index.lengths(processor).tokens
    shrunk = {i: item.max_pixels for i, item in planned.items() if item.max_pixels is not None}
    assert shrunk and all(full[i] > LENGTH for i in shrunk)
    most = np.full(200, 65536)
    most[list(shrunk)] = list(shrunk.values())
    exact = index.lengths(processor, max_pixels=most).tokens
    assert all(item.tokens == exact[i] <= LENGTH for i, item in planned.items())
    # no further than needed: a token's worth of pixels more would not fit
    more = index.lengths(processor, max_pixels=most + 2 * 1024).tokens
    assert np.mean([more[i] > LENGTH for i in shrunk]) > 0.5


def test_budgets_of_a_pack_beyond_its_tokens(processor: NeoOVProcessor) -> None:
    index = an_index(300, side=300)
    plan = Plan({"a": index}, processor, recipe("a", max_patches=200, max_pairs=8000), seed=1)
    for number in range(packs_of_a_pass(plan)):
        rows = plan.pack(number)
        most = np.array([row.max_pixels or 65536 for row in rows])
        costs = index.take(np.array([row.index for row in rows])).lengths(processor, max_pixels=most)
        assert costs.patches.sum() <= 200 and costs.pairs.sum() <= 8000


def test_a_recipe_that_leaves_nothing_to_take(processor: NeoOVProcessor) -> None:
    with pytest.raises(RecipeError, match=r"data.sources.a: no sample is left to take"):
        Plan({"a": an_index(2, faults={0: "x", 1: "y"})}, processor, recipe("a"))
    with pytest.raises(RecipeError, match="20 are too long for rows of 8 tokens"):
        Plan({"a": an_index(20)}, processor, recipe("a", length=8))
    with pytest.raises(RecipeError, match="no sample fits a row of 8 tokens"):
        Plan({"a": an_index(20)}, processor, recipe("a", length=[(0, 8), (0.5, 128)]), steps=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=6).map(lambda c: c * 4), st.sampled_from([1, 2, 4]))
def test_ranks_share_a_step_evenly(costs: list[int], ranks: int) -> None:
    shares = assign(costs, len(costs), ranks)
    assert sorted(pack for share in shares for pack in share) == list(range(len(costs)))
    assert {len(share) for share in shares} == {len(costs) // ranks}
    # packs made at the same time differ least when they are neighbours in the order of their costs
    together = list(zip(*shares, strict=True))
    ordered = sorted(costs, reverse=True)
    for number, packs in enumerate(together):
        assert sorted((costs[pack] for pack in packs), reverse=True) == ordered[number * ranks : (number + 1) * ranks]


def test_ranks_are_equally_busy() -> None:
    costs = [int(x) for x in np.random.default_rng(0).lognormal(3, 1, 64) * 1000]
    spent = [sum(costs[pack] for pack in share) for share in assign(costs, 64, 8)]
    assert max(spent) / min(spent) < 1.25
    assert assign(None, 4, 2) == [[0, 2], [1, 3]]
    with pytest.raises(RecipeError, match="6 packs a step cannot be shared evenly by 4 ranks"):
        assign(None, 6, 4)

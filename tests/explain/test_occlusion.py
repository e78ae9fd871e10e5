"""Hiding: every token once, the right pixels, and what the network itself says of the changed picture."""

from __future__ import annotations

import pytest
import torch

from pixelword.errors import InputError
from pixelword.explain.faithfulness import check, found, mattering, spearman
from pixelword.explain.occlusion import Hider, cut, occlude
from pixelword.explain.trace import Reading
from pixelword.processing.images import unpatchify


@pytest.mark.parametrize("most", [2, 3, 5, 10, 99])
def test_cells_hold_every_token_once(reading: Reading, most: int) -> None:
    cells = cut(reading.pictures, most)
    assert len(cells) <= most and sorted(token for cell in cells for token in cell.tokens) == list(range(10))
    assert all(len(cell.tokens) == cell.rows * cell.columns for cell in cells)


def test_too_few_occlusions_are_refused(reading: Reading) -> None:
    with pytest.raises(InputError, match="2 images or frames cannot be hidden 1 times"):
        cut(reading.pictures, 1)


def test_a_hidden_cell_is_a_square_of_the_pictures_mean_colour(reading: Reading) -> None:
    hider = Hider(reading, cut(reading.pictures, 99))
    number = next(n for n, cell in enumerate(hider.cells) if (cell.picture, cell.row, cell.column) == (0, 1, 1))
    painted = unpatchify(hider.painted([number])[:24].numpy(), (6, 4), 16)
    before = reading.pictures[0].pixels
    changed = (painted != before).any(-1)
    assert changed[32:64, 32:64].mean() > 0.95 and changed.sum() == changed[32:64, 32:64].sum()
    mean = before.reshape(-1, 3).mean(0)
    assert abs(painted[32:64, 32:64] - mean).max() <= 1
    assert torch.equal(hider.painted([number])[24:], reading.inputs["pixel_values"][24:])


@torch.no_grad()
def test_drops_are_the_networks_own_likelihoods(reading: Reading) -> None:
    hider, occlusion = occlude(reading)
    logs = torch.tensor([word.chance for word in reading.words]).log()
    torch.testing.assert_close(hider.untouched, logs, rtol=1e-4, atol=1e-5)
    inputs = {**reading.inputs, "pixel_values": hider.painted([4])}
    logits = reading.model(**inputs, use_cache=False).logits[0, reading.rows].log_softmax(-1)
    expected = logs - logits.gather(-1, reading.word_ids[:, None])[:, 0]
    torch.testing.assert_close(occlusion.drops[:, 4], expected, rtol=1e-3, atol=1e-5)
    assert torch.equal(occlusion.over_tokens(10), occlusion.drops)  # cells of one token, in order


def test_ranks_are_compared_with_ties() -> None:
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert spearman(a, a**3) == pytest.approx(1) and spearman(a, -a) == pytest.approx(-1)
    assert spearman(a, torch.zeros(4)) == 0
    assert spearman(torch.tensor([1.0, 1.0, 2.0, 3.0]), a) == pytest.approx(0.9486833)  # scipy.stats.spearmanr


def test_what_matters_and_how_much_of_it_is_found() -> None:
    matter = mattering(torch.tensor([0.0, 2.0, 1.0, 0.9, -5.0]))
    assert matter == {1, 2}
    assert found(torch.tensor([1, 4, 2, 0, 3]), matter) == 0.5
    assert mattering(torch.tensor([0.05, 0.01])) == frozenset() and found(torch.tensor([1, 0]), frozenset()) == 0


def test_the_drops_themselves_are_the_perfect_map(reading: Reading) -> None:
    hider, occlusion = occlude(reading)
    maps = {"last": occlusion.over_tokens(10), "mean": -occlusion.over_tokens(10)}
    faithful = check(hider, occlusion, maps)
    perfect, worst = faithful.checks["last"], faithful.checks["mean"]
    assert perfect.rank == pytest.approx(1) and worst.rank == pytest.approx(-1)
    assert perfect.curve == faithful.checks["occlusion"].curve and perfect.curve[0] == pytest.approx(1, abs=1e-4)
    assert faithful.hidden[0] == 0 and faithful.hidden[-1] == 1
    ends = {round(item.curve[-1], 4) for item in faithful.checks.values()}
    assert len(ends) == 1  # all hidden is all hidden, in any order
    assert faithful.matter == 0 or (perfect.found == 1 and worst.found == 0)

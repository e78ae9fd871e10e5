"""Sets of pairs hold one partner each; a head learns what states tell, and nothing from those that tell nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pixelword.errors import AssetError, InputError
from pixelword.evaluation import contrast, matching, tables
from pixelword.evaluation.contrast import States
from pixelword.evaluation.matching import SOURCES, chosen, matched, pairs
from pixelword.inference.session import Session
from pixelword.tasks.assets import Assets
from pixelword.tasks.things import clash


@pytest.fixture
def assets(square_packs: Path) -> Assets:
    return Assets(square_packs)


def test_no_text_of_a_set_fits_two_pictures(assets: Assets) -> None:
    names, captions, flags = SOURCES
    found = pairs(names, assets, 8)
    words = [one.text for one in found]
    assert len(words) == 8 and not any(clash(a, b) for a in words for b in words if a is not b)
    assert (
        [one.text for one in pairs(names, assets, 8)] == words != [one.text for one in pairs(names, assets, 8, seed=1)]
    )
    told = [one.text for one in pairs(captions, assets, 5)]
    assert len(set(told)) == 5
    with pytest.raises(AssetError, match="pixelword tasks fetch flags"):
        pairs(flags, assets, 4)


def test_a_set_ends_where_there_are_no_more_texts(assets: Assets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_PATIENCE", 60)
    assert 5 < len(pairs(SOURCES[0], assets, 500)) < 40


def test_a_set_is_measured_both_ways(session: Session, assets: Assets) -> None:
    seen: list[tuple[str, int, int]] = []
    found = matched(session, SOURCES[0], assets, number=6, head=16, report=lambda *told: seen.append(told))
    assert [(one.way, one.pairs) for one in found] == [("likelihood", 6), ("head", 6)]
    assert [done for _, done, _ in seen] == list(range(1, 29)) and seen[-1][2] == 28
    again = matched(session, SOURCES[0], assets, number=6, head=16)
    assert again == found
    for one in found:
        assert one.chance == {1: 1 / 6, 5: 5 / 6} and one.low <= one.words[1] <= one.high
        told = json.loads(json.dumps(one.told()))
        assert len(tables.matched(told)) == 1 + len(tables.MATCHED)
    assert [one.name for one in chosen(["flags", "scenes"])] == ["flags"] and chosen(()) == SOURCES


def _states(number: int, *, noise: bool, seed: int) -> States:
    """Words whose states are a rotation of their pictures', or have nothing to do with them."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(9)))[0]
    pictures = torch.randn(number, 24, generator=generator)
    words = torch.randn(number, 24, generator=generator) if noise else pictures @ turn
    return States(pictures, words, tuple(map(str, range(number))))


@pytest.mark.slow
def test_a_head_learns_what_there_is_to_learn() -> None:
    """On pairs that it was not taught on."""

    def share(noise: bool) -> float:
        table = contrast.learnt(_states(300, noise=noise, seed=0)).scores(_states(40, noise=noise, seed=1))
        return float((table.argmax(1) == torch.arange(40)).float().mean())

    assert share(noise=False) > 0.8 and share(noise=True) < 0.2


def test_states_of_a_picture_and_of_words_are_the_networks_own(session: Session, assets: Assets) -> None:
    (one, other) = pairs(SOURCES[0], assets, 2)
    found = contrast.states(session, [(one.picture, one.text), (other.picture, one.text)], "what?")
    width = session.model.config.llm_config.hidden_size
    assert found.pictures.shape == (2, 2 * width) and found.words.shape == (2, width)
    assert torch.equal(found.words[0], found.words[1]) and not torch.equal(found.pictures[0], found.pictures[1])
    asked = [{"role": "user", "content": [{"type": "image", "image": one.picture}, {"type": "text", "text": "what?"}]}]
    batch = session.processor.batch([session.processor.encode(asked, add_generation_prompt=True)])
    with torch.no_grad():
        logits = session.model(**batch).logits[0, -1]
    head = session.model.get_output_embeddings()
    torch.testing.assert_close(head(found.pictures[0, width:]).detach(), logits, rtol=1e-3, atol=1e-3)


def test_too_few_pairs_teach_no_head() -> None:
    with pytest.raises(InputError, match="give at least 16"):
        contrast.learnt(_states(8, noise=False, seed=0))

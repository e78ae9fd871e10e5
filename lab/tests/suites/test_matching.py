"""Sets of pairs hold one partner each, and are measured the same way every time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixelword.errors import AssetError
from pixelword.evaluation import tables
from pixelword.generation.session import Session
from pixelword.synthetic.assets import Assets
from pixelword_lab.drawing.objects import clash
from pixelword_lab.suites import matching
from pixelword_lab.suites.matching import SOURCES, matched, pairs


@pytest.fixture
def assets(square_packs: Path) -> Assets:
    return Assets(square_packs)


def test_no_text_of_a_set_fits_two_pictures(assets: Assets) -> None:
    names, captions, flags = SOURCES
    found = pairs(names, assets, 8)
    words = [item.text for item in found]
    assert len(words) == 8 and not any(clash(a, b) for a in words for b in words if a is not b)
    assert (
        [pair.text for pair in pairs(names, assets, 8)]
        == words
        != [pair.text for pair in pairs(names, assets, 8, seed=1)]
    )
    told = [pair.text for pair in pairs(captions, assets, 5)]
    assert len(set(told)) == 5
    with pytest.raises(AssetError, match="pixelword tasks fetch flags"):
        pairs(flags, assets, 4)


def test_a_set_ends_where_there_are_no_more_texts(assets: Assets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_PATIENCE", 60)
    assert 5 < len(pairs(SOURCES[0], assets, 500)) < 40


def test_a_set_is_measured(session: Session, assets: Assets) -> None:
    seen: list[tuple[str, int, int]] = []
    found = matched(session, SOURCES[0], assets, number=6, report=lambda *told: seen.append(told))
    assert found.pairs == 6 and [done for _, done, _ in seen] == list(range(1, 7)) and seen[-1][2] == 6
    assert matched(session, SOURCES[0], assets, number=6) == found
    assert found.chance == {1: 1 / 6, 5: 5 / 6} and found.low <= found.words[1] <= found.high
    assert len(tables.matched(json.loads(json.dumps(found.as_json())))) == 1 + len(tables.MATCHED)

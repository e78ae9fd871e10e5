"""Pools: rendered once, joined whole; a stopped run goes on, a larger count takes over what is there."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason='needs matplotlib: pip install --editable "lab[tasks]"')

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets, split_of, write_pack
from pixelword_lab.family import draw
from pixelword_lab.packs.prerendered import render_one, render_pool

POOL = "chart-pool.zip"


def table(number: int) -> dict[str, Any]:
    rng = Random(number)
    rows = [[f"town {place}", rng.randint(20, 90), rng.randint(15, 60)] for place in range(8)]
    told = {"columns": ["town", "rain", "visitors"], "kinds": ["text", "number", "number"], "rows": rows}
    return {"key": f"table {number}", "title": f"Weather {number}", **told}


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    write_pack(tmp_path / "tables.zip", ((table(number), {}) for number in range(20)), licences={"drawn": "CC0-1.0"})
    return Assets(tmp_path)


def contents(path: Path) -> dict[str, bytes]:
    pack = AssetPack(path)
    return {item["key"]: pack.read(item["file"]) for item in pack.items}


def test_a_pool_has_its_items_in_order_each_in_its_split(assets: Assets) -> None:
    told: list[tuple[int, int]] = []
    path = render_pool("charts", assets, 4, shown=lambda done, total: told.append((done, total)))
    items = AssetPack(path).items
    assert [item["key"] for item in items] == [f"chart-pool/0/{number}" for number in range(4)]
    assert all(item["split"] == split_of(item["key"]) for item in items)
    assert len(set(contents(path).values())) == 4 and told[-1] == (4, 4)
    assert sorted(path.name for path in assets.folder.iterdir()) == [POOL, "tables.zip"]
    assert draw("charts", 0, "train", Assets(assets.folder)).questions, "the family draws from it"


def test_a_stopped_run_goes_on_and_gives_the_same(assets: Assets, tmp_path: Path) -> None:
    whole = contents(render_pool("charts", assets, 3))
    (assets.folder / POOL).unlink()
    parts = assets.folder / ".chart-pool.parts"
    render_one("charts", assets.folder, parts, 0, 1)  # all that was done before it was stopped
    told: list[int] = []
    path = render_pool("charts", Assets(assets.folder), 3, shown=lambda done, total: told.append(done))
    assert told == [1, 2, 3] and contents(path) == whole and not parts.exists()


def test_a_larger_count_takes_over_what_is_there(assets: Assets) -> None:
    few = contents(render_pool("charts", assets, 2))
    told: list[int] = []
    more = contents(render_pool("charts", Assets(assets.folder), 3, shown=lambda done, total: told.append(done)))
    assert told == [2, 3] and few.items() <= more.items()
    other = contents(render_pool("charts", Assets(assets.folder), 2, seed=1))
    assert not other.keys() & more.keys(), "another seed is another pool"


def test_workers_give_the_same(assets: Assets) -> None:
    alone = contents(render_pool("charts", assets, 2))
    assert contents(render_pool("charts", Assets(assets.folder), 2, workers=1, rebuild=True)) == alone


def test_a_family_without_a_pool_is_refused(assets: Assets) -> None:
    with pytest.raises(AssetError, match="scenes is drawn as it is asked"):
        render_pool("scenes", assets, 2)


def test_a_missing_pack_is_said(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="pixelword tasks fetch tables"):
        render_pool("charts", Assets(tmp_path), 2)

"""Charts: what is asked is true of the pixels, and a table belongs to one split."""

from __future__ import annotations

import re
from collections import Counter
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from drawn_tasks import image_of, questions_of, write_pool
from PIL import Image

pytest.importorskip("matplotlib", reason='needs matplotlib: pip install --editable "lab[tasks]"')

from pixelword.errors import AssetError
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import AssetPack, Assets, split_of, write_pack
from pixelword_lab.drawing.plots import draw_style, render
from pixelword_lab.drawing.tabular import COLOURS, Chart, Columns, Series, draw_chart, number, possible
from pixelword_lab.families.charts import FAMILY, POOL, render_item
from pixelword_lab.families.charts.ask import candidates
from pixelword_lab.family import Task, draw
from pixelword_lab.packs.prerendered import render_pool

TOWNS = ("Aby", "Borga", "Celle", "Dover", "Essen", "Fulda", "Ghent", "Halle", "Iserlohn", "Jena", "Kiel", "Lund")
OWN_FONTS = ("DejaVu Sans",)
DRAWS = 160


def table(seed: int) -> dict[str, Any]:
    """A table from which every kind of chart can be made."""
    rng = Random(seed)
    rows = [
        [f"{town} {seed}", 1960 + index, rng.choice(("north", "south", "west")), rng.randint(20, 90),
         round(rng.uniform(3, 9), 2), rng.randint(15, 60)]
        for index, town in enumerate(TOWNS * 3)
    ]  # fmt: skip
    for index, row in enumerate(rows):
        row[0] = f"{row[0]}{'abc'[index // len(TOWNS)]}"
    columns = ["town", "Year", "Region", "Rain.Days", "HeightOfHouses", "visitors"]
    return {"key": f"table {seed}", "title": f"Weather of town {seed}", "columns": columns, "rows": rows}


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Twenty tables and a pool of charts of them."""
    folder = tmp_path_factory.mktemp("assets")
    write_pack(folder / "tables.zip", ((table(n), {}) for n in range(20)), licences={})
    return write_pool(folder, POOL, render_item, 56, test_every=7)


@pytest.fixture(scope="module")
def tasks(assets: Assets) -> list[Task]:
    return [draw("charts", seed, "train", assets) for seed in range(DRAWS)]


def bars(chart: Chart, values: tuple[float, ...]) -> tuple[Image.Image, dict[str, Any]]:
    """A plain chart of these values."""
    for seed in range(50):
        drawn = render(chart, draw_style(Random(seed), chart, OWN_FONTS))
        if drawn is not None:
            return drawn
    raise AssertionError("no style suits the chart")


def test_every_kind_of_question_is_asked(tasks: list[Task]) -> None:
    seen = Counter(question.kind for task in tasks for question in task.questions)
    assert set(seen) == set(FAMILY.kinds)
    assert all(1 <= len(task.questions) <= 5 for task in tasks)
    assert sum(len(task.questions) for task in tasks) > 3 * DRAWS
    answers = Counter(item.answer for _, item in questions_of(tasks, "exists"))
    assert answers["yes"] and answers["no"]
    assert all(item.absent == (item.answer == "no") for _, item in questions_of(tasks, "exists"))


def test_pictures_are_small_enough_to_train_on(tasks: list[Task]) -> None:
    sizes = [image_of(task).size for task in tasks]
    assert all(96 <= side <= 1024 for size in sizes for side in size)
    assert np.mean([width * height / 1024 for width, height in sizes]) < 250


@pytest.mark.parametrize("kind", ["bar", "barh"])
def test_bars_are_as_long_as_their_values(kind: str) -> None:
    values = (10.0, 40.0, 25.0)
    chart = Chart(kind, "Rain", "town", "days", TOWNS[:3], (Series("", "red", values),))
    picture, boxes = bars(chart, values)
    marks = [boxes[f"mark:0:{place}"] for place in range(3)]
    lengths = [box[2] - box[0] if kind == "barh" else box[3] - box[1] for box in marks]
    assert lengths == pytest.approx([values[0] * lengths[1] / 40, lengths[1], 25 * lengths[1] / 40], abs=2)
    pixels = np.asarray(picture).astype(int)
    for left, top, right, bottom in marks:
        inside = pixels[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2]
        red, green, blue = np.median(inside.reshape(-1, 3), axis=0)
        assert red > 150 > 100 > max(green, blue)


def test_lines_pass_where_their_values_are() -> None:
    values = (10.0, 40.0, 25.0, 30.0, 20.0)
    chart = Chart("line", "", "year", "rain", ("1990", "1991", "1995", "2000", "2001"), (Series("", "red", values),))
    checked = 0
    for seed in range(6):
        drawn = render(chart, draw_style(Random(seed), chart, OWN_FONTS))
        if drawn is None:
            continue
        checked += 1
        picture, boxes = drawn
        pixels = np.asarray(picture).astype(int)
        marks = [boxes[f"mark:0:{place}"] for place in range(5)]
        heights = [(top + bottom) / 2 for _, top, _, bottom in marks]
        unit = (heights[0] - heights[1]) / 30
        assert [heights[0] - (value - 10) * unit for value in values] == pytest.approx(heights, abs=1)
        for left, top, right, bottom in marks:
            around = pixels[int(top) : int(bottom) + 1, int(left) : int(right) + 1].reshape(-1, 3)
            assert ((around[:, 0] - around[:, 1:].max(axis=1)) > 60).any()
        # a year without a label cannot be told from its neighbours here: nothing is asked about it
        shown = {place for place in range(5) if f"tick:{place}" in boxes}
        for candidate in candidates(Random(seed), chart, boxes, picture.size):
            if candidate.question.kind in ("value", "extreme"):
                year = re.search(r"\d{4}", candidate.question.question + candidate.question.answer)
                assert year is None or chart.names.index(year[0]) in shown
    assert checked >= 3


def test_slices_cover_their_share_of_the_pixels() -> None:
    shares = {"blue": 50.0, "orange": 30.0, "green": 20.0}
    series = tuple(Series(town, c, (v,)) for town, (c, v) in zip(TOWNS, shares.items(), strict=False))
    picture, _ = bars(Chart("pie", "", "", "", TOWNS[:3], series), (0.0,))
    pixels = np.asarray(picture).reshape(-1, 3).astype(int)
    wanted = [tuple(int(COLOURS[name][at : at + 2], 16) for at in (1, 3, 5)) for name in shares]
    counts = [int((np.abs(pixels - rgb).sum(axis=1) < 45).sum()) for rgb in wanted]
    assert [100 * count / sum(counts) for count in counts] == pytest.approx(list(shares.values()), abs=2.5)


def test_the_largest_bar_has_the_name_that_is_answered(assets: Assets, tasks: list[Task]) -> None:
    checked = 0
    for item in assets.pack(POOL).items:
        chart = Chart.from_facts(item["chart"])
        if chart.kind not in ("bar", "barh") or len(chart.series) > 1:
            continue
        marks = [item["boxes"][f"mark:0:{place}"] for place in range(len(chart.names))]
        lengths = [box[2] - box[0] if chart.kind == "barh" else box[3] - box[1] for box in marks]
        assert lengths.index(max(lengths)) in [
            i for i, v in enumerate(chart.series[0].values) if v == max(chart.series[0].values)
        ]
        checked += 1
    assert checked > 3
    for _, entry in questions_of(tasks, "extreme"):
        assert entry.answer in entry.choices


def test_a_shown_colour_is_in_the_picture(tasks: list[Task]) -> None:
    found = [(task, item) for task, item in questions_of(tasks, "colour") if item.answer in COLOURS]
    assert len(found) > 5
    for task, item in found:
        pixels = np.asarray(image_of(task)).reshape(-1, 3).astype(int)
        rgb = [int(COLOURS[item.answer][at : at + 2], 16) for at in (1, 3, 5)]
        # dimmed by a quarter at most, and grainy
        near = [int((np.abs(pixels - np.multiply(rgb, light)).sum(axis=1) < 65).sum()) for light in (1.0, 0.88)]
        assert max(near) > 25, (item, task.assets)


def test_boxes_lie_in_the_picture_and_answers_name_them(tasks: list[Task]) -> None:
    found = questions_of(tasks, "find")
    assert found
    for task, item in found:
        width, height = image_of(task).size
        match = re.fullmatch(r"<ref>(.+)</ref><box>\[\[(\d+), (\d+), (\d+), (\d+)\]\]</box>", item.answer)
        assert match is not None and item.metric == "box"
        corners = [int(match[index]) for index in range(2, 6)]
        ((number_of_picture, box),) = item.boxes
        assert number_of_picture == 0 and 0 <= box[0] < box[2] <= width + 1 and 0 <= box[1] < box[3] <= height + 1
        scaled = (1000 * box[0] / width, 1000 * box[1] / height, 1000 * box[2] / width, 1000 * box[3] / height)
        assert corners == pytest.approx(scaled, abs=1)


def test_no_question_is_given_away(tasks: list[Task]) -> None:
    for task in tasks:
        said = ""
        for question in task.questions:
            # "Count the bars." does not say what an axis counts
            if question.kind in ("axis", "title") and not question.absent and question.answer != "count":
                assert question.answer.lower() not in said.lower(), task.questions
            if question.kind == "cell":
                assert f"find {question.answer}" not in said
            said += f" {question.question} {question.answer}"
        assert len({question.question.lower() for question in task.questions}) == len(task.questions)


def test_splits_share_no_table_and_seeds_repeat(assets: Assets, tasks: list[Task]) -> None:
    taught = {asset for task in tasks for asset in task.assets}
    tested = {asset for seed in range(DRAWS) for asset in draw("charts", seed, "test", assets).assets}
    assert taught and tested and not taught & tested
    assert all(split_of(asset.removeprefix("tables:")) == "test" for asset in tested if asset.startswith("tables:"))
    for seed in range(5):
        again = draw("charts", seed, "train", Assets(assets.folder))
        assert again.questions == tasks[seed].questions
        assert image_of(again).tobytes() == image_of(tasks[seed]).tobytes()


def test_without_a_pool_charts_are_drawn_on_the_spot(assets: Assets, tmp_path: Path) -> None:
    write_pack(tmp_path / "tables.zip", ((table(n), {}) for n in range(12)), licences={})
    item, same = (draw("charts", 3, "train", Assets(tmp_path)) for _ in range(2))
    assert item.questions == same.questions and image_of(item).tobytes() == image_of(same).tobytes()
    with pytest.raises(AssetError, match="pixelword tasks fetch tables"):
        draw("charts", 3, "train", Assets(tmp_path / "nowhere"))


def test_facts_survive_json(assets: Assets) -> None:
    for item in assets.pack(POOL).items:
        chart = Chart.from_facts(item["chart"])
        assert (Chart.from_facts(chart.facts()) == chart and chart.kind in FAMILY.kinds) or chart.kind
        with Image.open(BytesIO(assets.pack(POOL).read(item["file"]))) as picture:
            width, height = picture.size
        assert all(-2 <= box[0] <= width + 2 and -2 <= box[1] <= height + 2 for box in item["boxes"].values())


def test_columns_are_sorted_by_what_they_can_be() -> None:
    columns = Columns(table(1))
    assert [label for label, _ in columns.names] == ["town"] and [label for label, _ in columns.groups] == ["Region"]
    assert [label for label, _ in columns.numbers] == ["Rain Days", "Height Of Houses", "visitors"]
    ((label, run, years),) = columns.times
    assert label == "Year" and len(run) == 36 and years[:2] == ["1960", "1961"]
    assert set(possible(columns)) == {"bar", "barh", "line", "scatter", "pie", "histogram", "table"}


def test_a_histogram_counts_its_values() -> None:
    columns = Columns(table(2))
    charts = [draw_chart(Random(seed), "histogram", columns) for seed in range(30)]
    drawn = [chart for chart in charts if chart is not None]
    assert drawn
    for chart in drawn:
        series = chart.series[0]
        values = dict(columns.numbers)[chart.x_label]
        edges = series.xs
        assert list(series.values) == np.histogram([v for v in values if v < edges[-1]], edges)[0].tolist()


def test_numbers_are_written_as_people_do() -> None:
    assert [number(v) for v in (3.0, 0.125, 1234.0, 12.50, 40000.0)] == ["3", "0.125", "1230", "12.5", "40000"]


def test_samples_go_through_the_processor(tasks: list[Task], tiny_tokenizer: Any) -> None:
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=512 * 512), tiny_tokenizer)
    for task in tasks[:6]:
        encoded = processor.encode(task.sample().messages)
        assert len(encoded.input_ids) > 50


def test_a_pool_is_rendered_asked_and_grown(tmp_path: Path) -> None:
    write_pack(tmp_path / "tables.zip", ((table(n), {}) for n in range(12)), licences={"towns": "CC0-1.0"})
    first = AssetPack(render_pool("charts", Assets(tmp_path), 3))
    assert len(first.items) == 3 and first.licences == {"towns": "CC0-1.0"}
    grown = AssetPack(render_pool("charts", Assets(tmp_path), 6))
    assert grown.items[:3] == first.items and len({item["file"] for item in grown.items}) == 6
    task = draw("charts", 0, "train", Assets(tmp_path))
    assert task.assets in [tuple(item["assets"]) for item in grown.of("train")]

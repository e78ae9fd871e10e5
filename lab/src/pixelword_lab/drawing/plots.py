"""Charts as images: matplotlib draws a `Chart` in a drawn style and says where everything is, in pixels."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from pixelword.errors import AssetError
from pixelword.extras import install_command
from pixelword.synthetic.assets import AssetPack
from pixelword.synthetic.types import Box
from pixelword_lab.drawing.tabular import COLOURS, Chart, number

_DPI = 100
_GROUNDS = ("#ffffff", "#ffffff", "#ffffff", "#f7f7f2", "#eef2f7", "#fff8e8", "#22262e", "#101418")


@dataclass(frozen=True)
class Style:
    """How a chart looks. size: of the image in pixels; text: height of its type in pixels; font: file, or a name."""

    size: tuple[int, int]
    text: float
    font: str
    ground: str
    grid: str  # "", "x", "y", "both"
    spines: tuple[str, ...]
    width: float
    edge: bool
    hatch: str
    marker: str
    dashes: str
    jitter: tuple[float, float, float]
    turned: int
    legend: str
    header: str
    rules: str

    @property
    def ink(self) -> str:
        return "#f2f2f2" if int(self.ground[1:3], 16) < 128 else "#1a1a1a"


def draw_style(rng: Random, chart: Chart, fonts: Sequence[str]) -> Style:
    """A style for a chart; its size leaves room for what it has to show. fonts: files, or names matplotlib knows."""
    width = rng.randrange(224, 449, 16)
    height = round(width * rng.uniform(0.62, 1.0))
    if chart.kind == "table":
        width, height = _table_size(rng, chart)
    elif chart.kind in ("bar", "barh") and sum(map(len, chart.names)) > 40:
        width, height = max(width, 320), max(height, 256)
    return Style(
        size=(width, max(160, height) if chart.kind != "table" else height),
        text=rng.uniform(11.5, 15.5 if width > 300 else 13),
        font=rng.choice(fonts),
        ground=rng.choice(_GROUNDS),
        grid=rng.choice(("", "y", "y", "both", "x")),
        spines=rng.choice((("left", "bottom"), ("left", "bottom"), ("left", "bottom", "top", "right"), ("bottom",))),
        width=rng.uniform(0.5, 0.9),
        edge=rng.random() < 0.3,
        hatch=rng.choice(("", "", "", "", "//", "..")),
        marker=rng.choice(("o", "s", "^", "D", "")),
        dashes=rng.choice(("-", "-", "-", "--", "-.")),
        jitter=(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)),
        turned=rng.choice((0, 30, 45, 90)),
        # at the top it would meet the title
        legend=rng.choice(("outside lower center", "outside lower center", "outside right center")),
        header=rng.choice(("#d9e2ef", "#33475b", "#e8e0d0", "#2f6f4f", "#f0f0f0")),
        rules=rng.choice(("closed", "horizontal", "open")),
    )


def _table_size(rng: Random, chart: Chart) -> tuple[int, int]:
    letters = sum(_letters(chart))
    width = round(min(640, max(160, letters * rng.uniform(8.2, 9.5) + 24)))
    return width, round((len(chart.cells) + 1) * rng.uniform(21, 29) + (34 if chart.title else 10))


def _letters(chart: Chart) -> list[int]:
    """The longest text of every column of a table, with a margin."""
    return [max(len(text) for text in column) + 2 for column in zip(chart.names, *chart.cells, strict=True)]


def render(chart: Chart, style: Style) -> tuple[Image.Image, dict[str, Box]] | None:
    """The image (RGB) and the boxes of its parts; None where texts collide or do not fit: draw another style.

    Parts: "title", "x", "y" (the axes' labels), "legend:N" (of series N), "mark:N:M" (of value M of series N: a bar,
    a point of a line, a slice), "tick:M" (name of place M of a line, where it stands), "cell:ROW:COLUMN" of a table,
    row 0 its head.

    Raises:
        AssetError: matplotlib is not installed.
    """
    figure, canvas = _figure(style)
    axes = figure.add_subplot()
    axes.set_facecolor(style.ground)
    parts: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        _DRAWERS[chart.kind](axes, chart, style, parts)
        _furnish(figure, axes, chart, style, parts)
        canvas.draw()
    boxes = _boxes(figure, canvas, parts)
    if not _legible(figure, axes, canvas, parts):
        return None
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()), boxes


def _figure(style: Style) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AssetError(f"charts need matplotlib: {install_command('tasks', of='pixelword-lab')}") from error
    width, height = style.size
    figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor=style.ground, layout="constrained")
    return figure, FigureCanvasAgg(figure)


def _type(style: Style, scale: float = 1.0) -> dict[str, Any]:
    """How text is set, as matplotlib's text functions take it."""
    from matplotlib.font_manager import FontProperties

    points = style.text * scale * 72 / _DPI
    is_file = style.font.endswith((".ttf", ".otf"))
    font = (
        FontProperties(size=points, fname=style.font) if is_file else FontProperties(family=[style.font], size=points)
    )
    return {"fontproperties": font, "color": style.ink}


def _colour(name: str, style: Style) -> tuple[float, ...]:
    channels = (int(COLOURS[name][place : place + 2], 16) / 255 for place in (1, 3, 5))
    return tuple(min(1.0, max(0.0, c + shift)) for c, shift in zip(channels, style.jitter, strict=True))


def _draw_bars(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    count, lying = len(chart.series), chart.kind == "barh"
    places = np.arange(len(chart.names))
    for index, series in enumerate(chart.series):
        thick = style.width / count
        shift = (index - (count - 1) / 2) * thick
        draw = axes.barh if lying else axes.bar
        drawn = draw(
            places + shift, series.values, thick, color=_colour(series.colour, style), hatch=style.hatch or None,
            edgecolor=style.ink if style.edge or style.hatch else None, linewidth=0.8, label=series.name, zorder=2,
        )  # fmt: skip
        parts.update({f"mark:{index}:{place}": bar for place, bar in enumerate(drawn)})
        if chart.written:
            texts = [number(value) for value in series.values]
            written = axes.bar_label(drawn, texts, padding=2, **_type(style, 0.9))
            parts.update({f"written:{index}:{place}": text for place, text in enumerate(written)})
    if lying:
        axes.set_yticks(places, chart.names)
        axes.invert_yaxis()
    else:
        axes.set_xticks(places, chart.names)
    if chart.written:
        axes.margins(**{"x" if lying else "y": 0.15})


def _draw_lines(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    for index, series in enumerate(chart.series):
        axes.plot(
            range(len(chart.names)), series.values, style.dashes, marker=style.marker, label=series.name,
            color=_colour(series.colour, style), markersize=4.5, linewidth=1.2 + style.width, zorder=2,
        )  # fmt: skip
        for place, value in enumerate(series.values):
            parts[f"mark:{index}:{place}"] = (place, value)
            if chart.written:
                text = axes.annotate(
                    number(value), (place, value), (0, 4), textcoords="offset points", ha="center", **_type(style, 0.85)
                )
                parts[f"written:{index}:{place}"] = text
    # not every year has room for its label
    step = -(-len(chart.names) * 44 // style.size[0])
    axes.set_xticks(range(0, len(chart.names), step), chart.names[::step])
    labels = axes.get_xticklabels()
    parts.update(
        {f"tick:{place}": label for place, label in zip(range(0, len(chart.names), step), labels, strict=True)}
    )
    axes.margins(0.06, 0.12)


def _draw_points(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    for series in chart.series:
        axes.scatter(
            series.xs, series.values, s=14 + 20 * style.width, marker=style.marker or "o", label=series.name,
            color=_colour(series.colour, style), linewidths=0.5, zorder=2,
            edgecolors=style.ink if style.edge else "none",
        )  # fmt: skip


def _draw_slices(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    values = [series.values[0] for series in chart.series]
    labelled = style.grid in ("", "y")
    wedges, *texts = axes.pie(
        values, labels=chart.names if labelled else None, colors=[_colour(s.colour, style) for s in chart.series],
        startangle=style.turned, autopct=(lambda share: f"{share:.0f}%") if chart.written else None,
        wedgeprops={"linewidth": 0.8, "edgecolor": style.ground}, textprops=_type(style),
        radius=1, pctdistance=0.62,
    )  # fmt: skip
    for place, wedge in enumerate(wedges):
        parts[f"mark:{place}:0"] = wedge
        wedge.set_label(chart.names[place] if not labelled else "")
    if labelled:
        parts.update({f"name:{place}": text for place, text in enumerate(texts[0])})
    if chart.written:
        for place, text in enumerate(texts[-1]):
            # the share as the facts have it, on a slice that may be dark
            text.set(text=f"{number(values[place])}%", color="#111111")
            parts[f"written:{place}:0"] = text


def _draw_bins(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    series = chart.series[0]
    widths = [b - a for a, b in pairwise(series.xs)]
    drawn = axes.bar(
        series.xs[:-1], series.values, widths, align="edge", color=_colour(series.colour, style),
        edgecolor=style.ink if style.edge else style.ground, linewidth=0.8, hatch=style.hatch or None, zorder=2,
    )  # fmt: skip
    parts.update({f"mark:0:{place}": bar for place, bar in enumerate(drawn)})
    if chart.written:
        written = axes.bar_label(drawn, [number(v) for v in series.values], padding=2, **_type(style, 0.9))
        parts.update({f"written:0:{place}": text for place, text in enumerate(written)})
        axes.margins(y=0.15)
    step = -(-len(series.xs) * 34 // style.size[0])
    axes.set_xticks(series.xs[::step], [number(edge) for edge in series.xs[::step]])


def _draw_cells(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    letters = _letters(chart)
    table = axes.table(
        [list(row) for row in chart.cells], colLabels=list(chart.names), bbox=(0, 0, 1, 1), edges=style.rules,
        colWidths=[count / sum(letters) for count in letters], cellLoc="left" if style.edge else "center",
    )  # fmt: skip
    table.auto_set_font_size(False)
    dark = int(style.header[1:3], 16) < 128
    for (row, column), cell in table.get_celld().items():
        cell.set_text_props(**_type(style))
        cell.set(linewidth=0.7, edgecolor=style.ink, facecolor=style.ground)
        if row == 0 and style.rules == "closed":
            cell.set_facecolor(style.header)
            cell.get_text().set_color("#f8f8f8" if dark else "#111111")
        parts[f"cell:{row}:{column}"] = cell
        parts[f"written:{row}:{column}"] = cell.get_text()
    axes.axis("off")


_DRAWERS = {
    "bar": _draw_bars, "barh": _draw_bars, "line": _draw_lines, "scatter": _draw_points, "pie": _draw_slices,
    "histogram": _draw_bins, "table": _draw_cells,
}  # fmt: skip


def _furnish(figure: Any, axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    """Title, labels, ticks, grid and legend."""
    if chart.title:
        wide = max(12, int(style.size[0] / (style.text * 0.66)))
        parts["title"] = figure.suptitle("\n".join(textwrap.wrap(chart.title, wide)), **_type(style, 1.12))
    if chart.kind not in ("pie", "table"):
        _furnish_axes(axes, chart, style, parts)
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        legend = figure.legend(
            handles, labels, loc=style.legend, prop=_type(style)["fontproperties"], labelcolor=style.ink,
            frameon=style.edge, facecolor=style.ground, ncols=1 if "right" in style.legend else 2,
        )  # fmt: skip
        parts.update({f"legend:{index}": text for index, text in enumerate(legend.get_texts())})


def _furnish_axes(axes: Any, chart: Chart, style: Style, parts: dict[str, Any]) -> None:
    lying = chart.kind == "barh"
    across, up = (chart.y_label, chart.x_label) if lying else (chart.x_label, chart.y_label)
    if across:
        parts["y" if lying else "x"] = axes.set_xlabel(across, **_type(style))
    if up:
        parts["x" if lying else "y"] = axes.set_ylabel(up, **_type(style))
    for axis in (axes.xaxis, axes.yaxis):
        _set_ticks(axis, style)
    longest = max(map(len, chart.names), default=0)
    if chart.kind == "bar" and longest * len(chart.names) * style.text * 0.62 > style.size[0] * 0.8:
        slanted = style.turned in (30, 45)
        for label in axes.get_xticklabels():
            label.set(rotation=style.turned or 45, rotation_mode="anchor", ha="right")
            label.set_va("center" if style.turned == 90 else "top" if slanted else "baseline")
    axes.tick_params(colors=style.ink, length=3)
    for side, spine in axes.spines.items():
        spine.set(visible=side in style.spines, color=style.ink)
    if style.grid:
        axes.grid(axis=style.grid, color=style.ink, alpha=0.2, linewidth=0.6, zorder=0)


def _set_ticks(axis: Any, style: Style) -> None:
    """Few numbers, written as the facts write them (no 1e6 at the end of an axis), in the style's type."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    formatter = axis.get_major_formatter()
    if isinstance(formatter, ScalarFormatter):
        formatter.set_useOffset(False)
        formatter.set_scientific(False)
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    for label in axis.get_ticklabels():
        label.set(**_type(style, 0.95))


def _boxes(figure: Any, canvas: Any, parts: Mapping[str, Any]) -> dict[str, Box]:
    """Every part's box in pixels from the top left."""
    height, renderer, axes = figure.bbox.height, canvas.get_renderer(), figure.axes[0]
    boxes: dict[str, Box] = {}
    for name, part in parts.items():
        if isinstance(part, tuple):
            x, y = axes.transData.transform(part)
            around = (x - 5, y - 5, x + 5, y + 5)
        else:
            around = part.get_window_extent(renderer).extents
        left, low, right, high = (float(place) for place in around)
        boxes[name] = (round(left, 1), round(height - high, 1), round(right, 1), round(height - low, 1))
    return boxes


def _legible(figure: Any, axes: Any, canvas: Any, parts: Mapping[str, Any]) -> bool:
    """Whether all texts are inside the image and none covers another."""
    from matplotlib.text import Text

    texts = [part for name, part in parts.items() if isinstance(part, Text) and not name.startswith("tick:")]
    for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
        low, high = sorted(axis.get_view_interval())
        texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text()]
    width, height = figure.bbox.width, figure.bbox.height
    if any(box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height for box in boxes):
        return False
    return not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])


class FontFiles:
    """Fonts of a pack as the files that matplotlib wants, written once a process and removed at its end."""

    def __init__(self) -> None:
        self._written: dict[tuple[Path, str], str] = {}
        self._owner = 0
        self._folder = Path()

    def path(self, pack: AssetPack, file: str) -> str:
        """Where the font is stored now."""
        if self._owner != os.getpid():
            self._owner, self._written = os.getpid(), {}
            self._folder = Path(tempfile.mkdtemp(prefix="pixelword-fonts-"))
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        key = (pack.path, file)
        if key not in self._written:
            target = self._folder / f"{len(self._written)}{Path(file).suffix.lower()}"
            target.write_bytes(pack.read(file))
            self._written[key] = str(target)
        return self._written[key]

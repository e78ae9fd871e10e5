"""Plots as SVG text: bars and curves with intervals, and grids. Colours are the page's, by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from pixelword.explain.probe.types import Bar, Curve, Grid

_WIDE, _ROW, _NAME, _VALUE = 720, 24, 300, 70
_TALL, _LEFT, _BOTTOM, _TOP = 260, 46, 40, 10


def bars(items: Sequence[Bar]) -> str:
    """Horizontal bars with intervals; hollow ones are controls."""
    low, high = _range([value for bar in items for value in (bar.rate.low, bar.rate.high, bar.rate.value, 0.0)])
    left, right = _NAME, _WIDE - _VALUE

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    parts = [f'<line class="axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{_ROW * len(items)}"/>']
    for number, bar in enumerate(items):
        y, rate = _ROW * number + _ROW / 2, bar.rate
        start, stop = sorted((x(0), x(rate.value)))
        kind = "control" if bar.control else "measured"
        parts += [
            f'<text class="name" x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{kind}" x="{start:.1f}" y="{y - 7}" width="{max(stop - start, 0.5):.1f}" height="14"/>',
            f'<line class="interval" x1="{x(rate.low):.1f}" x2="{x(rate.high):.1f}" y1="{y}" y2="{y}"/>',
            f'<text class="value" x="{_WIDE - 4}" y="{y + 4}" text-anchor="end">{_number(rate.value)}</text>',
        ]
    return _svg(_WIDE, _ROW * len(items) + 2, parts)


def curves(items: Sequence[Curve], axis: str, mark: int = 0) -> str:
    """Lines with bands of their intervals; dashed ones are controls. mark: where the pre-buffer ends; 0 for none."""
    xs = sorted({x for curve in items for x in curve.x})
    low, high = _range([v for curve in items for rate in curve.rates for v in (rate.low, rate.high, rate.value)])
    first, last = xs[0], max(xs[-1], xs[0] + 1)

    def x(value: float) -> float:
        return _LEFT + (value - first) / (last - first) * (_WIDE - _LEFT - 14)

    def y(value: float) -> float:
        return _TOP + (high - min(max(value, low), high)) / (high - low) * (_TALL - _TOP - _BOTTOM)

    parts = _axes(low, high, y) + [
        f'<text class="tick" x="{x(value):.1f}" y="{_TALL - _BOTTOM + 16}" text-anchor="middle">{value}</text>'
        for value in xs[:: max(1, -(-len(xs) // 14))]
    ]
    parts.append(f'<text class="tick" x="{_WIDE / 2}" y="{_TALL - 6}" text-anchor="middle">{escape(axis)}</text>')
    if first < mark <= last:
        parts.append(f'<line class="mark" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{_TOP}" y2="{_TALL - _BOTTOM}"/>')
    for number, curve in enumerate(items):
        kind = f"c{number % 6}{' control' if curve.control else ''}"
        upper = [f"{x(a):.1f},{y(rate.high):.1f}" for a, rate in zip(curve.x, curve.rates, strict=True)]
        lower = [f"{x(a):.1f},{y(rate.low):.1f}" for a, rate in zip(curve.x, curve.rates, strict=True)]
        line = [f"{x(a):.1f},{y(rate.value):.1f}" for a, rate in zip(curve.x, curve.rates, strict=True)]
        parts.append(f'<polygon class="band {kind}" points="{" ".join(upper + lower[::-1])}"/>')
        parts.append(f'<polyline class="line {kind}" points="{" ".join(line)}"/>')
        parts += [
            f'<circle class="dot {kind}" r="2.6" cx="{x(a):.1f}" cy="{y(rate.value):.1f}">'
            f"<title>{escape(curve.name)}, {a}: {_number(rate.value)} [{_number(rate.low)}, {_number(rate.high)}]"
            "</title></circle>"
            for a, rate in zip(curve.x, curve.rates, strict=True)
        ]
    return _svg(_WIDE, _TALL, parts)


def grid(item: Grid) -> str:
    """A matrix of squares, darker for more, from 0 to 1."""
    side = max(9, min(34, 420 // max(len(item.columns), 1)))
    left, top = 12 + 7 * max(map(len, item.rows)), 6
    height, width = top + side * len(item.rows) + 22, left + side * len(item.columns) + 8
    parts = []
    every = -(-len(item.columns) // 14)
    for i, row in enumerate(item.values):
        if i % every == 0 or len(item.rows) < 20:
            middle = top + side * (i + 0.5) + 4
            parts.append(
                f'<text class="tick" x="{left - 6}" y="{middle}" text-anchor="end">{escape(item.rows[i])}</text>'
            )
        for j, value in enumerate(row):
            share = min(max(value, 0.0), 1.0)
            where = f"{escape(item.rows[i])}, {escape(item.columns[j])}: {_number(value)}"
            parts.append(
                f'<rect class="cell" x="{left + side * j}" y="{top + side * i}" width="{side - 1}" height="{side - 1}" '
                f'fill-opacity="{share:.3f}"><title>{where}</title></rect>'
            )
            if side >= 28:
                dark = " on" if share > 0.55 else ""
                parts.append(
                    f'<text class="tick{dark}" x="{left + side * (j + 0.5) - 0.5}" y="{top + side * (i + 0.5) + 4}" '
                    f'text-anchor="middle">{value:.2f}</text>'
                )
    for j, name in enumerate(item.columns):
        if j % every == 0:
            label = escape(name.rpartition(" ")[2])
            parts.append(
                f'<text class="tick" x="{left + side * (j + 0.5)}" y="{height - 6}" text-anchor="middle">{label}</text>'
            )
    return _svg(width, height, parts, limit=True)


def _axes(low: float, high: float, y: Callable[[float], float]) -> list[str]:
    parts = []
    for step in range(5):
        value = low + (high - low) * step / 4
        at = y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDE - 14}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    """What an axis spans: 0 to 1 for shares, else what is there."""
    low, high = min(values), max(values)
    if low > -0.05 and 0.3 < high <= 1:
        return 0.0, 1.0
    low = max(low, -0.5) if low < 0 else 0.0
    return low, max(high, low + 1e-9)


def _number(value: float) -> str:
    if 0 < abs(value) < 0.001:
        return f"{value:.0e}"
    return f"{value:.3f}" if abs(value) < 9.995 else f"{value:.1f}"


def _svg(width: float, height: float, parts: Sequence[str], *, limit: bool = False) -> str:
    style = f' style="max-width:{width:.0f}px"' if limit else ""
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg"{style}>{body}</svg>'
    )

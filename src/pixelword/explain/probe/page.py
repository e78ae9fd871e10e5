"""The probes' page: every figure with interval, control and published value. One self-contained HTML file, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelword.explain.probe import svg
from pixelword.explain.probe.types import Curve, Finding
from pixelword.utils.files import atomic_write

_HERE = Path(__file__).parent
#: From this many curves on there are two plots.
_CURVES = 6


def write(
    folder: Path, findings: Sequence[Finding], run: Mapping[str, Any], before: int, left_out: Mapping[str, str]
) -> None:
    """Write `probe.html` and `probe.json` atomically. Raises InputError if they cannot be written.

    run: facts of the run, for the head of the page. before: layers of the pre-buffer. left_out: name -> why.
    """
    data = {"run": dict(run), "findings": [item.as_json() for item in findings], "left_out": dict(left_out)}
    atomic_write(folder / "probe.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    atomic_write(folder / "probe.html", html(findings, run, before, left_out))


def html(
    findings: Sequence[Finding], run: Mapping[str, Any], before: int = 0, left_out: Mapping[str, str] | None = None
) -> str:
    """Render the page; arguments as of `write`."""
    from jinja2 import Environment, FileSystemLoader

    template = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return template.get_template("page.html.jinja").render(
        title=f"{_title(findings)} in {run['model']}",
        findings=findings,
        run=run,
        before=before,
        left_out=left_out or {},
        bars=svg.bars,
        curves=svg.curves,
        grid=svg.grid,
        groups=_groups,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
    )


def _title(findings: Sequence[Finding]) -> str:
    """What the page is about."""
    compressed = all(item.name.startswith("compression") for item in findings)
    return "Fewer visual tokens" if findings and compressed else "Where pixels meet words"


def _groups(curves: Sequence[Curve]) -> list[Sequence[Curve]]:
    """Curves by plot."""
    if len(curves) < _CURVES:
        return [curves]
    half = -(-len(curves) // 2)
    return [curves[a : a + half] for a in range(0, len(curves), half)]

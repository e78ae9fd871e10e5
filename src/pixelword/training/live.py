"""Live view of a run: three lines in a terminal, or one in a log."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_BARS = "▁▂▃▄▅▆▇█"
_HISTORY = 24  # reports the sparkline spans


class RunView:
    """A rich renderable with progress, loss, throughput and utilisation."""

    def __init__(self, name: str, steps: int, start: int) -> None:
        self.name, self.steps, self.step = name, steps, start
        self._losses: deque[float] = deque(maxlen=_HISTORY)
        self._values: Mapping[str, float] = {}

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """The newest report (`Window.report`, with `elapsed` and `left` in seconds)."""
        self.step, self._values = step, values
        self._losses.append(values["loss"])

    def line(self) -> str:
        """Return everything as one plain line."""
        if not self._values:
            return f"{self.name} {self.step}/{self.steps}"
        pairs = [*self._learning(), *self._speed()]
        fields = "  ".join(f"{name} {value}" for name, value in pairs)
        return f"{self.name} {self.step}/{self.steps}  {fields}  {duration(self._values['left'])} left"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = Table.grid(padding=(0, 2), expand=False)
        width = max(10, min(40, options.max_width - 52 - len(self.name)))
        row: list[Text | ProgressBar] = [
            Text(self.name, style="bold"),
            ProgressBar(total=self.steps, completed=self.step, width=width),
            Text(f"{self.step:,}/{self.steps:,}"),
        ]
        if self._values:
            row.append(Text(f"{duration(self._values['elapsed'])} gone, {duration(self._values['left'])} left"))
        head.add_row(*row)
        yield head
        if self._values:
            yield _field_line(self._learning(), sparkline(self._losses))
            yield _field_line(self._speed())
        else:
            yield Text("the first steps take longest", style="dim")

    def _learning(self) -> list[tuple[str, str]]:
        v = self._values
        fields = [("loss", f"{v['loss']:.3f}"), ("lr", f"{v['lr']:.1e}"), ("grad", f"{v['grad_norm']:.2f}")]
        fields += [("kl", f"{v['kl']:.3f}")] if "kl" in v else []
        return fields + ([("level", f"{v['level']:.2f}")] if "level" in v else [])

    def _speed(self) -> list[tuple[str, str]]:
        v = self._values
        fields = [("tokens/s", f"{v['tokens_per_s']:,.0f}"), ("images/s", f"{v['images_per_s']:,.0f}")]
        if "mfu" in v:
            fields.append(("MFU", f"{v['mfu']:.1%}"))
        fields += [("wait", f"{v['data_wait']:.0%}"), ("padding", f"{v['padding']:.0%}")]
        fields.append(("memory", f"{v['memory_gb']:.1f} GB"))
        return fields + ([("bad samples", f"{v['faults']:.0f}")] if v.get("faults") else [])


def _field_line(pairs: Sequence[tuple[str, str]], after_first: str = "") -> Text:
    """Format names (dim) and values on one line."""
    text = Text(overflow="fold")
    for number, (name, value) in enumerate(pairs):
        text.append(f"{name} ", style="dim").append(value)
        if number == 0 and after_first:
            text.append(f" {after_first}", style="cyan")
        text.append("   ")
    return text


def sparkline(values: Sequence[float] | deque[float]) -> str:
    """Draw one bar per value; empty for fewer than two."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in values)


def duration(seconds: float) -> str:
    """Format hours, minutes and seconds: 75 -> "1:15"; days and hours from one day on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

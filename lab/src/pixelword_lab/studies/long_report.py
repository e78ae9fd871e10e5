"""The page on long inputs: its tables, and where the ways stand against the plain one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pixelword.evaluation.scores import wilson
from pixelword_lab.studies.long_inputs import Cell

_HEAD = "| length | way | right | 95 % | tokens | visual | KV, kB | seconds |"
_RULE = "|---|---|--:|--:|--:|--:|--:|--:|"


def bytes_per_token(model: Any) -> int:
    """Of keys, which are twice as wide, and values, in all layers."""
    config = model.config.get_text_config()
    width = config.num_key_value_heads * config.head_dim * 3
    return int(config.num_hidden_layers * width * model.dtype.itemsize)


def row(cell: Cell, size: int) -> str:
    """One line of a table."""
    start = f"| {cell.length}× | {cell.way} "
    if cell.unfit == cell.asked:
        return f"{start}| does not fit | | | | | |"
    low, high = wilson(cell.right, cell.asked)
    note = f" ({cell.unfit} do not fit)" if cell.unfit else ""
    return (
        f"{start}| {100 * cell.right / cell.asked:.0f} %{note} | {100 * low:.0f}–{100 * high:.0f} | {cell.tokens:.0f} "
        f"| {cell.visual:.0f} | {cell.held * size / 1000:,.0f} | {cell.seconds:.2f} |"
    )


def section(about: Mapping[str, Any], cells: Sequence[Cell], size: int, command: str) -> Iterator[str]:
    """The lines between the page's marks."""
    machine, model = about["machine"], about["model"]
    questions = about["settings"]["questions"]
    yield from ("", "```sh", command, "```", "")
    yield (
        f"`{model['name']}` ({model['parameters'] / 1e6:.1f}M parameters, {model['dtype']}), {questions} held-out "
        f"questions a row, the same ones in every row of a table, on {machine['threads']} thread of "
        f"{machine['device']}. KV: the most bytes of keys and values held at once ({size:,} a token). "
        "Intervals are Wilson's."
    )
    for name, group in groupby(cells, key=lambda cell: cell.source):
        yield from ("", f"### {name[0].upper()}{name[1:]}", "", _HEAD, _RULE)
        yield from (row(cell, size) for cell in group)
    yield from ("", "### Against the plain way", "")
    yield from verdicts(cells)
    yield ""


def verdicts(cells: Sequence[Cell]) -> Iterator[str]:
    """Of each way, over all questions longer than taught of a kind of media: right answers and what they cost."""
    yield "| media | length | way | right | plain | tokens held | seconds |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for media in ("video", "picture"):
        own = [cell for cell in cells if cell.media == media and cell.length > 1]
        for length in sorted({cell.length for cell in own}):
            at = [cell for cell in own if cell.length == length]
            plain = {cell.source: cell for cell in at if cell.way == "plain"}
            for way in dict.fromkeys(cell.way for cell in at if cell.way != "plain"):
                yield _verdict(media, length, way, [(cell, plain[cell.source]) for cell in at if cell.way == way])


def _verdict(media: str, length: int, way: str, pairs: Sequence[tuple[Cell, Cell]]) -> str:
    total = sum(item.asked for item, _ in pairs)
    mine, theirs = (sum(pair[which].right for pair in pairs) / total for which in (0, 1))
    # costs are compared where both could run
    both = [(item, other) for item, other in pairs if not item.unfit and not other.unfit]
    held = _ratio([(item.held, other.held) for item, other in both])
    seconds = _ratio([(item.seconds, other.seconds) for item, other in both])
    return f"| {media} | {length}× | {way} | {100 * mine:.0f} % | {100 * theirs:.0f} % | {held} | {seconds} |"


def _ratio(pairs: Sequence[tuple[float, float]]) -> str:
    return f"×{sum(a for a, _ in pairs) / sum(b for _, b in pairs):.2f}" if pairs else "–"

"""`pixelword explain PICTURE… "question"`: which pixels an answer rests on, as a page or an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pixelword.cli import options
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.generation.session import Session

#: As `overlay.PAINTED`.
Method = Literal["mean", "last", "rollout", "gradient", "occlusion"]


def explain(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE|QUESTION", help="The images, then the question.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Self-contained HTML page to write (default: explain.html, none with --png)."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR", help="PNG of every token's map to write; a folder also gets each map separately."
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="Map shown in the PNG; mean: attention averaged over all layers.")
    ] = "mean",
    video: options.Videos = None,
    model: options.Model = "nano",
    answer: Annotated[str | None, typer.Option(help="Explain this answer instead of the model's own.")] = None,
    max_words: Annotated[int, typer.Option(min=1, help="Explain the first N tokens of the answer.")] = 24,
    occlusions: Annotated[
        int,
        typer.Option(
            min=0, help="Hide at most N image regions, one at a time, to check the maps; 0 disables the check."
        ),
    ] = 144,
    check: Annotated[
        int | None,
        typer.Option(min=2, help="Instead of a page, score the maps on N synthetic questions of each of nano's kinds."),
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="With --check: use only this kind (repeatable).")] = None,
    system: options.System = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    allow_urls: options.AllowUrls = False,
    dtype: Annotated[
        str, typer.Option(help="Precision: float32 is most accurate, bfloat16 halves the memory.")
    ] = "float32",
    device: options.Device = None,
) -> None:
    """Explain an answer: attention by layer, head and T/H/W term, rollout, gradients and an occlusion test.

    Example: pixelword explain photo.png "what is on the left?" --out report.html
    """
    if png is not None:
        _check_png(png, method, occlusions, pictures=bool(video or (words or [])[:-1]), checking=check is not None)
    if check is None and not words:
        raise InputError('there is no question: pixelword explain photo.png "what is on the left?"')
    *pictures, question = words or [""]
    if check is None:
        options.check_question(question, "explain", alone=not pictures and not video)
        options.check_media(pictures, video or (), allow_urls=allow_urls)
    session = options.open_session(
        model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls
    )
    if check is not None:
        _check(session, model, check, kind)
        return
    from pixelword.explain import look_inside

    with options.progress("looking inside …"):
        found = look_inside(
            session, question, images=pictures, videos=video or [], system=system, answer=answer,
            max_words=max_words, occlusions=occlusions,
        )  # fmt: skip
        files = [] if png is None else [*found.save_png(png, method=method, model=model)]
        if out is not None or png is None:
            out = out or Path("explain.html")
            found.save(out, model=model)
            files.append(out)
    print(found.answer)
    for file in files:
        print(f"{file}: {file.stat().st_size / 1000:,.0f} kB")


def _check_png(png: Path, method: Method, occlusions: int, *, pictures: bool, checking: bool) -> None:
    """Raise InputError if these options cannot produce a PNG, before anything is loaded."""
    from pixelword.utils.files import check_place

    if checking:
        raise InputError("--check looks at drawn questions and makes no PNG: leave out one of both")
    if not pictures:
        raise InputError("--png: there is no image to paint a map over; without it the page shows maps of words")
    if method == "occlusion" and not occlusions:
        raise InputError("--method occlusion hides parts of the pictures, and --occlusions 0 hides none: leave out one")
    check_place(png, ".png")


def _check(session: Session, model: str, questions: int, kinds: list[str] | None) -> None:
    """Print one table per kind of question as results arrive."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from pixelword.data.progress import bar
    from pixelword.explain.faithfulness import METHODS
    from pixelword.explain.survey import Mean, Row, survey

    def interval(mean: Mean, scale: int = 1) -> str:
        digits = 0 if scale == 100 else 2
        low, value, high = (f"{scale * item:.{digits}f}" for item in (mean.low, mean.value, mean.high))
        return f"{value} [{low}, {high}]"

    def table(row: Row) -> Table:
        title = f"{row.kind}: in {row.matter} of {row.asked} answers of {model} some single patch matters"
        made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("method", "rank correlation", "finds, %", "area"):
            made.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
        for name, title in {**METHODS, "chance": "any order", "occlusion": "occlusion itself"}.items():
            if name in row.checks:
                rank, found, area = row.checks[name]
                made.add_row(title, interval(rank), interval(found, 100), interval(area))
        return made

    with bar("checking") as report:
        for row in survey(session, questions, kinds or (), report=report):
            Console(highlight=False).print(table(row))

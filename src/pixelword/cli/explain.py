"""`pixelword explain IMAGE… "question"`: which pixels an answer rests on, as a page or an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pixelword.cli import options
from pixelword.errors import InputError

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
    check: Annotated[int | None, typer.Option(hidden=True)] = None,
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
    if check is not None:
        raise InputError(
            f"explain --check is now a command of pixelword-lab: pixelword lab maps {model} --questions {check}"
        )
    if not words:
        raise InputError('the question is missing: pixelword explain photo.png "what is on the left?"')
    *images, question = words
    if png is not None:
        _check_png(png, method, occlusions, images=bool(video or images))
    options.check_question(question, "explain", alone=not images and not video)
    options.check_media(images, video or (), allow_urls=allow_urls)
    session = options.open_session(
        model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls
    )
    from pixelword.explain import look_inside

    with options.progress("looking inside …"):
        found = look_inside(
            session, question, images=images, videos=video or [], system=system, answer=answer,
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


def _check_png(png: Path, method: Method, occlusions: int, *, images: bool) -> None:
    """Raise InputError if these options cannot produce a PNG, before anything is loaded."""
    from pixelword.utils.files import check_place

    if not images:
        raise InputError("--png needs an image to paint maps over; without --png, the page shows maps of the text")
    if method == "occlusion" and not occlusions:
        raise InputError("--method occlusion hides parts of the images, and --occlusions 0 hides none: leave out one")
    check_place(png, ".png")

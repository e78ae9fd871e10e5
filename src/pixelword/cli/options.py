"""Shared by several commands: options, opening a session, streaming an answer to stdout."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pixelword.errors import DomainWarning, InputError

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.generation.streaming import FinishReason, Stream
    from pixelword.generation.structured_outputs import StructuredOutputs

#: Metavar of a model, in every command.
MODEL = "NAME|DIR|ORG/NAME"
MODEL_HELP = "A packaged model, a checkpoint folder, or a model on the Hugging Face Hub, org/name[@revision]."
Model = Annotated[str, typer.Option("--model", "-m", metavar=MODEL, help=MODEL_HELP)]
Videos = Annotated[list[Path] | None, typer.Option("--video", help="Video to ask about (repeatable).")]
System = Annotated[str | None, typer.Option(help="System message, such as 'Reason step by step.'")]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, help="Maximum number of tokens to generate (default: the rest of the context).")
]
TopP = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Sample from the most likely tokens that together have this probability."),
]
TopK = Annotated[int, typer.Option(min=0, help="Sample from the N most likely tokens; 0 uses all.")]
RepetitionPenalty = Annotated[float, typer.Option(min=0.1, help="Values above 1 make repeated tokens less likely.")]
Stop = Annotated[list[str] | None, typer.Option(help="Stop before generating this text (repeatable).")]
Temperature = Annotated[float, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy decoding.")]
Seed = Annotated[int | None, typer.Option(help="Random seed for sampling.")]
MinPixels = Annotated[int | None, typer.Option(min=1, help="Enlarge images below this area, in pixels.")]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Shrink images above this area, in pixels.")]
FrameBudget = Annotated[
    int | None, typer.Option(min=1, help="Keep at most N frames of a video, chosen where it changes.")
]
Crops = Annotated[int, typer.Option(min=0, help="For images above --max-pixels, also read N full-resolution crops.")]
KeptFrames = Annotated[
    int | None,
    typer.Option(min=2, help="Keep the KV of at most N frames, those the question attends to most (default: all)."),
]
Compress = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD:SHARE",
        help="Keep a share of visual tokens: question:0.25; or random, uniform, norm, merge; or frames:N.",
    ),
]
AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="Allow http(s) URLs as images and videos.")]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16 (default: depends on device and checkpoint).")
]
StoredDtype = Annotated[
    str | None, typer.Option("--dtype", help="float32, bfloat16 or float16 (default: the checkpoint's own).")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps … (default: an accelerator if there is one).")]


Adapter = Annotated[
    Path | None, typer.Option(help="Folder of a LoRA adapter (PEFT), e.g. runs/lora/final/adapter; merged on loading.")
]
Quantize = Annotated[
    str | None,
    typer.Option("--quantize", metavar="int8|int4", help="Quantize weights on loading, on a CPU: 1/2 or 1/4 of bf16."),
]

SchemaFile = Annotated[
    str | None,
    typer.Option(
        "--schema", metavar="FILE|boxes", help="A JSON schema: the answer is JSON of this form. boxes: a list of boxes."
    ),
]

#: File extensions of videos, recognised where an image is expected.
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg")


def amount_text(parameters: int) -> str:
    """Format a parameter count: 2.58B."""
    if parameters < 1e5:
        return f"{parameters:,}"
    return f"{parameters / 1e9:.2f}B" if parameters >= 1e9 else f"{parameters / 1e6:.2f}M"


def bytes_text(size: int) -> str:
    """Format a size in bytes: 5.17 GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show a status line on stderr; nothing if stderr is not a terminal."""
    with Console(stderr=True).status(what):
        yield


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Import torch and transformers within this: garbage collection would slow the imports down by a quarter."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()  # imported modules stay alive
    if "transformers" in sys.modules:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # we show our own


def open_session(
    model: str,
    *,
    dtype: str | None = None,
    device: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    allow_urls: bool = False,
    frame_budget: int | None = None,
    long: Mapping[str, Any] | None = None,
    compress: str | None = None,
    adapter: Path | None = None,
    quantize: str | None = None,
) -> Session:
    """Open a session with the model. `long` has fields of `LongInputs`; raises what `pixelword.load` raises."""
    from pixelword.checkpoints.names import check_adapter, check_dtype, check_quantization, resolve

    check_dtype(dtype)
    quantization = check_quantization(quantize)
    if adapter is not None:
        check_adapter(adapter)
    folder = resolve(model)
    with progress(f"loading {model} …"):
        with quiet_imports():
            from pixelword.generation.long_context import LongInputs, parse_compression
            from pixelword.generation.session import load
            from pixelword.processing.processor import MediaOptions
        more, budget = (LongInputs(), None) if compress is None else parse_compression(compress)
        given = {**(long or {}), **{k: v for k, v in vars(more).items() if v}}
        twice = {
            "--kept-frames": more.kept_frames and (long or {}).get("kept_frames"),
            "--frame-budget": budget and frame_budget,
        }
        if named := [name for name, value in twice.items() if value]:
            raise InputError(f"--compress {compress} is {named[0]} in other words: give one of them")
        frame_budget = budget or frame_budget
        media = MediaOptions(
            min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls, frame_budget=frame_budget
        )
        warnings.showwarning = _noted(warnings.showwarning)
        return load(
            folder,
            dtype=dtype,
            device=device,
            media=media,
            long=LongInputs(**given),
            adapter=adapter,
            quantize=quantization,
        )


def _noted(show: Callable[..., None]) -> Callable[..., None]:
    """Wrap `warnings.showwarning` so that our own warnings are printed as plain lines."""

    def shown(message: Warning | str, category: type[Warning], *place: Any, **to: Any) -> None:
        if issubclass(category, DomainWarning):
            print(f"note: {message}", file=sys.stderr)
        else:
            show(message, category, *place, **to)

    return shown


def print_answer(answer: Stream) -> None:
    """Stream the answer to stdout, with a newline at the end; a note on stderr if it was cut off."""
    for piece in _announced(answer):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print(flush=True)
    tell_cut(answer.finish_reason, answer.request.usage.completion_tokens)


def tell_cut(finish_reason: FinishReason | None, new_tokens: int) -> None:
    """Note on stderr that an answer reached the token limit."""
    if finish_reason == "length":
        print(f"note: the answer was cut after {new_tokens:,} tokens", file=sys.stderr)


def _announced(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the pieces, with a status line until the first one arrives."""
    with progress("reading …"):
        first = next(pieces, "")
    yield first
    yield from pieces


def check_media(images: Sequence[str], videos: Sequence[str | Path], *, allow_urls: bool) -> None:
    """Check that media exist and may be fetched, before a model is loaded. Raises MediaError, InputError."""
    from pixelword.processing.limits import Limits
    from pixelword.processing.media_io import is_url, open_binary

    for kind, sources in (("image", images), ("video", videos)):
        for source in map(str, sources):
            if not is_url(source):
                open_binary(source, kind=kind, limits=Limits()).close()
            elif not allow_urls:
                raise InputError(f"{source}: addresses are fetched only with --allow-urls; add it, or give a file")
    if films := [image for image in images if Path(image).suffix.lower() in VIDEO_SUFFIXES]:
        raise InputError(f"{films[0]} is a video: put --video before it")


def form(schema: str | None, *, images: int = 1) -> StructuredOutputs | None:
    """The form of the answer by `--schema`: a file with a JSON schema, or "boxes", in prompts of `images` images.

    Raises InputError: not a readable schema, or not a valid one.
    """
    if schema is None:
        return None
    from pixelword.errors import reason
    from pixelword.generation.grammar import check_form
    from pixelword.generation.structured_outputs import StructuredOutputs
    from pixelword.processing.boxes import boxes_schema

    if schema == "boxes":
        found = StructuredOutputs(json=boxes_schema(images), place="--schema boxes")
    else:
        try:
            text = Path(schema).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"--schema {schema} cannot be read ({reason(error)}); give a file with a JSON schema"
            ) from error
        found = StructuredOutputs(json=text, place=f"--schema {schema}: schema")
    check_form(found)
    return found


def check_drawing(path: Path, media: Sequence[str | Path]) -> None:
    """Raise InputError if a drawing of the images and videos cannot be written there."""
    from pixelword.utils.files import check_place

    if not media:
        raise InputError("--boxes draws on images and videos, but none is before the question")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a .png file for --boxes")
    check_place(path, ".png")


def check_question(question: str, verb: str, *, alone: bool) -> None:
    """Raise InputError if the question is an existing file: most likely the question was forgotten."""
    if not os.path.isfile(question):  # Path.is_file raises where a question is too long for a name
        return
    if alone:
        example = f'pixelword {verb} {question} "what is this?"'
        raise InputError(f"{question} is a file, and the question is missing: {example}")
    raise InputError(f"{question} is a file where the question should be: put the question after the images")

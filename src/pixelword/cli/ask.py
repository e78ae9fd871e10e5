"""`pixelword ask IMAGE… "question"`: one question, one answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli import options
from pixelword.utils.files import atomic_file

if TYPE_CHECKING:
    from PIL import Image

    from pixelword.generation.session import Answer, Session
    from pixelword.processing.boxes import Place
    from pixelword.processing.types import Video


def ask(
    words: Annotated[list[str], typer.Argument(metavar="IMAGE|QUESTION", help="The images, then the question.")],
    video: options.Videos = None,
    model: options.Model = "nano",
    adapter: options.Adapter = None,
    quantize: options.Quantize = None,
    system: options.System = None,
    max_new_tokens: options.MaxNewTokens = None,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    top_p: options.TopP = 1.0,
    top_k: options.TopK = 0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    frame_budget: options.FrameBudget = None,
    crops: options.Crops = 0,
    kept_frames: options.KeptFrames = None,
    compress: options.Compress = None,
    allow_urls: options.AllowUrls = False,
    dtype: options.Dtype = None,
    device: options.Device = None,
    schema: options.SchemaFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer, the places it names, token counts and timing as JSON.")
    ] = False,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", help="Write the image or video frame with the places that the answer names drawn on it."
        ),
    ] = None,
) -> None:
    """Ask a question about images, videos or text alone.

    Example: pixelword ask left.png right.png "which picture has a triangle?"

    Example: pixelword ask --video clip.mp4 "which way does it move?"

    Example: pixelword ask --video hour.mp4 --frame-budget 64 "what happens?"

    Example: pixelword ask photo.png "Find the red cup." --json --boxes cup.png

    Example: pixelword ask --schema shapes.json picture.png "which shapes are there?"
    """
    *pictures, question = words
    options.check_question(question, "ask", alone=not pictures and not video)
    options.check_media(pictures, video or (), allow_urls=allow_urls)
    if boxes is not None:
        options.check_drawing(boxes, [*pictures, *(video or ())])
    form = options.form(schema, images=len(pictures))
    session = options.open_session(
        model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls,
        frame_budget=frame_budget, long={"crops": crops, "kept_frames": kept_frames}, compress=compress,
        adapter=adapter,
        quantize=quantize,
    )  # fmt: skip
    from pixelword.generation.answer import with_value
    from pixelword.generation.messages import conversation, user_message

    clips: list[Any] = [*(video or ())]
    if boxes is not None:  # as they are drawn on
        clips = [_shown(clip, session) for clip in clips]
    messages = conversation(user_message(question, pictures, clips), system=system)
    sampling = session.sampling(
        max_new_tokens, temperature, seed, top_p, top_k, repetition_penalty=repetition_penalty, stop=stop or (),
        structured_outputs=form,
    )  # fmt: skip
    if not as_json and boxes is None:
        options.print_answer(session.stream_answer(messages, sampling))
        return
    with options.progress("reading …"):
        answer = session.answer(messages, sampling)
        answer = answer if form is None else with_value(answer, form.schema)
    options.tell_cut(answer.finish_reason, answer.new_tokens)
    print(
        json.dumps(_as_dict(answer, model, session, structured=form is not None), ensure_ascii=False)
        if as_json
        else answer.text
    )
    if boxes is not None:
        _draw(answer, pictures, clips, boxes, session)


def _as_dict(answer: Answer, model: str, session: Session, *, structured: bool) -> dict[str, Any]:
    """Return the answer for JSON."""
    apart = {"text", "objects", "images", "videos", *(() if structured else ("parsed",))}
    fields = {name: value for name, value in vars(answer).items() if name not in apart}
    usage: dict[str, Any] = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.new_tokens}
    usage |= {name: list(value) for name in ("images", "videos") if (value := getattr(answer, name))}
    return {
        "answer": answer.text,
        "objects": [place.as_dict() for place in answer.objects],
        "usage": usage,
        "model": model,
        "dtype": str(session.model.dtype).removeprefix("torch."),
        **fields,
    }


def _shown(video: Path, session: Session) -> Video:
    """Load the frames that a prompt with this video has."""
    from pixelword.processing.chat import Clip

    most = session.processor.image_processor.budget(session.media.min_pixels, session.media.max_pixels)[1]
    return session.processor.video(Clip(str(video), {}), most, session.media)


def _draw(answer: Answer, pictures: Sequence[str], clips: Sequence[Video], path: Path, session: Session) -> None:
    """Write every image with its places: PATH, or PATH-0, PATH-1 … for several; and frames."""
    from pixelword.processing.images import load_image

    if not answer.objects:
        print("note: the answer names no places", file=sys.stderr)
    elif any(place.image is None and place.frame is None for place in answer.objects):
        print("note: places that name none of several images or frames are not drawn", file=sys.stderr)
    for number, source in enumerate(pictures):
        image = load_image(source, limits=session.media.limits, allow_urls=session.media.allow_urls)
        own = [place for place in answer.objects if place.image == number]
        target = path if len(pictures) == 1 else path.with_stem(f"{path.stem}-{number}")
        _write(image, own, target)
    _draw_frames([place for place in answer.objects if place.frame is not None], clips, path)


def _draw_frames(places: Sequence[Place], clips: Sequence[Video], path: Path) -> None:
    """Write every frame that has places: PATH-frame-7, of several videos PATH-video-0-frame-7."""
    frames: dict[tuple[int, int], list[Place]] = {}
    for place in places:
        frames.setdefault((place.video or 0, place.frame or 0), []).append(place)
    for (number, frame), own in sorted(frames.items()):
        clip = clips[number]
        image = clip.frames[frame]
        if clip.sizes:  # places are in pixels of the file, and frames may be shrunk
            image = image.resize(clip.sizes[frame])
        video, of = ("", "") if len(clips) == 1 else (f"-video-{number}", f" of video {number}")
        target = path.with_stem(f"{path.stem}{video}-frame-{frame}")
        _write(image, own, target)
        print(f"note: the places in frame {frame}{of} are drawn in {target}", file=sys.stderr)


def _write(image: Image.Image, places: Sequence[Place], path: Path) -> None:
    from pixelword.explain.boxes import draw_places

    with atomic_file(path) as unfinished:
        draw_places(image, places).save(unfinished, format="PNG")

"""`pixelword ask IMAGE… "question"`: one question, one answer."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from pixelword.cli import options


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
    allow_urls: options.AllowUrls = False,
    dtype: options.Dtype = None,
    device: options.Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer, token counts and timing as JSON.")] = False,
) -> None:
    """Ask a question about images, videos or text alone.

    Example: pixelword ask left.png right.png "which picture has a triangle?"

    Example: pixelword ask --video clip.mp4 "which way does it move?"

    Example: pixelword ask --video hour.mp4 --frame-budget 64 "what happens?"
    """
    *pictures, question = words
    options.check_question(question, "ask", alone=not pictures and not video)
    options.check_media(pictures, video or (), allow_urls=allow_urls)
    session = options.open_session(
        model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels, allow_urls=allow_urls,
        frame_budget=frame_budget, long={"crops": crops, "kept_frames": kept_frames},
        adapter=adapter,
        quantize=quantize,
    )  # fmt: skip
    from pixelword.generation.messages import conversation, user_message

    messages = conversation(user_message(question, pictures, video or []), system=system)
    sampling = session.sampling(
        max_new_tokens, temperature, seed, top_p, top_k, repetition_penalty=repetition_penalty, stop=stop or ()
    )
    if not as_json:
        options.print_answer(session.stream_answer(messages, sampling))
        return
    with options.progress("reading …"):
        answer = dataclasses.asdict(session.answer(messages, sampling))
    options.tell_cut(answer["finish_reason"], answer["new_tokens"])
    kind = str(session.model.dtype).removeprefix("torch.")
    print(json.dumps({"answer": answer.pop("text"), "model": model, "dtype": kind, **answer}, ensure_ascii=False))

"""The lmms-eval models, with continuous batching of requests of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from PIL import Image
from tqdm import tqdm

from pixelword.errors import InputError
from pixelword.evaluation.paper.prompting import framed
from pixelword.generation.batch import generate_many
from pixelword.generation.engine import BatchingOptions, Engine
from pixelword.generation.request import Request
from pixelword.generation.sampling import Sampling
from pixelword.generation.scoring import loglikelihood
from pixelword.generation.session import load
from pixelword.integrations.presets import preset as preset_of
from pixelword.processing.options import MediaOptions
from pixelword.processing.types import Encoded

Messages = list[dict[str, Any]]
_NEW_TOKENS = 128
_VIDEOS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg")


class _Pixelword(lmms):
    """Base of both models. Arguments are those of `--model_args`.

    Args:
        pretrained: a packaged model's name, or a checkpoint's folder.
        batch_size: requests that run at once; `--batch_size`.
        preset: "image", "video" or "si": upstream's pixel limits, frames and system message. What else is given wins.
        min_pixels, max_pixels, fps, max_frames, num_frames: how images and videos are read.
        system_prompt: a system message, or a file that holds one.
        max_new_tokens: of an answer, where the task does not say; the preset's when absent, 128 without one.
        dtype, device: as in `pixelword.load`.

    Raises:
        InputError: an unknown argument, or an invalid value.
    """

    def __init__(
        self,
        pretrained: str = "nano",
        batch_size: int | str = 16,
        device: str | None = None,
        dtype: str | None = None,
        preset: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        num_frames: int | None = None,
        system_prompt: str | None = None,
        max_new_tokens: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        unknown.pop("max_batch_size", None)  # lmms-eval's own, for batches that are found by trial
        if unknown:
            raise InputError(f"--model_args {', '.join(unknown)}: not known to pixelword; see docs/benchmarks.md")
        accelerator = Accelerator()
        self.accelerator = accelerator
        self._rank, self._world_size = accelerator.process_index, accelerator.num_processes
        if accelerator.num_processes > 1:
            device = str(accelerator.device)
        base = preset_of(preset) if preset else None
        given: dict[str, Any] = {
            "min_pixels": min_pixels, "max_pixels": max_pixels, "fps": fps, "max_frames": max_frames,
            "num_frames": num_frames,
        }  # fmt: skip
        media = replace(base.media if base else MediaOptions(), **{k: v for k, v in given.items() if v is not None})
        self.frame_label = base.frame_label if base else ""
        self.system = self._resolve_system_prompt(system_prompt or "") or (base.system if base else None)
        self.new_tokens = max_new_tokens or (base.new_tokens if base else _NEW_TOKENS)
        self.session = load(pretrained, dtype=dtype, device=device, media=media)
        self.engine = Engine(self.session.model, self.session.processor, BatchingOptions(_rows(batch_size)))

    @property
    def device(self) -> torch.device:
        return self.session.model.device

    @property
    def batch_size(self) -> int:
        return self.engine.options.max_num_seqs

    def clean(self) -> None:
        """Release resources; lmms-eval calls this at the end."""
        self.engine.close()
        super().clean()

    # what the two kinds of requests become

    def prompt_of(self, messages: Messages) -> Encoded:
        asked = self._apply_system_prompt([self._framed(message) for message in messages], self.system or "")
        return self.session.processor.encode(asked, add_generation_prompt=True, media=self.session.media)

    def _framed(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Replace videos by labelled images, if the preset reads them so."""
        if isinstance(message["content"], str):
            return dict(message)
        options = self.session.media
        videos = (
            framed(part, self.frame_label, options) if part["type"] == "video" else [part]
            for part in message["content"]
        )
        return {**message, "content": [part for parts in videos for part in parts]}

    def sampling_of(self, given: Mapping[str, Any], seed: int, room: int) -> Sampling:
        """Convert a task's generation_kwargs. Sampled answers get a seed, so that runs are reproducible.

        room: tokens that the context has left, above which no answer goes.
        """
        if given.get("num_beams") not in (None, 1):
            raise InputError(f"num_beams is {given['num_beams']}: pixelword answers greedily or by sampling; use 1")
        temperature = float(given.get("temperature") or 0.0)
        if given.get("do_sample") is False:
            temperature = 0.0
        elif given.get("do_sample") and not given.get("temperature"):
            temperature = 1.0
        wanted = given.get("max_new_tokens") or given.get("max_gen_toks") or self.new_tokens
        until = given.get("until") or ()
        return Sampling(
            max_new_tokens=max(1, min(int(wanted), room)),
            temperature=temperature,
            seed=seed,
            top_p=float(given.get("top_p") or 1.0),
            top_k=int(given.get("top_k") or 0),
            repetition_penalty=float(given.get("repetition_penalty") or 1.0),
            stop=tuple(item for item in ([until] if isinstance(until, str) else until) if item),
        )

    def _answers(self, asked: Iterable[tuple[Messages, Mapping[str, Any]]], total: int) -> Iterator[Request]:
        def prompts() -> Iterator[tuple[Encoded, Sampling]]:
            for place, (item, given) in enumerate(asked):
                prompt = self.prompt_of(item)
                yield prompt, self.sampling_of(given, place, self.engine.room(prompt))

        progress = tqdm(
            generate_many(self.engine, prompts()), total=total, disable=self.rank != 0, desc="pixelword answers"
        )
        yield from progress

    def _doc(self, task: str, split: str, doc_id: Any) -> Any:
        return self.task_dict[task][split][doc_id]

    def _likelihoods(self, prompt: Encoded, words: Sequence[str]) -> list[GenerationResult]:
        ids = [torch.tensor(self.session.processor.encoder.answer(text)) for text in words]
        if not all(map(len, ids)):
            raise InputError("a continuation of no words has no likelihood: the task's target is empty")
        # 0.7.3 writes a bare (loss, greedy) out as text before it scores it; what is wrapped, it hands on as it is
        return [
            GenerationResult((-float(item.logprobs.mean()), item.greedy))
            for item in loglikelihood(self.session, prompt, ids)
        ]


def _rows(batch_size: int | str) -> int:
    if not str(batch_size).isdigit():
        raise InputError(f"--batch_size {batch_size}: give the number of requests that run at once")
    return int(batch_size)


def _result(request: Request) -> GenerationResult:
    usage = request.usage
    return GenerationResult(
        request.text.strip(), TokenCounts(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
    )


class PixelwordChat(_Pixelword):
    """`--model pixelword`: tasks as messages."""

    is_simple = False

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """An answer for each request, in their order."""

        def asked() -> Iterator[tuple[Messages, Mapping[str, Any]]]:
            for request in requests:
                _, to_messages, given, doc_id, task, split = request.args
                yield _messages(to_messages(self._doc(task, split, doc_id))), given

        return [_result(answer) for answer in self._answers(asked(), len(requests))]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[list[str]]:
        """Generate the answers of every round; each round runs over all requests at once."""
        outputs: list[list[str]] = [[] for _ in requests]
        held: list[Any] = [None] * len(requests)  # what a task hands from round to round
        going, number = list(range(len(requests))), 0
        while going:
            turns = {
                place: turn
                for place in going
                if (turn := self._turn(requests[place], number, outputs[place], held, place))
            }
            going = list(turns)
            asked = ((turns[place], requests[place].args[2]) for place in going)
            for place, item in zip(going, self._answers(asked, len(going)), strict=True):
                outputs[place].append(item.text.strip())
            number += 1
        return outputs

    def _turn(self, request: Instance, number: int, said: list[str], held: list[Any], place: int) -> Messages | None:
        """Return the messages of a round; None at the end of the task."""
        _, to_messages, _, doc_id, task, split = request.args
        doc = self._doc(task, split, doc_id)
        if number == 0:
            return _messages(to_messages(doc))
        turn = to_messages(doc, round_idx=number, previous_output=list(said), previous_round_info=held[place])
        if not (isinstance(turn, tuple) and len(turn) == 4) or turn[1]:
            return None
        held[place] = turn[3]
        return _messages(turn[0])

    def loglikelihood(self, requests: list[Instance]) -> list[GenerationResult]:
        raise InputError("lmms-eval asks simple models for likelihoods: add --force_simple")


class PixelwordSimple(_Pixelword):
    """`--model pixelword --force_simple`: tasks as text and media, including likelihoods."""

    is_simple = True

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """An answer for each request, in their order."""

        def asked() -> Iterator[tuple[Messages, Mapping[str, Any]]]:
            for request in requests:
                context, given, to_visual, doc_id, task, split = request.args
                yield _turn_of(context, to_visual(self._doc(task, split, doc_id))), given

        return [_result(answer) for answer in self._answers(asked(), len(requests))]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[list[str]]:
        """Generate the answers of every round, with follow-ups from doc_to_text."""
        return [self._rounds(request) for request in requests]

    def _rounds(self, request: Instance) -> list[str]:
        context, given, to_visual, to_text, doc_id, task, split = request.args
        doc, said, held = self._doc(task, split, doc_id), [], None
        visuals = to_visual(doc)
        while True:
            (item,) = self._answers([(_turn_of(context, visuals), given)], 1)
            said.append(item.text.strip())
            visuals, context, end, _, held = to_text(
                doc, round_idx=len(said), previous_output=list(said), previous_round_info=held
            )
            if end:
                return said

    def loglikelihood(self, requests: list[Instance]) -> list[GenerationResult]:
        """Return (loss per token, whether greedy) of each continuation; choices share one prefill of the prompt.

        The loss, not the log-probability, since lmms-eval picks the lowest.
        """
        found: list[GenerationResult] = []
        for (context, _, _), group in groupby(requests, key=lambda item: (item.args[0], item.task_name, item.doc_id)):
            batch = list(group)
            doc = None
            if len(batch[0].args) > 2:
                _, _, to_visual, doc_id, task, split = batch[0].args
                doc = self._doc(task, split, doc_id)
            prompt = self.prompt_of(_turn_of(context, to_visual(doc) if doc is not None else ()))
            words = [_continuation(item.args[1], doc) for item in batch]
            found += self._likelihoods(prompt, words)
        return found


def _continuation(given: Any, doc: Any) -> str:
    """A task of likelihoods gives a function of its row, one of choices gives the words, after a space."""
    return str(given(doc) if callable(given) else given).strip()


def _messages(given: Any) -> Messages:
    """Convert lmms-eval's messages. Raises InputError for audio, and for time ranges of videos."""
    found = ChatMessages(messages=given).to_hf_messages()
    for part in (part for message in found for part in message["content"]):
        if part["type"] == "audio":
            raise InputError("a task has sound, which pixelword cannot hear: leave that task out")
        if "video_start" in part or "video_end" in part:
            raise InputError("a task asks about a piece of a video by its times: cut the video first")
        if part["type"] == "video":
            part["video"] = _frames(part["video"])
    return found


def _turn_of(words: str, visuals: Iterable[Any]) -> Messages:
    """Combine a text and its media into one turn; file extensions identify videos."""
    parts: Messages = []
    for item in visuals or ():
        is_video = isinstance(item, np.ndarray | list) or (isinstance(item, str) and item.lower().endswith(_VIDEOS))
        parts.append({"type": "video", "video": _frames(item)} if is_video else {"type": "image", "image": item})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": words}]}]


def _frames(source: Any) -> Any:
    """Return a video file as is; frames (T, H, W, 3) uint8, or a list, as images."""
    if isinstance(source, np.ndarray | list | tuple):
        return [Image.fromarray(item) if isinstance(item, np.ndarray) else item for item in source]
    return source

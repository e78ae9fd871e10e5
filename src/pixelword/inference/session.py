"""A model with its processor, ready for questions.

Thin on purpose: messages go through the processor's one typed path (:meth:`NeoOVProcessor.encode`), tokens come from
the model's ``generate``. A session holds nothing of a request, so several threads may ask one session at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteriaList, TextIteratorStreamer

from pixelword.errors import ContextError, InputError
from pixelword.inference.crops import with_crops
from pixelword.inference.long_inputs import LongInputs
from pixelword.inference.old_frames import OldFramesReader, frames_of
from pixelword.inference.sampling import Sampling
from pixelword.inference.streaming import StopWhen, drawing, stripped, words
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.model.checkpoint import best_dtype, load_pretrained, resolve
from pixelword.processing.conversation import Encoded
from pixelword.processing.processor import MediaOptions, NeoOVProcessor
from pixelword.processing.tokens import TURN_START

Message = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it cost.

    Attributes:
        text: The answer, without control tokens.
        prompt_tokens: Length of the prompt, visual tokens included.
        visual_tokens: Those of the prompt that stand for pixels.
        new_tokens: Tokens generated, the closing one included.
        seconds: From the messages to the last token, preparation included.
        held_tokens: The most tokens whose keys and values were held at once.
    """

    text: str
    prompt_tokens: int
    visual_tokens: int
    new_tokens: int
    seconds: float
    held_tokens: int = 0


def load(
    name_or_dir: str | Path = "nano",
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    media: MediaOptions | None = None,
    long: LongInputs | None = None,
) -> Session:
    """A session with a packaged model or with one from a folder.

    Args:
        name_or_dir: The name of a packaged model ("nano"), or a folder with a checkpoint in the released layout.
        dtype: The weights' type; None keeps the checkpoint's own, or takes float32 where a CPU only emulates that.
        device: Where the model lives; None takes the accelerator where there is one, else the CPU.
        media: How pictures and videos are read: their pixels, their frames, whether URLs are fetched.
        long: What is done with pictures and videos larger than the model was taught with; by default nothing.

    Raises:
        CheckpointError: there is no such model, or its files are not a whole checkpoint.
        InputError: there is no such dtype or device.
    """
    folder = resolve(name_or_dir)
    place = _device(device)
    model = load_pretrained(folder, dtype=dtype or best_dtype(folder, place), device=place)
    return Session(model, NeoOVProcessor.from_pretrained(folder), media=media, long=long)


def default_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def _device(wanted: str | torch.device | None) -> torch.device:
    if wanted is None:
        return default_device()
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)  # a name alone says nothing about there being one
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(wanted)!r} is not to be had here ({error}): leave it out, or use cpu") from error
    return device


def user_message(text: str, images: Any = (), videos: Any = ()) -> Message:
    """One turn of the user: the pictures, then the videos, then the words.

    Args:
        text: The question.
        images: A picture or a sequence of them, in any form that :func:`pixelword.processing.images.load_image` reads.
        videos: A video or a sequence of them, likewise.

    Raises:
        InputError: the question has no words.
    """
    if not text.strip():
        raise InputError("the question is empty: say in words what you want to know")
    parts: list[dict[str, Any]] = [{"type": "image", "image": image} for image in _as_list(images)]
    parts += [{"type": "video", "video": video} for video in _as_list(videos)]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def _as_list(media: Any) -> list[Any]:
    """``images="a.png"`` means one picture, not five letters."""
    return list(media) if isinstance(media, list | tuple) else [media]


class Session:
    """Answers questions about pictures, videos and words.

    Attributes:
        model: The network, on its device.
        processor: What turns messages into its inputs.
        media: How pictures and videos are read.
        long: What is done with large pictures and long videos.
    """

    def __init__(
        self,
        model: NeoOVForConditionalGeneration,
        processor: NeoOVProcessor,
        *,
        media: MediaOptions | None = None,
        long: LongInputs | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.media = media or MediaOptions()
        self.long = long or LongInputs()

    def ask(
        self,
        question: str,
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> str:
        """The answer to one question.

        Arguments as in :func:`user_message` and :class:`Sampling`; ``system`` is the system message.

        Raises:
            MediaError: a picture or a video cannot be read.
            InputError: the question is empty, or it and the answer do not fit into the model's context.
        """
        messages = conversation(user_message(question, images, videos), system=system)
        return self.answer(messages, Sampling(max_new_tokens, temperature, seed)).text

    def stream(
        self,
        question: str,
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """As :meth:`ask`, in pieces as they are generated; together they are what :meth:`ask` returns.

        Bad input raises at once, a failure of the model while iterating. Closing the iterator stops the generation.
        """
        messages = conversation(user_message(question, images, videos), system=system)
        return self.stream_answer(messages, Sampling(max_new_tokens, temperature, seed))

    def chat(self, *, system: str | None = None) -> Chat:
        """A conversation that remembers its turns."""
        return Chat(self, system=system)

    def answer(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Answer:
        """The next turn of a whole conversation in chat form, with its costs. Raises as :meth:`ask` does."""
        started = time.perf_counter()
        sampling = sampling or Sampling()
        prompt = self._prompt(messages, sampling)
        if (reader := self._reader(prompt, sampling)) is not None:
            new = list(reader.answer(sampling, self._ends()))
            held = reader.peak_tokens
        else:
            new = self.model.generate(**self._arguments(prompt, sampling))[0, len(prompt) :].tolist()
            held = len(prompt) + len(new) - 1
        return Answer(
            text=self.processor.encoder.decode(new).strip(),
            prompt_tokens=len(prompt),
            visual_tokens=int((prompt.mm_token_type_ids > 0).sum()),
            new_tokens=len(new),
            seconds=time.perf_counter() - started,
            held_tokens=held,
        )

    def stream_answer(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Iterator[str]:
        """As :meth:`answer`, in pieces; see :meth:`stream`."""
        sampling = sampling or Sampling()
        prompt = self._prompt(messages, sampling)
        if (reader := self._reader(prompt, sampling)) is not None:
            return stripped(words(reader.answer(sampling, self._ends()), self.processor.encoder.decode))
        return stripped(self._generate_in_thread(self._arguments(prompt, sampling)))

    def _prompt(self, messages: Sequence[Message], sampling: Sampling) -> Encoded:
        if sampling.stop or sampling.logprobs is not None or sampling.ignore_eos:
            raise InputError("stop, logprobs and ignore_eos are for requests to inference.batching.Engine")
        if sampling.constrained or sampling.stop_token_ids or sampling.include_stop_str_in_output:
            raise InputError(
                "min_tokens, stop_token_ids, allowed_token_ids, bad_words, logit_bias and include_stop_str_in_output "
                "are for requests to inference.batching.Engine"
            )
        if self.long.crops:
            messages, _ = with_crops(self.model, self.processor, messages, self.media, self.long.crops)
        return self.processor.encode(messages, add_generation_prompt=True, **vars(self.media))

    def _reader(self, prompt: Encoded, sampling: Sampling) -> OldFramesReader | None:
        """What answers where frames have to be let go; None where ``generate`` does."""
        context = self.model.config.get_text_config().max_position_embeddings
        kept = self.long.kept_frames
        if kept is not None and kept < len(frames := frames_of(prompt, self.processor.encoder.control[TURN_START])):
            reader = OldFramesReader(self.model, prompt, frames, kept, self.long.old_frames)
            reader.check_room(sampling.max_new_tokens, context)
            return reader
        self._check_length(len(prompt), int((prompt.mm_token_type_ids > 0).sum()), sampling.max_new_tokens, context)
        return None

    def _arguments(self, prompt: Encoded, sampling: Sampling) -> dict[str, Any]:
        """What ``generate`` takes: the model's inputs (a batch of one) and its options."""
        inputs = {name: value.to(self.model.device) for name, value in self.processor.batch([prompt]).items()}
        return {**inputs, "generation_config": self._generation_config(sampling), **drawing(sampling)}

    def _ends(self) -> list[int]:
        """The tokens that end an answer."""
        ends = self._generation_config(Sampling()).eos_token_id
        return ends if isinstance(ends, list) else [ends]

    @staticmethod
    def _check_length(prompt: int, visual: int, new: int, context: int) -> None:
        if prompt + new > context:
            raise ContextError(
                f"the question is {prompt} tokens long ({visual} of them pictures) and the answer may take {new} more, "
                f"but this model reads {context} in all: ask for less, send fewer or smaller pictures, or lower "
                f"max_new_tokens"
            )

    def _generation_config(self, sampling: Sampling) -> GenerationConfig:
        """The checkpoint's own settings, less its sampling: what to draw is ours to say (see :class:`Sampling`)."""
        settings = self.model.generation_config.to_dict()
        settings |= {"max_new_tokens": sampling.max_new_tokens, "max_length": None, "do_sample": False}
        settings |= {"temperature": None, "top_p": None, "top_k": None, "min_p": None}
        settings["repetition_penalty"] = sampling.repetition_penalty
        if settings.get("eos_token_id") is None:
            settings["eos_token_id"] = self.processor.tokenizer.eos_token_id
        if settings.get("pad_token_id") is None:
            settings["pad_token_id"] = self.processor.tokenizer.pad_token_id
        return GenerationConfig.from_dict(settings)

    def _generate_in_thread(self, arguments: dict[str, Any]) -> Iterator[str]:
        streamer = TextIteratorStreamer(self.processor.encoder, skip_prompt=True)
        abandoned = threading.Event()
        failures: list[BaseException] = []

        def work() -> None:
            try:
                criteria = StoppingCriteriaList([StopWhen(abandoned)])
                self.model.generate(**arguments, streamer=streamer, stopping_criteria=criteria)
            except BaseException as failure:  # whatever it is, it belongs to the one who iterates
                failures.append(failure)
                streamer.end()

        thread = threading.Thread(target=work, name="pixelword-generate", daemon=True)
        thread.start()
        try:
            yield from streamer
        finally:
            abandoned.set()
            thread.join()
        if failures:
            raise failures[0]


class Chat:
    """A conversation that remembers its turns: pictures of earlier turns stay in view.

    A turn that fails or is broken off leaves no trace, so that the next one can be tried.

    Attributes:
        messages: The turns so far, in chat form.
    """

    def __init__(self, session: Session, *, system: str | None = None) -> None:
        self.session = session
        self.system = system
        self.messages: list[Message] = []
        self.reset()

    def reset(self) -> None:
        """Forget every turn but the system message."""
        self.messages = conversation(system=self.system)

    def send(
        self,
        text: str,
        *,
        images: Any = (),
        videos: Any = (),
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> str:
        """The answer to the next turn. Arguments and errors: :meth:`Session.ask`."""
        messages = [*self.messages, user_message(text, images, videos)]
        answer = self.session.answer(messages, Sampling(max_new_tokens, temperature, seed)).text
        self.messages = [*messages, _assistant_message(answer)]
        return answer

    def stream(
        self,
        text: str,
        *,
        images: Any = (),
        videos: Any = (),
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """As :meth:`send`, in pieces; the turn is remembered once the last piece was taken."""
        messages = [*self.messages, user_message(text, images, videos)]
        pieces = self.session.stream_answer(messages, Sampling(max_new_tokens, temperature, seed))
        return self._remembering(messages, pieces)

    def _remembering(self, messages: list[Message], pieces: Iterator[str]) -> Iterator[str]:
        answer = ""
        for piece in pieces:
            answer += piece
            yield piece
        self.messages = [*messages, _assistant_message(answer)]


def conversation(*turns: Message, system: str | None = None) -> list[Message]:
    """The turns, after a system message where there is one."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *turns]


def _assistant_message(text: str) -> Message:
    return {"role": "assistant", "content": text}

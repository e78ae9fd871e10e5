"""A model with its processor, ready for questions.

Thin on purpose: messages go through the processor's one typed path (:meth:`NeoOVProcessor.encode`), and requests to an
engine that is stepped in the caller's thread (:class:`EngineCore`). Each call has an engine of its own and a session
holds nothing of a request, so several threads may ask one session at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, overload

import torch

from pixelword.checkpoints.names import WEIGHTS, Quantization, check_quantization, resolve
from pixelword.errors import ContextError, InputError
from pixelword.generation import embedding
from pixelword.generation.answer import Answer as Answer
from pixelword.generation.answer import Schema, structure_of, with_value
from pixelword.generation.chat import Chat
from pixelword.generation.embedding import Pooling
from pixelword.generation.engine_core import EngineCore, grammar_compiler
from pixelword.generation.limits import answer_room, context_length
from pixelword.generation.loading import load_model
from pixelword.generation.long_context.crops import with_crops
from pixelword.generation.long_context.frame_eviction import frames_of
from pixelword.generation.long_context.options import LongInputs
from pixelword.generation.messages import Message, conversation, user_message
from pixelword.generation.prepared_weights import quantization_of
from pixelword.generation.request import BatchingOptions, Request, Sink
from pixelword.generation.sampling import Sampling, SamplingArguments
from pixelword.generation.streaming import Stream, stream
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.processing.photographs import warn_of_photograph
from pixelword.processing.processor import MediaOptions, NeoOVProcessor
from pixelword.processing.types import Encoded

#: Conversations that are answered at once, tokens of prompts that are read in one pass, and tokens of an answer for
#: which its slot has room from the start.
_MAX_NUM_SEQS, _MAX_NUM_BATCHED_TOKENS, _ROOM = 32, 8192, 64


def load(
    name_or_dir: str | Path = "nano",
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    media: MediaOptions | None = None,
    long: LongInputs | None = None,
    adapter: str | Path | None = None,
    quantize: Quantization | None = None,
) -> Session:
    """Load a session with a packaged model, or a model from a folder or the Hub.

    Args:
        name_or_dir: The name of a packaged model ("nano"), a folder with a checkpoint in the released layout, or a
            model of the Hugging Face Hub, "org/name" or "org/name@revision", which is downloaded into the user's cache.
        dtype: The weights' type; None keeps the checkpoint's own, or takes float32 where a CPU only emulates that.
        device: Device of the model; None selects the accelerator if there is one, else the CPU.
        media: Media options: pixel limits, frame sampling, whether URLs are fetched.
        long: Options for images and videos larger than the model was trained on; off by default.
        adapter: A folder with a LoRA adapter in PEFT's format, which is merged into the model.
        quantize: "int8" or "int4" rounds the layers' matrices and the head, on a CPU: a half or a quarter of bfloat16's
            bytes. Such a session only generates: it has no weights for gradients (`look_inside`) or saving.

    Raises:
        CheckpointError: unknown model, failed download, or incomplete checkpoint files.
        InputError: unknown dtype, device or quantization, or one that this device does not support.
    """
    check_quantization(quantize)
    folder = resolve(name_or_dir)
    model = load_model(folder, dtype=dtype, device=_device(device), adapter=adapter, quantize=quantize)
    session = Session(model, NeoOVProcessor.from_pretrained(folder), media=media, long=long)
    session.drawn_only = folder.parent == WEIGHTS and adapter is None
    return session


def default_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def _device(wanted: str | torch.device | None) -> torch.device:
    if wanted is None:
        return default_device()
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)  # a name alone says nothing about there being one
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(wanted)!r} is not available here ({error}): leave it out, or use cpu") from error
    return device


def _for_each(questions: list[str], media: Any, name: str) -> list[Any]:
    """What each question is about. Raises InputError: not as many as questions."""
    if not media:
        return [()] * len(questions)
    if not isinstance(media, list | tuple) or len(media) != len(questions):
        raise InputError(f"{name}: for {len(questions)} questions give a list of {len(questions)}, one for each")
    return list(media)


class Session:
    """Answers questions about images, videos and text.

    Attributes:
        model: The network.
        processor: Converts messages to model inputs.
        media: How images and videos are read.
        long: What is done with large images and long videos.
        drawn_only: Whether to warn, at the first photograph, that the model was trained on drawn images and text
            alone; so for packaged models that were loaded by name.
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
        self.drawn_only = False
        self._grammars = grammar_compiler(model, processor)

    @overload
    def ask(
        self,
        question: str,
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        **how: Unpack[SamplingArguments],
    ) -> str: ...

    @overload
    def ask(
        self,
        question: list[str],
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        **how: Unpack[SamplingArguments],
    ) -> list[str]: ...

    @overload
    def ask(
        self,
        question: str,
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        schema: Schema,
        **how: Unpack[SamplingArguments],
    ) -> Answer: ...

    @overload
    def ask(
        self,
        question: list[str],
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        schema: Schema,
        **how: Unpack[SamplingArguments],
    ) -> list[Answer]: ...

    def ask(
        self,
        question: str | list[str],
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        schema: Schema | None = None,
        **how: Unpack[SamplingArguments],
    ) -> str | list[str] | Answer | list[Answer]:
        """The answer to one question, or the answers to a list of them, which are generated together.

        Args:
            question: The question. For a list of questions, `images` and `videos` are lists of the same length: those
                of each question.
            images, videos: As in :func:`user_message`.
            system: The system message.
            schema: A Pydantic model or a JSON schema: the answer is JSON of this form, whatever the model. Then an
                :class:`Answer` is returned, whose `parsed` is the value.
            **how: The arguments of :meth:`sampling`: `max_new_tokens`, `temperature`, `seed`, `top_p`, `stop`,
                `min_tokens`, `bad_words` …

        Raises:
            MediaError: an image or a video cannot be read.
            InputError: the question is empty, or does not fit into the model's context; the schema is not understood,
                or the Pydantic model has validators of its own that refuse the answer.
        """
        sampling = self.sampling(**how)
        if schema is not None:
            sampling = replace(sampling, structured_outputs=structure_of(schema))
        if not isinstance(question, list):
            answer = self.answer(conversation(user_message(question, images, videos), system=system), sampling)
            return answer.text if schema is None else with_value(answer, schema)
        parts = zip(question, _for_each(question, images, "images"), _for_each(question, videos, "videos"), strict=True)
        conversations = [conversation(user_message(*part), system=system) for part in parts]
        answers = self.answers(conversations, sampling)
        return [answer.text for answer in answers] if schema is None else [with_value(each, schema) for each in answers]

    def stream(
        self,
        question: str,
        *,
        images: Any = (),
        videos: Any = (),
        system: str | None = None,
        **how: Unpack[SamplingArguments],
    ) -> Stream:
        """As :meth:`ask`, in pieces as they are generated; together they are what :meth:`ask` returns.

        Bad input raises at once, a failure of the model while iterating. Closing the iterator stops the generation.
        """
        messages = conversation(user_message(question, images, videos), system=system)
        return self.stream_answer(messages, self.sampling(**how))

    def sampling(
        self,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        stop: str | Sequence[str] = (),
        min_tokens: int = 0,
        stop_token_ids: Sequence[int] = (),
        allowed_token_ids: Sequence[int] | None = None,
        bad_words: Sequence[str] = (),
        logit_bias: Mapping[int, float] | None = None,
        include_stop_str_in_output: bool = False,
        structured_outputs: StructuredOutputs | None = None,
    ) -> Sampling:
        """Sampling options of an answer; see :class:`Sampling`.

        max_new_tokens: what is left of the context when None, or the checkpoint's own `max_new_tokens`. Raises
        InputError.
        """
        own = self.model.generation_config.max_new_tokens
        return Sampling(
            (own or self.context) if max_new_tokens is None else max_new_tokens,
            temperature,
            seed,
            top_p,
            top_k,
            (stop,) if isinstance(stop, str) else tuple(stop),
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            min_tokens=min_tokens,
            stop_token_ids=tuple(stop_token_ids),
            allowed_token_ids=None if allowed_token_ids is None else tuple(allowed_token_ids),
            bad_words=(bad_words,) if isinstance(bad_words, str) else tuple(bad_words),
            logit_bias=logit_bias or {},
            include_stop_str_in_output=include_stop_str_in_output,
            structured_outputs=structured_outputs,
        )

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together that the model reads."""
        return context_length(self.model)

    def chat(self, *, system: str | None = None) -> Chat:
        """A conversation that remembers its turns."""
        return Chat(self, system=system)

    def answer(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Answer:
        """The next turn of a conversation in chat form, with token counts and timing. Raises as :meth:`ask` does."""
        return self.answers([messages], sampling)[0]

    def answers(self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None) -> list[Answer]:
        """The next turns of several conversations, generated together; each has the seconds of all."""
        started = time.perf_counter()
        sampling = sampling or self.sampling()
        prompts = [self._prompt(messages) for messages in conversations]
        samplings = [self._fitted(prompt, sampling) for prompt in prompts]
        requests = self.generate(prompts, samplings, max_cached_frames=self.long.kept_frames)
        seconds = time.perf_counter() - started
        return [Answer.of(request, seconds) for request in requests]

    def embed(self, inputs: Sequence[str | Sequence[Message]], *, pooling: Pooling = "mean") -> torch.Tensor:
        """Vectors for search, (N, hidden_size) float32, each of length 1: the states after the last norm, pooled.

        inputs: plain texts, or conversations in chat form, with images. pooling: the "mean" of all tokens' states, or
        the "last" token's. Raises MediaError; InputError: an input is empty, or longer than the context.
        """
        prompts = embedding.prompts(self.processor, inputs, self.media, self.context)
        return embedding.embed(self.model, self.processor, prompts, pooling)

    def stream_answer(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Stream:
        """As :meth:`answer`, in pieces; see :meth:`stream`."""
        prompt = self._prompt(messages)
        fitted = self._fitted(prompt, sampling or self.sampling())
        core = self._engine([prompt], [fitted])

        def submit(sink: Sink) -> Request:
            return core.add(prompt, fitted, sink, self.long.kept_frames)

        return stream(submit, torch.no_grad()(core.step))

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[Encoded], samplings: Sequence[Sampling], *, max_cached_frames: int | None = None
    ) -> list[Request]:
        """The answers to prompts that were prepared elsewhere, generated together, as requests that have ended.

        Raises:
            InputError: a prompt does not fit into the context with its answer.
        """
        core = self._engine(prompts, samplings)
        requests = [
            core.add(prompt, sampling, lambda token: None, max_cached_frames)
            for prompt, sampling in zip(prompts, samplings, strict=True)
        ]
        core.run()
        for request in requests:
            request.raise_error()
        return requests

    def _engine(self, prompts: Sequence[Encoded], samplings: Sequence[Sampling]) -> EngineCore:
        """An engine for these prompts alone: it reads each as a whole, and caches nothing for others."""
        longest = max(map(len, prompts), default=1)
        room = min(_ROOM, max((sampling.max_new_tokens for sampling in samplings), default=1))
        core = EngineCore(
            self.model,
            self.processor,
            BatchingOptions(
                max_num_seqs=max(1, min(len(prompts), _MAX_NUM_SEQS)),
                max_num_batched_tokens=max(longest, _MAX_NUM_BATCHED_TOKENS),
                prefix_bytes=0,
                num_speculative_tokens=0,
                quantization=quantization_of(self.model),
                compression=self.long.compression,
                pack=False,
            ),
            padded_prefill=True,
            grammars=self._grammars,
        )
        core.slots.reserve(core.options.max_num_seqs, longest + room)
        return core

    def _prompt(self, messages: Sequence[Message]) -> Encoded:
        if self.long.crops:
            messages, _ = with_crops(self.model, self.processor, messages, self.media, self.long.crops)
        prompt = self.processor.encode(messages, add_generation_prompt=True, media=self.media)
        self.drawn_only = self.drawn_only and not warn_of_photograph(prompt.pixel_values)  # once
        return prompt

    def _fitted(self, prompt: Encoded, sampling: Sampling) -> Sampling:
        """The sampling with at most the tokens that are left of the context. Raises ContextError: none is."""
        kept = self.long.kept_frames
        room = answer_room(prompt, self.context, evicts=kept is not None and kept < len(frames_of(prompt)))
        if room < 1:
            raise ContextError(
                f"the question is {len(prompt)} tokens long ({prompt.visual_tokens} of them of images), but this model "
                f"reads {self.context} with the answer: ask for less, or send fewer or smaller images"
            )
        return replace(sampling, max_new_tokens=min(sampling.max_new_tokens, room))

"""The model for VLMEvalKit: images, videos and text in any order, one question per call, from many threads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal

from vlmeval.dataset import DATASET_MODALITY
from vlmeval.vlm.base import BaseModel

from pixelword.errors import InputError
from pixelword.evaluation.paper.benchmarks import Benchmark
from pixelword.evaluation.paper.files import question
from pixelword.evaluation.paper.prompting import MAX_MODEL_LEN, UPSTREAM, asked, words
from pixelword.generation.engine import BatchingOptions, Engine
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import conversation, load
from pixelword.integrations.presets import preset as preset_of
from pixelword.processing.options import MediaOptions
from pixelword.processing.types import Encoded

Content = Sequence[Mapping[str, Any]]
#: How VLMEvalKit ends its question of Video-MME; upstream's copy of it takes that off.
_ENDS = "\nAnswer: "


class Pixelword(BaseModel):
    """A checkpoint under one of upstream's presets.

    VLMEvalKit calls what it takes for an API from several threads (`--api-nproc`), and for us those calls run in one
    batch. An API gets the frames of a video as images, without their times; so the video preset is not an API to it,
    gets the file, and answers one question after the other.

    The data sets of the paper's suite that upstream runs under the preset are asked as in that suite: in its words and
    order, with its labels and pixel limits. All others are asked in VLMEvalKit's words.

    Args:
        model_path: a checkpoint's folder, or a packaged model's name.
        preset: "image", "video" or "si".
        drawing: "greedy", which repeats, or "upstream": temperature 0.6, but greedy for si.
        seed: of drawn answers; the same question gets the same draw.
        max_num_seqs: questions that run at once.

    Raises:
        InputError: unknown preset or sampling. CheckpointError: unknown model.
    """

    INSTALL_REQ = False
    INTERLEAVE = True
    is_api = True

    def __init__(
        self,
        model_path: str,
        preset: str = "image",
        drawing: Literal["greedy", "upstream"] = "greedy",
        seed: int = 0,
        device: str | None = None,
        dtype: str | None = None,
        max_num_seqs: int = 16,
        **_: Any,
    ) -> None:
        super().__init__()
        if drawing not in ("greedy", "upstream"):
            raise InputError(f"drawing is {drawing!r}: use greedy or upstream")
        self.preset, self.drawing, self.seed = preset_of(preset), drawing, seed
        self.VIDEO_LLM = preset == "video"
        self.is_api = not self.VIDEO_LLM
        # VLMEvalKit sets the one that a data set has and clears the other, but only where both are there to begin with
        media = self.preset.media
        self.fps, self.nframe = (media.fps, media.max_frames) if self.VIDEO_LLM else (None, None)
        self.session = load(model_path, dtype=dtype, device=device, media=media)
        batching = BatchingOptions(max_num_seqs, MAX_MODEL_LEN)
        self.engine = Engine(self.session.model, self.session.processor, batching)

    def use_custom_prompt(self, dataset: str) -> bool:
        """Whether `build_prompt` has a prompt for the data set.

        Of videos VLMEvalKit takes a model's words only where it has set a number of frames, and ends the run at a rate.
        """
        numbered = bool(self.nframe) and not self.fps
        return self.preset.benchmark(dataset) is not None and (numbered or not self.VIDEO_LLM)

    def build_prompt(self, line: Any, dataset: Any, video_llm: bool = False) -> list[dict[str, Any]]:
        """A row's media, and its question in the suite's words; what else the suite does to them, `prompt` does.

        line: a row of the data set's table. dataset: its name, or of videos the data set itself, whose own message says
        which files they are.

        Raises:
            InputError: unknown data set, or a row without a question.
        """
        row = dict(line)
        if isinstance(dataset, str):
            name, paths = dataset, self.dump_image(line, dataset)
            media = [{"type": "image", "value": item} for item in ([paths] if isinstance(paths, str) else paths)]
        else:
            name = row.get("SUB_DATASET") or dataset.dataset_name
            own = dataset.build_prompt(copy(line), video_llm=video_llm)  # some write into the row
            media = [item for item in own if item["type"] != "text"]
        benchmark = self.preset.benchmark(name)
        if benchmark is None:
            raise InputError(f"{name} is not asked with the preset {self.preset.name}: use VLMEvalKit's own prompt")
        query = question(row, tuple(self._media(media, name)), f"{name}, question {row.get('index')}")
        return [*media, {"type": "text", "value": words(query, benchmark)}]

    def prompt(self, message: Content, dataset: str | None = None) -> Encoded:
        """A question as the network gets it. message: [{"type": "image" | "video" | "text", "value": …}, …].

        Of a data set of the suite the message's text and media are brought in the suite's order, with its labels and
        pixel limits; how many frames a video has, VLMEvalKit says.
        """
        benchmark = self.preset.benchmark(dataset)
        if benchmark is None:
            return self._encoded(self._conversation({"role": "user", "content": self.parts_of(message)}))
        low, high = benchmark.setting.pixels
        options = replace(self.preset.media, min_pixels=low, max_pixels=high)
        text = _text("".join(item["value"] for item in message if item["type"] == "text"), benchmark)
        return self._encoded(asked(text, self._media(message, dataset), benchmark, options), options)

    def generate_inner(self, message: Content, dataset: str | None = None) -> str:
        """Answer one question. message: as in `prompt`."""
        return self._answer(self.prompt(message, dataset))

    def chat_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        """Answer the next turn of a conversation. message: [{"role": …, "content": as in `prompt`}, …]."""
        turns = ({"role": item["role"], "content": self._said(item)} for item in message)
        return self._answer(self._encoded(self._conversation(*turns)))

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def _said(self, turn: Mapping[str, Any]) -> Any:
        parts = self.parts_of(turn["content"])
        return "".join(part["text"] for part in parts) if turn["role"] == "assistant" else parts

    def _media(self, content: Content, dataset: str | None) -> list[dict[str, Any]]:
        """Return the media, with a video's frames, which an API gets as images, as one."""
        media = self.parts_of([item for item in content if item["type"] != "text"])
        if DATASET_MODALITY(dataset) == "VIDEO" and media and all(medium["type"] == "image" for medium in media):
            return [{"type": "video", "video": [medium["image"] for medium in media]}]
        return media

    def parts_of(self, content: Content) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for item in content:
            kind = item["type"]
            part = {"type": kind, kind: item["value"]}
            if kind == "video":  # at the rate, up to the preset's frames, unless a data set has a number of its own
                part |= {"fps": self.fps} if self.fps else {"num_frames": self.nframe}
            parts.append(part)
        return parts

    def _conversation(self, *turns: dict[str, Any]) -> list[dict[str, Any]]:
        return conversation(*turns, system=self.preset.system)

    def _encoded(self, turns: list[dict[str, Any]], options: MediaOptions | None = None) -> Encoded:
        media = options or self.session.media
        return self.session.processor.encode(turns, add_generation_prompt=True, media=media)

    def _answer(self, prompt: Encoded) -> str:
        room = max(1, min(self.preset.new_tokens, self.engine.room(prompt)))
        return self.engine.submit(prompt, self._sampling(prompt.input_ids.numpy().tobytes(), room)).result().strip()

    def _sampling(self, asked: bytes, room: int) -> Sampling:
        drawn: dict[str, Any] = UPSTREAM if self.drawing == "upstream" and self.preset.sampled else {}
        return Sampling(room, seed=zlib.crc32(asked, self.seed), **drawn)


def _text(own: str, benchmark: Benchmark) -> str:
    """Return a message's text, with the suite's ending where VLMEvalKit's differs from upstream's copy."""
    if benchmark.up_to is None or not own.endswith(_ENDS):
        return own
    return own.removesuffix(_ENDS) + benchmark.prompt.choices.rpartition("{options}")[2]

"""The model as VLMEvalKit asks it: pictures, videos and words in any order, one question a call, from many threads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vlmeval.vlm.base import BaseModel

from pixelword.errors import InputError
from pixelword.evaluation.paper.asking import MAX_MODEL_LEN, UPSTREAM
from pixelword.inference.batching import BatchingOptions, Engine
from pixelword.inference.sampling import Sampling
from pixelword.inference.session import conversation, load
from pixelword.integrations.presets import preset as preset_of

Content = Sequence[Mapping[str, Any]]


class Pixelword(BaseModel):
    """A checkpoint under one of upstream's presets.

    VLMEvalKit calls what it takes for an API from several threads (`--api-nproc`), and for us those calls run in one
    batch. It hands an API the frames of a video as pictures, without their times; so the video preset is no API to it,
    gets the file, and answers one question after the other.

    Args:
        model_path: a checkpoint's folder, or a packaged model's name.
        preset: "image", "video" or "si".
        drawing: "greedy", which repeats, or "upstream": temperature 0.6, but greedy for si.
        seed: of drawn answers; the same question gets the same draw.
        max_num_seqs: questions that run at once.

    Raises:
        InputError: another preset or way of drawing. CheckpointError: no such model.
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

    def generate_inner(self, message: Content, dataset: str | None = None) -> str:
        """The answer to one question. message: [{"type": "image" | "video" | "text", "value": …}, …]."""
        return self._answer([{"role": "user", "content": self._parts(message)}])

    def chat_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        """The next turn of a conversation. message: [{"role": …, "content": as above}, …]."""
        return self._answer([{"role": one["role"], "content": self._said(one)} for one in message])

    def close(self) -> None:
        """End the engine."""
        self.engine.close()

    def _said(self, turn: Mapping[str, Any]) -> Any:
        parts = self._parts(turn["content"])
        return "".join(part["text"] for part in parts) if turn["role"] == "assistant" else parts

    def _parts(self, content: Content) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for one in content:
            kind = one["type"]
            part = {"type": kind, kind: one["value"]}
            if kind == "video":  # at the rate, up to the preset's frames, unless a data set has a number of its own
                part |= {"fps": self.fps} if self.fps else {"num_frames": self.nframe}
            parts.append(part)
        return parts

    def _answer(self, turns: list[dict[str, Any]]) -> str:
        asked = conversation(*turns, system=self.preset.system)
        prompt = self.session.processor.encode(asked, add_generation_prompt=True, **vars(self.session.media))
        room = max(1, min(self.preset.new_tokens, self.engine.room(prompt)))
        return self.engine.submit(prompt, self._sampling(prompt.input_ids.numpy().tobytes(), room)).result().strip()

    def _sampling(self, asked: bytes, room: int) -> Sampling:
        drawn: dict[str, Any] = UPSTREAM if self.drawing == "upstream" and self.preset.sampled else {}
        return Sampling(room, seed=zlib.crc32(asked, self.seed), **drawn)

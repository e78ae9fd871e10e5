"""What a run of the paper's benchmarks needs, before anything is there: files, tokens, and about how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.evaluation.paper import files
from pixelword.evaluation.paper.benchmarks import Benchmark

if TYPE_CHECKING:
    from pixelword.model import NeoOVConfig
    from pixelword.processing import NeoOVImageProcessor

#: Shares of a machine's peak: of reading prompts, and of writing answers, which moves weights more than it multiplies.
READING, WRITING = 0.4, 0.04
#: Tokens of a question's words, and of a frame's label with its two marks; choices that a rotated question has.
_WORDS, _LABEL, _CHOICES = 120, 12, 4


@dataclass(frozen=True)
class Planned:
    """A benchmark's needs. file: where its questions lie, None where they do not; asked: questions, counted in the file
    or by the table. visual: of a question's prompt tokens. hours: on the machine that was named, 0 for none."""

    benchmark: Benchmark
    file: Path | None
    asked: int
    prompt: int
    visual: int
    answer: int
    hours: float
    fits: bool

    @property
    def tokens(self) -> int:
        """Read and written, of all questions."""
        return self.asked * (self.prompt + self.answer)

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        one = self.benchmark
        return {
            "id": one.id, "name": one.name, "category": one.category, "expected": one.file,
            "file": str(self.file) if self.file else None, "asked": self.asked, "prompt_tokens": self.prompt,
            "visual_tokens": self.visual, "answer_tokens": self.answer, "tokens": self.tokens, "hours": self.hours,
            "fits": self.fits, "paper": one.paper,
        }  # fmt: skip


def plan(
    wanted: Sequence[Benchmark],
    folder: Path,
    config: NeoOVConfig,
    images: NeoOVImageProcessor,
    *,
    peak: float,
    limit: int | None = None,
    own_limits: bool = False,
) -> list[Planned]:
    """The needs of each benchmark.

    Args:
        folder: where files are looked for; nothing has to be there.
        peak: FLOP/s of the machine.
        limit: questions of each that are asked at most.
        own_limits: the model's own pixel limits instead of the paper's.
    """
    return [_planned(one, folder, config, images, peak, limit, own_limits) for one in wanted]


def _planned(
    one: Benchmark,
    folder: Path,
    config: NeoOVConfig,
    images: NeoOVImageProcessor,
    peak: float,
    limit: int | None,
    own_limits: bool,
) -> Planned:
    path = files.find(folder, one)
    asked = one.questions if path is None else files.count(path)
    asked = (asked if limit is None else min(asked, limit)) * (_CHOICES if one.rotate and path is None else 1)
    visual, labels = _visual(one, images, own_limits)
    prompt, answer = visual + labels + _WORDS, one.setting.expected
    seconds = (_flops(config, prompt, 0) / READING + _flops(config, answer, prompt) / WRITING) / peak
    context = config.get_text_config().max_position_embeddings
    return Planned(one, path, asked, prompt, visual, answer, asked * seconds / 3600, prompt + answer <= context)


def _visual(one: Benchmark, images: NeoOVImageProcessor, own_limits: bool) -> tuple[int, int]:
    """(visual tokens, tokens of labels) of a typical question."""
    frames = one.frames or min(one.seconds, one.up_to or 0)
    if frames:
        most = images.budget(None, None)[1] // (32 * 32) if own_limits else one.setting.frame_tokens
        return frames * min(most, one.setting.frame_tokens), frames * _LABEL
    low, high = (None, None) if own_limits else one.setting.pixels
    if high is not None and low is not None and one.pictures > 1:
        high = max(2 * high // one.pictures, low)
    wide, tall = one.size
    return one.pictures * images.image_tokens(tall, wide, min_pixels=low, max_pixels=high), 2 * one.pictures


def _flops(config: NeoOVConfig, tokens: int, before: int) -> float:
    """FLOPs of so many tokens after others: two a weight, six a visible pair, head and channel (keys are double)."""
    from pixelword.model.facts import count_parameters

    text, parameters = config.llm_config, count_parameters(config)
    weights = sum(parameters.values()) - parameters["token embedding"]
    pairs = tokens * (before + tokens / 2)
    return 2.0 * weights * tokens + 6.0 * text.num_hidden_layers * text.num_attention_heads * text.head_dim * pairs

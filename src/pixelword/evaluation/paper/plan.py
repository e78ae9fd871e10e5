"""Plans a run of the paper's benchmarks without data or weights: files, tokens and approximate time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.evaluation.paper import files
from pixelword.evaluation.paper.benchmarks import Benchmark
from pixelword.model.footprint import count_parameters
from pixelword.processing.resize import shared_max_pixels
from pixelword.processing.videos import FRAME_MAX_PIXELS

if TYPE_CHECKING:
    from pixelword.model import NeoOVConfig
    from pixelword.processing import NeoOVImageProcessor

#: Shares of a machine's peak: of reading prompts, and of writing answers, which moves weights more than it multiplies.
READING, WRITING = 0.4, 0.04
#: Tokens of a question's words, and of an image's or frame's label with its two marks.
_WORDS, _LABEL = 120, 12


@dataclass(frozen=True)
class Planned:
    """A benchmark's needs. files: where its questions are stored, empty if missing; asked: questions, counted in the
    files or by the table. visual: of a question's prompt tokens. hours: on the machine that was named, 0 for none."""

    benchmark: Benchmark
    files: tuple[Path, ...]
    asked: int
    prompt: int
    visual: int
    answer: int
    hours: float
    fits: bool

    @property
    def tokens(self) -> int:
        """Tokens read and written, over all questions."""
        return self.asked * (self.prompt + self.answer)

    def as_json(self) -> dict[str, Any]:
        """As JSON has it."""
        item = self.benchmark
        return {
            "id": item.id, "name": item.name, "category": item.category, "expected": list(item.file),
            "files": [str(path) for path in self.files], "asked": self.asked, "prompt_tokens": self.prompt,
            "visual_tokens": self.visual, "answer_tokens": self.answer, "tokens": self.tokens, "hours": self.hours,
            "fits": self.fits, "judge": item.judge, "source": item.source, "counted": item.counted,
            "unconfirmed": list(item.unconfirmed), "note": item.note, "paper": item.paper,
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
    """Return the requirements of each benchmark.

    Args:
        folder: where files are looked for; nothing has to be there.
        peak: FLOP/s of the machine.
        limit: most questions of each.
        own_limits: the model's own pixel limits instead of the paper's.
    """
    weights = _weights(config)
    return [_planned(item, folder, config, weights, images, peak, limit, own_limits) for item in wanted]


def _planned(
    benchmark: Benchmark,
    folder: Path,
    config: NeoOVConfig,
    weights: int,
    images: NeoOVImageProcessor,
    peak: float,
    limit: int | None,
    own_limits: bool,
) -> Planned:
    paths = files.find(folder, benchmark)
    num_questions = files.count(paths, benchmark) if paths else benchmark.questions
    num_questions = num_questions if limit is None else min(num_questions, limit)
    count, visual, labels = _visual(benchmark, images, own_limits)
    prompt, answer = visual + labels + _WORDS, benchmark.setting.expected
    read, written = _flops(config, weights, prompt, 0), _flops(config, weights, answer, prompt)
    seconds = (read / READING + written / WRITING) / peak
    context = config.get_text_config().max_position_embeddings
    fits = labels + _WORDS + count + answer <= context  # an image takes one step of t, however many tokens it has
    return Planned(benchmark, paths, num_questions, prompt, visual, answer, num_questions * seconds / 3600, fits)


def _visual(benchmark: Benchmark, images: NeoOVImageProcessor, own_limits: bool) -> tuple[int, int, int]:
    """Return (images or frames, visual tokens, label tokens) of a typical question."""
    low, high = (None, None) if own_limits else benchmark.setting.pixels
    wide, tall = (benchmark.enlarge * side for side in benchmark.size)
    frames = benchmark.frames or min(benchmark.seconds, benchmark.up_to or 0)
    count = frames or benchmark.pictures
    if frames and benchmark.setting.area is None:  # frames of a video have a limit of their own
        high = min(images.budget(low, high)[1], FRAME_MAX_PIXELS)
        low = None if low is None else min(low, high)
    else:
        low, high = images.budget(low, high)
        high = shared_max_pixels(count, min_pixels=low, max_pixels=high)
    each = images.image_tokens(tall, wide, min_pixels=low, max_pixels=high)
    return count, count * each, count * (_LABEL if count > 1 else 2)


def _weights(config: NeoOVConfig) -> int:
    """Count the weights that multiply every token. Lays out the whole network: call once."""
    parameters = count_parameters(config)
    return sum(parameters.values()) - parameters["token embedding"]


def _flops(config: NeoOVConfig, weights: int, tokens: int, before: int) -> float:
    """FLOPs of `tokens` tokens after `before` others: 2 a weight, 6 a visible pair, head and channel (keys double)."""
    text = config.llm_config
    pairs = tokens * (before + tokens / 2)
    return 2.0 * weights * tokens + 6.0 * text.num_hidden_layers * text.num_attention_heads * text.head_dim * pairs

"""Accuracy, memory and first token against visual tokens kept, with `random` beside every method."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pixelword.errors import AssetError, InputError
from pixelword.evaluation.batch_generate import NEW_TOKENS, Asker
from pixelword.evaluation.means import Rate
from pixelword.explain.probe.questions import Report
from pixelword.explain.probe.types import Bar, Curve, Finding, mean
from pixelword.generation.compression.methods import METHODS
from pixelword.generation.compression.options import STAGES, Compression
from pixelword.generation.compression.prefill import CompressedPrefill
from pixelword.generation.long_context.options import LongInputs
from pixelword.generation.session import Session

if TYPE_CHECKING:
    from pixelword.evaluation.types import Item, Test
    from pixelword.processing.types import Encoded

#: Shares of visual tokens, in percent.
SHARES = (100, 50, 25, 12)
#: Seeds of "random", whose mean is shown.
SEEDS = 3
#: Side of the image whose first token is timed, in visual tokens, and how often.
SIDE, ROUNDS = 32, 5


@dataclass(frozen=True)
class Cost:
    """Of one prompt with a large image.

    kept: visual tokens in the cache. cache_bytes: keys and values after the prompt. peak_tokens: most tokens that any
    layer read at once. seconds: processor time to the first token's logits, the least of several rounds.
    """

    compression: Compression
    kept: int
    cache_bytes: int
    peak_tokens: int
    seconds: float


def choices() -> list[Compression]:
    """Every method at every stage and share that goes together; "random" with several seeds."""
    found = []
    for stage in STAGES:
        for name in METHODS:
            for share in SHARES[1:]:
                for seed in range(SEEDS if name == "random" else 1):
                    try:
                        found.append(Compression(name, share / 100, stage, seed))
                    except InputError:  # a method that this stage does not allow
                        continue
    return found


def table(
    session: Session, tests: Sequence[Test], *, limit: int = 10, seed: int = 0, report: Report = lambda *_: None
) -> Iterator[Finding]:
    """Accuracy by stage, and what a large image costs.

    Args:
        limit: Questions of each test.
        seed: Another one draws other questions.
        report: Called with (stage, done, in all).

    Raises:
        InputError: no question has an image.
    """
    items, prompts = _questions(session, tests, limit, seed)
    report("answering", 0, 1)
    right: dict[Compression | None, list[float]] = {None: _answered(session, items, prompts, None)}
    for stage in STAGES:
        wanted = [item for item in choices() if item.stage == stage]
        for number, compression in enumerate(wanted):
            report(f"answering, {stage}", number, len(wanted))
            right[compression] = _answered(session, items, prompts, compression)
        yield _accuracy(stage, right, len(items))
    report("first token", 0, 1)
    yield _cost_finding(costs(session))


def _questions(session: Session, tests: Sequence[Test], limit: int, seed: int) -> tuple[list[Item], list[Encoded]]:
    items: list[Item] = []
    prompts: list[Encoded] = []
    asker = Asker(session)
    for test in tests:
        try:
            own = [item for item in test.items(max(2, limit), seed)[:limit] if item.media]
        except AssetError:
            continue
        for item in own:
            encoded = asker.encoded(item.messages(), NEW_TOKENS)
            if not isinstance(encoded, str):
                items.append(item)
                prompts.append(encoded)
    if not items:
        raise InputError("compression is measured on questions about images, and there are none here")
    return items, prompts


def _answered(
    session: Session, items: Sequence[Item], prompts: Sequence[Encoded], compression: Compression | None
) -> list[float]:
    """1 for each right answer, else 0."""
    own = Session(session.model, session.processor, long=LongInputs(compression=compression))
    asker = Asker(own)
    right = [0.0] * len(items)
    for batch in asker.batches([len(prompt) for prompt in prompts]):
        for place, said in zip(batch, asker.answers([prompts[place] for place in batch], NEW_TOKENS), strict=True):
            right[place] = float(items[place].score(said.answer).right)
    return right


def _accuracy(stage: str, right: dict[Compression | None, list[float]], count: int) -> Finding:
    """Curves of one stage: accuracy by share."""
    whole = right[None]
    curves, bars = [], [Bar("all tokens", mean(whole), control=True)]
    for name in METHODS:
        by_share: dict[int, list[list[float]]] = {}
        for compression, own in right.items():
            if compression is not None and (compression.method, compression.stage) == (name, stage):
                by_share.setdefault(round(100 * compression.share), []).append(own)
        if not by_share:
            continue
        rates = {
            share: mean([sum(each) / len(runs) for each in zip(*runs, strict=True)]) for share, runs in by_share.items()
        }
        shares = sorted([*rates, 100])
        curves.append(
            Curve(name, tuple(shares), tuple(rates.get(share, mean(whole)) for share in shares), name == "random")
        )
        bars += [Bar(f"{name}, {share} %", rates[share], name == "random") for share in sorted(rates, reverse=True)]
    where = {"input": "before the model", "pre-buffer": "after the pre-buffer", "cache": "in the cache"}[stage]
    return Finding(
        f"compression-{stage}",
        f"Accuracy against visual tokens kept, {where}",
        "accuracy(share) = mean[answer right | round(share * n) of an image's n visual tokens stay, one at least]",
        "random selection as the baseline; merging after Bolya et al. 2022, arXiv 2210.09461",
        count, "share of answers right", tuple(bars), tuple(curves), "visual tokens kept, %",
        notes=(f"random is the mean of {SEEDS} seeds. Every token keeps its position (t, h, w).",),
    )  # fmt: skip


def costs(session: Session, side: int | None = None, rounds: int = ROUNDS) -> list[Cost]:
    """What an image of side * side visual tokens (by default `SIDE`) costs under every method; rounds interleave."""
    pixels = 32 * (side or SIDE)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (pixels, pixels, 3), dtype=np.uint8))
    content = [{"type": "image", "image": image}, {"type": "text", "text": "what is on the left?"}]
    prompt = session.processor.encode(
        [{"role": "user", "content": content}], add_generation_prompt=True, max_pixels=pixels * pixels
    )
    wanted = [Compression("uniform", 1.0, "input"), *(item for item in choices() if item.seed == 0)]
    least: dict[Compression, Cost] = {}
    for _ in range(rounds):
        for compression in wanted:
            reader = CompressedPrefill(session.model, prompt, compression)
            started = time.process_time()
            reader.read_whole()
            seconds = time.process_time() - started
            size = sum(layer.keys.nbytes + layer.values.nbytes for layer in reader.cache.layers)
            kept = len(reader.held) - (len(prompt) - prompt.visual_tokens)
            found = Cost(compression, kept, size, reader.peak_tokens, seconds)
            known = least.get(compression)
            least[compression] = found if known is None else replace(found, seconds=min(seconds, known.seconds))
    return [least[compression] for compression in wanted]


def _cost_finding(found: Sequence[Cost]) -> Finding:
    """Cache and first token, as shares of the plain path's."""
    whole, *others = found
    bars = []
    for cost in others:
        compression = cost.compression
        name = f"{compression.method}, {compression.share:.0%}, {compression.stage}".replace("%", " %")
        control = compression.method == "random"
        bars.append(Bar(f"first token: {name}", _exactly(cost.seconds / whole.seconds), control))
    for stage in STAGES:
        for share in SHARES[1:]:
            same = next(
                cost for cost in others if (cost.compression.stage, cost.compression.share) == (stage, share / 100)
            )
            bars.append(Bar(f"cache: any method, {share} %, {stage}", _exactly(same.cache_bytes / whole.cache_bytes)))
            bars.append(
                Bar(f"most read by a layer: {share} %, {stage}", _exactly(same.peak_tokens / whole.peak_tokens))
            )
    return Finding(
        "compression-cost",
        "Memory and first token against visual tokens kept",
        "processor time to the first token, and bytes of keys and values, over those of the plain path",
        "one image of random pixels, rounds interleaved, least time of each",
        1, "share of the plain path", tuple(bars),
        notes=(
            f"All {whole.kept:,} visual tokens: {whole.seconds:.3f} processor-seconds, {whole.cache_bytes:,} bytes of "
            "keys and values.",
            "A single prompt has no interval: times are the least of several rounds.",
        ),
    )  # fmt: skip


def _exactly(value: float) -> Rate:
    return Rate(value, value, value)

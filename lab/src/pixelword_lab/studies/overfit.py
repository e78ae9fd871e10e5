"""The proof that a grown model sees: it learns 32 images by heart, and a wrong image takes what it learnt away.

Small enough for one core, and it fails where something between pixels and words is broken: a model that answers by its
words alone would answer a wrong image as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pixelword.data.packing.packer import Packer
from pixelword.data.types import Pack
from pixelword.processing.types import Sample
from pixelword.synthetic.assets import Assets
from pixelword.training.building import build_network, build_processor, precision
from pixelword.training.parallel import World
from pixelword.training.recipe import Recipe
from pixelword.training.train_step import TrainStep
from pixelword.training.validation import answer_columns, exact_documents, uncompiled
from pixelword_lab import family

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor

QUESTION = "What is this?"


@dataclass(frozen=True)
class Point:
    """Where it is after `step` steps: right and wrong are shares answered to the letter, with the own image and with
    another one; None between measurements."""

    step: int
    loss: float
    grad_norm: float
    seconds: float
    right: float | None = None
    wrong: float | None = None


def named_pictures(assets: Assets, pictures: int, side: int) -> list[Sample]:
    """Square images of one thing each, no two of a name, all with the same question: without its image the
    best guess is right once in `pictures`."""
    found: dict[str, Sample] = {}
    for seed in count():
        task = family.draw("captions", seed, "train", assets)
        named = next(
            (question for question in task.questions if question.kind == "name" and question.answer not in found), None
        )
        if named is not None:
            picture = task.media[0]["image"].resize((side, side))
            alone = replace(
                task, media=({"type": "image", "image": picture},), questions=(replace(named, question=QUESTION),)
            )
            found[named.answer] = alone.sample()
        if len(found) == pictures:
            return list(found.values())
    raise AssertionError  # seeds do not end


def one_pack(processor: NeoOVProcessor, samples: Sequence[Sample], side: int) -> Pack:
    """Each sample in a row of its own, with its image as it is."""
    encoded = [processor.encode(item.messages, min_pixels=side**2, max_pixels=side**2) for item in samples]
    packer = Packer(len(encoded), max(map(len, encoded)), processor.pad_token_id)
    for item in encoded:
        packer.add(item)
    return packer.pack()


def with_wrong_pictures(pack: Pack) -> Pack:
    """Every question with the image of the one before; images are all of one size."""
    return replace(pack, pixel_values=pack.pixel_values.roll(int(pack.image_grid_hw[0].prod()), 0))


def overfit(
    recipe: Recipe, samples: Sequence[Sample], side: int, *, every: int = 10, enough: float = 1.0
) -> Iterator[Point]:
    """Train on one pack until `enough` of its answers are right, or the recipe's steps are over; a point a step."""
    processor = build_processor(recipe)
    pack = one_pack(processor, samples, side)
    wrong = with_wrong_pictures(pack)
    torch.manual_seed(recipe.seed)
    model, network = build_network(recipe, processor, World())
    engine = TrainStep(model, network, recipe, World())
    model.train()
    began = time.monotonic()
    for number in range(recipe.steps):
        step = engine.step([pack], number, number / recipe.steps)
        point = Point(number + 1, step.loss, step.grad_norm, time.monotonic() - began)
        if (number + 1) % every == 0 or number + 1 == recipe.steps:
            point = replace(point, right=share(model, pack, recipe), wrong=share(model, wrong, recipe))
        yield point
        if point.right is not None and point.right >= enough:
            break


@torch.no_grad()
def share(model: NeoOVForConditionalGeneration, pack: Pack, recipe: Recipe) -> float:
    """Share of a pack's answers all of whose tokens are the likeliest ones."""
    model.eval()
    columns = answer_columns(pack)
    with uncompiled(model), precision(recipe, World()):
        logits = model(**pack.inputs(), logits_to_keep=columns).logits
    model.train()
    right, total = exact_documents(logits, pack, columns)
    return right / total


def write(points: Iterator[Point], path: Path, say: Callable[[str], None]) -> list[Point]:
    """Points into a file of JSON lines as they come, and before people's eyes where something was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: list[Point] = []
    with path.open("w", encoding="utf-8") as file:
        for point in points:
            seen.append(point)
            file.write(json.dumps({k: v for k, v in asdict(point).items() if v is not None}) + "\n")
            file.flush()
            if point.right is not None:
                say(
                    f"step {point.step}: loss {point.loss:.3f}, {point.right:.0%} right, "
                    f"{point.wrong:.0%} with a wrong picture, {point.seconds:.0f} s"
                )
    return seen

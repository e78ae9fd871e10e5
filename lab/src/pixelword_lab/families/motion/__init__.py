"""Clips of things that move, appear, turn back, grow and leave: real encoded video, asked with its own times."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Split
from pixelword_lab.candidates import choose
from pixelword_lab.drawing.clips import film
from pixelword_lab.drawing.objects import Cutout, clash, cutouts, shape
from pixelword_lab.families.motion.ask import KINDS, candidates
from pixelword_lab.families.motion.plots import PLOTS, Cast
from pixelword_lab.families.motion.stage import Stage
from pixelword_lab.family import Family, Task


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """A clip of 2 to 12 seconds and 2 to 4 questions about it."""
    pool = cutouts(assets, split)
    plot = rng.choices(tuple(PLOTS), [weight for weight, _ in PLOTS.values()])[0]
    stage = PLOTS[plot][1](rng, _cast(rng, pool, split))
    strangers = _strangers(rng, pool, stage)
    asked = choose(rng, candidates(rng, stage, plot, strangers), rng.randint(2, 4))
    video = film(rng, stage.frames(), stage.fps, stage.rate)
    media = ({"type": "video", "video": video},)
    return Task(media, asked, tuple(actor.cutout.asset for actor in stage.actors))


def _cast(rng: Random, pool: Sequence[Cutout], split: Split) -> Cast:
    """Mostly images of things, now and then coloured shapes, of which one name never fits another."""
    share = rng.choice((0.0, 0.0, 0.2, 1.0))

    def cast(number: int) -> Sequence[Cutout]:
        chosen: list[Cutout] = []
        for _ in range(40):
            item = shape(rng, split) if rng.random() < share else rng.choice(pool)
            if not any(clash(item.name, other.name) for other in chosen):
                chosen.append(item)
            if len(chosen) == number:
                break
        return chosen

    return cast


def _strangers(rng: Random, pool: Sequence[Cutout], stage: Stage) -> list[str]:
    """Names that fit nothing in the clip; of the same kind as something in it where there are some."""
    shown = [actor.cutout for actor in stage.actors]
    others = [
        item for item in rng.sample(pool, min(60, len(pool))) if not any(clash(item.name, it.name) for it in shown)
    ]
    kinds = {item.kind for item in shown}
    near = [other.name for other in others if other.kind in kinds and not any(it.name == other.kind for it in shown)]
    return near or [other.name for other in others]


FAMILY = Family(
    "motion", "Motion: which way, what first, how often, when", KINDS, draw, ("emoji", "openmoji", "stamps")
)

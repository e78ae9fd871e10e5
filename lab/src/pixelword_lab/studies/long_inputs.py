"""Inputs longer and larger than a model was taught with: what each way to read them costs, and what it answers.

The questions are held-out ones whose answers do not change when a clip gets longer or an image stands in a larger one.
Every way gets the same questions; at the length of training all ways are the plain one, and only that one runs.
A cell (questions, length, way) that is measured is kept and not measured again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from pixelword.errors import ContextError, InputError
from pixelword.evaluation.types import Item, Test
from pixelword.synthetic import motion
from pixelword.synthetic.types import Question
from pixelword.utils.files import atomic_write
from pixelword_lab.suites.held_out import held_out

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.synthetic.assets import Assets

LENGTHS = (1, 4, 16)
#: Kinds of the drawn families whose answers hold when a clip is slowed down, or an image put into a larger one.
_SCREENS, _DOCUMENTS = ("state", "number of", "exists"), ("read", "document")
_MOTION = ("direction", "corner", "moves", "what", "turns", "order", "gone", "count", "side", "exists")


@dataclass(frozen=True)
class Case:
    """A question at a length. normal: frames of the clip, or pixels of the image, as they are taught."""

    item: Item
    normal: int


@dataclass(frozen=True)
class Source:
    """Where questions come from. cases: (length, number) -> `number` cases, the same ones at every length."""

    name: str
    media: Literal["video", "picture"]
    cases: Callable[[int, int], list[Case]]


@dataclass(frozen=True)
class Way:
    """A way to read what is long: fields of `MediaOptions` and `LongInputs` for a case of a length."""

    name: str
    media: Literal["video", "picture"]
    options: Callable[[Case, int], tuple[Mapping[str, Any], Mapping[str, Any]]]


WAYS = (
    Way("plain", "video", lambda case, length: ({}, {})),
    Way("frame budget", "video", lambda case, length: ({"frame_budget": case.normal}, {})),
    Way("old frames dropped", "video", lambda case, length: ({}, {"kept_frames": case.normal})),
    Way("plain", "picture", lambda case, length: ({"max_pixels": case.normal * length}, {})),
    Way("shrunk", "picture", lambda case, length: ({"max_pixels": case.normal}, {})),
    Way("1 crop", "picture", lambda case, length: ({"max_pixels": case.normal}, {"crops": 1})),
    Way("2 crops", "picture", lambda case, length: ({"max_pixels": case.normal}, {"crops": 2})),
)


@dataclass(frozen=True)
class Cell:
    """What came out of one way at one length.

    asked, right: questions. unfit: of those asked, too long for the model, which counts as not right.
    tokens, visual, held: mean tokens of the prompt, of its pixels, and whose keys and values were held at most.
    seconds: mean of an answer, reading included. A mean is over the questions that fit, 0 where none does.
    """

    source: str
    media: str
    length: int
    way: str
    asked: int
    right: int
    unfit: int
    tokens: float
    visual: float
    held: float
    seconds: float

    @property
    def key(self) -> tuple[str, int, str]:
        return self.source, self.length, self.way


def sources(assets: Assets, pixels: int) -> list[Source]:
    """All sources of questions. pixels: of an image as the model was taught it."""
    families = {test.name: test for test in held_out(assets)}
    return [
        Source("motion of one thing, slow", "video", _slow),
        Source("motion of one thing, then rest", "video", _rest),
        Source("digits on a large sheet", "picture", _nano("digits", pixels)),
        Source("letters on a large sheet", "picture", _nano("letters", pixels)),
        Source("shapes on a large sheet", "picture", _nano("shape", pixels)),
        Source("family motion, slow", "video", _slowed(families["motion"])),
        Source("family screens", "picture", _screens(families["screens"], _SCREENS, pixels)),
        Source("family screens: documents", "picture", _screens(families["screens"], _DOCUMENTS, pixels)),
    ]


def _clip(length: int, number: int, finer: int, form: Callable[[Any, Random], Any], name: str) -> list[Case]:
    cases = []
    for place in range(number):
        rng = Random(f"long motion {place}")
        video, way, thing = motion.draw_motion(rng, 1.0, "test", finer)
        turn = motion.ask_motion(Random(f"long question {place}"), thing, way)
        media = ({"type": "video", "video": form(video, Random(f"long form {place}"))},)
        question = Question("motion", turn.question, turn.answer, "letter")
        cases.append(Case(Item(f"{name}/{length}/{place}", name, "nano", media, question), motion.FRAMES))
    return cases


def _slow(length: int, number: int) -> list[Case]:
    """The same way, in about `length` times the frames."""
    steps = (motion.FRAMES * length - 1) // (motion.FRAMES - 1)
    return _clip(length, number, steps, lambda video, _: video, "slow")


def _rest(length: int, number: int) -> list[Case]:
    """The clip as it is taught, with rest before and after it."""
    return _clip(length, number, 1, lambda video, rng: rested(video, length, rng), "rest")


def rested(video: Any, length: int, rng: Random) -> Any:
    """A clip `length` times as long, in which what happens in the whole happens somewhere, and nothing else does."""
    frames = video.frames
    before = rng.randint(0, len(frames) * (length - 1))
    after = len(frames) * (length - 1) - before
    return _timed((frames[0],) * before + frames + (frames[-1],) * after, video)


def slowed(video: Any, length: int) -> Any:
    """Every frame for `length` times as long."""
    return _timed(tuple(frame for frame in video.frames for _ in range(length)), video)


def _timed(frames: Sequence[Image.Image], video: Any) -> Any:
    step = video.duration / len(video.frames)
    times = tuple(step * number for number in range(len(frames)))
    return replace(video, frames=tuple(frames), timestamps=times, duration=step * len(frames))


def on_a_sheet(picture: Image.Image, length: int, rng: Random) -> Image.Image:
    """The image at some place of a sheet of `length` times its area, in the colour of its corner."""
    side = length**0.5
    wide, high = round(picture.width * side), round(picture.height * side)
    sheet = Image.new("RGB", (wide, high), picture.getpixel((0, 0)))
    sheet.paste(picture, (rng.randint(0, wide - picture.width), rng.randint(0, high - picture.height)))
    return sheet


def fitted(picture: Image.Image, pixels: int) -> Image.Image:
    """The image, shrunk where it has more than `pixels` pixels."""
    part = (pixels / (picture.width * picture.height)) ** 0.5
    if part >= 1:
        return picture
    return picture.resize((max(1, int(picture.width * part)), max(1, int(picture.height * part))))


def _nano(kind: str, pixels: int) -> Callable[[int, int], list[Case]]:
    def cases(length: int, number: int) -> list[Case]:
        from pixelword.evaluation import nano

        items = next(test for test in nano.tests() if test.name == kind).items(number, 0)
        return [_larger(item, length, pixels) for item in items]

    return cases


def _larger(item: Item, length: int, pixels: int) -> Case:
    (part,) = item.media
    picture = on_a_sheet(fitted(part["image"].convert("RGB"), pixels), length, Random(f"long sheet {item.key}"))
    return Case(replace(item, media=({"type": "image", "image": picture},)), pixels)


@lru_cache(maxsize=4)
def _of_kinds(test: Test, kinds: Sequence[str], number: int) -> list[Item]:
    """The first questions of these kinds; most of what is drawn is of others."""
    found = [item for item in test.items(6 * number, 0) if item.question.kind in kinds]
    if len(found) < number:
        raise InputError(f"{test.name}: only {len(found)} of {6 * number} questions are of these kinds; ask for fewer")
    return found[:number]


def _slowed(test: Test) -> Callable[[int, int], list[Case]]:
    def cases(length: int, number: int) -> list[Case]:
        made = []
        for item in _of_kinds(test, _MOTION, number):
            video = item.media[0]["video"]
            media = ({"type": "video", "video": slowed(video, length)},)
            made.append(Case(replace(item, media=media), max(2, len(video.frames))))
        return made

    return cases


def _screens(test: Test, kinds: Sequence[str], pixels: int) -> Callable[[int, int], list[Case]]:
    def cases(length: int, number: int) -> list[Case]:
        return [_larger(item, length, pixels) for item in _of_kinds(test, kinds, number)]

    return cases


class Results:
    """The cells measured so far, in a file of one JSON line each behind a line that says what they are of.

    A line that was cut short is left out, and its cell measured again. Raises InputError: the file holds those of
    another run.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self.about = path, dict(about)

    @cached_property
    def cells(self) -> dict[tuple[str, int, str], Cell]:
        first = json.dumps(self.about, sort_keys=True)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        head, *lines = whole.splitlines() or [first]
        if head != first:
            raise InputError(f"{self.path} holds figures of another run: name another --out, or delete it")
        if whole != text or not whole:
            atomic_write(self.path, whole or f"{first}\n")
        return {cell.key: cell for cell in (Cell(**json.loads(line)) for line in lines)}

    def add(self, cell: Cell) -> None:
        self.cells[cell.key] = cell
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(cell)) + "\n")


def measure(
    session: Session, sources: Sequence[Source], results: Results, questions: int, lengths: Sequence[int] = LENGTHS
) -> Iterator[Cell]:
    """Every cell, in order; those that are known are only given again."""
    for source in sources:
        for length in lengths:
            ways = [way for way in WAYS if way.media == source.media and (length > 1 or way.name == "plain")]
            if all((source.name, length, way.name) in results.cells for way in ways):
                yield from (results.cells[source.name, length, way.name] for way in ways)
                continue
            cases = source.cases(length, questions)
            for way in ways:
                if (source.name, length, way.name) not in results.cells:
                    results.add(_cell(session, source, length, way, cases))
                yield results.cells[source.name, length, way.name]


def _cell(session: Session, source: Source, length: int, way: Way, cases: Sequence[Case]) -> Cell:
    from pixelword.generation.long_context.options import LongInputs
    from pixelword.generation.sampling import Sampling
    from pixelword.generation.session import Session as Asked

    right, answers = 0, []
    for case in cases:
        media, long = way.options(case, length)
        own = Asked(
            session.model, session.processor, media=replace(session.media, **media), long=LongInputs(**long)
        )  # fmt: skip
        try:
            answer = own.answer(case.item.messages(), Sampling(max_new_tokens=32))
        except ContextError:  # which is what is being found out
            continue
        answers.append(answer)
        right += case.item.score(answer.text).right

    def mean(name: str) -> float:
        return fmean(getattr(item, name) for item in answers) if answers else 0.0

    return Cell(
        source.name, source.media, length, way.name, len(cases), right, len(cases) - len(answers),
        mean("prompt_tokens"), mean("visual_tokens"), mean("held_tokens"), mean("seconds"),
    )  # fmt: skip

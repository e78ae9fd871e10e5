"""Clips: what is answered is what a tracker sees in the decoded frames; splits share nothing; seeds repeat."""

from __future__ import annotations

import io
import re
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pixelword.processing.videos import Video, clock, load_video
from pixelword.synthetic.assets import Assets, write_pack
from pixelword.synthetic.types import Question
from pixelword_lab.drawing.clips import encode
from pixelword_lab.drawing.objects import concepts
from pixelword_lab.families.motion import FAMILY
from pixelword_lab.families.motion.plots import PLOTS
from pixelword_lab.family import Task, draw

#: 26 colours, none near another: a thing is found again by its own.
_COLOURS = [colour for colour in product((0, 128, 255), repeat=3) if colour != (128, 128, 128)]


def _pictured() -> dict[str, str]:
    """26 names of the vocabulary, with the key of their picture."""
    found = {
        concept.name: concept.pictures[0]
        for concept in concepts().values()
        if concept.pictures and concept.kind in ("animal", "vehicle")
    }
    apart = [
        name for name in found if not any(set(name.split()) & set(other.split()) for other in found if other != name)
    ]
    return {name: found[name] for name in apart[: len(_COLOURS)]}


@pytest.fixture(scope="module")
def colours() -> dict[str, tuple[int, ...]]:
    return dict(zip(_pictured(), _COLOURS, strict=True))


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory, colours: dict[str, tuple[int, ...]]) -> Assets:
    """Every thing is a disc of its own colour; held out in one style, taught in the other."""
    folder = tmp_path_factory.mktemp("assets")
    for number, pack in enumerate(("emoji", "openmoji")):
        items = []
        for place, (name, key) in enumerate(_pictured().items()):
            picture = Image.new("RGBA", (96, 96))
            ImageDraw.Draw(picture).ellipse((2, 2, 93, 93), fill=(*colours[name], 255))
            file = io.BytesIO()
            picture.save(file, "PNG")
            item = {
                "key": key,
                "label": name,
                "file": f"{key}.png",
                "split": "test" if (place + number) % 2 else "train",
            }
            items.append((item, {f"{key}.png": file.getvalue()}))
        write_pack(folder / f"{pack}.zip", items, licences={"drawn here": "CC0"})
    return Assets(folder)


def _video(task: Task) -> Video:
    video = task.media[0]["video"]
    assert isinstance(video, Video)
    return video


def _places(task: Task, colour: tuple[int, ...]) -> list[tuple[float, float, int] | None]:
    """Of every frame the middle of what has the colour, and its pixels; None where there is nearly nothing of it."""
    found: list[tuple[float, float, int] | None] = []
    for frame in _video(task).frames:
        far = np.linalg.norm(np.asarray(frame, np.float32) - np.array(colour), axis=2)
        rows, columns = np.nonzero(far < 50)
        found.append((columns.mean(), rows.mean(), len(rows)) if len(rows) > 60 else None)
    return found


def _named(text: str, colours: dict[str, tuple[int, ...]]) -> list[str]:
    """The things that a text names, in its order."""
    return sorted((name for name in colours if re.search(rf"\b{name}\b", text, re.I)), key=text.lower().index)


def _tracked_answer(task: Task, question: Question, colours: dict[str, tuple[int, ...]]) -> str | None:
    """What a tracker of colours answers; None for what it cannot tell."""
    labels = [clock(seconds, decimals=True) for seconds in _video(task).timestamps]
    tracks = {name: _places(task, colours[name]) for name in _named(question.question, colours)}
    if question.kind == "exists":
        return "yes" if any(next(iter(tracks.values()))) else "no"
    if not tracks:
        return None
    shown = {name: [place is not None for place in track] for name, track in tracks.items()}
    first, mine = next(iter(tracks.values())), next(iter(shown.values()))
    match question.kind:
        case "direction" | "corner" | "moves":
            (x1, y1, _), (x2, y2, _) = (place for place in (first[0], first[-1]) if place is not None)
            right, down = x2 - x1, y2 - y1
            if question.kind == "moves":
                return "yes" if abs(right) + abs(down) > 8 else "no"
            across, along = ("right" if right > 0 else "left"), ("down" if down > 0 else "up")
            if question.kind == "corner":
                return f"{'bottom' if along == 'down' else 'top'} {across}"
            return across if abs(right) > abs(down) else along
        case "when":
            seen = [number for number, there in enumerate(mine) if there]
            return labels[seen[-1] + 1] if re.search("gone|disappear", question.question) else labels[seen[0]]
        case "then":
            at = re.search(r"\d\d:\d\d\.\d\d", question.question)
            assert at is not None
            return "yes" if mine[labels.index(at[0])] else "no"
        case "order":
            return "the " + min(shown, key=lambda name: shown[name].index(True))
        case "blinks":
            return str(sum(now and not before for before, now in zip([False, *mine], mine, strict=False)))
        case "turns":
            places = np.array([place[:2] for place in first if place is not None])
            steps = np.diff(places[:, int(np.ptp(places[:, 0]) < np.ptp(places[:, 1]))])
            return str(int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum()))
        case "speed":
            went = {name: np.hypot(*np.subtract(track[-1][:2], track[0][:2]))  # type: ignore[index]
                    for name, track in tracks.items()}  # fmt: skip
            most = "slow" not in question.question
            return "the " + (max if most else min)(went, key=lambda name: float(went[name]))
        case _:
            return None


def test_answers_are_what_a_tracker_of_the_decoded_frames_sees(
    assets: Assets, colours: dict[str, tuple[int, ...]]
) -> None:
    checked: dict[str, int] = {}
    for seed in range(120):
        task = draw("motion", seed, "train", assets)
        if any(asset.startswith("shape:") for asset in task.assets):
            continue
        for question in task.questions:
            answer = _tracked_answer(task, question, colours)
            if answer is not None:
                assert question.answer == answer, (seed, question)
                checked[question.kind] = checked.get(question.kind, 0) + 1
    assert set(checked) >= {"direction", "moves", "when", "then", "order", "blinks", "turns", "speed", "exists"}


def test_boxes_hold_the_thing_that_is_asked_about(assets: Assets, colours: dict[str, tuple[int, ...]]) -> None:
    held = 0
    for seed in range(40):
        task = draw("motion", seed, "train", assets)
        for question in task.questions:
            names = _named(question.question, colours)
            if (
                question.kind not in ("direction", "when", "turns", "corner")
                or len(names) != 1
                or "shape" in str(task.assets)
            ):
                continue
            places = _places(task, colours[names[0]])
            for frame, (x1, y1, x2, y2) in question.boxes:
                place = places[frame]
                assert place is not None
                assert x1 - 2 <= place[0] <= x2 + 2 and y1 - 2 <= place[1] <= y2 + 2
                held += 1
    assert held > 20


def test_every_kind_is_drawn_within_the_bounds(assets: Assets) -> None:
    kinds: set[str] = set()
    for seed in range(200):
        task = draw("motion", seed, "test", assets)
        video = _video(task)
        assert 4 <= len(video.frames) <= 16 and len(video.timestamps) == len(video.frames)
        assert all(96 <= side <= 256 for side in video.frames[0].size)
        width, height = video.frames[0].size
        assert len(video.frames) * width * height / 1024 < 320
        assert 1 <= len(task.questions) <= 4
        for question in task.questions:
            assert not question.choices or question.answer in question.choices
            kinds.add(question.kind)
    assert kinds == set(FAMILY.kinds)


def test_seeds_repeat_bit_for_bit_and_splits_differ(assets: Assets) -> None:
    for seed in range(6):
        item, same, other = (draw("motion", seed, split, assets) for split in ("train", "train", "test"))
        assert item.questions == same.questions
        assert [f.tobytes() for f in _video(item).frames] == [f.tobytes() for f in _video(same).frames]
        assert item.questions != other.questions
    fresh = Assets(assets.folder)
    assert draw("motion", 3, "train", fresh).questions == draw("motion", 3, "train", assets).questions


def test_no_asset_is_in_both_splits(assets: Assets) -> None:
    used = {split: {asset for seed in range(80) for asset in draw("motion", seed, split, assets).assets}
            for split in ("train", "test")}  # fmt: skip
    assert used["train"] and used["test"] and not used["train"] & used["test"]


def test_no_question_tells_the_answer_of_a_later_one(assets: Assets) -> None:
    """Whoever names a thing shows that it is there, and whoever says how it goes shows that it moves."""
    for seed in range(100):
        named: set[str] = set()
        for question in draw("motion", seed, "train", assets).questions:
            names = set(
                re.findall(
                    r"the ([\w ]+?)(?= (?:move|go|get|grow|turn|change|is|appear|come)|\?|,|$)", question.question
                )
            )
            if question.kind == "exists" and question.answer == "yes":
                assert not any(name in question.question for name in named), (seed, question)
            if question.kind == "what":
                assert question.answer not in named, (seed, question)
            named |= names


def test_every_plot_can_be_played_with_what_is_there(assets: Assets) -> None:
    from pixelword_lab.drawing.objects import cutouts
    from pixelword_lab.families.motion import _cast  # the cast is what `draw` gives its plots

    for name, (_, plot) in PLOTS.items():
        for seed in range(10):
            rng = Random(f"{name} {seed}")
            stage = plot(rng, _cast(rng, cutouts(assets, "train"), "train"))
            assert all(any(box is not None for box in seen) for seen in stage.seen[:1]), name
            assert len(list(stage.frames())) == stage.count * stage.smooth


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_a_file_has_the_frames_that_went_in(codec: str) -> None:
    frames = [Image.new("RGB", (96, 112), (20 * number, 90, 200 - 20 * number)) for number in range(8)]
    video = load_video(encode(frames, 4, codec=codec), fps=4)
    assert video.timestamps == tuple(number / 4 for number in range(8)) and video.duration == 2.0
    for shown, wanted in zip(video.frames, frames, strict=True):
        assert np.abs(np.asarray(shown, int) - np.asarray(wanted, int)).max() < 12


def test_a_clip_is_encoded_for_the_model(assets: Assets, tiny_model_dir: Path) -> None:
    from pixelword import NeoOVProcessor

    processor = NeoOVProcessor.from_pretrained(tiny_model_dir)
    task = draw("motion", 1, "train", assets)
    encoded = processor.apply_chat_template(
        list(task.sample().messages), tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert encoded["input_ids"].shape[1] > 4 * len(_video(task).frames)

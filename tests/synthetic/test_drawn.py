"""Drawing: the same draw every time, honest splits, balanced answers, conversations that give nothing away."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from pixelword import synthetic as nano
from pixelword.errors import InputError
from pixelword.processing.types import Sample
from pixelword.processing.videos import Video
from pixelword.synthetic import drawn, glyphs, motion, pairs
from pixelword.synthetic.questions import count

#: The parts of a first question that are not one image and the words.
FORMS: dict[str, list[str]] = {
    "text": [],
    **{kind: ["image", "image", "text"] for kind in ("pair", "changed")},
    **{kind: ["video", "text"] for kind in ("motion", "order")},
}


def fingerprint(sample: Sample) -> list[Any]:
    """Everything in a sample, pictures as bytes."""
    found: list[Any] = [sample.kind]
    for message in sample.messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            value = part[part["type"]]
            pictures = value.frames if isinstance(value, Video) else (value,) if part["type"] == "image" else ()
            found.append((message["role"], [(p.mode, p.size, p.tobytes()) for p in pictures] or value))
    return found


@pytest.mark.parametrize("kind", nano.KINDS)
def test_a_draw_is_the_same_every_time_and_splits_are_not(kind: str) -> None:
    def draws(split: Any) -> list[Any]:
        rng = np.random.default_rng(11)
        return [fingerprint(nano.draw(kind, rng, level=0.8, split=split, turns=3)) for _ in range(8)]

    assert draws("train") == draws("train")
    assert draws("train") != draws("test")


@pytest.mark.parametrize("kind", nano.KINDS)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_the_form_of_a_conversation(kind: str, level: float) -> None:
    rng = np.random.default_rng(5)
    for turns in (1, 4):
        for _ in range(25):
            sample = nano.draw(kind, rng, level=level, turns=turns)
            messages = [m for m in sample.messages if m["role"] != "system"]
            assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)
            assert 1 <= len(messages) // 2 <= turns
            assert sample.kind in nano.ASKED and (turns > 1 or sample.kind.removesuffix("_of") == kind)
            content = messages[0]["content"]
            types = [] if isinstance(content, str) else [part["type"] for part in content]
            assert types == FORMS.get(kind, ["image", "text"])
            assert all(isinstance(m["content"], str) and m["content"] for m in messages[1:])
            for part in content if types else ():
                if part["type"] == "image":
                    width, height = part["image"].size
                    assert part["image"].mode == "RGB"
                    # text is as wide as it is; its limit is that of the model's own settings, but for short overruns
                    largest = 100_000 if kind in nano.READING else 64**2 if level == 0 else 128**2
                    assert width * height <= largest


def one_turn(kind: str, number: int, split: Any = "test") -> list[str]:
    rng = np.random.default_rng(1)
    return [nano.draw(kind, rng, split=split).messages[-1]["content"] for _ in range(number)]


@pytest.mark.parametrize("kind", ["colour", "shape", "count", "where", "what", "yesno", "pair", "motion"])
def test_a_guess_is_no_better_than_chance(kind: str) -> None:
    number = 600
    counts = Counter(one_turn(kind, number))
    assert set(counts) <= {*nano.answers(kind), *(["0"] if kind == "count" else [])}
    chance = nano.chance(kind)
    assert max(counts.values()) / number < chance + 4 * (chance * (1 - chance) / number) ** 0.5
    if kind != "what":
        assert set(nano.answers(kind)) <= set(counts)


def test_yes_is_as_likely_late_in_a_conversation() -> None:
    rng = np.random.default_rng(2)
    last = [nano.draw("yesno", rng, turns=4) for _ in range(800)]
    answers = Counter(s.messages[-1]["content"] for s in last if s.kind == "yesno" and len(s.messages) > 3)
    assert 0.42 < answers["yes"] / sum(answers.values()) < 0.58


def test_open_kinds_have_no_chance_level() -> None:
    assert nano.answers("describe") == () and nano.chance("text") == 0.0


@pytest.mark.parametrize("kind", nano.KINDS)
def test_no_answer_is_given_away(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    converse = drawn.converse
    monkeypatch.setattr(drawn, "converse", lambda *a: seen.append(converse(*a)) or seen[-1])
    rng = np.random.default_rng(4)
    for _ in range(60):
        nano.draw(kind, rng, turns=5)
    for turns in seen:
        told: set[object] = set()
        for turn in turns:
            assert not turn.asks <= told, turns
            told |= turn.tells
        assert all(turn.kind != "describe" for turn in turns[:-1])
    assert max(len(turns) for turns in seen) > 1


@pytest.mark.parametrize(
    ("kind", "question", "answer", "expected"),
    [
        ("colour", "What colour is it?", "red", nano.answers("colour")),
        ("nearer", "which is larger, the star or the red circle", "the star", ("the star", "the red circle")),
        ("nearer", "Is the star above the circle?", "no", ("yes", "no")),
        ("order", "What appeared first?", "a red star", ()),
        ("changed", "Are both images the same?", "yes", ("yes", "no")),
        ("letters", "What does it say?", "yes", ()),
    ],
)
def test_what_a_guess_chooses_between(kind: str, question: str, answer: str, expected: tuple[str, ...]) -> None:
    assert nano.choices(kind, question, answer) == expected


def test_mixture_follows_its_weights() -> None:
    rng = np.random.default_rng(0)
    kinds = Counter(nano.draw_kind(rng, {"text": 3, "colour": 1}) for _ in range(400))
    assert set(kinds) == {"text", "colour"} and 250 < kinds["text"] < 350


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rng: nano.draw("smell", rng), "smell.*colour"),
        (lambda rng: nano.draw("colour", rng, level=2.0), "0..1"),
        (lambda rng: nano.draw("colour", rng, split="dev"), "train or test"),  # type: ignore[arg-type]
        (lambda rng: nano.draw("colour", rng, turns=0), "at least one"),
        (lambda rng: nano.draw_kind(rng, {"smell": 1.0}), "smell"),
        (lambda rng: nano.draw_kind(rng, {}), "above 0"),
        (lambda rng: nano.draw_kind(rng, {"colour": 0.0}), "above 0"),
    ],
)
def test_bad_input_is_one_clear_line(call: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        call(np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_the_picture_pointed_at_is_the_right_one() -> None:
    for seed in range(300):
        rng = Random(seed)
        pair = pairs.draw_pair(rng, level=1.0, split="train")
        turn = pairs.ask_pair(rng, pair)
        if pair.shown:
            first, second = (count(scene, *pair.shown) for scene in pair.scenes)
            assert (first == 0) != (second == 0)
        else:
            first, second = (count(scene, "", pair.more or "") for scene in pair.scenes)
            assert first != second
        bigger = "the first" if first > second else "the second"
        assert (turn.answer == bigger) != ("fewer" in turn.question)
        other = pairs.ask_one_of(rng, pair)
        scene = pair.scenes[0 if "first" in other.question else 1]
        thing = scene.things[0]
        assert other.answer in (str(len(scene.things)), pairs.article(f"{thing.colour} {thing.shape}"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_clips_move_the_way_they_say(split: Any) -> None:
    for seed in range(40):
        clip, way, thing = motion.draw_motion(Random(seed), level=seed % 2, split=split)
        assert (motion.held_out_way((thing.colour, thing.shape)) == way) == (split == "test")
        assert clip.timestamps == (0.0, 1.0, 2.0, 3.0) and clip.duration == 4.0
        frames = [np.asarray(frame, dtype=np.float32) for frame in clip.frames]
        # where the picture changes, the thing's own colour marks where it is now
        changed = np.abs(frames[0] - frames[3]).sum(-1) > 60
        ys, xs = np.nonzero(changed & (np.abs(frames[3] - thing.rgb).sum(-1) < 90))
        ys0, xs0 = np.nonzero(changed & (np.abs(frames[0] - thing.rgb).sum(-1) < 90))
        travel = np.array([xs.mean() - xs0.mean(), ys.mean() - ys0.mean()])
        assert travel @ np.array(motion.WAYS[way]) > 5, (way, travel)


@pytest.mark.parametrize("kind", ["digits", "letters"])
def test_two_characters_are_held_out(kind: str) -> None:
    rng = Random(0)
    train = {glyphs.choose_text(rng, kind, 1.0, "train") for _ in range(3000)}
    test = {glyphs.choose_text(rng, kind, 1.0, "test") for _ in range(3000)}
    assert not {t for t in train if len(t) == 2} & {t for t in test if len(t) == 2}
    assert {t for t in train if len(t) == 1} == set(glyphs.ALPHABETS[kind])
    assert max(len(glyphs.choose_text(rng, kind, 0.0, "train")) for _ in range(100)) == 1

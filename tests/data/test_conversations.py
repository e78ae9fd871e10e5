"""The forms people write samples in: what becomes of each, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pixelword.data.conversations import messages_of
from pixelword.errors import InputError


def read(values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return messages_of(values, lambda written: f"<{written}>")


def image(name: str) -> dict[str, Any]:
    return {"type": "image", "image": f"<{name}>"}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


ANSWER = {"from": "gpt", "value": "A cat."}


def test_llava_turns_with_a_picture_where_its_placeholder_stands() -> None:
    asked = {"from": "human", "value": "<image>\nWhat is it?"}
    assert read({"image": "a.jpg", "conversations": [asked, ANSWER]}) == (
        {"role": "user", "content": [image("a.jpg"), words("What is it?")]},
        {"role": "assistant", "content": "A cat."},
    )


def test_a_placeholder_behind_the_question_takes_its_newline_along() -> None:
    asked = {"from": "human", "value": "What is it?\n<image>"}
    assert read({"image": "a.jpg", "conversations": [asked, ANSWER]})[0]["content"] == [
        words("What is it?"),
        image("a.jpg"),
    ]


def test_pictures_and_videos_are_taken_in_order_over_the_turns() -> None:
    turns = [
        {"from": "human", "value": "<image> or <image>?<video>\nWhy?"},
        ANSWER,
        {"from": "human", "value": "<image>\nAnd this?"},
        ANSWER,
    ]
    found = read({"image": ["1", "2", "3"], "videos": ["v"], "conversations": turns})
    assert found[0]["content"] == [
        image("1"),
        words(" or "),
        image("2"),
        words("?"),
        {"type": "video", "video": "<v>"},
        words("Why?"),
    ]
    assert found[2]["content"][0] == image("3")


@pytest.mark.parametrize(
    "values",
    [
        {"image": "a", "conversations": [{"from": "human", "value": "What?"}, ANSWER]},
        {
            "images": ["a"],
            "messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A cat."}],
        },
        {"images": ["a"], "texts": [{"user": "What?", "assistant": "A cat.", "source": "vqa"}]},
    ],
    ids=["llava", "chat", "texts"],
)
def test_a_lone_picture_without_a_place_goes_before_the_first_question(values: dict[str, Any]) -> None:
    assert read(values) == (
        {"role": "user", "content": [image("a"), words("What?")]},
        {"role": "assistant", "content": "A cat."},
    )


def test_chat_parts_take_their_own_picture_or_the_next_listed_one() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "own"}},
        {"type": "image", "image": None, "text": None},
        {"type": "video", "video": ["f1", "f2"], "fps": 2},
        {"type": "image", "base64": "AAAA"},
        words("Compare."),
    ]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": [words("Alike.")]}]
    assert read({"images": ["listed"], "messages": turns})[0]["content"] == [
        image("own"),
        image("listed"),
        {"type": "video", "video": ["<f1>", "<f2>"], "fps": 2},
        {"type": "image", "base64": "AAAA"},
        words("Compare."),
    ]


def test_in_the_chat_form_words_are_words() -> None:
    """A page about HTML may say `<image>`; only a sample that lists pictures means one by it."""
    turns = [{"role": "user", "content": "What is <image>?"}, {"role": "assistant", "content": "A tag: <image>."}]
    assert read({"messages": turns}) == tuple(turns)


def test_captions_and_plain_texts() -> None:
    assert read({"images": ["a", "b"], "caption": "Two cats."}) == (
        {"role": "user", "content": [image("a"), image("b")]},
        {"role": "assistant", "content": "Two cats."},
    )
    assert read({"text": "Once upon a time."}) == ({"role": "assistant", "content": "Once upon a time."},)


def test_a_system_text_beside_the_turns_comes_first() -> None:
    found = read({"system": "Be short.", "conversations": [{"from": "user", "value": "Hm?"}, ANSWER]})
    assert [message["role"] for message in found] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"image": "a", "conversations": [{"from": "human", "value": "<image><image>"}, ANSWER]},
            "2 <image> for 1 ima",
        ),
        ({"conversations": [{"from": "human", "value": "<image>\nHm?"}, ANSWER]}, "1 <image> for 0 images"),
        ({"image": ["a", "b"], "conversations": [{"from": "human", "value": "Hm?"}, ANSWER]}, "0 <image> for 2"),
        ({"video": "v", "conversations": [{"from": "human", "value": "<image>"}, ANSWER]}, "1 <image> for 0 images"),
        ({"conversations": [{"from": "human", "value": "Hm?"}]}, "no answer to learn from"),
        ({"conversations": [{"from": "human", "value": "Hm?"}, {"from": "gpt", "value": " "}]}, "an answer is empty"),
        ({"conversations": [{"from": "tool", "value": "Hm?"}, ANSWER]}, "turn 1 has the role 'tool'"),
        ({"conversations": [{"value": "Hm?"}, ANSWER]}, "turn 1 has the role None"),
        ({"conversations": []}, "no turns"),
        ({"conversations": "Hm?"}, "must be a list of turns"),
        ({"conversations": ["Hm?"]}, "turn 1 is not an object"),
        ({"messages": [{"role": "user"}]}, "turn 1 has no content"),
        ({"messages": [{"role": "user", "content": [{"text": "Hm?"}]}]}, "turn 1, part 1 is not a"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "turn 1, part 1 has the type 'audio'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "turn 1, part 1 is a text part without"),
        ({"texts": [{"user": "Hm?"}]}, "'texts' must be a list"),
        ({"image": "a", "messages": [{"role": "assistant", "content": "A cat."}]}, "no user turn"),
        ({"texts": 3}, "'texts' must be a list"),
        ({"messages": [{"role": "user", "content": "half \ud83d"}]}, "turn 1 has half a character"),
        ({"messages": [{"role": "user", "content": [{"type": "video", "video": "v", "fps": "2"}]}]}, "fps: '2'"),
        ({"image": "a"}, "no conversation in it"),
        ({}, "it has nothing"),
    ],
)
def test_what_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        read(values)
    assert told in str(refused.value)

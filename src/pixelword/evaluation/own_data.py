"""A user's held-out samples as a test: every assistant turn is a question, with the turns before it.

Files and schemas are those of training (`data.conversations`). A sample may also define scoring: `metric`, `choices`,
`answers` (further correct ones), `tolerance` and `kind` (of the question, for the report).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any, cast

from pixelword.data.recipe import SourceRecipe
from pixelword.data.sources import Source, open_source
from pixelword.errors import InputError, MediaError, RecipeError
from pixelword.evaluation.paper import answer_extraction
from pixelword.evaluation.report import pairs
from pixelword.evaluation.runner import CONDITIONS, Outcome
from pixelword.evaluation.scores import Score, boxes, plain
from pixelword.evaluation.types import Item, Part, Test
from pixelword.processing.limits import Limits
from pixelword.processing.media_io import describe, is_url, read_bytes
from pixelword.synthetic.types import Metric, Question

#: What `--metric` may be: "auto" looks at each right answer, "choice" compares the letter or words of a choice.
METRICS = ("auto", "exact", "letter", "number", "words", "box", "point", "choice")
#: Questions that are also asked without and with a wrong image.
CONTROLS = 100
#: Words from which an answer is a text, whose errors are counted.
_LONG = 9
_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?%?")
_CHOICE = re.compile(r"^\s*\(?([A-Z])[.):]\s*(\S.*?)\s*$", re.MULTILINE)
_LETTER = re.compile(r"\(?([A-Z])(?:[.):]|$)")


@dataclass(frozen=True)
class OwnItem(Item):
    """A question with its preceding turns.

    turns: messages up to the answer, with their media in place. choice: whether a letter of `question.choices` is
    asked for.
    """

    turns: tuple[dict[str, Any], ...] = ()
    choice: bool = False

    def score(self, answer: str) -> Score:
        """Score an answer; a choice may be named by its letter or its text."""
        if not self.choice:
            return super().score(answer)
        choices = self.question.choices
        return Score(answer_extraction.letter(answer, choices) in {_letter(item, choices) for item in self.accepted})

    def messages(self, media: Sequence[Part] | None = None) -> list[dict[str, Any]]:
        """The conversation, about its own media or with others in their places; places without any are left out."""
        if media is None or tuple(media) == self.media:
            return list(self.turns)
        others = iter(media)
        return [{**turn, "content": list(_placed(turn["content"], others))} for turn in self.turns]

    @cached_property
    def digest(self) -> str:
        """Digest of the turns, the reference answers and the media bytes."""
        texts = [[part.get("text") for part in _parts(turn)] for turn in self.turns]
        hashed = hashlib.sha256(json.dumps([texts, self.accepted, self.question.metric, self.choice]).encode())
        for part in self.media:
            hashed.update(_content(part))
        return hashed.hexdigest()[:16]


def own_test(path: str, *, metric: str = "auto", root: Path | None = None) -> Test:
    """Make a test of samples in files. Raises InputError for missing files, unknown metrics or unreadable samples."""
    if metric not in METRICS:
        raise InputError(f"--metric {metric}: use one of {', '.join(METRICS)}")
    try:
        source = open_source("data", SourceRecipe(path=path, root=root))
    except RecipeError as error:
        raise InputError(str(error).replace("data.sources.data", "--data")) from error
    return Test(Path(path).name, path, "data", partial(_items, source, metric), len(source), CONTROLS)


def _items(source: Source, metric: str, number: int | None, seed: int) -> list[Item]:
    """Return the questions of all samples, or of `number` chosen by the seed, in order."""
    places = range(len(source))
    if number is not None and number < len(places):
        places = sorted(Random(seed).sample(places, number))  # type: ignore[assignment]
    found = [item for place in places for item in _of_sample(source, place, metric)]
    if len(found) < 2:
        raise InputError("--data has one question: give at least 2, since the wrong image is another question's")
    return list(found)


def _of_sample(source: Source, place: int, metric: str) -> Iterator[OwnItem]:
    messages, values, where = source.read(place).messages, source.values(place), source.where(place)
    answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    for number in answers:
        turns = tuple(messages[:number])
        if not turns or turns[-1]["role"] != "user":
            raise InputError(f"{where}: turn {number + 1} answers no question; a text to read on cannot be scored")
        key = where if len(answers) == 1 else f"{where}/{answers.index(number) + 1}"
        try:
            yield _item(source.name, key, turns, _text(messages[number]), values, metric)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error


def _item(
    test: str, key: str, turns: tuple[dict[str, Any], ...], answer: str, values: Mapping[str, Any], metric: str
) -> OwnItem:
    question_text = _text(turns[-1])
    choices = _choices(values, question_text)
    wanted = values.get("metric") or metric
    if wanted not in METRICS:
        raise InputError(f"metric {wanted!r}: use one of {', '.join(METRICS)}")
    if wanted == "auto":
        wanted = "choice" if choices and _letter(answer, choices) else _metric(answer)
    if wanted == "choice" and not (choices and _letter(answer, choices)):
        raise InputError(f"the right answer {answer[:60]!r} is none of the choices; name them under 'choices'")
    also = values.get("answers") or ()
    if isinstance(also, str) or not all(isinstance(entry, str) for entry in also):
        raise InputError("'answers' must be a list of texts")
    question = Question(
        str(values.get("kind") or wanted),
        question_text,
        answer,
        cast(Metric, "exact" if wanted == "choice" else wanted),
        choices if wanted == "choice" else (),
        tolerance=float(values.get("tolerance") or 0.0),
    )
    media = tuple(part for turn in turns for part in _parts(turn) if part["type"] != "text")
    item = OwnItem(key, test, "data", media, question, tuple(also), turns, wanted == "choice")
    item.score("")  # a right answer without the number or box that its metric compares is found here
    return item


def _metric(answer: str) -> str:
    """Infer the metric from a reference answer."""
    if boxes(answer):
        return "box"
    if any(map(str.isdigit, answer)) and _NUMBER.fullmatch(answer.strip()):
        return "number"
    return "words" if len(answer.split()) >= _LONG or "\n" in answer.strip() else "exact"


def _choices(values: Mapping[str, Any], asked: str) -> tuple[str, ...]:
    """Return the choices listed by the sample, or in the question's lines "A. …", "B. …"."""
    given = values.get("choices")
    if given is not None:
        if isinstance(given, str) or len(given) < 2 or not all(isinstance(item, str) for item in given):
            raise InputError("'choices' must be a list of at least two texts")
        return tuple(given)
    found = _CHOICE.findall(asked)
    letters = "".join(letter for letter, _ in found)
    return tuple(text for _, text in found) if len(found) > 1 and "ABCDEFGHIJ".startswith(letters) else ()


def _letter(answer: str, choices: Sequence[str]) -> str:
    """Return the choice letter of a reference answer ("B", "B. red" or "red"); "" if there is none."""
    words = [plain(choice) for choice in choices]
    if plain(answer) in words:
        return chr(ord("A") + words.index(plain(answer)))
    named = _LETTER.match(answer.strip())
    return named[1] if named and ord(named[1]) - ord("A") < len(choices) else ""


def _parts(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(turn: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in _parts(turn) if part["type"] == "text").strip()


def _placed(content: str | list[dict[str, Any]], others: Iterator[Part]) -> Iterator[dict[str, Any]]:
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if part["type"] == "text":
            yield part
        elif (other := next(others, None)) is not None:
            yield other


def _content(part: Part) -> bytes:
    """What a medium is known by: its bytes; of one on the web its address, of an unreadable one what is wrong."""
    source = part.get(part["type"], part.get("base64"))
    frames = source if isinstance(source, list) else [source]
    try:
        return b"".join(
            describe(frame).encode() if is_url(frame) else read_bytes(frame, kind=part["type"], limits=Limits())
            for frame in frames
        )
    except MediaError as error:
        return str(error).encode()


def predictions(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Return one record per question with the model's answer and score, ready for JSON."""
    for item, said in pairs(outcome):
        own = said["right"]
        score = item.score(own.answer)
        record: dict[str, Any] = {
            "key": item.key,
            "kind": item.question.kind,
            "question": item.question.question,
            "right": list(item.accepted),
            "answer": own.answer,
            "correct": score.right,
            "sure": round(own.sure, 4),
        }
        if score.letters:
            record["cer"] = round(score.letter_errors / score.letters, 4)
        if score.iou is not None:
            record["iou"] = round(score.iou, 4)
        if own.fault:
            record["fault"] = own.fault
        record |= {f"answer_{name}": said[name].answer for name in CONDITIONS[1:] if name in said}
        yield record

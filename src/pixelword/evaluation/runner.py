"""Runs a suite: with images, without them, with wrong images, and with baselines.

Every answer is written as soon as its batch is done, one line each: interrupted runs resume, and figures can be checked
against the answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pixelword.errors import AssetError, InputError, reason
from pixelword.evaluation.batch_generate import NEW_TOKENS, Asker, Said
from pixelword.evaluation.types import Item, Part, Test

if TYPE_CHECKING:
    from pixelword.generation.session import Session

Condition = Literal["right", "none", "wrong"]
CONDITIONS: tuple[Condition, ...] = ("right", "none", "wrong")
#: Questions that are encoded at once, to be sorted into batches.
_WINDOW = 128
_FILE = "answers.jsonl"
Report = Callable[[str, int, int], None]


class Keyed(Protocol):
    """A question's name within a suite, and a digest of its content."""

    @property
    def key(self) -> str: ...

    @property
    def digest(self) -> str: ...


class Peer(Protocol):
    """A baseline that answers the same questions. name: of its column."""

    name: str

    def answer(self, item: Item) -> Said | None:
        """Return its answer, or None if the question does not suit it."""


@dataclass(frozen=True)
class Outcome:
    """A test with all its answers.

    said: condition (or a peer's name) -> item's key -> the answer. left_out: why it was not run at all, else empty.
    """

    test: Test
    items: Sequence[Item] = ()
    said: Mapping[str, Mapping[str, Said]] = field(default_factory=dict)
    left_out: str = ""


class Answers:
    """Answers so far, in a JSON Lines file, or in memory only without a folder.

    Raises InputError: the folder holds the answers of another run, or cannot be written.
    """

    def __init__(self, folder: Path | None, run: Mapping[str, Any]) -> None:
        """`run`: what must be the same for old answers to hold, the model's checksum above all."""
        self._path = folder and folder / _FILE
        self._known: dict[tuple[str, str, str], Said] = {}
        if self._path is None:
            return
        first = json.dumps({"run": dict(run)}, sort_keys=True)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists():
                self._read(first)
            else:
                self._append([first])
        except OSError as error:
            raise self._unwritable(error) from error

    def _read(self, first: str) -> None:
        assert self._path is not None
        written = self._path.read_bytes()
        whole, _, broken = written.rpartition(b"\n")
        if broken:  # the line that was being written when the run ended
            with self._path.open("r+b") as file:
                file.truncate(len(written) - len(broken))
        lines = whole.decode("utf-8", "replace").split("\n")
        if not whole:
            return self._append([first])
        if lines[0] != first:
            raise InputError(
                f"{self._path} holds answers of another run (model, version or settings): name another --out"
            )
        for number, line in enumerate(lines[1:], 2):
            try:
                item = json.loads(line)
                self._known[item["key"], item["asked"], item["digest"]] = Said(
                    item["answer"], item["sure"], item["fault"]
                )
            except (ValueError, KeyError, TypeError) as error:
                where = f"{self._path}:{number}"
                raise InputError(f"{where} is not an answer ({error!r}): delete that line, or the file") from error

    def get(self, item: Keyed, asked: str) -> Said | None:
        return self._known.get((item.key, asked, item.digest))

    def add(self, asked: str, said: Sequence[tuple[Keyed, Said]]) -> None:
        """Store and write answers, before further questions."""
        for item, entry in said:
            self._known[item.key, asked, item.digest] = entry
        if self._path is not None:
            records = [
                {"key": item.key, "asked": asked, "digest": item.digest, **asdict(entry)} for item, entry in said
            ]
            try:
                self._append([json.dumps(line, ensure_ascii=False) for line in records])
            except OSError as error:
                raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self._path}: cannot be written ({reason(error)}); free some space, or name another --out")

    def _append(self, lines: Sequence[str]) -> None:
        assert self._path is not None
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())


def run(
    session: Session,
    tests: Sequence[Test],
    answers: Answers,
    *,
    questions: int | None = None,
    controls: int | None = None,
    full: bool = False,
    seed: int = 0,
    peers: Sequence[Peer] = (),
    report: Report = lambda name, done, total: None,
) -> Iterator[Outcome]:
    """Run each test.

    Args:
        questions: of each test; None asks as many as the test says.
        controls: of them repeated without and with wrong images; None asks as many as the test says.
        full: everything a test has, and all controls, instead of both.
        seed: another one draws others.
        report: called with (test, questions answered, questions in all).

    Raises:
        InputError: fewer than two questions, or answers that cannot be written.
    """
    if questions is not None and questions < 2:
        raise InputError(f"questions is {questions}: give at least 2, since the wrong image is another question's")
    for test in tests:
        try:
            items = test.items(None if full else questions or test.default, seed)
        except AssetError as error:
            yield Outcome(test, left_out=str(error))
            continue
        checked = None if full else controls or test.controls
        plan = {name: _asked(items, name)[: None if name == "right" else checked] for name in CONDITIONS}
        total = sum(map(len, plan.values())) + len(peers) * len(items)
        done = _Counter(test.name, total, report)
        said: dict[str, dict[str, Said]] = {}
        for condition, asked in plan.items():
            if asked:
                said[condition] = _ask(session, condition, items, asked, answers, done)
        for peer in peers:
            if replies := _ask_peer(peer, items, answers, done):
                said[peer.name] = replies
        yield Outcome(test, items, said)


class _Counter:
    def __init__(self, name: str, total: int, report: Report) -> None:
        self.name, self.total, self.done, self.report = name, total, 0, report
        report(name, 0, total)

    def __call__(self, more: int) -> None:
        self.done += more
        self.report(self.name, self.done, self.total)


def _asked(items: Sequence[Item], condition: Condition) -> list[Item]:
    """Return the items of a condition; items without images have only "right"."""
    return [item for item in items if condition == "right" or item.media]


def _ask(
    session: Session,
    condition: Condition,
    items: Sequence[Item],
    asked: Sequence[Item],
    answers: Answers,
    done: Callable[[int], None],
) -> dict[str, Said]:
    """Return answers by key; a batch is either generated or taken from known answers as a whole."""
    asker, longest = Asker(session), max(len(session.processor.encoder.answer(text)) for text in _texts(items))
    new = max(NEW_TOKENS, longest + longest // 4 + 8)
    found: dict[str, Said] = {}
    for a in range(0, len(asked), _WINDOW):
        window = asked[a : a + _WINDOW]
        encoded = [asker.encoded(entry.messages(shown(items, entry, condition)), new) for entry in window]
        for place, entry in enumerate(encoded):
            if isinstance(entry, str):
                found[window[place].key] = Said("", 0.0, entry)
                done(1)
        places = [place for place, entry in enumerate(encoded) if not isinstance(entry, str)]
        questions = [entry for entry in encoded if not isinstance(entry, str)]
        for batch in asker.batches([len(question) for question in questions]):
            own = [window[places[entry]] for entry in batch]
            known = [answers.get(item, condition) for item in own]
            if any(entry is None for entry in known):
                known = [*asker.answers([questions[entry] for entry in batch], new)]
                answers.add(condition, [(item, entry) for item, entry in zip(own, known, strict=True) if entry])
            found.update((item.key, entry) for item, entry in zip(own, known, strict=True) if entry)
            done(len(batch))
    return found


def _texts(items: Sequence[Item]) -> Iterator[str]:
    return (text for item in items for text in item.accepted)


def shown(items: Sequence[Item], item: Item, condition: Condition) -> Sequence[Part]:
    """The media of an item under a condition: its own, none, or those of the nearest item after it of the same kind
    whose answer differs (so that a right answer there is not a right look)."""
    if condition == "right":
        return item.media
    if condition == "none":
        return ()
    place = next(number for number, entry in enumerate(items) if entry is item)
    right, kind = set(item.accepted), item.question.kind

    def others() -> Iterator[Item]:
        return (entry for k in range(1, len(items)) if (entry := items[(place + k) % len(items)]).media)

    differing = next(
        (other for other in others() if other.question.kind == kind and not right & set(other.accepted)), None
    )
    differing = differing or next((other for other in others() if not right & set(other.accepted)), None)
    return (differing or items[place - 1]).media


def _ask_peer(peer: Peer, items: Sequence[Item], answers: Answers, done: Callable[[int], None]) -> dict[str, Said]:
    found: dict[str, Said] = {}
    for item in items:
        said = answers.get(item, peer.name)
        if said is None and (said := peer.answer(item)) is not None:
            answers.add(peer.name, [(item, said)])
        if said is not None:
            found[item.key] = said
        done(1)
    return found

"""A run asks under each condition, writes what it hears, and goes on where it was broken off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pixelword.errors import AssetError, InputError
from pixelword.evaluation.batch_generate import Asker, Said
from pixelword.evaluation.runner import Answers, Outcome, run, shown
from pixelword.evaluation.types import Item, Test
from pixelword.generation.long_context import LongInputs
from pixelword.generation.session import Sampling, Session
from pixelword.processing.tokenizer import ANSWER_MARKS
from pixelword.processing.videos import Video

RUN = {"model": "tiny"}


def asked(session: Session, test: Test, folder: Path | None, **options: object) -> Outcome:
    (outcome,) = run(session, [test], Answers(folder, RUN), **options)  # type: ignore[arg-type]
    return outcome


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def test_each_condition_is_asked_of_what_has_pictures(session: Session, toy_test: Test) -> None:
    outcome = asked(session, toy_test, None)
    with_media = {item.key for item in outcome.items if item.media}
    assert outcome.said["right"].keys() == {item.key for item in outcome.items}
    assert outcome.said["none"].keys() == outcome.said["wrong"].keys() == with_media != outcome.said["right"].keys()
    fewer = asked(session, toy_test, None, controls=3)
    assert len(fewer.said["right"]) == 12 and len(fewer.said["wrong"]) == len(fewer.said["none"]) == 3
    assert fewer.said["right"] == outcome.said["right"]  # greedy, whatever else is asked


def test_pictures_change_with_the_condition_and_nothing_else(items: Callable[[int], list[Item]]) -> None:
    asked = items(24)
    for item in asked:
        if not item.media:
            continue
        assert shown(asked, item, "right") == item.media and shown(asked, item, "none") == ()
        wrong = shown(asked, item, "wrong")
        owner = next(entry for entry in asked if entry.media and entry.media[0] is wrong[0])
        assert owner.question.kind == item.question.kind and not set(owner.accepted) & set(item.accepted)
        assert item.messages(wrong)[0]["content"][-1] == item.messages()[0]["content"][-1]


def test_a_wrong_picture_is_found_even_where_all_answers_are_alike(items: Callable[[int], list[Item]]) -> None:
    twins = [item for item in items(40) if item.question.kind == "grey" and item.question.answer == "black"]
    assert len(twins) == 2
    assert shown(twins, twins[0], "wrong") == twins[1].media and shown(twins, twins[1], "wrong") == twins[0].media


def test_a_run_goes_on_where_it_was_broken_off(session: Session, toy_test: Test, tmp_path: Path) -> None:
    whole = asked(session, toy_test, tmp_path / "whole")
    written = (tmp_path / "whole" / "answers.jsonl").read_bytes()
    for cut in (0, 30, len(written) // 2, len(written) - 5):  # also in the middle of a line, and in the first one
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "answers.jsonl").write_bytes(written[:cut])
        again = asked(session, toy_test, folder)
        assert again.said == whole.said
        told = {(line["key"], line["asked"]) for line in lines(folder)[1:]}
        assert told == {(line["key"], line["asked"]) for line in lines(tmp_path / "whole")[1:]}


def test_what_is_known_is_not_asked_again(session: Session, toy_test: Test, tmp_path: Path) -> None:
    first = asked(session, toy_test, tmp_path)
    path = tmp_path / "answers.jsonl"
    path.write_text(path.read_text().replace('"answer": "', '"answer": "as written: '))
    again = asked(session, toy_test, tmp_path)
    for condition, by in first.said.items():
        assert all(again.said[condition][key].answer == f"as written: {said.answer}" for key, said in by.items())
    assert len(lines(tmp_path)) == 1 + 12 + 9 + 9


def test_a_changed_question_is_asked_anew(session: Session, toy_test: Test, tmp_path: Path) -> None:
    asked(session, toy_test, tmp_path)
    count = len(lines(tmp_path))
    other = Test("toy", "Toys", "held-out", lambda number, seed: toy_test.items(number, 1), 12)
    renamed = [Item(f"toy/0-{n}", i.test, i.category, i.media, i.question) for n, i in enumerate(other.items(12, 1))]
    asked(session, Test("toy", "Toys", "held-out", lambda number, seed: renamed, 12), tmp_path)
    assert len(lines(tmp_path)) > count


def test_answers_of_another_run_are_not_mixed_in(session: Session, toy_test: Test, tmp_path: Path) -> None:
    asked(session, toy_test, tmp_path)
    with pytest.raises(InputError, match="another run"):
        Answers(tmp_path, {"model": "other"})
    (tmp_path / "answers.jsonl").write_text(json.dumps({"run": RUN}) + "\n{broken}\n")
    with pytest.raises(InputError, match=r"answers\.jsonl:2 is not an answer"):
        Answers(tmp_path, RUN)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        Answers(tmp_path / "file", RUN)


def test_a_missing_pack_leaves_its_test_out_and_no_other(session: Session, toy_test: Test) -> None:
    def items(number: int | None, seed: int) -> list[Item]:
        raise AssetError("emoji.zip is missing: pixelword tasks fetch emoji")

    missing = Test("lost", "Lost", "held-out", items, 4)
    first, second = run(session, [missing, toy_test], Answers(None, RUN))
    assert "tasks fetch emoji" in first.left_out and not first.items
    assert not second.left_out and len(second.items) == 12


def test_a_question_beyond_the_context_is_a_fault_not_an_end(
    session: Session, items: Callable[[int], list[Item]]
) -> None:
    (item,) = items(1)
    long = Item("toy/long", "toy", "image", item.media, replace(item.question, question="?" * 3000))
    test = Test("toy", "Toys", "held-out", lambda number, seed: [item, long], 2)
    outcome = asked(session, test, None)
    assert outcome.said["right"]["toy/0-0"].fault == ""
    assert "exceed the model's context" in outcome.said["right"]["toy/long"].fault


def test_peers_answer_what_they_can(session: Session, toy_test: Test, tmp_path: Path) -> None:
    class Counting:
        name = "counts"
        asked = 0

        def answer(self, item: Item) -> Said | None:
            self.asked += 1
            return Said(item.question.answer, 1.0) if item.question.metric == "number" else None

    peer = Counting()
    outcome = asked(session, toy_test, tmp_path, peers=[peer])
    assert len(outcome.said["counts"]) == 3 and peer.asked == 12
    asked(session, toy_test, tmp_path, peers=[peer])
    assert peer.asked == 12 + 9  # those that it answered are known


def test_progress_reaches_its_end(session: Session, toy_test: Test) -> None:
    told: list[tuple[int, int]] = []
    asked(session, toy_test, None, report=lambda name, done, total: told.append((done, total)))
    assert told[0] == (0, 30) and told[-1] == (30, 30)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_too_few_questions_are_refused(session: Session, toy_test: Test) -> None:
    with pytest.raises(InputError, match="at least 2"):
        asked(session, toy_test, None, questions=1)


def test_batches_hold_every_question_once_and_not_too_much(session: Session) -> None:
    lengths = [7, 900, 30, 30, 8000, 20000, 5] + [100] * 90
    batches = list(Asker(session).batches(lengths))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= 32 and (len(batch) == 1 or len(batch) * max(lengths[item] for item in batch) <= 8192)


def test_an_answer_is_what_the_session_says_and_as_sure_as_it_is(
    session: Session, items: Callable[[int], list[Item]]
) -> None:
    asker = Asker(session)
    questions = [item.messages() for item in items(4)]
    encoded = [asker.encoded(question, 8) for question in questions]
    together = asker.answers([entry for entry in encoded if not isinstance(entry, str)], 8)
    for conversation, said in zip(questions, together, strict=True):
        words = session.answer(conversation, Sampling(8)).text
        assert re.sub("|".join(ANSWER_MARKS), "", said.answer).strip() == words  # a session leaves the marks out
        assert 0 < said.sure <= 1


def test_the_marks_of_boxes_are_words_and_other_control_tokens_are_not(session: Session) -> None:
    tokenizer = session.processor.tokenizer
    text = "<ref>cup</ref><box>[[1, 2, 3, 4]]</box>"
    ids = [*session.processor.encoder.answer(text), tokenizer.convert_tokens_to_ids("<img>")]
    ids += [tokenizer.eos_token_id, *session.processor.encoder.answer("more")]
    assert Asker(session).prediction(ids, [0.0] * len(ids)) == Said(text, 1.0)


def test_the_pixels_are_part_of_what_is_known(items: Callable[[int], list[Item]]) -> None:
    item = items(1)[0]
    brighter = item.media[0]["image"].point(lambda value: min(255, value + 1))
    other = Item(item.key, item.test, item.category, ({"type": "image", "image": brighter},), item.question)
    assert other.digest != item.digest == items(1)[0].digest


def test_evicting_frames_holds_fewer_tokens_and_fits_longer_videos(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def question(frames: int) -> list[dict]:
        film = Video(tuple(Image.new("RGB", (96, 96), (n % 255, 0, 0)) for n in range(frames)), (), 0.0)
        return [{"role": "user", "content": [{"type": "video", "video": film}, {"type": "text", "text": "what?"}]}]

    peaks = []
    for long in (LongInputs(), LongInputs(kept_frames=2)):
        own = Session(session.model, session.processor, long=long)
        asker, requests, generate = Asker(own), [], own.generate
        monkeypatch.setattr(own, "generate", lambda *a, f=generate, r=requests, **k: r.extend(f(*a, **k)) or r)
        encoded = asker.encoded(question(12), 4)
        assert not isinstance(encoded, str)
        asker.answers([encoded], 4)
        peaks.append(requests[0].usage.peak_cached_tokens)
        assert isinstance(asker.encoded(question(300), 4), str) == (long.kept_frames is None)
    assert peaks[1] < peaks[0] / 2

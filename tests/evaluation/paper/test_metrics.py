"""What answers are worth, by each benchmark's own rule."""

from __future__ import annotations

import pytest

from pixelword.evaluation.paper import answer_extraction
from pixelword.evaluation.paper.answer_extraction import letter
from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.paper.metrics import METRICS


def row(*answers: str, choices: tuple[str, ...] = (), key: str = "1", group: str = "", kind: str = "") -> Row:
    return Row(key, "?", choices, answers, (), group=group, kind=kind)


COLOURS = ("red", "blue", "dark blue", "green")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("D. green", "D"),
        ("A cat sits on it, so the answer is B.", "B"),
        ("First I thought the answer is A. No: the answer is (D)", "D"),
        (r"So it is \boxed{C}", "C"),
        (r"So it is \boxed{\text{B}}", "B"),
        ("It is dark blue.", "C"),
        ("It is red or green.", ""),
        ("I do not know", ""),
        ("option E", ""),
        ("**Answer:** B", "B"),
        ("The ball is red", "A"),  # the one choice that is in a short answer
        ("B stands near its end", "B"),
        ("Of all the colours that a ball like this one may have, the answer is a dark blue", "C"),  # and no A
    ],
)
def test_letters_are_read_from_free_answers(text: str, told: str) -> None:
    assert letter(text, COLOURS) == told


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (answer_extraction.opening, "(B) it goes up", "B"),
        (answer_extraction.opening, "b", "B"),
        (answer_extraction.opening, "I would say (D), not C", "D"),
        (answer_extraction.opening, "It is green", "D"),
        (answer_extraction.first, "The best answer is C. Not D.", "C"),
        (answer_extraction.first, "Because it is D", "B"),  # as upstream: its first capital that can be one
        (answer_extraction.first, "green", "D"),
        (answer_extraction.last, "A is near.\nB is far.\nAnswer: D", "D"),
        (answer_extraction.last, "`C`", "C"),
        (answer_extraction.last, "<answer>B. blue</answer>", "B"),
        (answer_extraction.last, "so\nthe answer is b, as I said", "B"),
        (answer_extraction.last, "A or B", ""),
        (answer_extraction.last, "final answer: C because A and B are not", "C"),
        (answer_extraction.stated, "A. is wrong, Answer: B", "B"),
        (answer_extraction.stated, "(A) or (C)", "C"),
        (answer_extraction.stated, "I do think that it must be green", "D"),
        (answer_extraction.stated, "green", ""),
    ],
)
def test_each_data_set_has_its_own_way_to_read_a_letter(read: answer_extraction.Reader, text: str, told: str) -> None:
    assert read(text, COLOURS) == told


@pytest.mark.parametrize(
    "read",
    [
        answer_extraction.letter,
        answer_extraction.opening,
        answer_extraction.first,
        answer_extraction.last,
        answer_extraction.stated,
    ],
)
def test_all_ways_agree_on_a_plain_letter_even_without_choices(read: answer_extraction.Reader) -> None:
    for said in ("B", "B.", "(B)", "B. blue"):
        assert read(said, COLOURS) == read(said, ()) == "B"


@pytest.mark.parametrize(
    ("metric", "right", "text", "worth"),
    [
        ("anls", ("Hello World",), "hello  world", 1.0),
        ("anls", ("hello",), "hallo", 0.8),
        ("anls", ("ab",), "ax", 0.5),
        ("anls", ("hello",), "bye", 0.0),
        ("anls", ("hello",), "Reasons.\nAnswer: hello", 0.0),  # the whole answer counts
        ("relaxed", ("100",), "104", 1.0),
        ("relaxed", ("100",), "106", 0.0),
        ("relaxed", ("100",), "It is 100", 0.0),
        ("relaxed", ("12%",), "12.3%", 1.0),
        ("relaxed", ("0.12",), "12%", 1.0),
        ("relaxed", ("Yes",), "yes", 1.0),
        ("vqa", ("cat",) * 3 + ("dog",) * 7, "cat", 0.9),
        ("vqa", ("cat",) + ("dog",) * 9, "cat", 0.3),
        ("vqa", ("two cats",) * 10, "The 2 cats!", 1.0),
        ("vqa", ("cat",), "a cat", 1.0),
        ("contains", ("Main St",), "it says MAIN\nST here", 1.0),
        ("contains", ("Main  St",), "Main St", 0.0),
        ("yes_f1", ("Yes",), "There is a dog. Yes", 1.0),
        ("hallusion", ("0",), "no", 1.0),
        ("vsi", ("10",), "9", 0.9),  # thresholds include their edge
        ("vsi", ("10",), "5", 0.1),
        ("vsi", ("10",), "ten chairs", 1.0),
        ("vsi", ("10",), "none", 0.0),
        ("spar", ("B",), "B", 1.0),
        ("spar", ("2.0",), "2.1", 1.0),
        ("spar", ("move_right:0.4,rotate_up:10",), "move_right:0.4,rotate_up:10", 1.0),
        ("spar", ("move_right:0.4,rotate_up:10",), "move_left:0.4", 0.6),
        ("mmmu", ("42",), "ANSWER: 42", 1.0),
        ("mmmu", ("42",), "so\nthe answer is 42.", 1.0),
        ("mmmu", ("42",), "24", 0.0),
        ("choice_or_short", ("42",), "so\nthe answer is 42.", 1.0),
    ],
)
def test_one_answer(metric: str, right: tuple[str, ...], text: str, worth: float) -> None:
    assert METRICS[metric].score(row(*right), text) == pytest.approx(worth)


def test_formulas_are_found_without_their_spaces() -> None:
    formula = row("x ^ 2", kind="Handwritten Mathematical Expression Recognition")
    assert METRICS["contains"].score(formula, "x^2 + 1") == 1 and METRICS["contains"].score(formula, "X^2") == 0


def test_groups_are_right_as_a_whole() -> None:
    rows = [row("A", group="1"), row("A", group="1"), row("A", key="2"), row("A", key="3")]
    assert METRICS["choice"].whole(rows, [1, 0, 1, 1], []) == pytest.approx(100 * 2 / 3)


def test_hallusion_is_the_mean_of_three_accuracies() -> None:
    rows = [row("yes", key=f"VD_chart_0_{figure}_{question}") for figure in (0, 1) for question in (0, 1)]
    # questions 3 of 4; both of figure 0, not of figure 1; both of question 0, not of question 1
    assert METRICS["hallusion"].whole(rows, [1, 1, 1, 0], []) == pytest.approx((75 + 50 + 50) / 3)


def test_f1_is_of_the_answer_yes() -> None:
    rows = [row(item) for item in ("yes", "yes", "no", "no")]
    assert METRICS["yes_f1"].whole(rows, [], ["yes", "no", "yes", "no"]) == pytest.approx(50)
    assert METRICS["yes_f1"].whole(rows, [], ["no"] * 4) == 0


def test_a_question_of_several_splits_counts_in_each() -> None:
    rows = [row("yes", kind="adversarial,popular,random"), row("no", kind="random")]
    assert METRICS["yes_f1"].whole(rows, [], ["yes", "yes"]) == pytest.approx(100 * 6 / 7)


def test_kinds_weigh_the_same_and_degrees_of_one_are_one() -> None:
    rows = [row("A", kind=kind) for kind in ("size", "size", "size", "turn_easy", "turn_hard")]
    assert METRICS["vsi"].whole(rows, [1, 1, 1, 1, 0], []) == pytest.approx(75)


def test_a_guess_is_worth_nothing_above_chance() -> None:
    rows = [row("A", choices=("x", "y"))] * 2
    whole = METRICS["choice_above_chance"].whole
    assert whole(rows, [1, 0], []) == 0 and whole(rows, [1, 1], []) == 100


@pytest.mark.timeout(20)
def test_an_answer_that_runs_on_in_white_space_is_read_at_once() -> None:
    text = "the answer is" + " \n" * 5000
    assert [read(text, COLOURS) for read in (letter, answer_extraction.last)] == ["", ""]

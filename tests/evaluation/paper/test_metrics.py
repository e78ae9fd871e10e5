"""What answers are worth, by each benchmark's own rule."""

from __future__ import annotations

import pytest

from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.paper.metrics import METRICS, letter


def row(*answers: str, choices: tuple[str, ...] = (), key: str = "1", group: str = "") -> Row:
    return Row(key, "?", choices, answers, (), group=group)


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
    ],
)
def test_letters_are_read_from_free_answers(text: str, told: str) -> None:
    assert letter(text, COLOURS) == told


@pytest.mark.parametrize(
    ("metric", "right", "text", "worth"),
    [
        ("anls", ("Hello World",), "hello world", 1.0),
        ("anls", ("hello",), "Reasons.\nAnswer: hallo", 0.8),
        ("anls", ("hello",), "bye", 0.0),
        ("relaxed", ("100",), "It is, I reckon\n104", 1.0),
        ("relaxed", ("100",), "106", 0.0),
        ("relaxed", ("12%",), "12.3 %", 1.0),
        ("relaxed", ("Yes",), "yes", 1.0),
        ("vqa", ("cat",) * 3 + ("dog",) * 7, "cat", 0.9),
        ("vqa", ("cat",) + ("dog",) * 9, "cat", 0.3),
        ("vqa", ("cat",), "a cat", 1.0),
        ("contains", ("Main St",), "it says MAIN\nST here", 1.0),
        ("yes_f1", ("Yes",), "There is a dog. Yes", 1.0),
        ("hallusion", ("0",), "no", 1.0),
        ("choice_or_mra", ("10",), "9", 0.8),
        ("choice_or_mra", ("10",), "10 chairs", 1.0),
        ("choice_or_mra", ("10",), "none", 0.0),
        ("choice_or_short", ("42",), "so\nthe answer is 42.", 1.0),
    ],
)
def test_one_answer(metric: str, right: tuple[str, ...], text: str, worth: float) -> None:
    assert METRICS[metric].score(row(*right), text) == pytest.approx(worth)


def test_groups_are_right_as_a_whole() -> None:
    rows = [row("A", group="1"), row("A", group="1"), row("A", key="2"), row("A", key="3")]
    assert METRICS["choice"].whole(rows, [1, 0, 1, 1], []) == pytest.approx(100 * 2 / 3)


def test_hallusion_is_the_mean_of_three_accuracies() -> None:
    rows = [row("yes", key=f"VD_chart_0_{figure}_{question}") for figure in (0, 1) for question in (0, 1)]
    # questions 3 of 4; both of figure 0, not of figure 1; both of question 0, not of question 1
    assert METRICS["hallusion"].whole(rows, [1, 1, 1, 0], []) == pytest.approx((75 + 50 + 50) / 3)


def test_f1_is_of_the_answer_yes() -> None:
    rows = [row(one) for one in ("yes", "yes", "no", "no")]
    assert METRICS["yes_f1"].whole(rows, [], ["yes", "no", "yes", "no"]) == pytest.approx(50)
    assert METRICS["yes_f1"].whole(rows, [], ["no"] * 4) == 0


def test_a_guess_is_worth_nothing_above_chance() -> None:
    rows = [row("A", choices=("x", "y"))] * 2
    whole = METRICS["choice_above_chance"].whole
    assert whole(rows, [1, 0], []) == 0 and whole(rows, [1, 1], []) == 100

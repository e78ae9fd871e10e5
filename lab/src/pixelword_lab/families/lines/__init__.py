"""Text in images: lines, words and numbers read, counted, found, and not found where they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

from pixelword.processing.boxes import boxed, grounded
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Box, Question, Split
from pixelword.synthetic.wording import phrase
from pixelword_lab.candidates import Candidate, choose
from pixelword_lab.drawing.objects import COLOURS
from pixelword_lab.drawing.texts import bare
from pixelword_lab.families.lines.pages import Page, Row, draw_page, near_word
from pixelword_lab.family import Family, Task

KINDS = {
    "word": "text in pictures", "number": "text in pictures", "line": "text in pictures", "nth": "text in pictures",
    "which": "text in pictures", "lines": "text in pictures", "words": "text in pictures", "edge": "text in pictures",
    "next": "text in pictures", "colour": "text in pictures", "boxed": "grounding", "find": "grounding",
    "contains": "hallucination",
}  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

_READ = (
    "What does it say?", "What does it say?", "Read the text.", "What is written here?", "Read it.",
    "What does the picture say?", "Which text is in the picture?", "Write down the text.",
)  # fmt: skip
_READ_WORD = (*_READ, "Which word is this?", "Read the word.", "What word do you see?")
_READ_NUMBER = (*_READ, "What does the label say?", "Read what is written.")
_READ_ALL = (
    "Read all lines.", "What does it say?", "Read the text.", "Write down the whole text.",
    "Read the text line by line.",
)  # fmt: skip
_NTH = ("Read the {nth} line.", "What does the {nth} line say?", "What is the {nth} line?",
        "What is in the {nth} line?", "Which text is in line {n}?", "Read line {n}.")  # fmt: skip
_LAST = ("Read the last line.", "What does the last line say?", "What is the bottom line?")
_RED = ("Read the {colour} line.", "What does the {colour} line say?", "What is written in {colour}?",
        "Which text is {colour}?")  # fmt: skip
_HUE = ('What colour is "{it}"?', 'What colour is the line "{it}"?', 'Which colour is "{it}" written in?',
        'In what color is "{it}"?')  # fmt: skip
_WHICH = (
    'Which line says "{it}"?',
    'Which line is "{it}"?',
    'In which line is "{it}"?',
    'Where is "{it}": which line?',
)
_LINES = ("How many lines are there?", "How many lines of text are there?", "Count the lines.", "How many lines?")
_WORDS = (
    "How many words are there?",
    "How many words can you read?",
    "Count the words.",
    "How many words are written?",
)
_WORDS_OF = ("How many words are in the {nth} line?", "How many words does the {nth} line have?",
             "Count the words of the {nth} line.")  # fmt: skip
_EDGE = ("What is the {edge} word?", "What is the {edge} word?", "Which word is {edge}?", "Read the {edge} word.")
_EDGE_OF = ("What is the {edge} word of the {nth} line?", "Which word is the {edge} one in the {nth} line?",
            "Read the {edge} word of the {nth} line.")  # fmt: skip
_NEXT = ('Which word comes after "{it}"?', 'What comes after "{it}"?', 'What is the word after "{it}"?',
         'Which word follows "{it}"?')  # fmt: skip
_CONTAINS = ('Is the word "{it}" in the picture?', 'Is "{it}" written here?', 'Can you read "{it}" here?',
             'Does it say "{it}" anywhere?', 'Is there the word "{it}"?', 'Do you see the word "{it}"?')  # fmt: skip
_BOXED = ("What is written in {box}?", "What does {box} say?", "Read the text in {box}.", "Which text is in {box}?")
_FIND = ('Where is "{it}"?', 'Where does it say "{it}"?', 'Find "{it}".', 'Mark "{it}" in the picture.',
         'Give the box of "{it}".', 'Locate the text "{it}".')  # fmt: skip


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """An image of text and one to five questions."""
    page = draw_page(rng, split, assets)
    candidates = [*_reading(rng, page), *_counting(rng, page), *_inside(rng, page), *_places(rng, page)]
    candidates += _contains(rng, page, split, assets)
    limit = rng.choice((2, 3, 3, 4, 5))
    # reading is what everything else is made of: most images ask it for sure, as the first thing or as the last
    reading = [candidate for candidate in candidates if candidate.question.kind in ("word", "number", "line", "nth")]
    if reading and rng.random() < 0.6:
        sure = rng.choice(reading)
        last = rng.random() < 0.6
        rest = [
            candidate
            for candidate in candidates
            if not (_spoils(candidate, sure) if last else _spoils(sure, candidate))
        ]
        others = choose(rng, rest, limit - 1)
        questions = (*others, sure.question) if last else (sure.question, *others)
    else:
        questions = choose(rng, candidates, limit)
    return Task(({"type": "image", "image": page.picture},), questions, page.assets)


def _spoils(candidate: Candidate, later: Candidate) -> bool:
    """Whether what one question asks or tells is part of what the other asks."""
    return bool((candidate.asks | candidate.tells) & later.asks)


def _words(*rows: Row) -> frozenset[tuple[str, str]]:
    """The facts of which words there are."""
    return frozenset(("word", bare(word.text)) for row in rows for word in row.words)


def _boxes(*rows: Row) -> tuple[tuple[int, Box], ...]:
    return tuple((0, row.box) for row in rows)


def _reading(rng: Random, page: Page) -> Iterator[Candidate]:
    """A line by itself, by its number or by its colour; or all of them."""
    rows, whole = page.rows, _words(*page.rows)
    if len(rows) == 1:
        row = rows[0]
        kind, wordings = {"word": ("word", _READ_WORD), "number": ("number", _READ_NUMBER)}.get(
            row.what, ("line", _READ)
        )
        question = Question(kind, phrase(rng, wordings), row.text, "words", boxes=_boxes(row))
        yield Candidate(question, whole, whole | {("words", 0)})
        return
    counted = frozenset(("words", number) for number in range(len(rows)))
    if page.ordered and sum(len(row.text) for row in rows) < 120 and rng.random() < 0.5:
        text = "\n".join(row.text for row in rows)
        question = Question("line", phrase(rng, _READ_ALL), text, "words", boxes=_boxes(*rows))
        yield Candidate(question, whole, whole | counted | {("lines",)})
    for number, row in enumerate(rows):
        facts = _words(row)
        if page.ordered:
            if number == len(rows) - 1 and rng.random() < 0.5:
                words, tells = phrase(rng, _LAST), frozenset[tuple[object, ...]]()
            else:
                words, tells = phrase(rng, _NTH, nth=ORDINALS[number], n=str(number + 1)), frozenset({("lines",)})
            question = Question("nth", words, row.text, "words", boxes=_boxes(row))
            yield Candidate(question, facts, facts | tells | {("words", number), ("order", row.text)})
        if row.colour is not None:
            question = Question("line", phrase(rng, _RED, colour=row.colour), row.text, "words", boxes=_boxes(row))
            yield Candidate(question, facts, facts | {("colour", row.text), ("words", number)})


def _counting(rng: Random, page: Page) -> Iterator[Candidate]:
    rows = page.rows
    if page.ordered and len(rows) > 1:
        question = Question(
            "lines", phrase(rng, _LINES), str(len(rows)), choices=("2", "3", "4", "5", "6"), boxes=_boxes(*rows)
        )
        yield Candidate(question, frozenset({("lines",)}), frozenset({("lines",)}))
    if all(row.what != "number" for row in rows) and (total := sum(len(row.words) for row in rows)) <= 12:
        facts = frozenset(("words", number) for number in range(len(rows)))
        question = Question("words", phrase(rng, _WORDS), str(total), boxes=_boxes(*rows))
        yield Candidate(question, facts, facts)
    for number, row in enumerate(rows):
        if page.ordered and len(rows) > 1 and row.what == "line":
            wording = phrase(rng, _WORDS_OF, nth=ORDINALS[number])
            fact = frozenset({("words", number)})
            yield Candidate(
                Question("words", wording, str(len(row.words)), boxes=_boxes(row)), fact, fact | {("lines",)}
            )


def _inside(rng: Random, page: Page) -> Iterator[Candidate]:
    """The first, last or next word of a line."""
    if not page.ordered:
        return
    seen = Counter(bare(item.text) for row in page.rows for item in row.words)
    for number, row in enumerate(page.rows):
        if row.what != "line":
            continue
        edge = rng.choice(("first", "last"))
        word = row.words[0 if edge == "first" else -1]
        alone = len(page.rows) == 1
        words = phrase(rng, _EDGE if alone else _EDGE_OF, edge=edge, nth=ORDINALS[number])
        fact = frozenset({("word", bare(word.text))})
        tells = fact if alone else fact | {("lines",)}
        yield Candidate(Question("edge", words, word.text, "words", boxes=((0, word.box),)), fact, tells)
        place = rng.randrange(len(row.words) - 1)
        before, after = row.words[place], row.words[place + 1]
        if seen[bare(before.text)] == 1:
            fact = frozenset({("word", bare(after.text))})
            question = Question(
                "next", phrase(rng, _NEXT, it=_plain(before.text)), after.text, "words", boxes=((0, after.box),)
            )
            yield Candidate(question, fact, fact | {("word", bare(before.text))})


def _plain(word: str) -> str:
    """A word as one quotes it: without the marks around it, but in its own capitals."""
    return word.strip(".,:;!?()\"'") or word


def _places(rng: Random, page: Page) -> Iterator[Candidate]:
    """Which line, which colour, which box; and what is in a box."""
    size = page.picture.size
    seen = Counter(bare(item.text) for row in page.rows for item in row.words)
    for number, row in enumerate(page.rows):
        facts, quoted = _words(row), row.text.replace('"', "")
        if page.ordered and len(page.rows) > 1:
            words, order = phrase(rng, _WHICH, it=quoted), frozenset({("order", row.text)})
            choices = tuple(f"the {ORDINALS[place]}" for place in range(len(page.rows)))
            question = Question("which", words, choices[number], choices=choices, boxes=_boxes(row))
            yield Candidate(question, order, order | facts | {("lines",), ("words", number)})
        if row.colour is not None:
            hue = frozenset({("colour", row.text)})
            question = Question(
                "colour", phrase(rng, _HUE, it=quoted), row.colour, choices=tuple(COLOURS), boxes=_boxes(row)
            )
            yield Candidate(question, hue, hue | facts | {("words", number)})
        if len(page.rows) == 1 and len(row.words) == 1:
            continue
        word = rng.choice(row.words)
        for text, box, known in (
            (row.text, row.box, facts),
            (word.text, word.box, frozenset({("word", bare(word.text))})),
        ):
            if (
                len(text) < 2
                or (text == word.text and seen[bare(text)] > 1)
                or (text == row.text and len(page.rows) == 1)
            ):
                continue
            place = frozenset({("box", text)})
            name = _plain(text).replace('"', "")
            question = Question(
                "find", phrase(rng, _FIND, it=name), grounded(name, box, size), "box", boxes=((0, box),)
            )
            yield Candidate(question, place, place | known)
            wording = phrase(rng, _BOXED, box=boxed(box, size))
            yield Candidate(Question("boxed", wording, text, "words", boxes=((0, box),)), known, known | place)


def _contains(rng: Random, page: Page, split: Split, assets: Assets) -> Iterator[Candidate]:
    """Whether a word is there: one that is, or one that nearly is. Both tell the same of the word that is."""
    words = [(row, item) for row in page.rows for item in row.words if len(bare(item.text)) > 1]
    if not words:
        return
    row, word = rng.choice(words)
    fact = frozenset({("word", bare(word.text))})
    there = rng.random() < 0.5
    shown = _plain(word.text)
    present = {bare(item.text) for one_row in page.rows for item in one_row.words}
    asked = shown
    while not there and (bare(asked) in present or not bare(asked)):
        asked = near_word(rng, split, assets, shown)
    boxes = ((0, word.box),) if there else ()
    question = Question(
        "contains", phrase(rng, _CONTAINS, it=asked), "yes" if there else "no", "exact", ("yes", "no"), not there, boxes
    )
    yield Candidate(question, _words(row), fact)


FAMILY = Family("lines", "Text in pictures", KINDS, draw, needs=("fonts", "words"))

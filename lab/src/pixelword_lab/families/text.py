"""Text alone, so that learning to see costs no language: long plain texts, meanings of words, sums, spelling, order.

`TAUGHT_ONLY` are kinds that the test never asks: any of many answers would be right, and what a model knows of them is
measured by perplexity on `passage`s of held-out documents instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from pixelword.synthetic.assets import Assets, split_of
from pixelword.synthetic.types import Question, Split
from pixelword.synthetic.wording import article, phrase
from pixelword_lab.drawing.texts import Found, bare, documents, draw_document, draw_headword, draw_run, glosses
from pixelword_lab.family import Family, Task

KINDS = {
    "continue": "language", "define": "language", "meaning": "language", "sum": "language", "larger": "language",
    "spell": "language", "letters": "language", "edit": "language", "place": "language", "order": "language",
}  # fmt: skip
TAUGHT_ONLY = ("continue", "define")
#: Letters of a long text: about 200 to 900 tokens.
LETTERS = (800, 3600)

_CONTINUE = ("Continue the text.", "Continue this text.", "Go on with this text.", "How does this text go on?",
             "Write the next part of this text.")  # fmt: skip
_DEFINE = ("What is {it}?", "What is {it}?", "Define {it}.", "Explain what {it} is.", "What is meant by {it}?")
_DEFINE_OTHER = ('What does "{it}" mean?', 'Define the {part} "{it}".', 'What is the meaning of "{it}"?',
                 'Explain the word "{it}".')  # fmt: skip
_EXPLAIN = ("What is {it}?", "Explain {it}.", "Tell me about {it}.", "What does {it} mean in computing?",
            'Describe "{it}".')  # fmt: skip
_MEANING = ('Which word means "{text}": {words}?', 'Which of these is "{text}": {words}?',
            '"{text}": is it {words}?', 'Choose the word for "{text}": {words}?')  # fmt: skip
_SUM = ("What is {sum}?", "What is {sum}?", "How much is {sum}?", "Calculate {sum}.", "{sum} =")
_LARGER = ("Which is {more}, {a} or {b}?", "Which number is {more}: {a} or {b}?", "What is {more}: {a} or {b}?")
_SPELL = ('How do you spell "{it}"?', 'Spell "{it}".', 'Spell the word "{it}" letter by letter.')
_BACKWARDS = ('Write "{it}" backwards.', 'What is "{it}" backwards?', 'Spell "{it}" from the end to the start.')
_LETTERS = ('How many letters does "{it}" have?', 'How many letters are in "{it}"?', 'Count the letters of "{it}".')
_LETTER = ('What is the {nth} letter of "{it}"?', 'Which letter of "{it}" is the {nth}?')
_CAPITALS = ("Write in capital letters: {it}", "Put this into capitals: {it}", "Change to upper case: {it}")
_REPEAT = ("Repeat: {it}", "Repeat this sentence: {it}", "Write this down: {it}")
_SORT = ("Sort these words by the alphabet: {it}", "Put into alphabetical order: {it}", "Order alphabetically: {it}")
_WHICH_PLACE = ('What is the {nth} word of "{it}"?', 'Which word is the {nth} one in "{it}"?')
_HOW_MANY = ('How many words are in "{it}"?', 'Count the words of "{it}".', 'How many words does "{it}" have?')
_NEXT = ("Which {of} comes {side} {it}?", "What {of} comes {side} {it}?", "Name the {of} {side} {it}.")

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "last")
_ROWS = {
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
              "November", "December"),
    "letter": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "season": ("spring", "summer", "autumn", "winter"),
    "number": tuple(map(str, range(1, 100))),
}  # fmt: skip

#: A question, and the keys of what it was made of.
Asked = tuple[Question, tuple[str, ...]]


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """A long text, some definitions, or three to five short questions about unlike things."""
    share = rng.random() if split == "train" else 1.0
    if share < 0.5:
        asked = [_continue(rng, split, assets)]
    elif share < 0.58:
        asked = [_explain(rng, split, assets)]
    else:
        makers = list(_SHORT if split == "test" else (*_SHORT, _define, _define))
        asked = [make(rng, split, assets) for make in rng.sample(makers, rng.randint(3, 5))]
    found = tuple(dict.fromkeys(item for _, made in asked for item in made))
    return Task((), tuple(question for question, _ in asked), found)


def passage(rng: Random, split: Split, assets: Assets, letters: int) -> Found:
    """At most that many letters of a document, from the start of a sentence to the end of one.

    At least a quarter of that, where there are documents as long.
    """
    for _ in range(50):
        item = draw_document(rng, assets, split)
        text = item["text"]
        starts = [0, *(found.end() for found in re.finditer(r"(?<=[a-z)\"][.!?])\s+(?=[A-Z])", text))]
        start = rng.choice([place for place in starts if len(text) - place > letters / 2] or [0])
        ends = [found.end() for found in re.finditer(r"[a-z)\"][.!?](?=\s|$)", text[start : start + letters])]
        if ends and ends[-1] > letters / 4:
            return Found(text[start : start + ends[-1]], f"words:{item['key']}")
    return Found(item["text"][:letters], f"words:{item['key']}")


def _continue(rng: Random, split: Split, assets: Assets) -> Asked:
    """The first sentence or two are given, the answer is the rest."""
    found = passage(rng, split, assets, rng.randint(*LETTERS))
    breaks = [item.start() for item in re.finditer(r"(?<=[.!?])\s", found.text)]
    early = [place for place in breaks if place < min(400, len(found.text) / 3)] or [found.text.find(" ", 80)]
    cut = rng.choice(early[:3])
    opening, rest = found.text[:cut].strip(), found.text[cut:].strip()
    question = f"{phrase(rng, _CONTINUE)}\n\n{opening}"
    return Question("continue", question, rest, "words"), (found.asset,)


def _explain(rng: Random, split: Split, assets: Assets) -> Asked:
    """A word of computing and its definition in a dictionary; a long text without such a dictionary."""
    for _ in range(50):
        item = rng.choice(documents(assets, split))
        if "word" in item and len(item["text"]) <= LETTERS[1]:
            question = phrase(rng, _EXPLAIN, it=item["word"])
            return Question("define", question, item["text"].strip(), "words"), (f"words:{item['key']}",)
    return _continue(rng, split, assets)


def _define(rng: Random, split: Split, assets: Assets) -> Asked:
    item = rng.choice(glosses(assets, split))
    word, part, gloss = item["word"], item["part"], item["text"]
    if part == "noun" and re.match(r"(an?|the|any|some) ", gloss):
        # of a thing that one can have several of, its gloss says "a ..."
        counted = gloss.startswith(("a ", "an "))
        question = phrase(rng, _DEFINE, it=article(word) if counted else word)
    else:
        question = phrase(rng, _DEFINE_OTHER, it=word, part=part)
    if rng.random() < 0.3 and item.get("examples"):
        gloss = f'{gloss}, as in "{rng.choice(item["examples"])}"'
    return Question("define", question, gloss[0].upper() + gloss[1:] + ".", "words"), (f"words:{item['key']}",)


def _meaning(rng: Random, split: Split, assets: Assets) -> Asked:
    """The right word among three of its part of speech, none of which its meaning contains."""
    while True:
        right, *others = (rng.choice(glosses(assets, split)) for _ in range(3))
        words = [item["word"] for item in (right, *others)]
        alike = len({item["part"] for item in (right, *others)}) == 1
        if alike and len(set(words)) == 3 and not any(word[:4] in right["text"].lower() for word in words):
            break
    choices = tuple(rng.sample(words, 3))
    listed = f"{choices[0]}, {choices[1]} or {choices[2]}"
    question = phrase(rng, _MEANING, text=right["text"], words=listed)
    return Question("meaning", question, right["word"], choices=choices), tuple(
        f"words:{item['key']}" for item in (right, *others)
    )


def _sum(rng: Random, split: Split, assets: Assets) -> Asked:
    """Plus and minus up to three digits, times up to twelve, exact division; each sum belongs to one split."""
    while True:
        kind = rng.choice("++--x/")
        size = rng.choice((10, 20, 100, 100, 1000))
        a, b = rng.randint(0, size), rng.randint(0, size)
        if kind in "x/":
            a, b = rng.randint(1, 12), rng.randint(1, 12)
        if kind == "-":
            a, b = max(a, b), min(a, b)
        if split_of(f"{a} {kind} {b}") == split:
            break
    if kind == "/":
        terms, answer = (a * b, rng.choice(("/", "divided by")), b), a
    elif kind == "x":
        terms, answer = (a, rng.choice(("x", "times")), b), a * b
    else:
        terms = (a, rng.choice((kind, "plus" if kind == "+" else "minus")), b)
        answer = a + b if kind == "+" else a - b
    question = phrase(rng, _SUM, sum=" ".join(map(str, terms)))
    return Question("sum", question, str(answer), "number"), ()


def _larger(rng: Random, split: Split, assets: Assets) -> Asked:
    """Whole or decimal numbers that are not equal."""
    places = rng.choice((0, 0, 1, 2))
    while True:
        top = rng.choice((10, 100, 1000))
        a, b = (f"{rng.uniform(0, top):.{rng.randint(min(1, places), places)}f}" for _ in range(2))
        if float(a) != float(b) and split_of(" ".join(sorted((a, b)))) == split:
            break
    more = rng.choice(("larger", "larger", "smaller", "greater", "less"))
    wanted = min if more in ("smaller", "less") else max
    question = phrase(rng, _LARGER, more=more, a=a, b=b)
    return Question("larger", question, wanted((a, b), key=float), choices=(a, b)), ()


def _spell(rng: Random, split: Split, assets: Assets) -> Asked:
    found = draw_headword(rng, assets, split)
    word = found.text
    if rng.random() < 0.6:
        return Question("spell", phrase(rng, _SPELL, it=word), "-".join(word), "words"), (found.asset,)
    return Question("spell", phrase(rng, _BACKWARDS, it=word), word[::-1], "words"), (found.asset,)


def _letters(rng: Random, split: Split, assets: Assets) -> Asked:
    found = draw_headword(rng, assets, split)
    word = found.text
    if rng.random() < 0.5:
        return Question("letters", phrase(rng, _LETTERS, it=word), str(len(word))), (found.asset,)
    nth = rng.choice([name for place, name in enumerate(_ORDINALS[:-1]) if place < len(word)] + ["last"])
    answer = word[-1] if nth == "last" else word[_ORDINALS.index(nth)]
    return Question("letters", phrase(rng, _LETTER, it=word, nth=nth), answer), (found.asset,)


def _edit(rng: Random, split: Split, assets: Assets) -> Asked:
    """A run of words repeated or in capitals, or words sorted."""
    if rng.random() < 0.4:
        made = {item.text: item.asset for item in (draw_headword(rng, assets, split) for _ in range(rng.randint(3, 5)))}
        words = sorted(made)
        mixed = ", ".join(rng.sample(words, len(words)))
        return Question("edit", phrase(rng, _SORT, it=mixed), ", ".join(words), "words"), tuple(made.values())
    found = draw_run(rng, assets, split, rng.randint(3, 8))
    if rng.random() < 0.5:
        return Question("edit", phrase(rng, _CAPITALS, it=found.text), found.text.upper(), "words"), (found.asset,)
    return Question("edit", phrase(rng, _REPEAT, it=found.text), found.text, "words"), (found.asset,)


def _place(rng: Random, split: Split, assets: Assets) -> Asked:
    """How many words, or which stands where."""
    found = draw_run(rng, assets, split, rng.randint(3, 8))
    text = found.text.replace('"', "")
    words = text.split()
    if rng.random() < 0.4:
        return Question("place", phrase(rng, _HOW_MANY, it=text), str(len(words))), (found.asset,)
    nth = rng.choice([name for place, name in enumerate(_ORDINALS[:-1]) if place < len(words)] + ["last"])
    word = words[-1] if nth == "last" else words[_ORDINALS.index(nth)]
    return Question("place", phrase(rng, _WHICH_PLACE, it=text, nth=nth), bare(word), "words"), (found.asset,)


def _order(rng: Random, split: Split, assets: Assets) -> Asked:
    """What comes before and after in the week, the year, the alphabet."""
    while True:
        of = rng.choice(tuple(_ROWS))
        row = _ROWS[of]
        around = of in ("day", "month", "season")
        step = rng.choice((-1, 1))
        place = rng.randrange(len(row))
        if (around or 0 <= place + step < len(row)) and split_of(f"{of} {place} {step}") == split:
            break
    side = "after" if step == 1 else "before"
    return Question("order", phrase(rng, _NEXT, of=of, side=side, it=row[place]), row[(place + step) % len(row)]), ()


_SHORT: Sequence[Callable[[Random, Split, Assets], Asked]] = (
    _meaning, _sum, _sum, _larger, _spell, _letters, _edit, _place, _order,
)  # fmt: skip

FAMILY = Family("text", "Text alone", KINDS, draw, needs=("words",))

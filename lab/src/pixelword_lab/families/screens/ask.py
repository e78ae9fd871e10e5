"""What can be asked about a screen, from its elements as the DOM has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from pixelword.processing.boxes import boxed, grounded
from pixelword.synthetic.types import Box, Question
from pixelword.synthetic.wording import article, phrase, plural
from pixelword_lab.candidates import Candidate
from pixelword_lab.families.screens.content import CALLED
from pixelword_lab.families.screens.lists import clear, intentions

#: Role -> what people call it.
_NOUNS = {
    "button": "button", "field": "field", "checkbox": "checkbox", "radio": "radio button", "switch": "switch",
    "tab": "tab", "menu": "menu", "menuitem": "menu entry", "link": "link", "row": "row",
}  # fmt: skip
_YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Screen:
    """A screen as it is asked about; elements are those of the DOM with their boxes in the image shown."""

    rng: Random
    kind: str
    elements: Sequence[Mapping[str, Any]]
    known: Sequence[Sequence[Any]]
    others: Mapping[str, Sequence[str]]
    size: tuple[int, int]

    def of(self, *roles: str) -> list[Mapping[str, Any]]:
        return [element for element in self.elements if element["role"] in roles]

    def ask(self, words: Sequence[str]) -> str:
        """One of the wordings; words of data may hold braces, which `phrase` would take for blanks."""
        return phrase(self.rng, [text.replace("{", "{{").replace("}", "}}") for text in words])


def candidates(screen: Screen) -> list[Candidate]:
    """Everything that can be asked about the screen, wordings drawn."""
    return [item for ask in _ASKERS for item in ask(screen)]


def _about(question: Question, *facts: object, mentioned: Sequence[str] = ()) -> Candidate:
    """A question that its own answer gives away; `mentioned`: further texts that the question mentions."""
    own = [("text", question.answer.lower())] if question.metric == "words" else []
    return Candidate(question, frozenset([*own, *facts]), frozenset(("text", text.lower()) for text in mentioned))


def _at(element: Mapping[str, Any]) -> tuple[tuple[int, Box], ...]:
    return ((0, element["box"]),)


def _kind(screen: Screen) -> Iterator[Candidate]:
    # the easiest of questions need not be asked of every screen
    if screen.rng.random() < 0.6:
        return
    words = ("What is shown here?", "What kind of screen is this?", "What is this?")
    yield _about(Question("screen", screen.ask(words), CALLED[screen.kind], choices=tuple(CALLED.values())), "kind")


def _read(screen: Screen) -> Iterator[Candidate]:
    for item in screen.of("heading"):
        words = ("What does the heading say?", "What is the title?", "Read the heading.", "What stands at the top?")
        yield _about(Question("read", screen.ask(words), item["text"], "words", boxes=_at(item)))
    for item in screen.of("info"):
        question = Question("read", screen.ask(item["ask"].split("|")), item["text"], "words", boxes=_at(item))
        yield _about(question, ("of", item["ask"]), mentioned=_mentioned(screen, item["ask"]))
    for item in screen.of("field"):
        name = item["name"]
        asked = (f"What is in the field {name}?", f"What was typed into {name}?", f"What is the {name}?")
        question = Question(
            "read", screen.ask(asked), item["text"] or "nothing", "words", absent=not item["text"], boxes=_at(item)
        )
        yield _about(question, mentioned=[item["name"]])


def _mentioned(screen: Screen, words: str) -> list[str]:
    """The names of elements that a question says."""
    return [element["name"] for element in screen.elements if element["name"] and element["name"] in words]


def _exists(screen: Screen) -> Iterator[Candidate]:
    texts = " ".join(element["name"].lower() for element in screen.elements)
    # several, since some will have been named before: else "no" would be the better guess
    there = screen.rng.random() < 0.5
    for role, noun in _NOUNS.items():
        shown = [item for item in screen.of(role) if item["name"] != "close"]
        if there:
            for item in screen.rng.sample(shown, min(3, len(shown))):
                yield _is_there(screen, noun, item["name"], _at(item))
        elif shown or role == "button":
            free = [name for name in screen.others.get(role, ()) if name.lower() not in texts]
            for name in free[:3]:
                yield _is_there(screen, noun, name, ())


def _is_there(screen: Screen, noun: str, name: str, boxes: tuple[tuple[int, Box], ...]) -> Candidate:
    words = (
        f'Is there {article(noun)} "{name}"?',
        f'Can you see {article(noun)} "{name}"?',
        f"Is there {article(noun)} called {name}?",
    )
    answer = "yes" if boxes else "no"
    question = Question("exists", screen.ask(words), answer, choices=_YES_NO, absent=not boxes, boxes=boxes)
    return _about(question, ("text", name.lower()))


def _point(screen: Screen) -> Iterator[Candidate]:
    names = [element["name"] for element in screen.elements]
    for role, noun in _NOUNS.items():
        for item in screen.of(role):
            name = item["name"]
            if names.count(name) > 1 or (name == "close" and screen.rng.random() < 0.5):
                continue
            words = [f'Where is the {noun} "{name}"?', f'Find the {noun} "{name}".', f"Point to the {noun} {name}."]
            wished = role in ("button", "menuitem") and name in intentions() and clear(name, names)
            if wished and screen.rng.random() < 0.6:
                wish = intentions()[name]
                words = [
                    f"Where do you click to {wish}?",
                    f"What do you click to {wish}?",
                    f"I want to {wish}. Where is it?",
                ]
            elif name == "close":
                words = ["Where do you click to close the window?", "Point to the cross that closes the window."]
            elif role == "field":
                words = [f"Where do you type the {name}?", f"Point to the field {name}."]
            answer = grounded(name, item["box"], screen.size)
            question = Question("point", screen.ask(words), answer, "point", boxes=_at(item))
            yield _about(question, ("box", name), mentioned=[name])
            if role in ("button", "menuitem", "tab", "checkbox") and name != "close":
                words = [
                    f"What does it say at {boxed(item['box'], screen.size)}?",
                    f"Read the {noun} at {boxed(item['box'], screen.size)}.",
                ]
                question = Question("label", screen.ask(words), name, "words", boxes=_at(item))
                yield _about(question, ("box", name))


def _state(screen: Screen) -> Iterator[Candidate]:
    for item in screen.of("checkbox", "switch"):
        name, on = item["name"], item["checked"]
        words = (f'Is "{name}" checked?', f'Is the checkbox "{name}" ticked?', f"Is {name} on?")
        if item["role"] == "switch":
            words = (f'Is "{name}" switched on?', f"Is {name} on?", f'Is the switch "{name}" on?')
        question = Question("state", screen.ask(words), "yes" if on else "no", choices=_YES_NO, boxes=_at(item))
        yield _about(question, ("state", name), "checked", mentioned=[name])
    for item in screen.of("button", "menuitem"):
        if item["name"] == "close":
            continue
        name, off = item["name"], item["disabled"]
        asked = (f'Is "{name}" greyed out?', f"Is {name} disabled?")
        question = Question("state", screen.ask(asked), "yes" if off else "no", choices=_YES_NO, boxes=_at(item))
        # mostly they are not: ask about half of those
        if off or screen.rng.random() < 0.2:
            yield _about(question, ("state", name), mentioned=[name])


def _known(screen: Screen) -> Iterator[Candidate]:
    for kind, words, answer, choices in screen.known:
        question = Question(kind, screen.ask(words.split("|")), answer, choices=tuple(choices))
        mentioned = [answer] if not answer.isdigit() else []
        checked = ["checked"] if "checked" in words else []
        yield _about(question, ("known", words), *checked, mentioned=mentioned)


def _count(screen: Screen) -> Iterator[Candidate]:
    for role in ("button", "field", "checkbox", "switch", "tab", "menu", "radio"):
        there = [item for item in screen.of(role) if item["name"] != "close"]
        # none at all is the right answer now and then
        if not there and (role == "menu" or screen.rng.random() < 0.96):
            continue
        # the cross of a window is a button to some
        if role == "button" and len(there) < len(screen.of(role)):
            continue
        noun = plural(_NOUNS[role])
        words: tuple[str, ...] = (f"How many {noun} are there?", f"Count the {noun}.", f"How many {noun} can you see?")
        if role == "menu":
            words = ("How many menus does the bar have?",)
        yield _about(Question("number of", screen.ask(words), str(len(there)), absent=not there), ("count", role))


_ASKERS: tuple[Callable[[Screen], Iterator[Candidate]], ...] = (
    _kind, _read, _exists, _point, _state, _known, _count,
)  # fmt: skip

"""Answer extraction (letter, yes/no, number) by the rules of the paper's released evaluation.

They differ from data set to data set (EvolvingLMMs-Lab/NEO, VLMEvalKit_ov: `vlmeval/utils/matching_util.py` and
`vlmeval/dataset/utils/`), and agree where an answer is a letter, as prompts ask for. Where they read nothing, upstream
may ask a language model; `letter` and `yes_no` then read what most answers of that kind say.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence

from pixelword.evaluation.scores import plain

#: (answer, choices) -> the letter that it chooses, "" for none.
Reader = Callable[[str, Sequence[str]], str]

_LETTERS = string.ascii_uppercase
#: Letters of a question that tells its choices in its own words.
_UNKNOWN = "ABCDEF"
_NAMED = re.compile(r"(?i:answer|option|choice)\s*+(?i:is|:)?\s*+:?\s*+\**+\(?([A-Z])\b")  # "is a dog" names no letter
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?\(?([^{}]*?)\)?\}")
_ALONE = re.compile(r"^\W*([A-Z])(?:\W|$)")
_LETTER = re.compile(r"(?<![A-Za-z'])([A-Z])(?![A-Za-z'])")
_WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d*\.\d+|\d+)(?:[eE][-+]?\d+)?")
_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ENDS = ",.!?;:'"
_COUNT = re.compile(rf"\b({'|'.join(_COUNTS)})\b", re.IGNORECASE)
#: What introduces an answer, for `first`.
_LEADS = ("The best answer is", "The correct answer is", "The answer is", "The answer", "Answer:", "Option:")
_LAST_WORDS = re.compile(
    r"(?:final answer|the answer is|answer(?: is)?|correct answer)\s*+[:=>]?\s*+[(\[{]?\s*+([A-F])\b", re.I
)
_TAGGED = re.compile(r"<\s*answer\b[^>]*>\s*([A-Ja-j])\b.*?<\s*/\s*answer\s*>", re.IGNORECASE | re.DOTALL)
_WHOLE = re.compile(r"[*_`>\[\]() ]*([A-Fa-f])[*_`\[\]() ]*")
_LABELLED = re.compile(r"\s*([A-Fa-f])\s*[.:)\]-]\s+")
_INLINE = re.compile(r"(?<![A-Za-z])[*_`(\[{]*\s*([A-F])\s*[*_`)\]}]*(?=$|[\s.,:;!?)\]])")


def letter(text: str, choices: Sequence[str]) -> str:
    """The letter that an answer chooses, "" where it chooses none: the one letter near its end, else the one choice
    whose words are in it; else, where a language model would be asked, what it names last."""
    known = _LETTERS[: len(choices)] or _UNKNOWN
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", text).split()
    letters = [item for item in known if item in words]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - 5:
        return letters[0]
    short = len(text) <= 2 * sum(map(len, choices))
    named = [n for n, item in enumerate(choices) if item.lower() in text.lower()] if short else []
    return known[named[0]] if len(named) == 1 else _meant(text, choices, known)


def _meant(text: str, choices: Sequence[str], known: str) -> str:
    if found := [item.strip() for item in _BOXED.findall(text)]:
        text = found[-1]
    if (alone := _ALONE.match(text)) and alone[1] in known and not (alone[1] == "A" and text.lstrip()[1:2] == " "):
        return alone[1]
    named = [item for item in _NAMED.findall(text) if item in known]
    if named:
        return named[-1]
    mentioned = [
        choice for choice in choices if choice and re.search(rf"(?<!\w){re.escape(plain(choice))}(?!\w)", plain(text))
    ]
    longest = max(mentioned, key=len, default="")
    if mentioned and all(plain(item) in plain(longest) for item in mentioned):
        return _LETTERS[list(choices).index(longest)]
    lone = {item for item in _LETTER.findall(text) if item in known and item not in "AI"}
    return lone.pop() if len(lone) == 1 else ""


def opening(text: str, choices: Sequence[str]) -> str:
    """Return the letter at the start of an answer or before its first bracket, else as `letter`: MVBench, MLVU."""
    known = _LETTERS[: len(choices)] or _UNKNOWN
    begun = (re.match(r"\s*\(?([A-Za-z])[.)]*(?=\s|$)", text), re.match(r"[^)]*([A-Z])\)", text))
    letters = [item[1].upper() for item in begun if item and item[1].upper() in known]
    return letters[0] if letters else letter(text, choices)


def first(text: str, choices: Sequence[str]) -> str:
    """Return the first capital that can be a choice, after an introduction: Video-MME, LVBench, LongVideoBench."""
    known = _LETTERS[: len(choices)] or _UNKNOWN
    rest = text.strip()
    for lead in _LEADS:
        rest = rest.replace(lead, "")
    found = re.search(f"[{known}]", rest)
    return found[0] if found else letter(text, choices)


def last(text: str, choices: Sequence[str] = ()) -> str:
    """Return the letter of the last line with one, else of a phrase or the whole: EASI's spatial benchmarks."""
    if tagged := _TAGGED.search(text):
        return tagged[1].upper()
    lines = [line.strip() for line in re.split(r"</\s*think\s*>", text)[-1].splitlines()[-6:] if line.strip()]
    for line in reversed(lines):
        if whole := _WHOLE.fullmatch(line) or _LABELLED.match(line):
            return whole[1].upper()
        if len(letters := set(_INLINE.findall(line))) == 1:
            return letters.pop()
    if named := _LAST_WORDS.search(text):
        return named[1].upper()
    alone = set(re.findall(r"(?<![A-Za-z])([A-F])(?![A-Za-z])", text))
    return alone.pop() if len(alone) == 1 else ""


def stated(text: str, choices: Sequence[str]) -> str:
    """Return the last letter written as "B.", "B:", "(B)" or alone, else the last choice by its text: VideoMMMU."""
    known = _LETTERS[: len(choices)] or _UNKNOWN
    ending = f" {text.rpartition('Answer:')[2].strip().strip(_ENDS)} "
    for forms in (("{}.", "{}:"), ("({})",), ("{} ",)):
        places = {item: max(ending.rfind(form.format(item)) for form in forms) for item in known}
        if max(places.values()) >= 0:
            return max(places, key=lambda item: places[item])
    places = {item: ending.lower().rfind(choice.lower()) for item, choice in zip(known, choices, strict=False)}
    is_long = len(ending.split()) > 5
    return max(places, key=lambda item: places[item]) if is_long and max(places.values(), default=-1) >= 0 else ""


def yes_no(text: str) -> str:
    """ "yes", "no", or "" for neither: where both occur, the last, since reasons come first."""
    found = _WORD.findall(_BOXED.sub(r"\1", text))
    return found[-1].lower() if found else ""


def short(text: str) -> str:
    """Return the last line without its introduction: the answer, if a model reasons first."""
    if boxed := _BOXED.findall(text):
        return boxed[-1].strip()
    line = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    return re.sub(r"^.*?(?:final answer|answer)(?: is)?\s*:?\s*", "", line, flags=re.IGNORECASE).strip(" *.")


def figure(text: str) -> float | None:
    """Return the first number of an answer, number words before digits; None if there is none."""
    if word := _COUNT.search(text):
        return float(_COUNTS.index(word[1].lower()))
    found = _NUMBER.search(re.split(r"</\s*think\s*>", text)[-1]) or _NUMBER.search(text)
    return float(found[0]) if found else None

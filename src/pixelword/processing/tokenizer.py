"""Control tokens by id, and text that can never become one.

A fast tokenizer turns the characters `<|im_end|>` into the control token wherever they occur, even when a user typed
them. So control tokens are looked up once and written by id, and words go through a private copy of the tokenizer that
has no added tokens at all. The copy is never changed, so it may be shared between threads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer

from pixelword.errors import CheckpointError, InputError

IMG_START, IMG_END, IMG_CONTEXT = "<img>", "</img>", "<IMG_CONTEXT>"
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
CONTROL_TOKENS = (IMG_START, IMG_END, IMG_CONTEXT, TURN_START, TURN_END)

# What an assistant may write as tokens: grounding and thinking. In anyone else's words they are plain text.
ANSWER_MARKS = ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<think>", "</think>")


class TextEncoder:
    """Ids of control tokens and of plain text.

    tokenizer: a fast (tokenizers-backed) transformers tokenizer that has every one of `CONTROL_TOKENS`.
    Raises `CheckpointError` naming a token that is missing.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise CheckpointError(f"{type(tokenizer).__name__} is not a fast tokenizer; give one with a tokenizer.json")
        self.control: dict[str, int] = {}
        for token in CONTROL_TOKENS:
            token_id = backend.token_to_id(token)
            if token_id is None:
                raise CheckpointError(f"the tokenizer has no token {token}; use one made for this model, or add it")
            self.control[token] = token_id
        state = json.loads(backend.to_str())
        self.added: dict[str, int] = {entry["content"]: entry["id"] for entry in state.get("added_tokens") or ()}
        self.added.update(self.control)
        self.marks: dict[str, int] = {mark: self.added[mark] for mark in ANSWER_MARKS if mark in self.added}
        self._mark_pattern = re.compile("(" + "|".join(map(re.escape, self.marks)) + ")") if self.marks else None
        special = {entry["id"] for entry in state.get("added_tokens") or () if entry["special"]}
        self.silent = frozenset(special | set(self.control.values())) - set(self.marks.values())
        self._decode = tokenizer.decode
        self._plain = _without_added_tokens(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> TextEncoder:
        return self  # immutable, and a vocabulary is large

    def text(self, words: str) -> list[int]:
        """Tokenize plain text; nothing in it becomes a control token. Raises `InputError` for invalid text."""
        return self._plain.encode(valid_text(words), add_special_tokens=False).ids

    def answer(self, words: str) -> list[int]:
        """Tokenize assistant text: plain, except for `ANSWER_MARKS` that the tokenizer has."""
        if self._mark_pattern is None:
            return self.text(words)
        ids: list[int] = []
        for piece in self._mark_pattern.split(valid_text(words)):
            if piece in self.marks:
                ids.append(self.marks[piece])
            elif piece:
                ids += self.text(piece)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Decode generated ids, without control tokens except `ANSWER_MARKS`, which mark regions."""
        return self._decode([item for item in map(int, ids) if item not in self.silent], skip_special_tokens=False)


def valid_text(text: str, where: str = "the text") -> str:
    """Join surrogate pairs that JSON or UTF-16 left as two halves.

    Raises `InputError` for an unpaired surrogate, or (from a command line) bytes that are not UTF-8.
    """
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        place = next(i for i, (item, other) in enumerate(zip(text, joined + " ", strict=False)) if item != other)
    half = text[place]
    kind = "a byte that is not UTF-8" if "\udc80" <= half <= "\udcff" else "half a character"
    raise InputError(f"{where} has {kind} ({half!a}) at character {place + 1}; remove it or save it as UTF-8")


def _without_added_tokens(state: dict[str, Any]) -> Tokenizer:
    """Build a tokenizer from this (consumed) state without added tokens; special ones leave the vocabulary too."""
    special = {entry["content"] for entry in state.get("added_tokens") or () if entry["special"]} | set(CONTROL_TOKENS)
    state["added_tokens"] = []
    state["post_processor"] = None if not _keeps_text(state.get("post_processor")) else state["post_processor"]
    state["truncation"] = state["padding"] = None
    vocabulary = state["model"].get("vocab")
    if isinstance(vocabulary, dict):
        unknown = state["model"].get("unk_token")
        state["model"]["vocab"] = {
            token: i for token, i in vocabulary.items() if token not in special or token == unknown
        }
    return Tokenizer.from_str(json.dumps(state))


def _keeps_text(post_processor: dict[str, Any] | None) -> bool:
    """Drop post-processing templates: they only add special tokens, and may name tokens that are gone."""
    return post_processor is not None and post_processor.get("type") == "ByteLevel"

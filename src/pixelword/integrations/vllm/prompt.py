"""Positions of images and videos in a prompt, and the tokens of the whole prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pixelword.errors import InputError
from pixelword.processing import NeoOVProcessor
from pixelword.processing.chat import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER
from pixelword.processing.tokenizer import IMG_CONTEXT, IMG_END, IMG_START

PLACEHOLDERS = {"image": IMAGE_PLACEHOLDER, "video": VIDEO_PLACEHOLDER}


@dataclass(frozen=True)
class Item:
    """An image or video of a prompt, `index`th of its modality, and the tokens that stand for it."""

    modality: str
    index: int
    ids: list[int]

    @property
    def key(self) -> tuple[str, int]:
        return self.modality, self.index


@dataclass
class Piece:
    """Text, a control token, or an image with its marks; owner: its item, None for the prompt's own."""

    ids: list[int]
    is_words: bool
    owner: tuple[str, int] | None = None


class Prompt:
    """Fills prompts for one processor (its tokenizer and its control tokens)."""

    def __init__(self, processor: NeoOVProcessor) -> None:
        self.encoder, self.tokenizer = processor.encoder, processor.tokenizer
        control = self.encoder.control
        self.start, self.visual, self.end = control[IMG_START], control[IMG_CONTEXT], control[IMG_END]
        self.control = frozenset(self.encoder.added.values())

    def slot(self, modality: str) -> list[int]:
        """Control tokens that mark an item's position; text can never produce them."""
        return [self.start, self.visual, self.end] if modality == "image" else [self.start, self.end]

    def filled(
        self, ids: Sequence[int], items: Sequence[Item]
    ) -> tuple[list[int], dict[tuple[str, int], tuple[int, int, list[bool]]]]:
        """Return the tokens with every item inserted, and for each item: start, end, which are visual.

        An item's place is its `slot`, or, in a prompt that was written as text, `<image>` or `<video>`.
        Raises `InputError` when there are not as many places as items.
        """
        wanted = {modality: [item for item in items if item.modality == modality] for modality in PLACEHOLDERS}
        pieces = self._at_slots(ids, wanted) or self._at_words(ids, wanted)
        whole: list[int] = []
        places: dict[tuple[str, int], tuple[int, int, list[bool]]] = {}
        for piece in self._joined(pieces):
            at = len(whole)
            whole += piece.ids
            if piece.owner is not None and not piece.is_words:
                first, before, seen = places.get(piece.owner, (at, at, []))
                seen = [*seen, *[False] * (at - before), *(item == self.visual for item in piece.ids)]
                places[piece.owner] = first, len(whole), seen
        return whole, places

    def _at_slots(self, ids: Sequence[int], wanted: dict[str, list[Item]]) -> list[Piece] | None:
        """Return pieces with items at their slots; None if the prompt's slots do not match."""
        waiting = {modality: iter(found) for modality, found in wanted.items()}
        pieces: list[Piece] = []
        place = taken = 0
        while place < len(ids):
            modality = next((entry for entry in PLACEHOLDERS if self._is_slot(ids, place, entry)), None)
            if modality is None:
                pieces.append(self._piece(ids[place]))
                place += 1
                continue
            item = next(waiting[modality], None)
            if item is None:
                return None
            pieces += self._of(item)
            place += len(self.slot(modality))
            taken += 1
        return pieces if taken == sum(map(len, wanted.values())) else None

    def _at_words(self, ids: Sequence[int], wanted: dict[str, list[Item]]) -> list[Piece]:
        """Return pieces with items at `<image>` or `<video>` in the text."""
        waiting = {modality: iter(found) for modality, found in wanted.items()}
        counts = dict.fromkeys(PLACEHOLDERS, 0)
        pieces: list[Piece] = []
        for piece in self._runs([self._piece(entry) for entry in ids]):
            text = self._text(piece.ids) if piece.is_words else ""
            if not any(wanted[entry] and mark in text for entry, mark in PLACEHOLDERS.items()):
                pieces.append(piece)
                continue
            while text:
                at, modality = min(
                    (
                        (text.find(mark), entry)
                        for entry, mark in PLACEHOLDERS.items()
                        if wanted[entry] and mark in text
                    ),
                    default=(len(text), ""),
                )
                if text[:at]:
                    pieces.append(Piece(self.encoder.text(text[:at]), True))
                if modality:
                    counts[modality] += 1
                    pieces += self._of(item) if (item := next(waiting[modality], None)) else []
                text = text[at + len(PLACEHOLDERS.get(modality, "")) :]
        for modality, found in wanted.items():
            if counts[modality] != len(found):
                raise InputError(
                    f"the prompt has {counts[modality]} {PLACEHOLDERS[modality]} for {len(found)} {modality}s: "
                    "write one for each"
                )
        return pieces

    def _is_slot(self, ids: Sequence[int], place: int, modality: str) -> bool:
        slot = self.slot(modality)
        return list(ids[place : place + len(slot)]) == slot

    def _piece(self, token: int, owner: tuple[str, int] | None = None) -> Piece:
        return Piece([token], token not in self.control, owner)

    def _of(self, item: Item) -> Iterator[Piece]:
        """Return an item's own pieces: text, and whole images."""
        held: list[int] | None = None
        for token in item.ids:
            if held is not None:
                held.append(token)
                if token == self.end:
                    yield Piece(held, False, item.key)
                    held = None
            elif token == self.start:
                held = [token]
            else:
                yield self._piece(token, item.key)

    def _runs(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Merge adjacent text of one owner, with tokens unchanged."""
        runs: list[Piece] = []
        for piece in pieces:
            if runs and piece.is_words and runs[-1].is_words and piece.owner == runs[-1].owner:
                runs[-1].ids += piece.ids
            else:
                runs.append(Piece(list(piece.ids), piece.is_words, piece.owner))
        return runs

    def _joined(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Merge an item's text with adjacent prompt text into one string, tokenized as in `encode`."""
        found: list[Piece] = []
        for run in self._runs(pieces):
            if found and run.is_words and found[-1].is_words:
                text = self._text(found[-1].ids) + self._text(run.ids)
                found[-1] = Piece(self.encoder.text(text), True)
            else:
                found.append(run)
        return found

    def _text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

"""The data of an explanation, drawn by the page, the figure and the overlay."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.explain.faithfulness import Faithfulness
from pixelword.explain.maps import Maps
from pixelword.explain.occlusion import Occlusion
from pixelword.explain.trace import Reading


@dataclass(frozen=True)
class Evidence:
    """The evidence for an answer. occlusion and faithfulness are None if nothing was hidden."""

    question: str
    reading: Reading
    maps: Maps
    occlusion: Occlusion | None
    faithfulness: Faithfulness | None

    @property
    def answer(self) -> str:
        return self.reading.answer

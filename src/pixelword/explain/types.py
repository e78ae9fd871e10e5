"""What an answer rests on, as plain data: the page, the sheet and the overlay draw it."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.explain.faithfulness import Faithfulness
from pixelword.explain.maps import Maps
from pixelword.explain.occlusion import Occlusion
from pixelword.explain.trace import Reading


@dataclass(frozen=True)
class Evidence:
    """What an answer rests on. occlusion and faithfulness are None where nothing was hidden."""

    question: str
    reading: Reading
    maps: Maps
    occlusion: Occlusion | None
    faithfulness: Faithfulness | None

    @property
    def answer(self) -> str:
        return self.reading.answer

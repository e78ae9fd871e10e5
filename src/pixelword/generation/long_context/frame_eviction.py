"""Videos longer than memory: the keys and values of old frames that a question attends to least are evicted.

Frames are read a few at a time. When more are cached than allowed, the words after the last frame are read, the frames
that they attend to least are dropped, and the words are taken back. Time, place and label of what stays do not change,
so the network needs no change and no training; but a frame that was read after another has attended to it already, so
not all of it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.generation.long_context.incremental_prefill import IncrementalPrefill
from pixelword.processing.types import Encoded

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration

#: At most this many tokens at the end of a prompt are used to score the frames.
_WORDS = 256


@dataclass(frozen=True)
class Frame:
    """Places of a video's frame in a prompt: its label from `start`, its visual tokens [first, stop).

    opens: it is the first of its video, and `start` its first visual token: the words before it are not its own.
    """

    start: int
    first: int
    stop: int
    opens: bool


def frames_of(prompt: Encoded) -> list[Frame]:
    """The frames of a prompt's videos, in order. The words since the frame before are a frame's label."""
    found: list[Frame] = []
    video = None
    for image in prompt.images:
        if image.video is not None:
            opens = image.video != video
            found.append(Frame(image.start if opens else found[-1].stop, image.start, image.stop, opens))
            video = image.video
    return found


class EvictingPrefill(IncrementalPrefill):
    """Reads a prompt so that at most half as many again as `kept` frames are ever held, and `kept` in the end.

    A video's first frame and the newest one always stay: the first has the words before it for a label, and the newest
    is not old.
    """

    def __init__(
        self,
        model: NeoOVForConditionalGeneration,
        prompt: Encoded,
        frames: Sequence[Frame],
        kept: int,
    ) -> None:
        """frames: those of the prompt. kept: as in `LongInputs`."""
        super().__init__(model, prompt)
        self.frames, self.kept = frames, kept

    def read_whole(self) -> Tensor:
        """Read the prompt; returns logits (vocabulary,) of its last token."""
        room = max(1, self.kept // 2)
        held: list[Frame] = []
        a = 0
        for number in range(0, len(self.frames), room):
            new = self.frames[number : number + room]
            self.read(a, new[-1].stop)
            a = new[-1].stop
            held += new
            if len(held) > self.kept:
                held = self.evict(held)
        logits = self.read(a, len(self.prompt))
        return logits

    def evict(self, held: list[Frame]) -> list[Frame]:
        """Drop the frames that the words after the last one attend to least; returns those that stay."""
        start = max(self.frames[-1].stop, len(self.prompt) - _WORDS)
        attention = self.attention(start, len(self.prompt))
        attention_mass = [float(attention[self._within(frame.first, frame.stop)].sum()) for frame in held]
        evictable = [place for place, frame in enumerate(held[:-1]) if not frame.opens]
        gone = set(sorted(evictable, key=lambda place: attention_mass[place])[: len(held) - self.kept])
        keep = torch.ones(len(self.held), dtype=torch.bool)
        for place in gone:
            keep &= ~self._within(held[place].start, held[place].stop)
        self.keep(keep)
        return [frame for place, frame in enumerate(held) if place not in gone]

    def _within(self, start: int, stop: int) -> Tensor:
        """(n,) bool: what is held of places [start, stop)."""
        return (self.held >= start) & (self.held < stop)

"""Videos longer than memory: the keys and values of old frames that a question looks at least are let go.

Frames are read a few at a time. When more are held than may be, the words after the last frame are read, the frames
that they look at least are dropped or merged into the frame before, and the words are taken back. Time, place and
label of what stays are as they were, so the network needs no change and no training; but a frame that was read after
another has looked at it already, and so not all of it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.inference.long_inputs import OldFrames
from pixelword.inference.reader import Reader
from pixelword.model.rotary import rotate
from pixelword.processing.types import Encoded

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration

#: Words at the end of a prompt that are asked where they look, at most.
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


class OldFramesReader(Reader):
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
        old: OldFrames = "drop",
    ) -> None:
        """frames: those of the prompt. kept, old: as in `LongInputs`."""
        super().__init__(model, prompt)
        self.frames, self.kept, self.old = frames, kept, old

    @property
    def steps(self) -> int:
        """What the context bounds here: steps of t, of which a frame takes few, however many tokens it has."""
        return int(self.positions[0].max()) + 1

    def answer(self, choose: Callable[[Tensor], int]) -> Iterator[int]:
        """Read the prompt, and tokens of the answer for as long as somebody takes them.

        choose: gives the next token for logits (vocabulary,).
        """
        logits = self.read_whole()
        while True:
            yield (token := choose(logits))
            logits = self.next(token)

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
                held = self._let_go(held)
        logits = self.read(a, len(self.prompt))
        return logits

    def _let_go(self, held: list[Frame]) -> list[Frame]:
        """Drop or merge the frames that the words after the last one look at least; those that stay."""
        start = max(self.frames[-1].stop, len(self.prompt) - _WORDS)
        looked = self.attention(start, len(self.prompt))
        worth = [float(looked[self._within(frame.first, frame.stop)].sum()) for frame in held]
        old_places = [place for place, frame in enumerate(held[:-1]) if not frame.opens]
        gone = set(sorted(old_places, key=lambda place: worth[place])[: len(held) - self.kept])
        keep = torch.ones(len(self.held), dtype=torch.bool)
        last = 0
        for place, frame in enumerate(held):
            if place not in gone:
                last = place
                continue
            if self.old == "merge" and self._merge(frame, worth[place], held[last], worth[last]):
                worth[last] += worth[place]
            keep &= ~self._within(frame.start, frame.stop)
        self.keep(keep)
        return [frame for place, frame in enumerate(held) if place not in gone]

    def _within(self, start: int, stop: int) -> Tensor:
        """(n,) bool: what is held of places [start, stop)."""
        return (self.held >= start) & (self.held < stop)

    def _merge(self, frame: Frame, worth: float, into: Frame, other: float) -> bool:
        """Average a frame into an earlier one of the same size, token by token, weighed by what they are worth.

        Keys are turned back to the other's time first. False of another size: the frame is only dropped.
        """
        own, theirs = (self._within(one.first, one.stop).nonzero()[:, 0] for one in (frame, into))
        if not self._same_places(own, theirs) or not worth + other:
            return False
        share, device = worth / (worth + other), self.model.device
        own, theirs = own.to(device), theirs.to(device)
        apart = int(self.positions[0, 0, into.first] - self.positions[0, 0, frame.first])
        back = torch.full((3, 1, 1), apart, device=device)

        def averaged(x: Tensor, turned: Tensor) -> Tensor:
            x = x.clone()
            x[:, :, theirs] = ((1 - share) * x[:, :, theirs].float() + share * turned.float()).to(x.dtype)
            return x

        def keys(x: Tensor) -> Tensor:
            cos, sin = self.model.get_decoder().rotary(back, torch.float32)
            return averaged(x, rotate(x[:, :, own].float(), cos, sin))

        self.change(keys, lambda x: averaged(x, x[:, :, own]))
        return True

    def _same_places(self, own: Tensor, theirs: Tensor) -> bool:
        """Whether two frames have the same rows and columns."""
        if len(own) != len(theirs):
            return False
        hw = self.positions[1:, 0] - self.positions[:1, 0]
        return torch.equal(hw[:, self.held[own]], hw[:, self.held[theirs]])

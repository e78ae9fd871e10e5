"""A question with its right answer as the network reads it, and the network over it under interventions."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixelword.errors import ContextError
from pixelword.explain.probe.intervention import Intervention, restricted
from pixelword.explain.trace import Step, layer_step
from pixelword.generation.limits import answer_room, end_tokens
from pixelword.model.masks import Interval, interval

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.types import Encoded


@dataclass(frozen=True)
class Score:
    """How the right answer fares.

    right: greedy decoding would write it: each of its tokens, the end included, is the likeliest after those before it.
    likelihood: geometric mean of its tokens' probabilities. tokens: the likeliest token at each of its places.
    """

    right: bool
    likelihood: float
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """A question and its right answer, L tokens in one row.

    Attributes:
        encoded: The sequence, answer included.
        embeds: (1, L, hidden_size), before the first layer.
        visual: (L,) bool, the visual tokens.
        images: Places of each image's or frame's visual tokens.
        rows: (N,) places whose states produce the answer's N tokens.
        targets: (N,) those tokens.
    """

    key: str
    model: NeoOVForConditionalGeneration
    encoded: Encoded
    embeds: Tensor
    rotary: tuple[Tensor, Tensor]
    visible: Interval
    visual: Tensor
    images: tuple[range, ...]
    rows: Tensor
    targets: Tensor

    @property
    def text(self) -> Tensor:
        """(L,) bool: everything that is not a visual token, markers included."""
        return ~self.visual

    def steps(self, interventions: Collection[Intervention] = ()) -> Iterator[tuple[Tensor, Step]]:
        """Each layer's states (1, L, hidden_size) before it, and the layer."""
        hidden = self.embeds
        for number in range(self.model.config.get_text_config().num_hidden_layers):
            holes = restricted(self.visible, interventions, number)
            visible, kernel = (self.visible, None) if holes is None else (holes, "eager")
            step = layer_step(self.model, number, hidden, self.rotary, visible, self.visual, kernel)
            yield hidden, step
            hidden = step.out

    @torch.no_grad()
    def states(self, interventions: Collection[Intervention] = ()) -> list[Tensor]:
        """(L, hidden_size) before each layer, and after the last, before its norm."""
        found = [self.embeds[0]]
        return found + [step.out[0] for _, step in self.steps(interventions)]

    @torch.no_grad()
    def logits(self, interventions: Collection[Intervention] = ()) -> Tensor:
        """(N, vocabulary): at the answer's places."""
        hidden = self.embeds
        for _, step in self.steps(interventions):
            hidden = step.out
        return self.read_out(hidden[0])

    @torch.no_grad()
    def read_out(self, state: Tensor) -> Tensor:
        """(N, vocabulary) from states (L, hidden_size): the last norm and the head."""
        decoder: Any = self.model.get_decoder()
        head: Any = self.model.get_output_embeddings()
        return head(decoder.norm(state[None])[:, self.rows])[0]

    def scored(self, logits: Tensor) -> Score:
        """Score logits (N, vocabulary)."""
        logs = logits.float().log_softmax(-1)
        best = logs.argmax(-1)
        own = logs.gather(-1, self.targets[:, None]).mean()
        return Score(bool((best == self.targets).all()), math.exp(float(own)), tuple(best.tolist()))

    def score(self, *interventions: Intervention) -> Score:
        """Score the right answer under interventions."""
        return self.scored(self.logits(interventions))


@torch.no_grad()
def asked(session: Session, key: str, messages: Sequence[dict[str, Any]], answer: str) -> Asked:
    """Read a conversation that ends with a question, and its right answer.

    Raises:
        ContextError: they do not fit into the model's context.
        InputError, MediaError: as `NeoOVProcessor.encode`.
    """
    model = session.model
    turns = [*messages, {"role": "assistant", "content": answer}]
    encoded = session.processor.encode(turns, media=session.media)
    if answer_room(encoded, session.context) < 0:
        raise ContextError(f"{key}: {len(encoded):,} tokens exceed the model's context of {session.context:,}")
    inputs = session.processor.batch([encoded])
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    read = model(**inputs, use_cache=False, output_hidden_states=[0], logits_to_keep=1)
    embeds = read.hidden_states[0]
    grid = inputs.get("image_grid_hw")
    positions, _ = model.get_rope_index(inputs["input_ids"], grid, None, inputs["mm_token_type_ids"])
    rotary = model.get_decoder().rotary(positions, embeds.dtype)
    places = _answer_places(encoded, end_tokens(model, session.processor)).to(model.device)
    images = tuple(range(image.start, image.stop) for image in encoded.images)
    return Asked(
        key, model, encoded, embeds, rotary, interval(positions), inputs["mm_token_type_ids"][0] != 0, images,
        places - 1, inputs["input_ids"][0, places],
    )  # fmt: skip


def _answer_places(encoded: Encoded, ends: Collection[int]) -> Tensor:
    """(N,) places of the last turn's tokens, up to the one that ends it."""
    learned = (encoded.labels != -100).nonzero()[:, 0]
    gaps = (learned.diff() > 1).nonzero()[:, 0]
    last = learned[int(gaps[-1]) + 1 :] if len(gaps) else learned
    closing = [place for place, token in enumerate(encoded.input_ids[last].tolist()) if token in ends]
    return last[: closing[0] + 1] if closing else last

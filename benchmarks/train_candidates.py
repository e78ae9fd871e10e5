"""What a training step is measured on: documents as they come, and the layouts they are trained in.

Every layout trains the same documents to the same loss and gradients (a test holds them equal): only the way they
are laid out, and the kernel, differ. Each gives micro-batches of the model's arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from candidates import BUILDERS, CONTEXT, END, START, WORDS
from cases import LONGEST, Shape
from transformers import PreTrainedModel

from pixelword.data.packing.packer import IGNORED, Packer, fill, visible_pairs
from pixelword.data.types import Pack
from pixelword.processing.types import Encoded, ImageSpan

Inputs = dict[str, torch.Tensor]

TOGETHER = 8  # documents of a padded micro-batch
PAD = 0


def documents(count: int, shape: Shape, longest: int = LONGEST, seed: int = 0) -> list[Encoded]:
    """Documents in the mix of a mid-training set; `longest` below 4,096 makes all of them shorter in proportion.

    25 % text (about 300 tokens), 35 % one picture and a short answer, 25 % one picture and a long answer, 10 % two to
    four pictures, 5 % a clip of 8 to 32 frames. Pictures come at their own resolution: each side log-uniform, 8 to 48
    visual tokens (256 to 1,536 pixels) alone, 8 to 24 in numbers, 8 to 10 for frames, which are all alike. What is
    longer than `longest` is drawn anew.
    """
    rng = torch.Generator().manual_seed(seed)
    scale = longest / LONGEST

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    def words(middle: float) -> int:
        """Log-normal, as lengths of text are."""
        drawn = middle * float(torch.empty(()).log_normal_(0.0, 0.8, generator=rng))
        return max(2, round(scale * min(drawn, LONGEST / 4)))

    def side(low: int, high: int) -> int:
        return max(1, round(scale**0.5 * low * (high / low) ** uniform(0, 1)))

    def draw() -> Encoded:
        kind = uniform(0, 1)
        if kind < 0.25:
            return document([], words(120), words(180), shape, rng)
        if kind < 0.60:
            return document([(side(8, 48), side(8, 48))], words(30), words(6), shape, rng)
        if kind < 0.85:
            return document([(side(8, 48), side(8, 48))], words(30), words(220), shape, rng)
        if kind < 0.95:
            pictures = [(side(8, 24), side(8, 24)) for _ in range(round(uniform(1.5, 4.5)))]
            return document(pictures, words(40), words(100), shape, rng)
        frames = [(side(8, 10), side(8, 10))] * round(uniform(8, 32))
        return document(frames, words(40), words(60), shape, rng)

    drawn: list[Encoded] = []
    while len(drawn) < count:
        encoded = draw()
        if len(encoded) <= longest:
            drawn.append(encoded)
    return drawn


def document(
    pictures: Sequence[tuple[int, int]], asked: int, answered: int, shape: Shape, rng: torch.Generator
) -> Encoded:
    """Pictures of (rows, columns) visual tokens, `asked` words, then `answered` words that are learnt; random data."""
    seen: list[int] = []
    images: list[ImageSpan] = []
    for h, w in pictures:
        first = images[-1].patches.stop if images else 0
        images.append(ImageSpan(len(seen) + 1, len(seen) + 1 + h * w, first, (2 * h, 2 * w)))
        seen += [START, *[CONTEXT] * (h * w), END]
    words = torch.randint(WORDS, shape.vocab_size, (asked + answered,), generator=rng)
    ids = torch.cat((torch.tensor(seen, dtype=torch.long), words))
    labels = ids.clone()
    labels[:-answered] = IGNORED
    grid = 2 * torch.tensor(pictures, dtype=torch.long).view(-1, 2)
    pixels = torch.randn(int(grid.prod(-1).sum()), 3 * 16 * 16, generator=rng)
    return Encoded(ids, labels, (ids == CONTEXT).long(), pixels, grid, tuple(images))


def cost(drawn: Sequence[Encoded]) -> dict[str, int]:
    """What the documents hold, whatever the layout: tokens, supervised tokens, visible pairs, patches."""
    pictures = [(encoded.image_grid_hw.prod(-1) // 4).tolist() for encoded in drawn]
    return {
        "tokens": sum(map(len, drawn)),
        "supervised": sum(int((encoded.labels != IGNORED).sum()) for encoded in drawn),
        "pairs": sum(visible_pairs(len(encoded), tokens) for encoded, tokens in zip(drawn, pictures, strict=True)),
        "patches": sum(len(encoded.pixel_values) for encoded in drawn),
    }


def stream(count: int, length: int, shape: Shape) -> list[Pack]:
    """`count` packs of one row, filled with documents as they come, each at most a quarter as long as the row."""
    longest = min(LONGEST, length // 4)
    drawn = iter(documents(count * (10 + 12 * length // longest), shape, longest))
    packs = [fill(drawn, Packer(1, length, PAD, "token")) for _ in range(count)]
    assert next(drawn, None) is not None, "too few documents were drawn to fill the packs"
    return packs


def packed(drawn: Sequence[Encoded], longest: int) -> list[Inputs]:
    """Rows of exactly `longest` tokens, one a micro-batch, filled by first fit, the longest document first."""
    packs: list[Packer] = []
    for encoded in sorted(drawn, key=len, reverse=True):
        if not any(pack.add(encoded) for pack in packs):
            packs.append(Packer(1, longest, PAD, "token"))
            packs[-1].add(encoded)
    return [pack.pack().inputs() for pack in packs]


def padded(drawn: Sequence[Encoded], longest: int) -> list[Inputs]:
    """`TOGETHER` documents a micro-batch as they come, each row padded to the longest of them."""
    return [_pad(drawn[a : a + TOGETHER]) for a in range(0, len(drawn), TOGETHER)]


def grouped(drawn: Sequence[Encoded], longest: int) -> list[Inputs]:
    """As `padded`, documents of like length together (as trainers' `group_by_length`): the least padding there is."""
    return padded(sorted(drawn, key=len), longest)


def single(drawn: Sequence[Encoded], longest: int) -> list[Inputs]:
    """One document a micro-batch: no padding, no packing, a shape each."""
    return [_pad([encoded]) for encoded in drawn]


def _pad(drawn: Sequence[Encoded]) -> Inputs:
    longest = max(map(len, drawn))

    def rows(parts: list[torch.Tensor], value: int) -> torch.Tensor:
        return torch.stack([torch.nn.functional.pad(part, (0, longest - len(part)), value=value) for part in parts])

    labels = rows([e.labels for e in drawn], IGNORED)
    inputs = {
        "input_ids": rows([e.input_ids for e in drawn], PAD),
        "attention_mask": rows([torch.ones_like(e.input_ids) for e in drawn], 0),
        "mm_token_type_ids": rows([e.mm_token_type_ids for e in drawn], 0),
        "labels": labels,
        "loss_weight": (labels != IGNORED).float(),
    }
    if not any(len(e.image_grid_hw) for e in drawn):
        return inputs
    return inputs | {
        "pixel_values": torch.cat([e.pixel_values for e in drawn]),
        "image_grid_hw": torch.cat([e.image_grid_hw for e in drawn]),
    }


#: name (as in `cases.LAYOUTS`) -> which of `candidates.BUILDERS`, and (documents, longest) -> micro-batches.
LAYOUTS: dict[str, tuple[str, Callable[[Sequence[Encoded], int], list[Inputs]]]] = {
    "packed": ("ours", packed),
    "padded": ("ours", padded),
    "grouped": ("ours", grouped),
    "padded-dense": ("dense", padded),
    "single": ("ours", single),
    "dense": ("dense", packed),
}


def build(layout: str, shape: Shape) -> PreTrainedModel:
    """The layout's model in float32 with random weights, equal for all layouts, ready to train."""
    torch.manual_seed(0)
    return BUILDERS[LAYOUTS[layout][0]].build(shape).float().train()


def train(model: PreTrainedModel, batches: Sequence[Inputs], normalizer: float, dtype: torch.dtype) -> float:
    """Forward and backward of all micro-batches, as one step: gradients add up. Returns the step's loss.

    dtype: of the arithmetic.
    """
    total = torch.zeros(())
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(**batch, num_items_in_batch=normalizer, skip_logits=True).loss
        loss.backward()
        total += loss.detach()
    return float(total)

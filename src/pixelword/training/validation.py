"""Held-out loss and exact answers per kind, with the answer's earlier tokens given (cheap: one forward a pack)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pixelword.data.packing import IGNORED
from pixelword.data.schema import Pack
from pixelword.training.building import precision

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.drawn import DrawnPacks
    from pixelword.training.recipe import Recipe


def exact_answers(logits: torch.Tensor, pack: Pack) -> tuple[int, int]:
    """(right, all) documents of `pack`: right when the argmax of `logits` (rows, length, vocabulary) is the label at
    every answer token."""
    flat = pack.labels.flatten()
    predicted = logits.argmax(-1).flatten()
    # the token at i is predicted from i - 1; a document's first token never has a label
    positions = (flat != IGNORED).nonzero().squeeze(1)
    wrong = (predicted[positions - 1] != flat[positions]).long()
    documents = torch.searchsorted(pack.cu_seqlens.long(), positions, right=True) - 1
    errors = torch.zeros(pack.cu_seqlens.numel() - 1, dtype=torch.int64).index_add_(0, documents, wrong)
    asked = documents.unique()
    return int((errors[asked] == 0).sum()), asked.numel()


class Validation:
    """The same held-out packs at every call; one question a document."""

    def __init__(self, recipe: Recipe, drawn: DrawnPacks) -> None:
        assert recipe.validation is not None
        self.recipe = recipe.validation
        self._precision = recipe.precision
        self._packs = {
            kind: [drawn.held_out(kind, number, self.recipe.level) for number in range(self.recipe.packs)]
            for kind, weight in recipe.data.mixture.items()
            if weight > 0
        }

    @torch.no_grad()
    def run(self, model: NeoOVForConditionalGeneration) -> dict[str, Any]:
        """{"loss": mean over kinds, "losses": per kind, "exact": share of exact answers per kind}."""
        model.eval()
        losses, exact = {}, {}
        for kind, packs in self._packs.items():
            loss, right, asked = 0.0, 0, 0
            for pack in packs:
                with precision(self._precision):
                    output = model(**pack.inputs())
                loss += output.loss.item() / len(packs)
                pack_right, pack_asked = exact_answers(output.logits, pack)
                right, asked = right + pack_right, asked + pack_asked
            losses[kind], exact[kind] = round(loss, 4), round(right / asked, 4)
        model.train()
        return {"loss": round(sum(losses.values()) / len(losses), 4), "losses": losses, "exact": exact}

"""What to change in a recipe whose stage does not fit its GPU, found by estimating it again with the change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pixelword.training.cost.estimate import estimate
from pixelword.training.recipe import LoraRecipe

if TYPE_CHECKING:
    from pixelword.training.cost.hardware import Machine
    from pixelword.training.recipe import Recipe

#: Rows are not advised to be shorter than this: a picture of 1024² pixels and a question about it.
_SHORTEST = 2048
#: (as `--set` takes it, what it costs, part -> fields).
Change = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Remedy:
    """A change, as `--set` takes it, on top of those before it; the memory (bytes) of one GPU with it."""

    change: str
    reason: str
    memory: float
    fits: bool


def remedies(recipe: Recipe, machine: Machine, mfu: float) -> list[Remedy]:
    """Changes, the cheapest for the result first, until the stage fits; those that save little are left out.

    Adapters in place of whole weights come in where nothing less is enough, and before rows are shortened for them.
    """
    free = [*_checkpointing(), *_rows(recipe)]
    found = _tried(recipe, machine, mfu, [*free, *_lengths(recipe)])
    if found and found[-1].fits:
        return found
    return _tried(recipe, machine, mfu, [*free, *_adapters(recipe), *_lengths(recipe)])


def _tried(recipe: Recipe, machine: Machine, mfu: float, changes: Iterable[Change]) -> list[Remedy]:
    found: list[Remedy] = []
    least = estimate(recipe, machine, mfu).memory.total
    for change, reason, update in changes:
        if least <= machine.memory:
            break
        changed = _updated(recipe, update)
        memory = estimate(changed, machine, mfu).memory.total
        if memory < 0.98 * least:
            recipe, least = changed, memory
            found.append(Remedy(change, reason, memory, memory <= machine.memory))
    return found


def _checkpointing() -> Iterator[Change]:
    for kind, cost in (("selective", "steps are a little slower"), ("full", "steps are about a third slower")):
        yield f"activation_checkpointing={kind}", cost, {"activation_checkpointing": kind}


def _rows(recipe: Recipe) -> Iterator[Change]:
    if recipe.data.rows > 1:
        packs = recipe.data.packs * recipe.data.rows
        yield "data.rows=1", f"data.packs={packs} keeps the samples of a step", {"data": {"rows": 1}}


def _lengths(recipe: Recipe) -> Iterator[Change]:
    length = recipe.data.longest
    while length > _SHORTEST:
        length = max(length // 2, _SHORTEST)
        yield f"data.length={length}", "larger images are shrunk", {"data": {"length": length}}


def _adapters(recipe: Recipe) -> Iterator[Change]:
    if recipe.lora is None:
        lora = LoraRecipe(rank=16, alpha=32, base="bf16")
        change = "trainable=[] --set 'lora={rank: 16, alpha: 32, base: bf16}'"
        yield change, "adapters alone are trained", {"lora": lora, "trainable": []}
        return
    if recipe.lora.base == "fp32":
        yield "lora.base=bf16", "frozen projections are stored as released", {"lora": {"base": "bf16"}}
    if recipe.lora.base != "int8":
        yield "lora.base=int8", "frozen projections are rounded to 8 bits", {"lora": {"base": "int8"}}


def _updated(recipe: Recipe, update: dict[str, Any]) -> Recipe:
    values = {
        name: getattr(recipe, name).model_copy(update=value) if isinstance(value, dict) else value
        for name, value in update.items()
    }
    return recipe.model_copy(update=values)

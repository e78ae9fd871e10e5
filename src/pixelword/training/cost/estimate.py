"""Estimates the cost of a stage from its recipe: parameters, memory, tokens, FLOPs, communication, time.

No weights or data are read. The network is built on the meta device; nano's tasks are generated (that is fast), and
average samples of files and of mini's tasks come from `data.expect`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from pixelword.checkpoints.names import WEIGHTS
from pixelword.data.packing.packer import visible_pairs
from pixelword.errors import RecipeError
from pixelword.model.meta import meta_model
from pixelword.processing.processor import NeoOVProcessor
from pixelword.training.building import build_processor
from pixelword.training.cost.flops import Rates, network_rates
from pixelword.training.cost.hardware import CPU, Communication, Machine, communication, machine
from pixelword.training.cost.memory import FLOAT, Load, Memory, adapter_parameters, moments, step_memory
from pixelword.training.cost.throughput import Counts
from pixelword.training.precision import compute_dtype, precision_name
from pixelword.training.sizes import stage_config
from pixelword.training.stages import ROLES, role_of, set_trainable
from pixelword.training.synthetic import DrawnPacks

if TYPE_CHECKING:
    from pixelword.data.recipe import ExpectRecipe
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import Recipe

_DRAWN = 4  # drawn packs that are looked at


@dataclass(frozen=True)
class Work:
    """Contents of a number of packs. samples: 0 if unknown (synthetic tasks)."""

    slots: float = 0
    tokens: float = 0
    samples: float = 0
    pictures: float = 0
    patches: float = 0
    pairs: float = 0
    supervised: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def __mul__(self, factor: float) -> Work:
        return Work(**{name: value * factor for name, value in asdict(self).items()})


@dataclass(frozen=True)
class Estimate:
    """The cost of a stage.

    precision: of the products, "bf16" or "fp32". parameters: role -> (all, trained); each parameter counts in one
    role. shard: GPUs that share the weights. step, stage: what a step (the mean one) and the whole stage hold, over
    all GPUs. flops: of such a step, as MFU counts them; again: FLOPs on top that checkpointing computes twice.
    step_seconds, hours: at `mfu`, without waiting for data or for communication (which overlaps). checkpoint: bytes
    on the disk of one saved state.
    """

    stage: str
    machine: Machine
    mfu: float
    precision: str
    shard: int
    micro_batches: int
    parameters: dict[str, tuple[int, int]]
    memory: Memory
    step: Work
    stage_work: Work
    steps: int
    flops: float
    again: float
    step_seconds: float
    hours: float
    communication: Communication
    checkpoint: float

    @property
    def tokens_per_day(self) -> float:
        """Tokens without padding, over all GPUs."""
        return self.step.tokens / self.step_seconds * 86400

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers: bytes, seconds and FLOPs."""
        return {**asdict(self), "memory_total": self.memory.total, "tokens_per_day": self.tokens_per_day}


def machine_for(recipe: Recipe, kind: str | None = None, gpus: int | None = None) -> Machine:
    """The machine that is meant: by default H100s for a recipe that wants CUDA, as many as can share its packs up to
    one node, and this machine's CPU for others. Raises InputError for an unknown kind.
    """
    kind = kind or ("H100" if recipe.device == "cuda" or gpus else CPU)
    if kind.upper() == CPU:
        return machine(kind, gpus or 1, compute_dtype(recipe, torch.device("cpu")))
    return machine(kind, gpus or math.gcd(recipe.data.packs, 8))


def estimate(recipe: Recipe, machine: Machine, mfu: float) -> Estimate:
    """The cost of a recipe's stage on a machine, at a stated model FLOPs utilisation.

    Raises RecipeError when the recipe does not say which network it is for, or its packs and shards do not divide.
    """
    if recipe.precision == "auto":
        precision = "bf16" if machine.name != CPU else precision_name(compute_dtype(recipe, torch.device("cpu")))
        recipe = recipe.model_copy(update={"precision": precision})
    shard, micro_batches = _division(recipe, machine.gpus)
    network = meta_model(stage_config(recipe))
    set_trainable(network, recipe.trainable)
    lora = recipe.lora
    rates = network_rates(network, lora.rank, lora.targets) if lora else network_rates(network)
    pack = _expected(recipe) if recipe.data.sources or recipe.data.tasks != "nano" else _drawn(recipe)
    shares = _shares(recipe)
    mean = sum((pack(length) * (share * recipe.data.packs) for length, share in shares.items()), Work())
    longest = pack(recipe.data.longest)
    flops = rates.flops(mean.tokens, mean.pairs, mean.supervised, mean.patches)
    seconds = flops / (machine.gpus * machine.peak * mfu)
    hours = recipe.steps * seconds / 3600
    if recipe.max_minutes:
        hours = min(hours, recipe.max_minutes / 60)
    parameters = _parameters(network, recipe)
    trained = sum(own for _, own in parameters.values())
    whole = sum(count for count, _ in parameters.values())
    gathers = 2 if recipe.parallel.reshard_after_forward else 1
    compute = 2 if recipe.precision == "bf16" else FLOAT
    # the trained weights and their optimizer's state, and the frozen ones where no checkpoint has them
    saved = trained * (2 if recipe.optimizer.ema else 1) + moments(network, recipe)
    saved += whole - trained if recipe.model.from_ is None else 0
    return Estimate(
        stage=recipe.stage,
        machine=machine,
        mfu=mfu,
        precision=recipe.precision,
        shard=shard,
        micro_batches=micro_batches,
        parameters=parameters,
        memory=step_memory(
            network,
            recipe,
            Load(longest.slots, longest.supervised, longest.patches),
            shard,
            gpu=machine.name != CPU,
        ),
        step=mean,
        stage_work=mean * recipe.steps,
        steps=recipe.steps,
        flops=flops,
        again=_again(recipe, rates, mean),
        step_seconds=seconds,
        hours=hours,
        communication=communication(machine, shard, whole * compute, trained * FLOAT, micro_batches, gathers),
        checkpoint=saved * FLOAT,
    )


def _division(recipe: Recipe, gpus: int) -> tuple[int, int]:
    """Return (GPUs per shard group, packs per GPU and step)."""
    packs = recipe.data.packs
    shard = 1 if gpus == 1 else recipe.parallel.shard or gpus
    if packs % gpus:
        raise RecipeError(f"data.packs: {packs} packs a step cannot be shared evenly by {gpus} GPUs")
    if gpus % shard:
        raise RecipeError(f"parallel.shard: {shard} does not divide {gpus} GPUs; --set parallel.shard={gpus}")
    return shard, packs // gpus


def _parameters(network: NeoOVForConditionalGeneration, recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Return role -> (all, trained) parameters; adapters are a separate row."""
    owner = role_of(network)
    counted = {role: [0, 0] for role in ROLES}
    for parameter in network.parameters():
        row = counted[owner[id(parameter)]]
        row[0] += parameter.numel()
        row[1] += parameter.numel() * parameter.requires_grad
    adapters = adapter_parameters(network, recipe)
    rows = {role: (count, trained) for role, (count, trained) in counted.items()}
    return {**rows, "adapters": (adapters, adapters)} if adapters else rows


def _shares(recipe: Recipe) -> dict[int, float]:
    """Return row length -> share of the stage's steps with it."""
    points = recipe.data.length if isinstance(recipe.data.length, list) else [(0.0, recipe.data.length)]
    starts = [0.0, *(fraction for fraction, _ in points[1:]), 1.0]
    shares: dict[int, float] = {}
    for (_, length), start, end in zip(points, starts, starts[1:], strict=False):
        shares[length] = shares.get(length, 0.0) + end - start
    return shares


def _expected(recipe: Recipe) -> Callable[[int], Work]:
    """Return the work of a pack of average samples (`data.expect`), by row length."""
    data, expect = recipe.data, recipe.data.expect

    def pack(length: int) -> Work:
        slots = data.rows * length
        tokens = slots * expect.fill
        samples = tokens / min(expect.tokens, length)
        return Work(
            slots=slots,
            tokens=tokens,
            samples=samples,
            pictures=samples * expect.images,
            patches=tokens * expect.visual * 4,
            pairs=samples * _pairs(expect, length),
            supervised=tokens * expect.answer,
        )

    return pack


def _pairs(expect: ExpectRecipe, length: int) -> float:
    """Return the visible pairs of an average sample; quadratic in its tokens, so they grow with the spread."""
    tokens = round(min(expect.tokens, length))
    if not expect.images:
        return expect.spread * visible_pairs(tokens, [])
    picture = round(tokens * expect.visual / expect.images)
    beyond_causal = visible_pairs(picture, [picture]) - visible_pairs(picture, [])
    return expect.spread * (visible_pairs(tokens, []) + expect.images * beyond_causal)


def _drawn(recipe: Recipe) -> Callable[[int], Work]:
    """Return the mean of a few packs from the stage's end, with nano's processor if the previous stage is missing."""
    there = recipe.model.from_ is None or (recipe.model.from_ / "config.json").is_file()
    source = DrawnPacks(recipe, build_processor(recipe) if there else NeoOVProcessor.from_pretrained(WEIGHTS / "nano"))
    last = recipe.steps * recipe.data.packs
    counts = [Counts.of([source(number)]) for number in range(max(last - _DRAWN, 0), last)]
    total = sum(counts, Counts())
    mean = {name: value / len(counts) for name, value in asdict(total).items() if name != "faults"}
    mean["slots"] = recipe.data.rows * recipe.data.longest

    def pack(length: int) -> Work:
        return Work(**mean) * (length / recipe.data.longest)

    return pack


def _again(recipe: Recipe, rates: Rates, step: Work) -> float:
    """Return recomputed FLOPs; selective checkpointing keeps matrix products and so recomputes none."""
    if recipe.activation_checkpointing != "full":
        return 0.0
    token, pair = rates.again
    return step.tokens * token + step.pairs * pair

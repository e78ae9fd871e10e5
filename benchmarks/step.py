"""One candidate's whole training steps: the engine that trains, on packs of random documents and random weights."""

from __future__ import annotations

import itertools
import time
from statistics import median
from typing import Any

import torch
from candidates import config_ours
from cases import STEP_MODELS, TRAINED_QUICK, Shape
from torch import Tensor, nn
from torch.nn import functional as F
from train_candidates import stream
from transformers.utils import ModelOutput

from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.model.sizes import SIZES
from pixelword.training.building import checkpoint_activations, compile_layers
from pixelword.training.cost.flops import rates
from pixelword.training.cost.throughput import Counts, memory_gb, peak_flops
from pixelword.training.parallel import World
from pixelword.training.precision import compute_dtype
from pixelword.training.recipe import Recipe
from pixelword.training.train_step import TrainStep

SETTINGS = {
    # candidate: layers compiled, logits of every token, activation checkpointing
    "eager": (False, True, "none"),
    "compile": (True, True, "none"),
    "supervised": (True, False, "none"),
    "selective": (True, False, "selective"),
    "full": (True, False, "full"),
}


class EveryLogit(nn.Module):
    """The network with a loss as most trainers compute it: float32 logits of every token, then cross entropy.

    The same loss and gradients as the network's own, which gives logits to supervised tokens only.
    """

    def __init__(self, network: NeoOVForConditionalGeneration) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, *, labels: Tensor, loss_weight: Tensor, num_items_in_batch: float, skip_logits: bool, **inputs: Tensor
    ) -> ModelOutput:
        logits = self.network(**inputs, skip_logits=False).logits
        # a document begins with a label that is not learnt, so that none is predicted across a boundary
        rows, wanted = logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten()
        loss = (F.cross_entropy(rows, wanted, reduction="none") * loss_weight[:, 1:].flatten()).sum()
        return ModelOutput(loss=loss / num_items_in_batch)


def config_of(model: str, attention: str) -> NeoOVConfig:
    """The configuration of one of `STEP_MODELS`."""
    arguments = dict(SIZES["2b"])
    arguments["llm_config"] = arguments["llm_config"] | (STEP_MODELS[model] or {})
    return NeoOVConfig(**arguments, attn_implementation=attention)


def tiny() -> NeoOVConfig:
    """Three layers with the plain kernel, which a CPU can compile and train."""
    return config_ours(TRAINED_QUICK, attn_implementation="eager")


def recipe_of(length: int, checkpointing: str, compiled: bool) -> Recipe:
    """What the engine reads of a recipe; nothing is loaded by it."""
    return Recipe.model_validate(
        {
            "stage": "benchmark",
            "out": "unused",
            "model": {"size": "2b"},
            "tokenizer": "unused",
            "data": {"mixture": {"text": 1}, "length": length},
            "optimizer": {"lr": 1e-5},
            "schedule": {"kind": "constant"},
            "steps": 1000,
            "checkpoint": {"every": 1000},
            "activation_checkpointing": checkpointing,
            "compile": compiled,
            "spike": None,  # random weights learn in leaps
        }
    )


def sample(candidate: str, config: NeoOVConfig, length: int, steps: int, warm: int, device: str) -> dict[str, Any]:
    """Train `warm` steps, then time `steps`, each on a pack of its own.

    Returns:
        step_s: median seconds of a step, optimizer included, with the packs ready on the CPU.
        tokens_s: tokens a second, padding left out; pictures_s.
        mfu: FLOPs that the documents need, over time and the device's peak; counted as training's log counts them.
        peak_gb: as the log shows it; first_s: the first step, which compiles; losses of the timed steps.
    """
    compiled, every_logit, checkpointing = SETTINGS[candidate]
    world = World(device=torch.device(device))
    packs = stream(min(warm + steps, 8), length, Shape(vocab_size=config.llm_config.vocab_size))
    torch.manual_seed(0)
    with torch.device(device):
        model = NeoOVForConditionalGeneration(config).float().train()
    checkpoint_activations(model, checkpointing)
    if compiled:
        compile_layers(model)
    network: nn.Module = EveryLogit(model) if every_logit else model
    recipe = recipe_of(length, checkpointing, compiled)
    engine = TrainStep(model, network, recipe, world)
    times, losses, counted = [], [], Counts()
    start = time.perf_counter()
    for number, pack in enumerate(itertools.islice(itertools.cycle(packs), warm + steps)):
        began = time.perf_counter()
        done = engine.step([pack], number, 0.0)
        if device == "cuda":
            torch.cuda.synchronize()
        if number == 0:
            first_s = time.perf_counter() - start
        if number >= warm:
            times.append(time.perf_counter() - began)
            losses.append(done.loss)
            counted = counted + done.counts
    seconds = sum(times)
    needed = rates(config, ["all"]).flops(counted.tokens, counted.pairs, counted.supervised, counted.patches)
    return {
        "step_s": median(times),
        "tokens_s": counted.tokens / seconds,
        "pictures_s": counted.pictures / seconds,
        "mfu": needed / seconds / peak_flops(world.device, compute_dtype(recipe, world.device)),
        "peak_gb": memory_gb(),
        "first_s": first_s,
        "losses": losses,
        "padding": 1 - counted.tokens / counted.slots,
        "parameters": sum(p.numel() for p in model.parameters()),
        "length": length,
    }

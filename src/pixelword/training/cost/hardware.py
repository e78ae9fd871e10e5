"""GPUs and their interconnects, by data sheet, and the communication of a sharded step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pixelword.machine import CPU as _HERE
from pixelword.machine import measured_flops, memory, training_dtype
from pixelword.training.arguments import CPU, KINDS, PEAKS, check_kind, known_kind


@dataclass(frozen=True)
class Machine:
    """`gpus` devices of one kind, eight per node.

    peak: FLOP/s of one, in bf16 or what a CPU computes in. memory: bytes of one. nvlink, network: bytes/s that one
    sends within and out of its node, as data sheets say; `reached` is the share of them that collectives are taken
    to reach (NCCL's own tests report 0.7 to 0.9 for large messages).
    """

    name: str
    gpus: int
    peak: float
    memory: float
    nvlink: float
    network: float
    reached: float = 0.7
    per_node: int = 8

    @property
    def nodes(self) -> int:
        return -(-self.gpus // self.per_node)


def machine(kind: str, gpus: int, dtype: torch.dtype | None = None) -> Machine:
    """`gpus` of a kind by name, or "CPU": this machine's, its peak measured here and now, by default in what suits it.

    Raises InputError for an unknown kind, or several CPUs.
    """
    check_kind(kind, gpus)
    if kind.upper() == CPU:
        return Machine(CPU, 1, measured_flops(_HERE, dtype or training_dtype(_HERE)), memory(), 0.0, 0.0)
    name = known_kind(kind)
    capacity, nvlink, network = KINDS[name]
    return Machine(name, gpus, PEAKS[name], capacity, nvlink, network)


@dataclass(frozen=True)
class Communication:
    """Bytes one GPU sends per step, and the time without overlap.

    gather: weights in the precision of the arithmetic, for the forward and, when resharded, the backward pass.
    reduce: float32 gradients, summed within a shard group. across: the same between groups (HSDP).
    """

    gather: float
    reduce: float
    across: float
    seconds: float

    @property
    def bytes(self) -> float:
        return self.gather + self.reduce + self.across


def communication(
    where: Machine, shard: int, weights: float, gradients: float, micro_batches: int, gathers: int = 2
) -> Communication:
    """Return the communication of FSDP2 (HSDP with several shard groups) in one step.

    Args:
        shard: GPUs that share the weights; a group within a node uses NVLink, a larger one all adapters of the nodes.
        weights: bytes of all weights as they are gathered; gradients: bytes of all float32 gradients.
        micro_batches: on each GPU in one step; every one gathers and reduces, and groups meet after the last.
        gathers: times a micro-batch gathers the weights.
    """
    if where.gpus == 1:
        return Communication(0, 0, 0, 0)
    groups = where.gpus // shard
    within = where.nvlink if shard <= where.per_node else min(where.nvlink, where.per_node * where.network)
    gather = micro_batches * gathers * weights * (shard - 1) / shard
    reduce = micro_batches * gradients * (shard - 1) / shard
    # a ring all-reduce sends each shard twice; groups of a whole node meet over the network
    across = 2 * gradients / shard * (groups - 1) / groups
    between = where.nvlink if where.nodes == 1 else where.network
    seconds = ((gather + reduce) / within + across / between) / where.reached
    return Communication(gather, reduce, across, seconds)

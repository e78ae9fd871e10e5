"""Ranks of a run: process group, collectives, and sharding or replication of the network.

Sharded (FSDP2): every rank holds a shard of each parameter, its gradient and moments in float32; a layer's weights are
gathered in compute precision when needed, and gradients are reduced in float32. Shards replicated over groups of ranks
are HSDP. Replicated (DDP): every rank holds everything; for small models, and Muon.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from pixelword.errors import RecipeError
from pixelword.training.precision import compute_dtype, precision_name
from pixelword.training.stages import decoder_layers

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import Recipe


_CPU = torch.device("cpu")
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """One process among `size`; a single one without a launcher.

    device: where this rank computes.
    mesh: (shard,) or (copies, shard) ranks that the parameters are sharded over; None where each rank holds all.
    copies: networks that exchange gradients with their copies on the other ranks; they end with the process group.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU
    mesh: DeviceMesh | None = None
    copies: list[DistributedDataParallel] = field(default_factory=list, compare=False)

    def sum(self, *values: float) -> list[float]:
        """Sum each value over all ranks, in float64 on the CPU, so that no GPU synchronises."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def stack(self, values: Tensor) -> Tensor:
        """(n,) on the CPU of every rank -> (ranks, n), the same on all."""
        if self.size == 1:
            return values[None]
        rows = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(rows, values)
        return torch.stack(rows)

    def gather(self, value: Any) -> list[Any]:
        """Gather the values of all ranks, in order."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def on_first(self, do: Callable[[], T]) -> T:
        """Run `do()` on rank 0 and broadcast its result; its error raises on every rank, so that none hangs."""
        answer: tuple[T | None, Exception | None] = None, None
        if self.rank == 0:
            try:
                answer = do(), None
            except Exception as error:
                answer = None, error
        result, failure = self.gather(answer)[0]
        if failure is not None:
            raise failure
        return cast(T, result)


@contextmanager
def world(recipe: Recipe) -> Iterator[World]:
    """Join the process group while the block runs; yields this process's rank.

    Raises RecipeError if the ranks do not divide the recipe's packs or the device does not exist.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if recipe.data.packs % size:
        raise RecipeError(f"data.packs: {recipe.data.packs} packs a step cannot be shared evenly by {size} ranks")
    shard = 1 if size == 1 else recipe.parallel.shard or size
    if size % shard:
        raise RecipeError(
            f"parallel.shard: {shard} GPUs are to share the weights, and {size} cannot be divided by that: start "
            f"{shard} with torchrun --nproc-per-node {shard}, or use all there are with --set parallel.shard=0"
        )
    if size > 1 and shard > 1 and recipe.optimizer.name == "muon":
        raise RecipeError("optimizer.name: muon needs whole matrices; set parallel.shard=1, or optimizer.name=adamw")
    device = _device(recipe.device)
    if size == 1:
        yield World(device=device)
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=_store(size), rank=rank, world_size=size)
    copies: list[DistributedDataParallel] = []
    try:
        shape, names = ((size,), ("shard",)) if shard == size else ((size // shard, shard), ("copy", "shard"))
        mesh = init_device_mesh(device.type, shape, mesh_dim_names=names) if shard > 1 else None
        yield World(rank, size, device, mesh, copies)
    finally:
        for network in copies:
            # A reducer that outlives Python's hold on the group takes gloo's threads down while it has the GIL, which
            # one of them may be waiting for: the rank would hang at its very end.
            del network.reducer, network.logger
        dist.destroy_process_group()


def with_precision(recipe: Recipe, world: World, saved: str | None = None) -> Recipe:
    """Resolve the recipe's precision, equally on all ranks: "auto" becomes rank 0's choice.

    saved: The checkpoint's precision, which "auto" keeps, so that a resumed run is bitwise identical.
    """
    if recipe.precision != "auto":
        return recipe
    name = saved or world.on_first(lambda: precision_name(compute_dtype(recipe, world.device)))
    return recipe.model_copy(update={"precision": name})


def _store(size: int) -> dist.Store | None:
    """Return the rendezvous store under torchrun; None for PyTorch's default without it.

    torchrun keeps one store over all restarts, so after a restart ranks would wait for those killed, which have left
    their addresses there. Each start gets keys of its own. Its number is the same on all ranks of one machine only.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    if int(os.environ["GROUP_WORLD_SIZE"]) > 1 and int(os.environ["TORCHELASTIC_MAX_RESTARTS"]) > 0:
        raise RecipeError(
            "torchrun --max-restarts on several nodes: export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 on each of them "
            "first, or ranks that are started again will wait for those that were killed"
        )
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, is_master=False)
    return dist.PrefixStore(f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)


def shard(model: NeoOVForConditionalGeneration, recipe: Recipe, mesh: DeviceMesh) -> None:
    """Shard a network in place: each layer separately, and the remaining parameters together.

    Call it after layers are compiled and checkpointed, before the optimizer exists. On a network of the meta device,
    `take_weights` then gives the shards their values.
    """
    dtype = compute_dtype(recipe, torch.device(mesh.device_type))
    # inputs are not cast: loss weights stay float32, and the network takes pixels in any precision
    policy = MixedPrecisionPolicy(
        param_dtype=None if dtype == torch.float32 else dtype,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for layer in decoder_layers(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=recipe.parallel.reshard_after_forward)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def take_weights(model: nn.Module, whole: Mapping[str, Tensor], device: torch.device) -> None:
    """Fill a sharded network on the meta device from full tensors by name, needed only on rank 0."""
    model.to_empty(device=device)
    set_model_state_dict(model, dict(whole), options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))


def release(model: nn.Module) -> None:
    """Free gathered weights: without a backward pass they would outlive a change of the shards."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def copy_over(model: nn.Module, world: World) -> nn.Module:
    """Wrap a replicated network for gradient averaging; it starts with rank 0's weights."""
    network = DistributedDataParallel(model, device_ids=[world.device] if world.device.type == "cuda" else None)
    world.copies.append(network)
    return network


@contextmanager
def micro_batch(network: nn.Module, *, last: bool) -> Iterator[None]:
    """Context of a micro-batch's forward and backward: replicas exchange gradients after the last one only.

    Shards are reduced after each, so that no rank ever holds a full gradient.
    """
    if isinstance(network, FSDPModule):
        network.set_requires_all_reduce(last)
    with network.no_sync() if isinstance(network, DistributedDataParallel) and not last else nullcontext():
        yield


def _device(name: str) -> torch.device:
    """Return the recipe's device; with several GPUs, this process's."""
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError("device: cuda, but PyTorch finds no GPU here; set device=cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return _CPU
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device

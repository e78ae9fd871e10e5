"""The state of a run between steps, by names that do not depend on ranks, wrappers or parameter order.

out/recipe.yaml                 what ran, overrides included
out/metrics.jsonl               one line an event
out/checkpoints/step-00000500/  a distributed checkpoint, see `checkpoints.py`
out/final/                      the transformers folder the next stage, `ask` and anybody else loads; adapters beside
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pixelword.errors import CheckpointError
from pixelword.model.meta import meta_model
from pixelword.training.lora import merged, write_adapter
from pixelword.utils.files import whole_folder

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.checkpoints import Checkpoints, Saved
    from pixelword.training.parallel import World
    from pixelword.training.recipe import LoraRecipe

# wrappers put these into a parameter's name
_WRAPPERS = ("_checkpoint_wrapped_module.", "_orig_mod.")
_CHUNKS, _CHUNK = 64, 1 << 16  # of a file of weights, spread over it, that its fingerprint reads


@dataclass(frozen=True)
class Progress:
    """Steps done; and over all restarts: seconds of training, samples, and tokens without padding."""

    step: int = 0
    elapsed: float = 0.0
    samples: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class TrainingState:
    """All tensors that the next step depends on.

    parts: the optimizers by name. Their moments are saved; rates and other settings are the recipe's at hand.
    averages: the moving average of the trained parameters, by the parameters' names.
    frozen: whether frozen parameters are saved too. A run that began from a checkpoint reads them there again: early
        stages freeze most of a large model, and its checkpoints would be several times as large.
    """

    model: nn.Module
    parts: Mapping[str, torch.optim.Optimizer]
    averages: Mapping[str, Tensor] | None = None
    frozen: bool = False

    def tensors(self) -> dict[str, Tensor]:
        """Return the live tensors by name, with copies of this rank's random generator states."""
        found: dict[str, Tensor] = {f"model.{name}": p.detach() for name, p in self._parameters().items()}
        for part, name, parameter in self._optimized():
            for key, value in self.parts[part].state.get(parameter, {}).items():
                found[f"optimizer.{part}.{name}.{key}"] = value
        return {**found, **self._averages(), **_generators()}

    def load(self, checkpoints: Checkpoints, saved: Saved) -> None:
        """Load a checkpoint in place. Raises CheckpointError if it is of another recipe, or damaged."""
        into: dict[str, Tensor] = {f"model.{name}": p for name, p in self._parameters().items()}
        moments = self._moments(saved)
        into.update({name: tensor for name, (_, _, _, tensor) in moments.items()})
        averages = self._averages()
        kept = any(name.startswith("ema.") for name in saved.tensors)
        if kept:
            into.update(averages)
        generators = {name: tensor for name, tensor in _generators().items() if name in saved.tensors}
        strange = [n for n in saved.tensors if n.startswith(("model.", "optimizer.")) and n not in into]
        if strange:
            raise CheckpointError(
                f"{saved.folder} is of another recipe: it has {strange[0]} ({len(strange)} tensors that this one does "
                "not train); resume with the recipe it was made by, or start from scratch in another --out"
            )
        checkpoints.load(saved, {**into, **generators})
        for part, parameter, key, tensor in moments.values():
            self.parts[part].state[parameter][key] = tensor
        with torch.no_grad():
            for name, average in averages.items():
                if not kept:  # averaging begins with this run
                    average.copy_(into[name.replace("ema.", "model.", 1)])
        for name, state in generators.items():
            torch.cuda.set_rng_state(state) if name.startswith("rng.cuda.") else torch.set_rng_state(state)

    def _parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters to save by name; tied ones have one name."""
        return {_plain(n): p for n, p in self.model.named_parameters() if p.requires_grad or self.frozen}

    def _averages(self) -> dict[str, Tensor]:
        return {f"ema.{_plain(name)}": tensor for name, tensor in (self.averages or {}).items()}

    def _optimized(self) -> list[tuple[str, str, nn.Parameter]]:
        """Yield (optimizer, parameter name, parameter) of everything trained."""
        names = {id(p): name for name, p in self._parameters().items()}
        groups = [(part, group) for part, optimizer in self.parts.items() for group in optimizer.param_groups]
        return [(part, names[id(p)], p) for part, group in groups for p in group["params"]]

    def _moments(self, saved: Saved) -> dict[str, tuple[str, nn.Parameter, str, Tensor]]:
        """Room for every moment of `saved`: name -> (optimizer, parameter, key, tensor). A parameter that had no
        gradient yet has none, here as there."""
        owners = {f"optimizer.{part}.{name}": (part, parameter) for part, name, parameter in self._optimized()}
        found = {}
        for name, (shape, dtype) in saved.tensors.items():
            owner, _, key = name.rpartition(".")
            if owner in owners:
                part, parameter = owners[owner]
                if shape == parameter.shape:
                    tensor = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
                else:  # the count of steps
                    tensor = torch.zeros(shape, dtype=dtype, device=parameter.device)
                found[name] = (part, parameter, key, tensor)
        return found


def _plain(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _generators() -> dict[str, Tensor]:
    """Return copies of this rank's random generator states."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    found = {f"rng.cpu.{rank}": torch.get_rng_state()}
    return {**found, f"rng.cuda.{rank}": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else found


def fingerprint(folder: Path) -> str:
    """Hash a checkpoint's weights, by samples spread over its files; independent of its path.

    Retrained weights differ everywhere, so samples distinguish them without reading large models in full.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            for piece in range(_CHUNKS):
                file.seek(piece * max(size - _CHUNK, 0) // (_CHUNKS - 1))
                digest.update(file.read(_CHUNK))
    return digest.hexdigest()


def export(
    model: NeoOVForConditionalGeneration,
    processor: NeoOVProcessor,
    target: Path,
    world: World,
    *,
    dtype: torch.dtype,
    averages: Mapping[str, Tensor] | None = None,
    lora: LoraRecipe | None = None,
    base: Path | None = None,
) -> None:
    """Write `target` as a transformers folder from parameters that may be sharded. Every rank calls it.

    Args:
        dtype: of the written weights; the model keeps its own.
        averages: written in place of the parameters they are of, by name.
        lora: of the model's adapters: they are merged, and written by themselves into `adapter/`, for PEFT.
        base: the checkpoint that the adapters are for.

    Raises:
        CheckpointError: the disk does not take it; on every rank.
    """
    whole: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():  # a tied head is left out, as in the released layout
        tensor = (averages or {}).get(_plain(name), parameter).detach()
        if lora is None:  # adapters are merged before they are rounded
            tensor = tensor.to(dtype)  # before it is gathered: half the bytes travel
        tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if world.rank == 0:
            whole[_plain(name)] = tensor.cpu()

    moved = {_plain(name) for name, parameter in model.named_parameters() if parameter.requires_grad}

    def write() -> None:
        tensors = whole if lora is None else {name: t.to(dtype) for name, t in merged(whole, lora).items()}
        with whole_folder(target, replace=True) as folder:
            meta_model(model.config).to(dtype).save_pretrained(folder, state_dict=tensors)
            processor.save_pretrained(folder)
            if lora is not None:
                write_adapter(folder / "adapter", whole, lora, base, moved)

    world.on_first(write)

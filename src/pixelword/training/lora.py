"""Low-rank adapters (PEFT) on the layers' projections: added before training, merged at the end.

LoRA (Hu et al. 2021, arXiv 2106.09685): W + alpha / rank * B A, with B zero initially, so that training starts from the
unchanged model. Projections of roles that are trained in full get no adapter.

The adapter is also written as PEFT has it, `adapter/` in the exported folder; what was trained in full is in it too, as
PEFT's `modules_to_save`. `PeftModel.from_pretrained(base, folder)` is then the merged model, to rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor, nn

from pixelword.checkpoints import hub
from pixelword.data.recipe import nearest
from pixelword.errors import RecipeError
from pixelword.extras import install_command
from pixelword.training.rounded_base import dense
from pixelword.training.stages import decoder_layers

if TYPE_CHECKING:
    from peft import LoraConfig

    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import LoraRecipe

ADAPTER = "default"  # PEFT's name of the one adapter, in the names of its parameters
_BASE, _DOWN, _UP = ".base_layer.weight", f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight"


def add_adapters(model: NeoOVForConditionalGeneration, recipe: LoraRecipe) -> list[nn.Parameter]:
    """Put adapters on what `set_trainable` left frozen; returns everything that is trained, each parameter once.

    The model stays the object it is, and every other parameter as trainable or frozen as it was.

    Raises:
        RecipeError: PEFT is not installed, or no projection has a name of `recipe.targets`.
    """
    try:
        from peft import inject_adapter_in_model
    except ImportError as error:
        raise RecipeError(f"lora needs the package peft: {install_command('train')}") from error
    whole = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    inject_adapter_in_model(_config(recipe, _targets(model, recipe)), model, adapter_name=ADAPTER)
    for name, parameter in model.named_parameters():  # PEFT freezes whatever is not an adapter
        parameter.requires_grad_(id(parameter) in whole or name.endswith((_DOWN, _UP)))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _targets(model: NeoOVForConditionalGeneration, recipe: LoraRecipe) -> list[str]:
    """Return full names of the frozen projections matching `recipe.targets`."""
    layers = {id(layer) for layer in decoder_layers(model)}
    found = {
        f"{prefix}.{name}": module
        for prefix, layer in model.named_modules()
        if id(layer) in layers
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    }
    known = sorted({name.rpartition(".")[2] for name in found})
    for target in recipe.targets:
        if target not in known:
            raise RecipeError(f"lora.targets: no layer has a projection {target!r}{nearest(target, known)}")
    wanted = {name: module for name, module in found.items() if name.rpartition(".")[2] in recipe.targets}
    frozen = [name for name, module in wanted.items() if not module.weight.requires_grad]
    if not frozen:
        raise RecipeError("lora: every projection in lora.targets is trained whole already; see trainable")
    return frozen


def _config(recipe: LoraRecipe, targets: list[str]) -> LoraConfig:
    from peft import LoraConfig

    scale: Any = recipe.alpha  # declared an int, and only ever divided by the rank
    return LoraConfig(r=recipe.rank, lora_alpha=scale, lora_dropout=recipe.dropout, target_modules=targets)


def merged(tensors: Mapping[str, Tensor], recipe: LoraRecipe) -> dict[str, Tensor]:
    """Merge adapters: return the plain model's tensors by name, not in place.

    The computation of PEFT's `merge_and_unload`, on full tensors: a sharded model has none to merge. Adapters on
    rounded projections are merged into what these stand for.
    """
    tensors = dense(tensors)
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_BASE):
            module = name.removesuffix(_BASE)
            change = tensors[module + _UP].float() @ tensors[module + _DOWN].float()
            plain[f"{module}.weight"] = (tensor.float() + recipe.alpha / recipe.rank * change).to(tensor.dtype)
        elif not name.endswith((_DOWN, _UP)):
            plain[name.replace(".base_layer.", ".")] = tensor
    return plain


def write_adapter(
    folder: Path, tensors: Mapping[str, Tensor], recipe: LoraRecipe, base: Path | None, moved: Collection[str]
) -> None:
    """Write the adapter in PEFT format.

    Args:
        folder: is made.
        tensors: of the model with adapters, by name.
        base: the checkpoint that the adapter belongs to, as adapter_config.json shall name it.
        moved: names of what was trained, adapters or not.
    """
    folder.mkdir()
    whole = [name for name in moved if not name.endswith((_DOWN, _UP))]
    config = _config(recipe, [name.removesuffix(_DOWN) for name in moved if name.endswith(_DOWN)])
    source = None if base is None else hub.origin(base)
    config.base_model_name_or_path = source.repo if source else None if base is None else str(base)
    config.revision = source.revision if source else None
    config.inference_mode = True
    config.modules_to_save = sorted({name.rpartition(".")[0] for name in whole}) or None
    config.save_pretrained(str(folder))
    save_file(
        {f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}": tensors[name].contiguous() for name in moved},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )

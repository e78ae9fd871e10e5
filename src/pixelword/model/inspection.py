"""Every tensor of some files beside the network that shall hold them: names, shapes and types, by headers alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from .tensor_files import Entry

State = Literal["equal", "tied", "missing", "foreign", "misshapen", "untyped"]
#: Read at once when a tensor's bytes are hashed.
_STEP = 1 << 22


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
    entries: Mapping[str, Entry], model: torch.nn.Module, ignored: Callable[[str], bool] = lambda name: False
) -> list[Compared]:
    """Each tensor of the network in its order, then those of the files that are not the network's.

    Args:
        entries: what the files hold; see `tensor_files.read_entries`.
        model: with the names and shapes to find; the meta device is enough.
        ignored: says of a name that is in the files and not in the network that it does no harm.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict(keep_vars=True).items()}
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    found = [_one(name, shape, entries.get(name), name in tied) for name, shape in wanted.items()]
    foreign = [name for name in entries if name not in wanted and not ignored(name)]
    return found + [_one(name, None, entries[name], False) for name in foreign]


def _one(name: str, wanted: tuple[int, ...] | None, entry: Entry | None, tied: bool) -> Compared:
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

"""Report on a checkpoint's tensors and a fixed probe, to compare across machines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from pixelword._version import __version__
from pixelword.checkpoints.compressed import as_plain
from pixelword.checkpoints.identify import identified
from pixelword.checkpoints.names import is_delta, read_json, resolve, stored_quantization
from pixelword.checkpoints.released import read_config
from pixelword.checkpoints.safetensors_index import compared, digest, read_entries
from pixelword.errors import InputError, reason
from pixelword.evaluation.fingerprint import probe
from pixelword.generation.loading import load_model
from pixelword.generation.session import Session
from pixelword.model import NeoOVConfig
from pixelword.model.footprint import count_parameters
from pixelword.model.meta import meta_model
from pixelword.model.self_check import cached_step_problem
from pixelword.processing import NeoOVProcessor

FORMAT = 1
Report = Mapping[str, Any]


def report(
    name_or_dir: str | Path,
    *,
    headers: bool = False,
    dtype: str = "float32",
    device: str | torch.device = "cpu",
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Make the report of a packaged model or a checkpoint folder, ready for JSON.

    Args:
        headers: Compare names, shapes and types only, without reading weights.
        dtype, device: what the probe runs in, and where. float32 on a CPU is what two machines agree on best.
        progress: called with each step's description.

    Raises:
        CheckpointError: no checkpoint, or files that cannot be read at all.
        InputError: `headers` of a delta, whose files hold other tensors than the network.
    """
    folder = resolve(name_or_dir)
    config = read_config(folder)
    made: dict[str, Any] = {"format": FORMAT, "model": str(name_or_dir), "architecture": _architecture(config)}
    source = getattr(config, "made_from", None)
    made["released"] = identified(config, read_json(folder / "config.json"), source)
    made["packages"] = {"pixelword": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    if is_delta(folder) and headers:
        raise InputError(f"{folder} is a delta, whose files hold changes alone: leave --headers out, to load it whole")
    progress("comparing tensors …")
    made["tensors"] = {"delta": True, "problems": []} if is_delta(folder) else _tensors(folder, config, headers)
    if headers or made["tensors"]["problems"]:  # what is not whole is not loaded
        return made
    progress("loading …")
    model = load_model(folder, dtype=dtype, device=torch.device(device))
    progress("comparing a cached step with a plain one …")
    made["cached_step"] = {"problem": cached_step_problem(model)}
    progress("asking …")
    session = Session(model, NeoOVProcessor.from_pretrained(folder))
    made["probe"] = {"dtype": dtype, "device": str(model.device), "readings": probe.as_json(probe.probe(session))}
    return made


def _architecture(config: NeoOVConfig) -> dict[str, Any]:
    text, vision = config.llm_config, config.vision_config
    names = (
        "num_hidden_layers", "extra_num_layers", "hidden_size", "intermediate_size", "num_attention_heads",
        "num_key_value_heads", "head_dim", "vocab_size", "rope_theta_hw", "max_position_embeddings",
    )  # fmt: skip
    return {
        **{name: getattr(text, name) for name in names},
        "tie_word_embeddings": bool(config.tie_word_embeddings),
        "vision_hidden_size": vision.hidden_size,
        "min_pixels": vision.min_pixels,
        "max_pixels": vision.max_pixels,
        "parameters": sum(count_parameters(config).values()),
    }


def _tensors(folder: Path, config: NeoOVConfig, headers: bool) -> dict[str, Any]:
    entries = read_entries(folder)
    if stored_quantization(folder) is not None:
        entries = as_plain(entries)
    found = compared(entries, meta_model(config))
    states = Counter(item.state for item in found)
    rows = []
    for item in found:
        row: dict[str, Any] = {"name": item.name, "state": item.state, "shape": item.shape, "dtype": item.dtype}
        if item.state != "equal":
            row["expected"] = item.expected
        if not headers and item.name in entries:
            row["sha256"] = digest(entries[item.name])
        rows.append({key: list(value) if isinstance(value, tuple) else value for key, value in row.items()})
    made = {
        "delta": False,
        "states": dict(states),
        "dtypes": dict(Counter(item.dtype for item in found if item.dtype)),
        "bytes": sum(entry.end - entry.begin for entry in entries.values()),
        "problems": [item.problem for item in found if item.problem],
        "list": rows,
    }
    if not headers:
        whole = sorted(f"{row['name']} {row['dtype']} {row['shape']} {row.get('sha256')}" for row in rows)
        made["sha256"] = hashlib.sha256("\n".join(whole).encode()).hexdigest()
    return made


def read(path: Path) -> dict[str, Any]:
    """Read a saved report. Raises InputError if the file is missing or not a report."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({reason(error)}): give what `verify --json` printed"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or "tensors" not in content:
        raise InputError(f"{path} is not a report of this version: give what `verify --json` printed")
    return content


def differences(ours: Report, theirs: Report, tolerance: float | None = None) -> list[str]:
    """Describe the differences of two reports; empty for the same model.

    tolerance: of scores, in their standard deviations; by the coarser of the two types when None.
    """
    found = []
    for name in (item for item in ours["architecture"] if item in theirs["architecture"]):
        a, b = ours["architecture"][name], theirs["architecture"][name]
        if a != b:
            found.append(f"{name} is {a} here and {b} there")
    retyped, others = _of_tensors(ours["tensors"], theirs["tensors"])
    found += others
    if "probe" not in ours or "probe" not in theirs:
        return found + retyped
    a, b = ours["probe"], theirs["probe"]
    if tolerance is None:
        tolerance = max(probe.TOLERANCE[item["dtype"]] for item in (a, b))
    differing = probe.differences(a["readings"], b["readings"], tolerance)
    # a copy in another type that answers alike holds the same values, as far as its type can
    return found + [f"{line}; values agree" if not (others or differing) else line for line in retyped] + differing


def _of_tensors(ours: Report, theirs: Report) -> tuple[list[str], list[str]]:
    """Describe the differences of two tensor lists: one line per pair of types, and one per other difference."""
    a, b = ({row["name"]: row for row in item.get("list", ())} for item in (ours, theirs))
    if not a or not b:  # a delta: its weights are compared by what they do
        return [], []
    found = []
    retyped: Counter[str] = Counter()
    for name in [*a, *(item for item in b if item not in a)]:
        item, other = a.get(name), b.get(name)
        if item is None or other is None:
            found.append(f"{name} is in only one of the two reports")
            continue
        for key in ("state", "shape", "dtype", "sha256"):
            if key in item and key in other and item[key] != other[key]:
                if key == "dtype":
                    retyped[f"{item[key]} here, {other[key]} there"] += 1
                else:
                    what = "bytes differ" if key == "sha256" else f"{key} is {item[key]} here and {other[key]} there"
                    found.append(f"{name}: {what}")
                break
    both = sum(bool(item["dtype"] and b[name]["dtype"]) for name, item in a.items() if name in b)
    return [f"{'all ' if count == both else ''}{count} tensors are {types}" for types, count in retyped.items()], found

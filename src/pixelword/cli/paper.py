"""`pixelword evaluate MODEL --suite paper`: the benchmarks that papers report, from files that lie here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pixelword.cli import options
from pixelword.cli.info import config_and_images
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.evaluation.paper.running import Settings

#: Where files are looked for unless said.
DATA = Path("data/benchmarks")


@dataclass(frozen=True)
class Asked:
    """The options of one call, as `pixelword evaluate` has them."""

    model: str
    names: Sequence[str]
    data: Path
    limit: int | None
    seed: int
    sampling: str
    own_limits: bool
    out: Path | None
    machine: str | None
    dtype: str | None
    device: str | None
    as_json: bool


def plan(asked: Asked) -> None:
    """Print what a run needs; nothing is loaded, and nothing has to be there."""
    with options.progress(f"planning {asked.model} …"), options.quiet_imports():
        import torch

        from pixelword.evaluation.paper import benchmarks, tables
        from pixelword.evaluation.paper import plan as planning
        from pixelword.machine import default_dtype
        from pixelword.model.checkpoint import torch_dtype
        from pixelword.model.facts import count_parameters
        from pixelword.training.machines import CPU, machine

        wanted = benchmarks.benchmarks(asked.names)
        config, images = config_and_images(asked.model)
        own = torch_dtype(config.dtype) or torch.bfloat16
        here = default_dtype(own, sum(count_parameters(config).values()), torch.device("cpu"))
        on = machine(asked.machine or CPU, 1, torch_dtype(asked.dtype) or here)
        found = planning.plan(
            wanted, asked.data, config, images, peak=on.peak, limit=asked.limit, own_limits=asked.own_limits
        )
    content = {
        "format": 1, "model": asked.model, "data": str(asked.data), "machine": f"one {on.name}",
        "planned": [one.told() for one in found],
    }  # fmt: skip
    if asked.as_json:
        print(json.dumps(content, ensure_ascii=False))
    else:
        tables.show_plan(content)


def evaluate(asked: Asked) -> None:
    """Ask what has its file. Raises InputError: nothing has, or an unknown name or way to draw."""
    with options.quiet_imports():
        from pixelword.evaluation.paper import benchmarks, files

    wanted = benchmarks.benchmarks(asked.names)
    found = [(one, paths) for one in wanted if (paths := files.find(asked.data, one))]
    missing = [one.name for one in wanted if not files.find(asked.data, one)]
    if not found:
        raise InputError(
            f"{asked.data} has no file of any benchmark that was asked for: --plan says which are expected, "
            "and --data names another folder"
        )
    _write(asked, _run(asked, found, missing))


def _settings(asked: Asked) -> Settings:
    with options.quiet_imports():
        from pixelword.evaluation.paper.running import Settings

    if asked.sampling not in ("greedy", "upstream"):
        raise InputError(f"--sampling {asked.sampling}: use greedy or upstream")
    drawing = cast(Literal["greedy", "upstream"], asked.sampling)
    return Settings(drawing, asked.limit, asked.seed, asked.own_limits)


def _run(asked: Asked, found: Sequence[Any], missing: Sequence[str]) -> dict[str, Any]:
    settings = _settings(asked)
    session = options.open_session(asked.model, dtype=asked.dtype, device=asked.device)
    from pixelword.data.progress import bar
    from pixelword.evaluation.about import about, identity
    from pixelword.evaluation.paper.asking import MAX_MODEL_LEN
    from pixelword.evaluation.paper.running import run
    from pixelword.evaluation.runner import Answers
    from pixelword.inference.batching import Engine
    from pixelword.inference.requests import BatchingOptions

    described = about(session, asked.model, {"suites": ["paper"], **vars(settings)})
    # how many are asked changes no answer, so a longer run goes on where a shorter one was
    kept = identity({**described, "settings": {"seed": asked.seed, "own_limits": asked.own_limits}})
    answers = Answers(asked.out, kept)
    batching = BatchingOptions(max_model_len=MAX_MODEL_LEN)
    with Engine(session.model, session.processor, batching) as engine, bar("asking") as report:
        results = [one.told() for one in run(session, engine, found, answers, settings, report)]
    return {"format": 1, **described, "data": str(asked.data), "results": results, "missing": list(missing)}


def _write(asked: Asked, content: dict[str, Any]) -> None:
    from pixelword.evaluation.paper import tables
    from pixelword.utils.files import atomic_write

    if asked.out is not None:
        atomic_write(asked.out / "paper.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        atomic_write(asked.out / "paper.md", tables.markdown(content))
    if asked.as_json:
        print(json.dumps(content, ensure_ascii=False))
    else:
        tables.show(content)

"""`pixelword benchmark MODEL`: the benchmarks that papers report, from local files."""

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

#: Default folder of benchmark files.
DATA = Path("data/benchmarks")


@dataclass(frozen=True)
class Asked:
    """The options of one `pixelword benchmark` call."""

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


def plan(request: Asked) -> None:
    """Print what a run needs, without loading anything."""
    with options.progress(f"planning {request.model} …"), options.quiet_imports():
        import torch

        from pixelword.checkpoints.released import torch_dtype
        from pixelword.evaluation.paper import benchmarks, tables
        from pixelword.evaluation.paper import plan as planning
        from pixelword.machine import default_dtype
        from pixelword.model.footprint import count_parameters
        from pixelword.training.cost.hardware import CPU, machine

        wanted = benchmarks.benchmarks(request.names)
        config, images = config_and_images(request.model)
        own = torch_dtype(config.dtype) or torch.bfloat16
        here = default_dtype(own, sum(count_parameters(config).values()), torch.device("cpu"))
        on = machine(request.machine or CPU, 1, torch_dtype(request.dtype) or here)
        found = planning.plan(
            wanted, request.data, config, images, peak=on.peak, limit=request.limit, own_limits=request.own_limits
        )
    content = {
        "format": 1, "model": request.model, "data": str(request.data), "machine": f"one {on.name}",
        "planned": [item.as_json() for item in found],
    }  # fmt: skip
    if request.as_json:
        print(json.dumps(content, ensure_ascii=False))
    else:
        tables.show_plan(content)


def evaluate(request: Asked) -> None:
    """Run the benchmarks whose files exist. Raises InputError if there are none, or for an unknown name or sampling."""
    with options.quiet_imports():
        from pixelword.evaluation.paper import benchmarks, files

    wanted = benchmarks.benchmarks(request.names)
    found = [(item, paths) for item in wanted if (paths := files.find(request.data, item))]
    missing = [item.name for item in wanted if not files.find(request.data, item)]
    if not found:
        raise InputError(
            f"{request.data} has no file of any benchmark that was asked for: --plan says which are expected, "
            "and --data names another folder"
        )
    _write(request, _run(request, found, missing))


def _settings(request: Asked) -> Settings:
    with options.quiet_imports():
        from pixelword.evaluation.paper.running import Settings

    if request.sampling not in ("greedy", "upstream"):
        raise InputError(f"--sampling {request.sampling}: use greedy or upstream")
    drawing = cast(Literal["greedy", "upstream"], request.sampling)
    return Settings(drawing, request.limit, request.seed, request.own_limits)


def _run(request: Asked, found: Sequence[Any], missing: Sequence[str]) -> dict[str, Any]:
    settings = _settings(request)
    session = options.open_session(request.model, dtype=request.dtype, device=request.device)
    from pixelword.data.progress import bar
    from pixelword.evaluation.paper.prompting import MAX_MODEL_LEN
    from pixelword.evaluation.paper.running import run
    from pixelword.evaluation.run_metadata import about, identity
    from pixelword.evaluation.runner import Answers
    from pixelword.generation.engine import Engine
    from pixelword.generation.request import BatchingOptions

    described = about(session, request.model, {"suites": ["paper"], **vars(settings)})
    # the number of questions changes no answer, so a longer run continues a shorter one
    kept = identity({**described, "settings": {"seed": request.seed, "own_limits": request.own_limits}})
    answers = Answers(request.out, kept)
    batching = BatchingOptions(max_model_len=MAX_MODEL_LEN)
    with Engine(session.model, session.processor, batching) as engine, bar("asking") as report:
        results = [item.as_json() for item in run(session, engine, found, answers, settings, report)]
    return {"format": 1, **described, "data": str(request.data), "results": results, "missing": list(missing)}


def _write(request: Asked, content: dict[str, Any]) -> None:
    from pixelword.evaluation.paper import tables
    from pixelword.utils.files import atomic_write

    if request.out is not None:
        atomic_write(request.out / "paper.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        atomic_write(request.out / "paper.md", tables.markdown(content))
    if request.as_json:
        print(json.dumps(content, ensure_ascii=False))
    else:
        tables.show(content)

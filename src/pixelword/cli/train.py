"""`pixelword train RECIPE`: run one stage, or say what it would cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli import options
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

MFU = 0.4  # what a dry run takes for granted; runs say what they reach


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe of the stage, such as recipes/nano/scratch.yaml.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field: --set optimizer.lr=2e-4 (repeatable).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder (default: the recipe's `out`).")] = None,
    resume: Annotated[
        str,
        typer.Option(help="auto: resume from the newest checkpoint in --out, if any; no; or a checkpoint folder."),
    ] = "no",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log to OUT/tensorboard.")] = False,
    wandb: Annotated[
        str | None,
        typer.Option(metavar="PROJECT", help="Also log to this project of Weights & Biases, or ENTITY/PROJECT."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a trace and memory use of a few steps to OUT/profile.")
    ] = False,
    trust_checkpoint: Annotated[
        bool,
        typer.Option(
            "--trust-checkpoint", help="Allow --resume with another run's checkpoint, which can execute code."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, memory, FLOPs and time; needs no data or weights.")
    ] = False,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Dry run: number of GPUs (default: at most one node of 8).")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Dry run: H100, L40S, L4, RTX 4090 … or CPU (this machine)."),
    ] = None,
    mfu: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help=f"Dry run: assumed share of peak FLOP/s (default: {MFU}).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Dry run: print one JSON object.")] = False,
) -> None:
    """Train one stage; metrics go to OUT/metrics.jsonl, the result to OUT/final.

    Example: pixelword train recipes/nano/sft.yaml --set steps=200 --resume auto

    Example: pixelword train recipes/2b/pretrain.yaml --dry-run --gpus 128 --gpu H100

    Example: torchrun --nproc-per-node 8 -m pixelword train recipes/2b/sft.yaml --resume auto
    """
    from pixelword.training.arguments import check_kind, check_resume

    check_resume(resume)
    if dry_run:
        if gpu is not None:
            check_kind(gpu, gpus)
        _print_cost(recipe, set_ or [], {"kind": gpu, "gpus": gpus}, mfu or MFU, as_json)
        return
    if gpus is not None or gpu is not None or mfu is not None or as_json:
        raise InputError("--gpus, --gpu, --mfu and --json belong to --dry-run; torchrun starts a run on several GPUs")
    stage = _checked(recipe, set_ or [])
    if wandb is not None:
        stage = stage.model_copy(update={"wandb": wandb})
    with options.progress(f"reading {recipe} …"), options.quiet_imports():
        from pixelword.training.launch import launch

    outcome = launch(
        stage,
        out=out,
        resume=resume,
        trust=trust_checkpoint,
        tensorboard=tensorboard,
        profile=profile,
    )
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)  # what a shell reports for a process stopped by a signal


def _checked(recipe: Path, overrides: Sequence[str]) -> Recipe:
    """Load the recipe and check that its inputs exist, before torch is imported."""
    from pixelword.training.recipe_file import load_recipe

    stage = load_recipe(recipe, overrides)

    from pixelword.training.start import check_files, check_start, fetched

    check_files(stage.data)
    stage = fetched(stage)
    check_start(stage)
    return stage


def _print_cost(recipe: Path, overrides: Sequence[str], machine: dict[str, Any], mfu: float, as_json: bool) -> None:
    from pixelword.training.recipe_file import load_recipe
    from pixelword.training.start import fetched

    checked = load_recipe(recipe, overrides)
    if checked.model.size is None:
        checked = fetched(checked, weights=False)
    with options.progress(f"reading {recipe} …"), options.quiet_imports():
        from pixelword.cli.dry_run import print_json, print_remedies, print_tables
        from pixelword.training.arguments import NO_BF16
        from pixelword.training.cost.advice import remedies
        from pixelword.training.cost.estimate import estimate, machine_for
        from pixelword.training.epochs import expected

        checked = expected(checked)
        where = machine_for(checked, **machine)
        if where.name in NO_BF16 and checked.precision != "fp32":
            print(f"note: {where.name} has no bf16 arithmetic: --set precision=fp32", file=sys.stderr)
        cost = estimate(checked, where, mfu)
        advice = [] if cost.memory.total <= where.memory else remedies(checked, where, mfu)
    if as_json:
        print_json(cost, advice)
    else:
        print_tables(cost)
        print_remedies(cost, advice)

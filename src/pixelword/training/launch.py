"""Starts or resumes a stage: recipe, output folder, checkpoint, trainer."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from rich.console import Console
from transformers.utils import logging as transformers_logging

from pixelword.errors import CheckpointError, reason
from pixelword.training.arguments import check_resume
from pixelword.training.checkpoints import checkpoints
from pixelword.training.parallel import world
from pixelword.training.recipe import Recipe
from pixelword.training.sizes import checked_config
from pixelword.training.start import fetched
from pixelword.training.trainer import Outcome, Trainer


def launch(
    recipe: Recipe,
    *,
    out: Path | None = None,
    resume: str = "no",
    trust: bool = False,
    tensorboard: bool = False,
    profile: bool = False,
    console: Console | None = None,
) -> Outcome:
    """Run the stage of a recipe. `resume`: "auto", "no" or a checkpoint folder; that of another
    run only with `trust`. `tensorboard`, `profile`: write these beside the metrics too.

    Raises RecipeError, CheckpointError (also when `out` already holds a run that is not to be resumed).
    """
    if out is not None:
        recipe = recipe.model_copy(update={"out": out})
    recipe = fetched(recipe)
    checked_config(recipe)  # a checkpoint of another size is refused before anything is loaded
    console = console or Console()
    transformers_logging.disable_progress_bar()  # the run has its own; weights of this size load in a moment
    checkpoint = _checkpoint(recipe.out, resume)
    with world(recipe) as ranks, _full_disk(recipe.out):
        trainer = Trainer(
            recipe,
            resume=ranks.on_first(lambda: checkpoint),  # a shared filesystem may show ranks different lists
            console=console,
            world=ranks,
            trust=trust,
            tensorboard=tensorboard,
            profile=profile,
        )
        if ranks.rank == 0:
            record(trainer.recipe)
        return trainer.run()


@contextmanager
def _full_disk(out: Path) -> Iterator[None]:
    """Report a full disk as a user error, whoever was writing."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise CheckpointError(
            f"{out}: {reason(error)}; the last whole checkpoint stands: free some space, then go on with --resume auto"
        ) from error


def _checkpoint(out: Path, resume: str) -> Path | None:
    """Return the checkpoint to resume from, or None."""
    found = checkpoints(out)
    if resume == "auto":
        return found[-1] if found else None
    if resume == "no":
        if found:
            raise CheckpointError(f"{out}: a run is here already ({found[-1].name}); --resume auto, or another --out")
        return None
    check_resume(resume)
    return Path(resume)


def record(recipe: Recipe) -> None:
    """Save the resolved recipe next to the checkpoints."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    (recipe.out / "recipe.yaml").write_text(yaml.safe_dump(recipe.values(), sort_keys=False), encoding="utf-8")

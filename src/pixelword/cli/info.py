"""`pixelword info MODEL`: what a model is made of and what it costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pixelword.cli import options

if TYPE_CHECKING:
    from pixelword.model import NeoOVConfig

# (width, height) of a thumbnail, a screen, a photograph
PICTURES = ((64, 64), (224, 224), (640, 480), (1280, 720), (1920, 1080), (4032, 3024))
BF16_BYTES = 2


def info(
    model: Annotated[
        str,
        typer.Argument(metavar="NAME|DIR|SIZE", help="A packaged model, a checkpoint's folder, or a size (2b, 9b)."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Layers, parameters, memory, and the tokens that pictures cost. Reads no weights, so a size needs none.

    Example: pixelword info nano

    Example: pixelword info 2b --json
    """
    with options.progress(f"reading {model} …"), options.quiet_imports():
        facts = describe(model)
    if as_json:
        print(json.dumps(facts))
    else:
        _print_tables(facts)


def describe(model: str) -> dict[str, Any]:
    """The facts of a packaged model, a checkpoint's folder or a known size, ready for JSON."""
    config = _config(model)
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
        "kv_bytes_per_token_bf16": kv_bytes_per_token(config),
        "picture_tokens": _picture_tokens(model, config),
    }


def count_parameters(config: NeoOVConfig) -> dict[str, int]:
    """Parameters of each part, counted on the meta device: no memory, whatever the size. A tied head counts nothing."""
    import torch

    from pixelword.model import NeoOVForConditionalGeneration

    with torch.device("meta"):
        network = NeoOVForConditionalGeneration(config)
    network.tie_weights()
    language = network.model.language_model.model
    extra = config.llm_config.extra_num_layers
    parts = {
        "patch embedding": network.model.vision_model,
        "token embedding": language.embed_tokens,
        "pre-buffer": language.layers[:extra],
        "post-LLM": language.layers[extra:],
    }
    counted = {name: sum(one.numel() for one in part.parameters()) for name, part in parts.items()}
    return {**counted, "norm and head": sum(one.numel() for one in network.parameters()) - sum(counted.values())}


def kv_bytes_per_token(config: NeoOVConfig) -> int:
    """Bytes of cache per token in bf16: a key is T, H and W (2 head_dim), a value head_dim."""
    text = config.llm_config
    return text.num_hidden_layers * text.num_key_value_heads * 3 * text.head_dim * BF16_BYTES


def _config(model: str) -> NeoOVConfig:
    from pixelword.model import NeoOVConfig
    from pixelword.model.checkpoint import resolve
    from pixelword.model.configuration import SIZES

    return NeoOVConfig(**SIZES[model]) if model in SIZES else NeoOVConfig.from_pretrained(resolve(model))


def _picture_tokens(model: str, config: NeoOVConfig) -> dict[str, int]:
    """Visual tokens of a picture alone, by its size; a checkpoint's processor may set other bounds than its config."""
    from pixelword.model.checkpoint import resolve
    from pixelword.model.configuration import SIZES
    from pixelword.processing.images import NeoOVImageProcessor
    from pixelword.processing.processor import NeoOVProcessor

    if model in SIZES:
        vision = config.vision_config
        images = NeoOVImageProcessor(min_pixels=vision.min_pixels, max_pixels=vision.max_pixels)
    else:
        images = NeoOVProcessor.from_pretrained(resolve(model)).image_processor
    return {f"{width}x{height}": images.image_tokens(height, width) for width, height in PICTURES}


def _print_tables(facts: dict[str, Any]) -> None:
    console = Console(highlight=False)
    parameters = facts["parameters"]
    total = sum(parameters.values())
    shape = Table(title=facts["model"], title_justify="left", show_header=False, box=None, pad_edge=False)
    shape.add_row("layers", f"{facts['layers']}, the first {facts['pre_buffer_layers']} of them pre-buffer")
    shape.add_row("width", f"{facts['hidden_size']:,}")
    heads = f"{facts['heads']} of {facts['head_dim']}, {facts['key_value_heads']} for keys and values"
    shape.add_row("heads", heads)
    shape.add_row("vocabulary", f"{facts['vocabulary']:,} tokens")
    shape.add_row("context", f"{facts['context']:,} tokens")
    shape.add_row("weights in bf16", _megabytes(facts["weights_bytes_bf16"]))
    shape.add_row("cache in bf16", f"{facts['kv_bytes_per_token_bf16']:,} bytes a token")
    console.print(shape)
    console.print(_two_columns("parameters", {**parameters, "in all": total}, _amount))
    console.print(_two_columns("tokens a picture costs", facts["picture_tokens"], "{:,}".format))


def _two_columns(title: str, rows: dict[str, int], written: Any) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, written(value))
    return table


def _amount(parameters: int) -> str:
    return f"{parameters / 1e9:.2f}B" if parameters >= 1e9 else f"{parameters / 1e6:.2f}M"


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

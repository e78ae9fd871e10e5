"""`pixelword serve MODEL`: an OpenAI-compatible server on this machine."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli import options
from pixelword.errors import InputError, reason
from pixelword.extras import install_command

if TYPE_CHECKING:
    from pixelword.generation.compression.options import Compression
    from pixelword.serving.settings import Settings


def serve(
    model: Annotated[str, typer.Argument(metavar=options.MODEL, help=options.MODEL_HELP)] = "nano",
    adapter: options.Adapter = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default accepts local connections only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    api_key: Annotated[
        list[str] | None, typer.Option(help="API key that clients must send (repeatable); also $PIXELWORD_API_KEY.")
    ] = None,
    served_model_name: Annotated[
        str | None, typer.Option(help="Model name in the API (default: the name or folder of the model).")
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option(min=16, help="Maximum tokens of prompt and answer (default: the model's).")
    ] = None,
    max_num_seqs: Annotated[int, typer.Option(min=1, help="Maximum number of concurrent requests.")] = 16,
    max_num_batched_tokens: Annotated[
        int, typer.Option(min=1, help="Prompt tokens prefilled between two decode steps.")
    ] = 1024,
    num_speculative_tokens: Annotated[
        int, typer.Option(min=0, help="Maximum draft length of prompt lookup; 0 disables it.")
    ] = 4,
    compress: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Keep a share of all visual tokens, as in norm:0.5.")
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(metavar="KIND", help="int8 or int4: quantize weights, on a CPU.")
    ] = None,
    quantize: Annotated[str | None, typer.Option(hidden=True)] = None,
    pack: Annotated[
        bool | None, typer.Option(help="Reorder weights for faster CPU reads (default: if it helps).")
    ] = None,
    compile_steps: Annotated[
        bool,
        typer.Option("--compile", help="Compile the decode step at startup; needs a C++ compiler and about a minute."),
    ] = False,
    prefix_cache_mb: Annotated[int, typer.Option(min=0, help="Memory of the prefix cache, in MB.")] = 512,
    limit_mm_per_prompt: Annotated[
        str, typer.Option(help="Maximum number of images and videos per request, as JSON.")
    ] = '{"image": 16, "video": 2}',
    allowed_media_domains: Annotated[
        list[str] | None,
        typer.Option(help="Allow fetching media from this host over https (repeatable; default: none)."),
    ] = None,
    allowed_local_media_path: Annotated[
        Path | None, typer.Option(help="Allow file:// URLs in this folder (default: none).")
    ] = None,
    allowed_origins: Annotated[
        list[str] | None,
        typer.Option(
            help='Origins of web pages that may call the API: repeated, or JSON (["https://a.example"]); "*": all.'
        ),
    ] = None,
    default_max_tokens: Annotated[
        int, typer.Option(min=1, help="Maximum answer length of requests without max_tokens.")
    ] = 4096,
    max_explain_tokens: Annotated[
        int, typer.Option(min=0, help="Longest prompt for /v1/explain; 0 disables the route.")
    ] = 2048,
    response_store_mb: Annotated[
        int, typer.Option(min=0, help="Memory for responses that later requests may continue, in MB; 0 stores none.")
    ] = 256,
    dtype: options.Dtype = None,
    device: options.Device = None,
) -> None:
    """Serve an OpenAI-compatible API: chat with images and videos, streaming, /metrics.

    Example: pixelword serve nano --port 8000 --api-key secret
    """
    settings = _settings(
        served_model_name or Path(model.partition("@")[0]).name,
        [*(api_key or []), *filter(None, [os.environ.pop("PIXELWORD_API_KEY", "")])],
        limit_mm_per_prompt,
        allowed_media_domains or [],
        allowed_local_media_path,
        max_explain_tokens=max_explain_tokens,
        max_stored_bytes=response_store_mb << 20,
        default_max_tokens=default_max_tokens,
        allowed_origins=_origins(allowed_origins or []),
    )
    if host not in ("127.0.0.1", "localhost", "::1") and not settings.api_keys:
        typer.echo(f"warning: anybody who reaches {host}:{port} may ask; give --api-key", err=True)
    sockets = _bound(host, port)
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(f"serving needs {error.name}: {install_command('serve')}") from error
    quantize = quantization or quantize
    compression = None if compress is None else _compression(compress)
    session = options.open_session(model, dtype=dtype, device=device, adapter=adapter, quantize=quantize)
    from pixelword import machine

    kind = machine.note(session.model.dtype, session.model.device)
    typer.echo(f"{settings.served_model_name} computes in {kind}", err=True)

    import pixelword.serving.app as serving
    from pixelword.checkpoints.names import check_quantization, resolve
    from pixelword.generation.engine import Engine
    from pixelword.generation.request import BatchingOptions
    from pixelword.serving import listening
    from pixelword.serving.workers import Workers

    batching = BatchingOptions(
        max_num_seqs=max_num_seqs,
        max_model_len=max_model_len,
        max_num_batched_tokens=max_num_batched_tokens,
        prefix_bytes=prefix_cache_mb << 20,
        num_speculative_tokens=num_speculative_tokens,
        quantization=check_quantization(quantize),
        pack=pack,
        compile=compile_steps,
        compression=compression,
    )
    with Engine(session.model, session.processor, batching) as engine, Workers(resolve(model), settings) as workers:
        workers.wait()
        app = serving.create_app(engine, workers, settings)
        for held in sockets:
            held.listen(listening.BACKLOG)
            address, bound_port = held.getsockname()[:2]
            typer.echo(f"serving {settings.served_model_name} on {_url(address, bound_port)}", err=True)
        stopped_by = listening.listen(app, sockets)
    if stopped_by is not None:
        listening.end_by(stopped_by)


def _compression(text: str) -> Compression:
    with options.quiet_imports():
        from pixelword.generation.compression.options import Compression
    return Compression.parse(text)


def _bound(host: str, port: int) -> list[socket.socket]:
    """Bind sockets before the model is loaded. Raises InputError if the address is taken or not local."""
    sockets = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sockets.append(held := socket.socket(family, kind, protocol))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            held.bind(address)
    except (OSError, UnicodeError) as error:
        for held in sockets:
            held.close()
        raise InputError(f"cannot listen on {host}:{port} ({reason(error)}): give another --port or --host") from error
    return sockets


def _url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}/v1" if ":" in address else f"http://{address}:{port}/v1"


def _settings(
    name: str, keys: list[str], limits: str, domains: list[str], folder: Path | None, **more: Any
) -> Settings:
    from pixelword.serving.settings import Settings

    try:
        counts = json.loads(limits)
        if not isinstance(counts, dict) or not all(isinstance(v, int) and v >= 0 for v in counts.values()):
            raise ValueError("not numbers by name")
    except ValueError as error:
        raise InputError(f'--limit-mm-per-prompt {limits!r}: write it as \'{{"image": 4, "video": 1}}\'') from error
    return Settings(
        served_model_name=name,
        api_keys=tuple(keys),
        limit_mm_per_prompt=counts,
        allowed_media_domains=tuple(domains),
        allowed_local_media_path=folder,
        **more,
    )


def _origins(given: list[str]) -> tuple[str, ...]:
    """Parse origins, given singly or, as in vLLM, as JSON lists."""
    found: list[str] = []
    for text in given:
        try:
            item = json.loads(text) if text.lstrip().startswith("[") else [text]
        except ValueError:
            item = [None]
        if not all(isinstance(origin, str) for origin in item):
            raise InputError(f"--allowed-origins {text!r}: write an origin, or '[\"https://app.example.org\"]'")
        found += item
    return tuple(found)

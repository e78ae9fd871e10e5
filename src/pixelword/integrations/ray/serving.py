"""Our server as a Ray Serve application: replicas across the cluster behind one address.

    serve run pixelword.integrations.ray.serving:app model=nano replicas=2

Each replica is a whole server, with its own engine, decoding workers and prefix cache; Ray restarts one that stops
responding. Keys come from $PIXELWORD_API_KEY on the machine that runs `serve run`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixelword.errors import InputError
from pixelword.extras import install_command

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application


class Options(BaseModel):
    """The arguments of `serve run`, `name=value`. cpus, gpus: of one replica."""

    model_config = ConfigDict(extra="forbid")
    model: str = "nano"
    served_model_name: str | None = None
    replicas: Annotated[int, Field(ge=1)] = 2
    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    max_num_seqs: Annotated[int, Field(ge=1)] = 16
    max_waiting: Annotated[int, Field(ge=0)] = 64
    prefix_cache_mb: Annotated[int, Field(ge=0)] = 512


def server(options: Options, api_keys: tuple[str, ...]) -> FastAPI:
    """Create the application of one replica; its engine and workers end with the process."""
    from pixelword.checkpoints.names import resolve
    from pixelword.generation.engine import Engine
    from pixelword.generation.request import BatchingOptions
    from pixelword.generation.session import load
    from pixelword.serving.app import create_app
    from pixelword.serving.settings import Settings
    from pixelword.serving.workers import Workers

    name = options.served_model_name or Path(options.model).name
    # a stored response would be on one replica, and the next request may reach another
    settings = Settings(
        served_model_name=name, api_keys=api_keys, max_waiting=options.max_waiting, max_stored_responses=0
    )
    batching = BatchingOptions(max_num_seqs=options.max_num_seqs, prefix_bytes=options.prefix_cache_mb << 20)
    session = load(options.model)
    engine = Engine(session.model, session.processor, batching)
    return create_app(engine, Workers(resolve(options.model), settings), settings)


def app(given: dict[str, str]) -> Application:
    """Build the application for `serve run`, from its `name=value` arguments.

    Raises:
        InputError: Ray Serve is not installed, or an unknown option.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise InputError(f"many machines need Ray: {install_command('ray', 'serve')}") from error
    try:
        options = Options.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(Options.model_fields)
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']} (there are: {known})") from error
    keys = tuple(filter(None, [os.environ.get("PIXELWORD_API_KEY", "")]))

    def build() -> FastAPI:
        return server(options, keys)

    @serve.ingress(build)
    class Replica:
        """One of our servers. Ray checks its health every few seconds."""

        def check_health(self) -> None:
            if not self.app.state.server.engine.alive:  # type: ignore[attr-defined]
                raise RuntimeError("the engine has ended")

    deployed = serve.deployment(
        Replica,
        name="pixelword",
        num_replicas=options.replicas,
        max_ongoing_requests=options.max_num_seqs + options.max_waiting,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
    )
    return deployed.bind()

"""A cluster: how a process joins one or starts its own, and how replicas are placed on its machines."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pixelword.errors import InputError, reason
from pixelword.extras import install_command

_SECONDS = 20.0  # that a cluster may take to accept a connection


class Placement(NamedTuple):
    """Number of replicas, and CPUs and GPUs of each."""

    replicas: int
    cpus: float
    gpus: float


def connect(address: str | None = None) -> None:
    """Join a cluster, unless this process already did.

    Args:
        address: "local" starts one in this machine, "auto" finds the one that runs here, HOST:PORT or ray://HOST:PORT
            is elsewhere; None takes `$RAY_ADDRESS`, or starts one.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(f"many machines need Ray: {install_command('ray')}") from error
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers of every run otherwise
    starts = address == "local" or (address is None and not os.environ.get("RAY_ADDRESS"))
    # a cluster has a dashboard or has none; starting our own would open an unwanted port
    options: dict[str, Any] = {"include_dashboard": False} if starts else {}
    try:
        _check_open(address)
        ray.init(address, logging_level=logging.WARNING, **options)
    except (OSError, ValueError) as error:
        why = reason(error).partition(". ")[0]
        raise InputError(
            f"no Ray cluster at {address} ({why}): start it with ray start --head, or give local"
        ) from error


def _check_open(address: str | None) -> None:
    """Ray would try an address for minutes. Raises OSError; ValueError: it has no port."""
    if address not in (None, "local", "auto"):
        host, _, port = str(address).removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            raise ValueError("an address is HOST:PORT")
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()


def machines() -> list[Mapping[str, float]]:
    """Return the resources of each machine of the cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def placed(resources: Sequence[Mapping[str, float]], replicas: int | None = None) -> Placement:
    """Return where replicas go: one per GPU, or on each machine where there are no GPUs, which then share its CPUs.

    Args:
        resources: Of each machine: `CPU` and `GPU`; machines without CPUs take no replicas.
        replicas: Their number, instead of that.

    Raises:
        InputError: no machine has a CPU.
    """
    able = [machine for machine in resources if machine.get("CPU", 0) >= 1]
    if not able:
        raise InputError("no machine of the Ray cluster has a CPU for a replica; add one")
    if gpus := int(sum(machine.get("GPU", 0) for machine in able)):
        count = replicas or gpus
        return Placement(count, 1.0, 1 / -(-count // gpus))
    count = replicas or len(able)
    least, share = int(min(machine["CPU"] for machine in able)), -(-count // len(able))
    return Placement(count, float(least // share) or least / share, 0.0)

"""The pytest plugin: a test that takes `conformance_check` becomes one test per check.

The port comes from an option or from a fixture `conformance_port` of your own, which returns what is called with a
checkpoint's folder::

    @pytest.fixture(scope="session")
    def conformance_port():
        return MyPort

    def test_port(conformance_check):
        conformance_check()
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .checks import Check, Outcome, all_checks
from .ports import from_name
from .table import made, selected
from .types import TOLERANCES
from .url import Server, url_checks


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "NEO-ov conformance")
    group.addoption("--conformance-port", metavar="MODULE:NAME", help="a port, see pixelword_conformance/ports.py")
    group.addoption("--conformance-url", metavar="ADDRESS", help="a server that answers with the checkpoint")
    group.addoption("--conformance-checkpoint", default="tiny-untied", help="what that server was started with")
    group.addoption("--conformance-tolerance", choices=tuple(TOLERANCES), default="float32")
    group.addoption("--conformance-only", action="append", default=[], metavar="PATTERN", help="checks by name")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "conformance_check" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    over_url = option("--conformance-url") is not None
    every = list(url_checks(option("--conformance-checkpoint"))) if over_url else all_checks()
    checks = selected(every, option("--conformance-only"))
    metafunc.parametrize("conformance_check", checks, ids=[check.name for check in checks], indirect=True)


@pytest.fixture(scope="session")
def conformance_port(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    """What makes a port of a checkpoint's folder."""
    if address := request.config.getoption("--conformance-url"):
        server = Server(address)
        return lambda folder: server
    if name := request.config.getoption("--conformance-port"):
        return from_name(name)
    raise pytest.UsageError("give --conformance-port or --conformance-url, or define a fixture conformance_port")


@pytest.fixture(scope="session")
def _conformance_made(conformance_port: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return functools.lru_cache(maxsize=1)(lambda folder: made(conformance_port, folder))


@pytest.fixture
def conformance_check(request: pytest.FixtureRequest, _conformance_made: Callable[[Path], Any]) -> Callable[[], None]:
    """A check that fails the test where the port differs, and skips it where the port does not offer a function."""
    check: Check = request.param
    tolerance = TOLERANCES[request.config.getoption("--conformance-tolerance")]

    def run() -> None:
        port = _conformance_made(check.folder)
        outcome = port if isinstance(port, Outcome) else check.outcome(port, tolerance)
        if outcome.state == "skipped":
            pytest.skip(outcome.detail)
        if outcome.state != "holds":
            pytest.fail(f"{check.name} ({check.origin}): {outcome.detail}", pytrace=False)

    return run

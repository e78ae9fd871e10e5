"""The page of a server, in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class ServedPage:
    """A server with nano that wants a key."""

    address: str
    key: str


@pytest.fixture(scope="session")
def served_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPage]:
    """`pixelword serve nano` as a process of its own."""
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(name, reason='the server needs pip install "pixelword[serve]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        from served import served

    with served(["nano", "--api-key", "a-secret"], tmp_path_factory.mktemp("served") / "log") as server:
        yield ServedPage(server.address, "a-secret")


@pytest.fixture
def visit(browser: Any, served_page: ServedPage) -> Iterator[Callable[..., Any]]:
    """visit(signed_in=True, viewport=…, …) -> the page; at the end no script has failed, no other host was asked."""
    contexts: list[Any] = []
    faults: list[str] = []
    own = (served_page.address, f"blob:{served_page.address}", "data:")

    def opened(*, signed_in: bool = True, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}} | options)
        contexts.append(context)
        context.set_default_timeout(60_000)  # milliseconds: a busy machine is slow, not wrong
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if "Content Security" in told.text else None)
        page.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith(own) else None)
        if signed_in:
            page.add_init_script(f"sessionStorage.setItem('pixelword.key', '{served_page.key}')")
        page.goto(served_page.address)
        if signed_in:
            page.locator("#model").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []

"""Pages of other origins may ask where they are named, and nobody else gains anything by it."""

from __future__ import annotations

import httpx
import pytest

from pixelword.cli.serve import _origins
from pixelword.errors import InputError
from pixelword.serving.settings import Settings

from .test_guard import GOOD, assert_refused

APP, OTHER = "https://app.example.org", "https://evil.example"
PATH = "/v1/chat/completions"


def preflight(address: str, origin: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    return httpx.options(f"{address}{PATH}", headers={"Origin": origin} | asked)


def ask(address: str, origin: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{address}{PATH}", json=GOOD, headers={"Origin": origin} | headers, timeout=60)


def test_a_named_page_may_ask_and_read_without_a_key_in_the_preflight(serving) -> None:
    with serving(allowed_origins=(APP,), api_keys=("secret",)) as address:
        before = preflight(address, APP)
        assert before.status_code == 200 and before.headers["Access-Control-Allow-Origin"] == APP
        assert "POST" in before.headers["Access-Control-Allow-Methods"]
        assert before.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        found = ask(address, APP, Authorization="Bearer secret")
        assert found.status_code == 200 and found.headers["Access-Control-Allow-Origin"] == APP
        assert "Origin" in found.headers["Vary"] and "X-Request-Id" in found.headers["Access-Control-Expose-Headers"]
        refused = ask(address, APP)
        assert_refused(refused, 401)
        assert refused.headers["Access-Control-Allow-Origin"] == APP  # so that the page can read why


def test_others_may_not(serving) -> None:
    with serving(allowed_origins=(APP,)) as address:
        assert ask(address, APP).status_code == 200
        for origin in (OTHER, f"{APP}.evil.example", "http://app.example.org", f"{APP}:444", "null"):
            assert_refused(ask(address, origin), 403)
            before = preflight(address, origin)
            assert before.status_code == 400 and "Access-Control-Allow-Origin" not in before.headers
        assert ask(address, address).status_code == 200  # its own page


def test_by_default_nobody_may(address, serving) -> None:
    for origin in (APP, "http://localhost:3000"):
        before = preflight(address, origin)
        assert before.status_code == 400 and "Access-Control-Allow-Origin" not in before.headers
    assert "Access-Control-Allow-Origin" not in ask(address, "http://localhost:3000").headers
    with serving(api_keys=("secret",)) as address:
        assert_refused(httpx.options(f"{address}{PATH}"), 401)  # no preflight


def test_a_star_is_everybody(serving) -> None:
    with serving(allowed_origins=("*",)) as address:
        assert preflight(address, OTHER).headers["Access-Control-Allow-Origin"] == "*"
        found = ask(address, OTHER)
        assert found.status_code == 200 and found.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in found.headers


@pytest.mark.parametrize("origin", ["app.example.org", f"{APP}/", f"{APP}/x", "https://App.example.org", "null", ""])
def test_what_is_not_an_origin_is_refused_at_the_start(origin) -> None:
    with pytest.raises(InputError, match="allowed_origins"):
        Settings(allowed_origins=(origin,))


def test_origins_are_given_one_by_one_or_as_json() -> None:
    assert _origins([APP, '["http://localhost:3000", "*"]']) == (APP, "http://localhost:3000", "*")
    for bad in ("[1]", "[", '{"a": 1}[', "[{}]"):
        if bad.startswith("["):
            with pytest.raises(InputError, match="--allowed-origins"):
                _origins([bad])

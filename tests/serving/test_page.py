"""The page's files: nothing of them is from elsewhere, they need no key, and nothing else is open with them."""

from __future__ import annotations

import re

import httpx
import pytest

from pixelword.serving import page

from .conftest import EXAMPLES

#: Names of XML languages look like addresses; nobody fetches them.
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.fixture(scope="module")
def guarded(serving):
    with serving(api_keys=("a-secret",)) as address:
        yield address


@pytest.mark.parametrize("path", page.FILES)
def test_files_need_no_key_and_say_what_browsers_may_do(guarded, path) -> None:
    answer = httpx.get(f"{guarded}{path}")
    assert answer.status_code == 200 and answer.content == page.FILES[path].read_bytes()
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert (
        policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["trusted-types"] == "'none'"
    )
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
    kinds |= {".html": "text/html", ".mp4": "video/mp4"}
    assert answer.headers["Content-Type"].partition(";")[0] == kinds[page.FILES[path].suffix]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models", "/metrics", "/version", "/page", "/page/", "/page/missing.js", "//", "/page//app.js",
        "/page/../v1/models", "/page/%2e%2e/v1/models", "/page/app.js/../../v1/models", "/health/../v1/models",
        "/page/examples/../../page.py", "/page/..%2fpage.py",
    ],
)  # fmt: skip
def test_nothing_else_is_open(guarded, path) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", guarded)
        request.url = request.url.copy_with(raw_path=path.encode())  # as written, dots and all
        assert client.send(request).status_code == 401


@pytest.mark.parametrize("host", ["x/health?", "x/health#", "x@y/", "x/page/app.js?"])
def test_a_host_s_name_opens_nothing(guarded, host) -> None:
    assert httpx.get(f"{guarded}/v1/models", headers={"Host": host}).status_code in (400, 401)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8000", 200),
        ("http://127.0.0.1:8000", 200),
        ("http://[::1]:8000", 200),
        ("http://192.168.1.7:8000", 200),
        ("http://rebound.example:8000", 403),
        ("http://127.0.0.1.rebound.example", 403),
        ("http://127.0.0.1@rebound.example", 403),
        ("http://[::1", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_whose_name_was_led_here_may_not_ask_without_a_key(address, guarded, origin, status) -> None:
    """DNS rebinding: to the browser, that page's server is this one."""
    body = {"prompt": "what is it?"}
    headers = {} if origin is None else {"Origin": origin}
    answer = httpx.post(f"{address}/tokenize", json=body, headers=headers)
    assert answer.status_code == status
    assert status == 200 or "key" in answer.json()["error"]["message"]
    # with a key, which no other page knows, a proxy's name is as good as any
    signed = {"Authorization": "Bearer a-secret", **headers}
    assert httpx.post(f"{guarded}/tokenize", json=body, headers=signed).status_code == 200


def test_only_reading_is_possible(guarded) -> None:
    assert httpx.head(guarded).status_code == 200
    assert {httpx.request(way, guarded).status_code for way in ("POST", "PUT", "DELETE")} == {405}


def test_it_works_under_a_folder_of_a_proxy() -> None:
    """Addresses are relative to the page's own."""
    for path, file in page.FILES.items():
        if file.suffix in (".html", ".js"):
            assert re.findall(r"""(?:src|href|from|import|fetch|URL)\s*[=(]?\s*[("'`]+/""", file.read_text()) == [], (
                path
            )


def test_no_file_names_another_host_or_hides_code_in_markup() -> None:
    texts = {
        path: file.read_text() for path, file in page.FILES.items() if file.suffix in (".html", ".js", ".css", ".svg")
    }
    for path, text in texts.items():
        assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text.replace(NAMESPACE, "")) == [], path
        for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert sink not in text, path
    assert not re.search(r"<script(?! type=\"module\" src=)|<style|\son\w+=|\sstyle=", texts["/"])


def test_what_it_offers_as_examples_are_the_examples() -> None:
    offered = [file for path, file in page.FILES.items() if path.startswith("/page/examples/")]
    assert len(offered) == 3
    for file in offered:
        assert file.read_bytes() == (EXAMPLES / file.name).read_bytes()
    named = re.findall(r'"([\w]+\.(?:png|mp4))"', page.FILES["/page/examples.js"].read_text())
    assert set(named) == {file.name for file in offered}

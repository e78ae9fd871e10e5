"""URLs are fetched from public hosts only, with every hop checked and every byte counted."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from pixelword.errors import MediaError
from pixelword.processing import Limits, load_image, load_video
from pixelword.processing.fetch import fetch_url, global_address

PRIVATE = ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1", "fd00::1"]
DISGUISED = ["::ffff:127.0.0.1", "2130706433", "0x7f.1", "127.1", "2002:7f00:1::", "fe80::1%lo", "224.0.0.1"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        port = self.server.server_address[1]
        moves = {"/moved": f"http://localhost:{port}/picture", "/inside": "http://10.0.0.1/", "/loop": "/loop"}
        moves["/file"] = "file:///etc/passwd"
        if self.path in moves:
            self.send_response(302)
            self.send_header("Location", moves[self.path])
            self.end_headers()
        elif self.path == "/picture":
            file = io.BytesIO()
            Image.new("RGB", (8, 8), "red").save(file, "PNG")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(file.getvalue())
        elif self.path == "/large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 200_000)
        else:
            self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{http.server_address[1]}"
        http.shutdown()


def _only_localhost(host: str, port: int) -> str:
    """Lets the test's own server through; every other host is judged as always."""
    return "127.0.0.1" if host == "localhost" else global_address(host, port)


@pytest.mark.parametrize("host", PRIVATE + DISGUISED)
def test_private_addresses_are_refused(host: str) -> None:
    with pytest.raises(MediaError, match=r"not a public address|no such host"):
        global_address(host, 80)


def test_local_server_is_out_of_reach(server: str) -> None:
    for load in (load_image, load_video):
        with pytest.raises(MediaError, match="not a public address"):
            load(f"{server}/picture", allow_urls=True)


def test_body_and_redirect_are_read(server: str) -> None:
    for path in ("/picture", "/moved"):
        body = fetch_url(server + path, Limits(), address_of=_only_localhost)
        assert load_image(body).size == (8, 8)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/inside", "not a public address"),
        ("/loop", "redirected more than 3"),
        ("/file", "only http and https"),
        ("/large", "limit of 100,000 bytes"),
        ("/missing", "answered 404"),
    ],
)
def test_what_a_server_may_not_do(server: str, path: str, problem: str) -> None:
    with pytest.raises(MediaError, match=problem) as caught:
        fetch_url(server + path, Limits(max_bytes=100_000), address_of=_only_localhost)
    assert "\n" not in str(caught.value)

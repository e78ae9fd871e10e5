"""Fetching http(s) URLs without reaching into private networks.

A host is resolved once, all its addresses must be global, and the connection goes to the checked address, so neither a
redirect nor a second DNS look-up can lead elsewhere. No proxies, cookies or credentials.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from pixelword.errors import MediaError
from pixelword.processing.limits import Limits

REDIRECTS = (301, 302, 303, 307, 308)
CHUNK = 1 << 16


def fetch_url(
    url: str, limits: Limits, *, address_of: Callable[[str, int], str] | None = None, only_https: bool = False
) -> bytes:
    """Download `url`, at most `limits.max_bytes`. Raises `MediaError` naming the URL.

    address_of: (host, port) -> the address to connect to, or `MediaError` (default: `global_address`); called per hop.
    only_https: require https at every hop.
    """
    schemes = ("https",) if only_https else ("http", "https")
    deadline = time.monotonic() + limits.url_deadline
    here = url
    for _ in range(limits.max_redirects + 1):
        try:
            body, moved = _get(here, limits, deadline, address_of or global_address, schemes)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(f"{url}: cannot be fetched ({error}); download it and give the file") from error
        if moved is None:
            return body
        here = urljoin(here, moved)
    raise MediaError(f"{url}: redirected more than {limits.max_redirects} times; give the final address")


def global_address(host: str, port: int) -> str:
    """Resolve `host` to an address. Raises `MediaError` unless all its addresses are global."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise MediaError(f"{host}: no such host ({error}); check the URL") from error
    for address in found:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None) or parsed
        if not (parsed.is_global and inner.is_global) or parsed.is_multicast:
            raise MediaError(f"{host}: not a public address; only public hosts are fetched")
    return sorted(found)[0]


def _get(
    url: str, limits: Limits, deadline: float, address_of: Callable[[str, int], str], schemes: tuple[str, ...]
) -> tuple[bytes, str | None]:
    """Request one hop; return (body, None) or (b"", redirect target)."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise MediaError(f"{url}: only {' and '.join(schemes)} addresses are fetched")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = address_of(parts.hostname, port)
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=limits.url_timeout)
    sock = socket.create_connection((address, port), timeout=limits.url_timeout)
    try:
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        connection.sock = sock  # already connected to the checked address: the name is not looked up again
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "pixelword", "Accept": "image/*,video/*"})
        response = connection.getresponse()
        if response.status in REDIRECTS and response.headers.get("Location"):
            return b"", response.headers["Location"]
        if response.status != 200:
            raise MediaError(f"{url}: the server answered {response.status} {response.reason}; check the address")
        return _read_capped(response, url, limits, deadline), None
    finally:
        connection.close()
        sock.close()


def _read_capped(response: http.client.HTTPResponse, url: str, limits: Limits, deadline: float) -> bytes:
    body = bytearray()
    while chunk := response.read(CHUNK):
        body += chunk
        if len(body) > limits.max_bytes:
            raise MediaError(f"{url}: more than the limit of {limits.max_bytes:,} bytes; give something smaller")
        if time.monotonic() > deadline:
            raise MediaError(
                f"{url}: not finished after {limits.url_deadline:g} seconds; download it and give the file"
            )
    return bytes(body)

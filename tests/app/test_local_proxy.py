"""How commands ask a proxy on this machine."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from foxora_addon.app.local_proxy import ask

pytestmark = pytest.mark.real_server


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("x-foxora-source", "addon")
        self.end_headers()
        self.wfile.write(b'{"version": "1"}')

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  # its own name


class OverIPv6(HTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture(params=[("127.0.0.1", HTTPServer), ("::1", OverIPv6)], ids=["IPv4", "IPv6"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    host, kind = request.param
    try:
        server = kind((host, 0), Proxy)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_proxy_is_asked_where_it_listens(port: int) -> None:
    assert ask(port, "status") == {"version": "1"}

"""How a WebSocket ends that somebody leaves without a word (RFC 6455, 7.1.5), and its record."""

import contextlib
import socket
import socketserver
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.proxies import APP_KEY, Proxy, running_proxy, wait_until
from tests.end_to_end.raw_gateways import SECONDS, Asked, serving
from tests.end_to_end.sockets import SocketGateway, frame, opening

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.parametrize("fast", ["true", "false"]),
    pytest.mark.parametrize("how", ["reset", "end"]),
]

SAID = b'{"type":"session.created"}'
INTERNAL_ERROR = (1011).to_bytes(2)


class Gateway(socketserver.ThreadingTCPServer):
    """Opens WebSockets, says something, and waits, or leaves as it is told; `left` has the rest."""

    def __init__(self, how: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.how = how
        self.left: list[bytes] = []


class _Session(SocketGateway):
    server: Gateway

    def talk(self, asked: Asked) -> None:
        self.wfile.write(frame(1, SAID))
        if self.server.how is None:
            self.server.left.append(self.rfile.read())
        else:
            self.rfile.read(len(frame(1, b"go", mask=True)))
            leave(self.connection, self.server.how)


def leave(connection: socket.socket, how: str) -> None:
    """Leave without a closing frame."""
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    else:
        connection.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def session(
    folder: Path, gateway: Gateway, fast: str
) -> Iterator[tuple[Proxy, socket.socket, bytes]]:
    """A proxy, and a client that has heard so much of the gateway."""
    environment = {
        "FOXORA_BASE_URL": f"http://127.0.0.1:{gateway.server_address[1]}/v1",
        "FOXORA_API_KEY": "foxora_sk_fake_socket_ends",
        "FOXORA_FAST": fast,
    }
    with (
        serving(gateway),
        running_proxy(folder, (), environment) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client,
    ):
        client.sendall(opening(APP_KEY))
        said = b""
        while SAID not in said:
            said += client.recv(65_536)
        yield proxy, client, said


def record_of(proxy: Proxy) -> Any:
    def found() -> list[dict[str, Any]]:
        return [record for record in proxy.records() if record["event"] == "response"]

    wait_until(lambda: bool(found()))
    (record,) = found()
    assert record["status"] == 101
    assert record["source"] == "network"
    return record


def test_a_client_that_vanishes_is_on_record_as_one(tmp_path: Path, how: str, fast: str) -> None:
    gateway = Gateway()
    with session(tmp_path, gateway, fast) as (proxy, client, _):
        leave(client, how)
        record = record_of(proxy)
        wait_until(lambda: bool(gateway.left))
    assert record["outcome"] == "client_disconnected"
    assert record["error"] is None
    assert record["websocket"]["count"] == 1


def test_a_gateway_that_vanishes_is_no_end_for_the_client_nor_on_record(
    tmp_path: Path, how: str, fast: str
) -> None:
    with session(tmp_path, Gateway(how), fast) as (proxy, client, said):
        client.sendall(frame(1, b"go", mask=True))
        rest = b"".join(iter(lambda: client.recv(65_536), b""))
        record = record_of(proxy)
    assert said.endswith(frame(1, SAID))
    reason = b"The connection to the gateway is lost. Try again."
    assert rest == frame(8, INTERNAL_ERROR + reason)
    assert record["outcome"] == "stream_broken"
    assert record["error"]["code"] == "gateway_unreachable"
    assert [message["text"] for message in record["websocket"]["messages"]] == [SAID.decode(), "go"]

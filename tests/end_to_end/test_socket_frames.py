"""What a gateway says in a WebSocket's control frames, which mitmproxy shows to no addon."""

import socket
import socketserver
from pathlib import Path

import pytest

from tests.end_to_end.proxies import APP_KEY, Proxy, running_proxy, wait_until
from tests.end_to_end.raw_gateways import SECONDS, Asked, serving
from tests.end_to_end.sockets import SocketGateway, frame, opening

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_live_fake-frames-0123456789"
PING, PONG, CLOSE = 9, 10, 8
GOING = (1000).to_bytes(2)


class Talker(SocketGateway):
    """Says the key in each kind of control frame, and leaves."""

    def talk(self, asked: Asked) -> None:
        sent = asked.headers[b"authorization"].removeprefix(b"Bearer ")
        assert sent == FOXORA_KEY.encode()
        self.wfile.write(frame(PING, b"is " + sent) + frame(PONG, sent))
        self.rfile.read(6 + len(APP_KEY))  # the client's ping
        self.wfile.write(frame(CLOSE, GOING + b"no such key: " + sent))


@pytest.mark.parametrize("fast", ["true", "false"])
def test_no_key_is_in_a_control_frame_nor_in_what_is_kept_of_it(tmp_path: Path, fast: str) -> None:
    options = ("-w", str(tmp_path / "flows.mitm"))
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talker)) as server:
        environment = {
            "FOXORA_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "FOXORA_API_KEY": FOXORA_KEY,
            "FOXORA_FAST": fast,
        }
        with running_proxy(tmp_path, options, environment) as proxy:
            said = said_to(proxy)
            wait_until(lambda: any(record.get("status") == 101 for record in proxy.records()))

    assert said.startswith(b"HTTP/1.1 101 ")
    hidden = b"*" * len(FOXORA_KEY)
    frames = [frame(PING, b"is " + hidden), frame(PONG, hidden)]
    frames.append(frame(CLOSE, GOING + b"no such key: " + hidden))
    assert said.partition(b"\r\n\r\n")[2] == b"".join(frames)

    assert "Received WebSocket" not in proxy.output
    assert b"no such key: " in (tmp_path / "flows.mitm").read_bytes()
    for name in ("output.log", "flows.mitm", "trail.jsonl"):
        kept = (tmp_path / name).read_bytes()
        assert FOXORA_KEY.encode() not in kept, name
        assert APP_KEY.encode() not in kept, name


def said_to(proxy: Proxy) -> bytes:
    """What a client gets that sends its own key in a ping."""
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client:
        client.sendall(opening(APP_KEY) + frame(PING, APP_KEY.encode(), mask=True))
        return b"".join(iter(lambda: client.recv(65_536), b""))


class Agreeing(SocketGateway):
    """Agrees to whatever extensions are offered, and leaves as soon as it has opened."""

    def more_of_opening(self, asked: Asked) -> bytes:
        offered = asked.headers.get(b"sec-websocket-extensions")
        return b"" if offered is None else b"sec-websocket-extensions: " + offered + b"\r\n"

    def talk(self, asked: Asked) -> None:
        self.wfile.write(frame(CLOSE, GOING))


def answer_to_offer(proxy: Proxy, bits: str) -> bytes:
    """All that a client gets that would compress, with a window of so many bits at the gateway."""
    offer = f"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={bits}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client:
        client.sendall(opening(APP_KEY).removesuffix(b"\r\n") + offer.encode())
        return b"".join(iter(lambda: client.recv(65_536), b""))


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_compression_that_the_proxy_cannot_read_opens_nothing(tmp_path: Path, fast: str) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Agreeing)) as server:
        environment = {
            "FOXORA_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "FOXORA_API_KEY": FOXORA_KEY,
            "FOXORA_FAST": fast,
        }
        with running_proxy(tmp_path, (), environment) as proxy:
            usual, smallest, none = (answer_to_offer(proxy, bits) for bits in ("9", "8", "99"))
            wait_until(lambda: len(proxy.records()) == 6)
            outcomes = [(r["status"], r["outcome"]) for r in proxy.records() if "status" in r]

    for said in (usual, smallest):
        assert said.startswith(b"HTTP/1.1 101 ")
        assert said.endswith(b"\r\n\r\n" + frame(CLOSE, GOING))
    assert b"server_max_window_bits=9" in usual
    assert b"sec-websocket-extensions" not in smallest.lower()
    assert none.startswith(b"HTTP/1.1 502 ")
    assert b'"code":"bad_gateway_answer"' in none
    assert outcomes == [(101, "completed")] * 2 + [(502, "gateway_error")]
    assert "mitmproxy has crashed" not in proxy.output

"""A long WebSocket fills no memory: its messages go once they have passed, and pass all."""

import socket
import socketserver
from itertools import count
from pathlib import Path

import pytest

from tests.end_to_end.proxies import APP_KEY, running_proxy, wait_until
from tests.end_to_end.raw_gateways import SECONDS, Asked, serving
from tests.end_to_end.sockets import SocketGateway, frame, opening

pytestmark = pytest.mark.real_server

MANY = 800
SAID = [b"%05d" % number + b"a" * 25_000 for number in range(MANY)]
ALL = b"".join(frame(1, content) for content in SAID)
GOING = (1000).to_bytes(2)
ADDON = """
from pathlib import Path

def websocket_message(flow):
    messages = flow.websocket.messages
    if messages[-1].from_client:
        Path("seen.txt").write_text(f"{len(messages)} {messages[-1].text}")
"""


class Talker(SocketGateway):
    """Says a lot, then says that it goes once a client's message has `bye` in it."""

    def talk(self, asked: Asked) -> None:
        self.wfile.write(ALL)
        while self.rfile.read(2)[1] & 0x7F != len(b"bye"):
            self.rfile.read(4 + len(b"well"))
        self.wfile.write(frame(8, GOING))


@pytest.mark.parametrize("fast", ["true", "false"])
def test_messages_that_have_passed_are_let_go(tmp_path: Path, fast: str) -> None:
    (tmp_path / "sees.py").write_text(ADDON)
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talker)) as server:
        environment = {
            "FOXORA_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "FOXORA_API_KEY": "foxora_sk_fake_socket_memory",
            "FOXORA_FAST": fast,
        }
        with (
            running_proxy(tmp_path, ("-s", "sees.py"), environment) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client,
        ):
            client.sendall(opening(APP_KEY))
            said = bytearray()
            while not said.endswith(SAID[-1]):
                piece = client.recv(65_536)
                assert piece, f"it ended after {len(said)} bytes"
                said += piece
            sent, seen = count(), tmp_path / "seen.txt"

            def is_short() -> bool:
                client.sendall(frame(1, b"well", mask=True))
                next(sent)
                length, _, newest = (
                    seen.read_text().partition(" ") if seen.exists() else ("0", "", "")
                )
                return newest == "well" and int(length) < MANY // 2

            wait_until(is_short)
            client.sendall(frame(1, b"bye", mask=True))
            assert b"".join(iter(lambda: client.recv(65_536), b"")) == frame(8, GOING)
            wait_until(lambda: any(record.get("status") == 101 for record in proxy.records()))
            told = proxy.records()[-1]["websocket"]
    assert said.partition(b"\r\n\r\n")[2] == ALL
    assert told["count"] == MANY + next(sent) + 1
    assert [message["text"].encode() for message in told["messages"][:2]] == SAID[:2]

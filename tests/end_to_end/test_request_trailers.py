"""What an HTTP/2 client sends behind its body, after its head was cleaned of keys."""

import json
import socket
import ssl
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from tests.end_to_end.proxies import APP_KEY, ON_MOCK, Proxy, running_proxy
from tests.end_to_end.raw_gateways import SECONDS

pytestmark = pytest.mark.real_server

BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
SPY = """
import pathlib

def request(flow):
    seen = repr(flow.request.get_state())
    pathlib.Path(__file__).with_name("seen").write_text(seen)
"""


def status_of(proxy: Proxy) -> int:
    """Call over HTTP/2, with the key in trailers as well; the answer's status."""
    trust = ssl.create_default_context(cafile=proxy.certificate)
    trust.set_alpn_protocols(["h2"])
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    head = [(":method", "POST"), (":scheme", "https"), (":authority", "api.openai.com")]
    head += [(":path", "/v1/chat/completions"), ("authorization", f"Bearer {APP_KEY}")]
    client.send_headers(1, head)
    client.send_data(1, BODY.encode())
    client.send_headers(1, [("x-api-key", APP_KEY)], end_stream=True)
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as plain:
        plain.sendall(b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n")
        assert b" 200 " in plain.recv(65_536)
        with trust.wrap_socket(plain, server_hostname="api.openai.com") as secure:
            secure.sendall(client.data_to_send())
            while data := secure.recv(65_536):
                for event in client.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        headers = {str(name): str(value) for name, value in event.headers or ()}
                        return int(headers[":status"])
    raise AssertionError("no answer")


@pytest.mark.parametrize("fast", ["true", "false"])
def test_no_addon_sees_the_key_in_trailers(tmp_path: Path, fast: str) -> None:
    spy = tmp_path / "spy.py"
    spy.write_text(SPY)
    options = (*ON_MOCK, "-s", "foxora_addon")
    with running_proxy(tmp_path, options, {"FOXORA_FAST": fast}, script=str(spy)) as proxy:
        assert status_of(proxy) == 200
    seen = (tmp_path / "seen").read_text()
    assert "gpt-4o-mini" in seen
    assert APP_KEY not in seen

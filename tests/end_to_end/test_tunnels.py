"""No connection becomes a tunnel through which calls would pass unread, whoever would make it one.

And trailers that another addon puts behind a request, on which mitmproxy crashes, go no further.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.proxies import APP_KEY, ON_MOCK, Proxy, direct_client, running_proxy
from tests.end_to_end.raw_gateways import SECONDS, Asked, serving
from tests.end_to_end.sockets import SocketGateway, frame, opening
from tests.end_to_end.test_other_addons import BEARER, CALL, KEY, Gateway

pytestmark = pytest.mark.real_server

_CHANGE = "    if f.request.method == 'POST': f.response.status_code = 101\n"
_PIECE = "    def said(data): f.response.status_code = 101; return data\n"
SWITCHING = {
    "an answer": f"def response(f):\n{_CHANGE}",
    "an answer, later": f"async def response(f):\n{_CHANGE}",
    "the head of an answer": f"def responseheaders(f):\n{_CHANGE}",
    "the head of an answer, later": f"async def responseheaders(f):\n{_CHANGE}",
    "an answer that passes": f"def responseheaders(f):\n{_PIECE}    f.response.stream = said\n",
}


@contextmanager
def beside(text: str, gateway: Gateway, folder: Path, fast: str, *options: str) -> Iterator[Proxy]:
    """A proxy to a gateway, with an addon of this text behind ours."""
    script = folder / "other.py"
    script.write_text(text)
    with serving(gateway):
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ("-s", str(script), "--set", f"foxora_base_url={url}", *options)
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        with running_proxy(folder / "proxy", list(options), environment) as proxy:
            yield proxy


@pytest.mark.parametrize("fast", ["true", "false"])
@pytest.mark.parametrize("way", ["whole", "stream"])
@pytest.mark.parametrize("switching", SWITCHING)
def test_an_answer_is_made_no_tunnel_by_an_addon(
    tmp_path: Path, switching: str, way: str, fast: str
) -> None:
    gateway = Gateway()
    with beside(SWITCHING[switching], gateway, tmp_path, fast) as proxy, direct_client() as client:
        url, headers = f"{proxy.base_url}/chat/completions", {**BEARER, "x-way": way}
        call = {**CALL, "stream": way == "stream"}
        answers = [client.post(url, json=call, headers=headers) for _ in range(3)]
        assert [answered.status_code for answered in answers] == [200] * 3, proxy.output
        outcomes = [r["outcome"] for r in proxy.records() if r["event"] == "response"]
    assert outcomes == ["completed"] * 3
    assert gateway.keys == [f"Bearer {KEY}".encode()] * 3
    assert "Traceback" not in proxy.output


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_refusal_is_made_no_tunnel_by_an_addon_that_answers(tmp_path: Path, fast: str) -> None:
    script = tmp_path / "answering.py"
    script.write_text(
        "from mitmproxy.http import Response\ndef request(f): f.response = Response.make(101)\n"
    )
    environment = {"FOXORA_FAST": fast}
    running = running_proxy(tmp_path, [*ON_MOCK, "-s", str(script)], environment)
    with running as proxy, direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        answers = [client.post(url, json={}, headers=BEARER) for _ in range(2)]
        assert [answered.status_code for answered in answers] == [400] * 2, proxy.output
        assert all(answered.json()["error"]["param"] == "model" for answered in answers)
    assert "crashed" not in proxy.output


class Listening(SocketGateway):
    """Opens any WebSocket, and notes what comes through it."""

    heard: list[bytes]

    def talk(self, asked: Asked) -> None:
        while data := self.connection.recv(65_536):
            self.heard.append(data)


_STRIP = "def responseheaders(f): f.response.headers.pop('upgrade', None)\n"
UNREAD = {
    "by an option": ("", ["--set", "websocket=false"], b"13"),
    "by an addon": (_STRIP, [], b"13"),
    "by another version": ("", [], b"12"),
}


@pytest.mark.parametrize("fast", ["true", "false"])
@pytest.mark.parametrize("unread", UNREAD)
def test_a_websocket_that_nobody_reads_is_not_opened(
    tmp_path: Path, unread: str, fast: str
) -> None:
    text, more, version = UNREAD[unread]
    gateway = Gateway()
    heard: list[bytes] = []
    gateway.RequestHandlerClass = type("Heard", (Listening,), {"heard": heard})
    with beside(text, gateway, tmp_path, fast, *more) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client:
            asked = opening(APP_KEY).replace(b"Version: 13", b"Version: " + version)
            client.sendall(asked + frame(1, b'{"type": "response.create"}', mask=True))
            answered = b"".join(iter(lambda: _received(client), b""))
        assert answered.startswith(b"HTTP/1.1 502")
        assert b'"bad_gateway_answer"' in answered
        (response,) = [r for r in proxy.records() if r["event"] == "response"]
    assert response["outcome"] == "gateway_error"
    assert heard == []


def _received(client: socket.socket) -> bytes:
    """What comes next; nothing at the end, however that is."""
    try:
        return client.recv(65_536)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("fast", ["true", "false"])
def test_trailers_of_an_addon_are_left_out(tmp_path: Path, fast: str) -> None:
    text = (
        "from mitmproxy.http import Headers\n"
        "def request(f): f.request.trailers = Headers(x_behind='1')\n"
    )
    with beside(text, Gateway(), tmp_path, fast) as proxy, direct_client() as client:
        url, headers = f"{proxy.base_url}/chat/completions", {**BEARER, "x-way": "whole"}
        answers = [client.post(url, json=CALL, headers=headers) for _ in range(2)]
        assert [answered.status_code for answered in answers] == [200, 200], proxy.output
    assert "Traceback" not in proxy.output
    assert proxy.output.count("are left out") == 2

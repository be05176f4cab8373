"""A WebSocket asks the gateway for the model that `models.map` has for the one it names."""

import asyncio
import json
import socket
import socketserver
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    running_gateway,
    running_proxy,
    wait_until,
)
from tests.end_to_end.raw_gateways import SECONDS, Asked, serving
from tests.end_to_end.sockets import SocketGateway, frame, opening

pytestmark = [pytest.mark.real_server, pytest.mark.parametrize("fast", ["true", "false"])]

CONFIG = """
gateway: {{base_url: {gateway}/v1}}
models: {{map: {{app/model: gpt-4o-mini}}}}
accounts: [{{name: acme, key: {{env: FOXORA_API_KEY}}}}]
"""
LONG = "many words " * 1_000


async def end_of_answer(proxy: Proxy, target: str, message: str) -> str:
    """What ends the answer that a message asks for; the socket is closed then."""
    url = f"{proxy.base_url.replace('http', 'ws')}/{target}"
    headers = {"authorization": f"Bearer {APP_KEY}"}
    connection = await websocket_connect(HTTPRequest(url, headers=headers))
    await connection.write_message(message)
    kind = ""
    while kind not in {"response.done", "response.completed", "error"}:
        kind = json.loads(await connection.read_message() or "")["type"]
    connection.close()
    while await connection.read_message() is not None:
        pass
    return kind


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("realtime?x=%2f&model=app%2Fmodel", '{"type": "response.create"}'),
        (
            "responses",
            '{ "type":"response.create", "model" : "app/model", "temperature":1.0,'
            f'"input": "{LONG}" }}',
        ),
    ],
)
def test_the_gateway_is_asked_for_the_model_that_stands_in_the_map(
    tmp_path: Path, target: str, message: str, fast: str
) -> None:
    with running_gateway(tmp_path / "gateway") as gateway:
        folder = tmp_path / "proxy"
        folder.mkdir()
        (folder / "foxora.yaml").write_text(CONFIG.format(gateway=gateway))
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_models", "FOXORA_FAST": fast}
        with running_proxy(folder, (), environment) as proxy:
            told = asyncio.run(asyncio.wait_for(end_of_answer(proxy, target, message), 20))
            wait_until(lambda: any(record.get("status") == 101 for record in proxy.records()))
            *_, request, response = proxy.records()
        with direct_client() as client:
            log = client.get(f"{gateway}/_mock/log").json()
    assert told != "error"
    (body,) = [entry["body"] for entry in log if entry["method"] == "POST"]
    assert json.loads(body)["model"] == "gpt-4o-mini"
    if target == "responses":
        assert json.loads(body)["input"] == LONG
        assert json.loads(response["websocket"]["messages"][0]["text"])["model"] == "app/model"
    else:
        assert request["http"]["url"].endswith(target)
        assert request["model"] == "gpt-4o-mini"
        assert request["gateway_url"].endswith("/v1/realtime?x=%2f&model=gpt-4o-mini")
    assert response["outcome"] == "completed"
    assert response["model"] == "gpt-4o-mini"


class Reader(SocketGateway):
    """Notes the head of the first frame that comes."""

    def talk(self, asked: Asked) -> None:
        self.wfile.write(frame(1, self.rfile.read(4).hex().encode()))


def test_a_long_message_with_another_model_is_still_one_frame(tmp_path: Path, fast: str) -> None:
    message = f'{{"type": "response.create", "model": "app/model", "input": "{LONG}"}}'.encode()
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Reader)) as server:
        gateway = f"http://127.0.0.1:{server.server_address[1]}"
        (tmp_path / "foxora.yaml").write_text(CONFIG.format(gateway=gateway))
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_models", "FOXORA_FAST": fast}
        with (
            running_proxy(tmp_path, (), environment) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client,
        ):
            client.sendall(opening(APP_KEY).replace(b"realtime?model=gpt-4o-mini", b"responses"))
            client.sendall(frame(1, message, mask=True))
            said = b"".join(iter(lambda: client.recv(65_536), b""))
    size = len(message) + len("gpt-4o-mini") - len("app/model")
    head = bytes([0x81, 0x80 | 126]) + size.to_bytes(2)
    assert frame(1, head.hex().encode()) in said

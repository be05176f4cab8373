"""Tokens that are said over a WebSocket count against the ceilings, as those of calls do."""

import asyncio
import json
import socket
import socketserver
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

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

HEADERS = {"authorization": f"Bearer {APP_KEY}"}
CREATE = {"type": "response.create", "response": {"max_output_tokens": 20}}
RESPONSE = {
    "type": "response.create",
    "model": "gpt-4o-mini",
    "input": "Hello",
    "max_output_tokens": 20,
}
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
ENDS = ("response.done", "response.incomplete", "response.completed", "error")


@contextmanager
def limited(folder: Path, gateway: str, limits: str, fast: str) -> Iterator[Proxy]:
    folder.mkdir(exist_ok=True)
    (folder / "foxora.yaml").write_text(
        f"gateway: {{base_url: {gateway}/v1}}\n"
        f"accounts: [{{name: acme, key: {{env: FOXORA_API_KEY}}, limits: {{{limits}}}}}]\n"
    )
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_socket_limits", "FOXORA_FAST": fast}
    with running_proxy(folder, (), environment) as proxy:
        yield proxy


async def answer_to(connection: WebSocketClientConnection, message: Any) -> Any:
    """The event that ends an answer, or stands in its place."""
    await connection.write_message(json.dumps(message))
    while True:
        told = await connection.read_message()
        assert told is not None
        event = json.loads(told)
        if event["type"] in ENDS:
            return event


def talking[T](
    proxy: Proxy, route: str, scenario: Callable[[WebSocketClientConnection], Awaitable[T]]
) -> T:
    """What a scenario on a WebSocket comes to; it is closed in the end."""

    async def talk() -> T:
        url = f"{proxy.base_url.replace('http', 'ws')}/{route}"
        connection = await websocket_connect(HTTPRequest(url, headers=HEADERS))
        found = await scenario(connection)
        connection.close()
        while await connection.read_message() is not None:
            pass
        return found

    return asyncio.run(asyncio.wait_for(talk(), 20))


def session_of(proxy: Proxy) -> Any:
    def found() -> list[dict[str, Any]]:
        return [record for record in proxy.records() if record.get("status") == 101]

    wait_until(lambda: bool(found()))
    return found()[-1]


def call(proxy: Proxy, max_tokens: int) -> httpx.Response:
    asked = CHAT | {"max_tokens": max_tokens}
    with direct_client() as client:
        return client.post(f"{proxy.base_url}/chat/completions", headers=HEADERS, json=asked)


@pytest.mark.parametrize(
    ("route", "create"), [("realtime?model=gpt-4o-mini", CREATE), ("responses", RESPONSE)]
)
def test_what_a_session_says_is_charged_and_over_the_ceiling_its_client_is_told(
    tmp_path: Path, route: str, create: Any, fast: str
) -> None:
    async def scenario(connection: WebSocketClientConnection) -> tuple[list[Any], Any]:
        told = [await answer_to(connection, create) for _ in range(4)]
        if route == "responses":
            return told, None
        await connection.write_message('{"type": "session.update"}')  # it goes on
        return told, json.loads(await connection.read_message() or "")

    with (
        running_gateway(tmp_path / "gateway") as gateway,
        limited(tmp_path / "proxy", gateway, "tokens_per_minute: 60", fast) as proxy,
    ):
        told, after = talking(proxy, route, scenario)
        assert after in (None, {"type": "session.update"})
        refused = [event for event in told if event["type"] == "error"]
        answered = told[: len(told) - len(refused)]
        assert refused
        assert answered
        for event in refused:
            assert event["error"]["code"] == "rate_limit_exceeded"
            assert (
                "Account 'acme' is at its limit of tokens per minute" in event["error"]["message"]
            )
            assert route != "responses" or event["status"] == 429

        over_http = call(proxy, 60)
        assert over_http.status_code == 429
        assert over_http.json()["error"]["code"] == "rate_limit_exceeded"

        with direct_client() as client:
            log = client.get(f"{gateway}/_mock/log").json()
        assert len([entry for entry in log if entry["method"] == "POST"]) == len(answered)

        record = session_of(proxy)
        (asked,) = [r for r in proxy.records() if r["exchange"] == record["exchange"]][:-1]
        assert asked["operation"] == route.partition("?")[0]
        usages = [event["response"]["usage"] for event in answered]
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            assert record["usage"][name] == sum(usage[name] for usage in usages)
        assert record["usage"]["source"] == "reported"
        assert record["outcome"] == "completed"
        used = sum(usage["total_tokens"] for usage in usages)
        assert f"used {used}," in refused[-1]["error"]["message"]
        kept = [json.loads(each["text"]) for each in record["websocket"]["messages"]]
        assert [each for each in kept if each["type"] == "error"] == refused


def test_a_session_costs_and_is_held_to_the_months_cap(tmp_path: Path, fast: str) -> None:
    async def scenario(connection: WebSocketClientConnection) -> list[Any]:
        return [await answer_to(connection, RESPONSE) for _ in range(3)]

    limits = "monthly_spend_cap_usd: 0.00003"
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        limited(tmp_path / "proxy", gateway, limits, fast) as proxy,
    ):
        call(proxy, 20)  # the prices are known once it is answered
        wait_until(lambda: any(r.get("cost_usd") for r in proxy.records()))
        told = talking(proxy, "responses", scenario)
        record = session_of(proxy)
    (paid,) = [event["response"]["usage"] for event in told if event["type"] != "error"]
    assert told[-1]["status"] == 402
    assert told[-1]["error"]["code"] == "spend_limit_reached"
    cost = (paid["input_tokens"] * 15 + paid["output_tokens"] * 60) / 1e8
    assert record["cost_usd"] == pytest.approx(cost)
    assert record["model"] == "gpt-4o-mini"


def test_a_session_keeps_the_ceilings_of_an_account_that_is_taken_out(
    tmp_path: Path, fast: str
) -> None:
    settings = "accounts: [{name: acme}, {name: lab, keys: [foxora_sk_fake_lab]}]"
    with (
        running_gateway(tmp_path / "gateway", settings) as gateway,
        limited(tmp_path / "proxy", gateway, "tokens_per_minute: 60", fast) as proxy,
    ):

        async def scenario(connection: WebSocketClientConnection) -> list[Any]:
            before = await answer_to(connection, CREATE)
            (tmp_path / "key").write_text("foxora_sk_fake_lab")
            (tmp_path / "proxy" / "foxora.yaml").write_text(
                f"gateway: {{base_url: {gateway}/v1}}\n"
                f"accounts: [{{name: lab, key: {{file: {tmp_path / 'key'}}}}}]\n"
            )
            wait_until(lambda: "the changed configuration is in force" in proxy.output)
            return [before, *[await answer_to(connection, CREATE) for _ in range(3)]]

        told = talking(proxy, "realtime?model=gpt-4o-mini", scenario)
        record = session_of(proxy)
        assert call(proxy, 60).status_code == 200
    assert [event["type"] for event in told[:1]] == ["response.done"]
    assert told[-1]["error"]["code"] == "rate_limit_exceeded"
    assert "Account 'acme' is at its limit" in told[-1]["error"]["message"]
    assert record["account"] == "acme"
    assert record["usage"]["total_tokens"] <= 60


HALF = b'{"type":"response.output_text.delta","delta":"half'
REST = b' and half"}'


class Halting(SocketGateway):
    """Says what an answer used, then half a message; the rest once a message has come through."""

    def talk(self, asked: Asked) -> None:
        used = {"input_tokens": 50, "output_tokens": 50, "total_tokens": 100}
        done = json.dumps({"type": "response.done", "response": {"usage": used}}).encode()
        self.wfile.write(frame(1, done) + frame(1, HALF, is_last=False))
        self.rfile.read(len(frame(1, b"go on", mask=True)))
        self.wfile.write(frame(0, REST) + frame(8, (1000).to_bytes(2)))


def test_a_refusal_comes_between_two_messages_of_the_gateways(tmp_path: Path, fast: str) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Halting)) as server:
        gateway = f"http://127.0.0.1:{server.server_address[1]}"
        with (
            limited(tmp_path / "proxy", gateway, "tokens_per_minute: 60", fast) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client,
        ):
            client.sendall(opening(APP_KEY))
            said = b""
            while b"response.done" not in said:
                said += client.recv(65_536)
            client.sendall(frame(1, b'{"type":"response.create"}', mask=True))
            while b"rate_limit_exceeded" not in said:
                said += client.recv(65_536)
            client.sendall(frame(1, b"go on", mask=True))
            said += b"".join(iter(lambda: client.recv(65_536), b""))
    error = said[said.index(b'{"type":"error"') :]
    end = error.index(b"}}") + 2
    assert json.loads(error[:end])["error"]["code"] == "rate_limit_exceeded"
    halves = frame(1, HALF, is_last=False) + frame(0, REST)
    assert error[end:] == halves + frame(8, (1000).to_bytes(2))

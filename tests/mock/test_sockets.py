"""TLS and WebSockets, over real loopback connections."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from foxora_addon.mock import shelf
from foxora_addon.mock.faults import parse_fault
from foxora_addon.mock.server import MockGateway
from tests.mock.builders import KEY, run, running


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mock")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    coding = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    certificate_path, key_path = folder / "mock.pem", folder / "mock.key"
    certificate_path.write_bytes(certificate.public_bytes(coding))
    key_path.write_bytes(key.private_bytes(coding, form, serialization.NoEncryption()))
    return certificate_path, key_path


def test_with_a_certificate_it_speaks_tls(tmp_path: Path) -> None:
    certificate, key = a_certificate(tmp_path)

    async def scenario() -> None:
        gateway = MockGateway()
        gateway.start(certificate=certificate, key=key)
        context = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            answer = await client.get(f"{gateway.base_url}/me")
        await gateway.stop()
        assert gateway.base_url.startswith("https://127.0.0.1:")
        assert answer.status_code == 401

    run(scenario)


def test_a_certificate_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    async def scenario() -> None:
        gateway = MockGateway()
        with pytest.raises(OSError, match="No such file"):
            gateway.start(certificate=tmp_path / "none.pem")
        gateway.start()
        await gateway.stop()

    run(scenario)


async def opened(
    gateway: MockGateway,
    subprotocols: list[str] | None = None,
    *,
    model: str = "gpt-4o",
    **headers: str,
) -> WebSocketClientConnection:
    """A realtime session that has begun."""
    socket = await opened_at(gateway, f"realtime?model={model}", subprotocols, **headers)
    begun = json.loads(await socket.read_message() or "")
    assert (begun["type"], begun["session"]["model"]) == ("session.created", model)
    return socket


async def opened_at(
    gateway: MockGateway, route: str, subprotocols: list[str] | None = None, **headers: str
) -> WebSocketClientConnection:
    url = f"{gateway.base_url}/{route}".replace("http", "ws", 1)
    return await websocket_connect(HTTPRequest(url, headers=headers), subprotocols=subprotocols)


async def leave(socket: WebSocketClientConnection) -> None:
    """Close a socket, and wait until the other side has agreed."""
    socket.close()
    assert await socket.read_message() is None


def test_a_websocket_says_back_text_and_octets_and_logs_them() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            socket = await opened(gateway, Authorization=f"Bearer {KEY}")
            for message in ("caf\u00e9", b"\x00\xff"):
                await socket.write_message(message, binary=isinstance(message, bytes))
                assert await socket.read_message() == message
            opening, *messages = gateway.received
            assert (opening.status, opening.query) == (101, "model=gpt-4o")
            assert [(m.method, m.body) for m in messages] == [
                ("MESSAGE", "caf\u00e9".encode()),
                ("MESSAGE", b"\x00\xff"),
            ]
            await leave(socket)

    run(scenario)


def test_a_websocket_takes_the_key_that_a_browser_offers_among_the_protocols() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            offered = ["realtime", f"openai-insecure-api-key.{KEY}"]
            socket = await opened(gateway, offered, Origin="https://a.example")
            assert socket.selected_subprotocol == "realtime"
            assert gateway.received[0].account == "default"
            await leave(socket)

    run(scenario)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer"}, 401),
        ({"x-mock-fault": "status=503"}, 503),
    ],
)
def test_a_websocket_can_be_refused(headers: dict[str, str], status: int) -> None:
    async def scenario() -> None:
        opening = {"upgrade": "websocket", "connection": "upgrade", **headers}
        async with running() as (gateway, client):
            answer = await client.get("/realtime", headers=opening)
            assert answer.status_code == gateway.received[0].status == status
            assert answer.json()["error"]["message"]

    run(scenario)


def test_a_websocket_route_without_an_upgrade_answers_in_json() -> None:
    async def scenario() -> None:
        async with running() as (_, client):
            answers = [await client.get("/realtime"), await client.post("/realtime")]
        assert [answer.status_code for answer in answers] == [400, 404]
        assert all(answer.json()["error"]["message"] for answer in answers)

    run(scenario)


def test_stopping_closes_open_websockets() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            socket = await opened(gateway, Authorization=f"Bearer {KEY}")
            await gateway.stop()
            assert await socket.read_message() is None
            assert socket.close_code == 1001
            socket.close()

    run(scenario)


async def answer_to(socket: WebSocketClientConnection, message: Any) -> list[Any]:
    """The events that a message is answered with, up to one that ends them, or to the close."""
    await socket.write_message(json.dumps(message))
    events: list[Any] = []
    ends = ("response.completed", "error")
    while not events or events[-1]["type"] not in ends:
        told = await socket.read_message()
        if told is None:
            return events
        events.append(json.loads(told))
    return events


A_RESPONSE = {"type": "response.create", "model": "gpt-4o-mini", "input": "Hello"}


def test_responses_are_told_over_a_websocket_in_their_events() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            socket = await opened_at(gateway, "responses", Authorization=f"Bearer {KEY}")
            first = await answer_to(socket, A_RESPONSE)
            second = await answer_to(socket, {**A_RESPONSE, "model": "gpt-0"})
            third = await answer_to(socket, {"type": "session.update"})
            await leave(socket)
            used = (await client.get("/me")).json()["usage"]
            fates = [(each.method, each.status, each.fate) for each in gateway.received[:4]]
        assert [event["sequence_number"] for event in first] == list(range(len(first)))
        assert first[-1]["response"]["output"][0]["content"][0]["text"]
        assert [(e["status"], e["error"]["code"]) for e in second] == [(404, "model_not_found")]
        assert [(e["status"], e["error"]["param"]) for e in third] == [(400, "model")]
        assert used["tokens_this_month"] == first[-1]["response"]["usage"]["total_tokens"]
        told = [("POST", status, "answered") for status in (200, 404, 400)]
        assert fates == [("GET", 101, "answered"), *told]

    run(scenario)


def test_a_response_over_a_websocket_goes_on_from_one_that_is_not_stored() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            socket = await opened_at(gateway, "responses", Authorization=f"Bearer {KEY}")
            first = (await answer_to(socket, {**A_RESPONSE, "store": False}))[-1]["response"]
            goes_on = {**A_RESPONSE, "previous_response_id": first["id"]}
            second = (await answer_to(socket, goes_on))[-1]["response"]
            (unknown,) = await answer_to(socket, {**goes_on, "previous_response_id": "resp_0"})
            await leave(socket)
            told = [await client.get(f"/responses/{each['id']}") for each in (first, second)]
        assert second["usage"]["input_tokens"] > first["usage"]["total_tokens"]
        assert unknown["error"]["code"] == "previous_response_not_found"
        assert [answer.status_code for answer in told] == [404, 200]

    run(scenario)


@pytest.mark.parametrize("fault", ["cut-after=2", "close-before-head", "html", "mute"])
def test_a_fault_closes_a_websocket_of_responses(fault: str) -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            socket = await opened_at(gateway, "responses", Authorization=f"Bearer {KEY}")
            gateway.faults.append(parse_fault(fault))
            events = await answer_to(socket, A_RESPONSE)
            socket.close()
            assert len(events) == (2 if fault == "cut-after=2" else 0)
            assert gateway.received[-1].fate == "cut"

    run(scenario)


def test_a_get_of_responses_that_opens_nothing_is_no_websocket() -> None:
    async def scenario() -> None:
        async with running() as (_, client):
            answer = await client.get("/responses")
        assert answer.status_code == 400

    run(scenario)


def said(text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item}


async def answers_to(socket: WebSocketClientConnection, last: str, *messages: Any) -> list[Any]:
    """The events that messages are answered with, up to one of that type."""
    for message in messages:
        await socket.write_message(json.dumps(message))
    events: list[Any] = []
    while not events or events[-1]["type"] != last:
        told = await socket.read_message()
        assert told is not None
        events.append(json.loads(told))
    return events


def test_the_realtime_api_answers_with_its_events_and_says_what_they_used() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            socket = await opened(gateway, Authorization=f"Bearer {KEY}")
            create = {"type": "response.create"}
            first = await answers_to(socket, "response.done", said("Hello"), create)
            second = await answers_to(socket, "response.done", said("And?"), create)
            await leave(socket)
            used = (await client.get("/me")).json()["usage"]
            paths = [each.path for each in gateway.received[:5]]
        done = [events[-1]["response"] for events in (first, second)]
        text = done[0]["output"][0]["content"][0]["text"]
        deltas = [each["delta"] for each in first if each["type"].endswith("text.delta")]
        assert "".join(deltas) == text
        usages = [each["usage"] for each in done]
        assert usages[1]["input_tokens"] > usages[0]["total_tokens"]  # the conversation so far
        assert used["tokens_this_month"] == sum(each["total_tokens"] for each in usages)
        assert paths == ["/v1/realtime"] * 5

    run(scenario)


def test_the_realtime_api_tells_what_it_noted_of_settings_and_items() -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    update = {"type": "session.update", "session": {"type": "realtime", "tools": [tool]}}

    async def scenario() -> None:
        async with running() as (gateway, _):
            socket = await opened(gateway, Authorization=f"Bearer {KEY}")
            (updated,) = await answers_to(socket, "session.updated", update)
            asked = said("Use get_weather."), {"type": "response.create"}
            added, done, *told = await answers_to(socket, "response.done", *asked)
            await leave(socket)
        assert updated["session"].items() >= {"model": "gpt-4o", "tools": [tool]}.items()
        kinds = added["type"], done["type"]
        assert kinds == ("conversation.item.added", "conversation.item.done")
        item = {"id": "item_1", "status": "completed", **asked[0]["item"]}
        assert added["item"] == done["item"] == item
        (called,) = told[-1]["response"]["output"]
        assert (called["type"], called["name"]) == ("function_call", "get_weather")

    run(scenario)


def test_what_the_realtime_api_answers_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_MOST_KEPT", 1)

    async def scenario() -> None:
        async with running() as (gateway, client):
            asked = {"model": "gpt-4o-mini", "input": "Hello"}
            stored = (await client.post("/responses", json=asked)).json()
            socket = await opened(gateway, Authorization=f"Bearer {KEY}")
            await answers_to(socket, "response.done", said("Hello"), {"type": "response.create"})
            await leave(socket)
            assert (await client.get(f"/responses/{stored['id']}")).json() == stored
            turn = gateway.received[-2]
            assert (turn.method, turn.header("upgrade")) == ("POST", "websocket")

    run(scenario)


def test_the_realtime_api_tells_an_error_in_its_event() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            socket = await opened(gateway, model="gpt-0", Authorization=f"Bearer {KEY}")
            (told,) = await answers_to(socket, "error", {"type": "response.create"})
            await leave(socket)
        assert told["error"]["code"] == "model_not_found"

    run(scenario)

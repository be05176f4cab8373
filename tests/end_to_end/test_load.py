"""Many calls at once, clients that read slowly, and answers that are very long."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator

import h2.connection
import h2.events
import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    async_http_2_client,
    direct_client,
    resident_mib,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
HEADERS = {"authorization": f"Bearer {APP_KEY}"}
CONFIG = """
gateway: {response_timeout_seconds: 20, stream_idle_timeout_seconds: 1}
listen: {max_exchanges: 30}
accounts: [{name: acme, default: true, plan: pro, key: {env: FOXORA_API_KEY},
            limits: {requests_per_minute: 100000, tokens_per_minute: 1000000000}}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as origin:
        yield origin


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, gateway: str) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("loaded")
    (folder / "foxora.yaml").write_text(CONFIG)
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_load", "FOXORA_BASE_URL": f"{gateway}/v1"}
    with running_proxy(folder, (), environment) as proxy:
        warm_up(proxy)
        yield proxy


def warm_up(proxy: Proxy) -> None:
    """Have a proxy load what it needs to count tokens, which is most of what it ever takes."""
    with direct_client() as client:
        client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=HEADERS)
    sizes = [0.0]

    def is_loaded() -> bool:
        time.sleep(0.1)
        sizes.append(resident_mib(proxy))
        return len(sizes) > 20 and sizes[-1] - sizes[-20] < 1

    wait_until(is_loaded, lambda: f"it grows on: {sizes[-5:]} MiB")


async def at_once(client: httpx.AsyncClient, url: str, calls: int, fault: str) -> list[int]:
    headers = {**HEADERS, "x-mock-fault": fault}
    answers = await asyncio.gather(
        *(client.post(url, json=CALL, headers=headers) for _ in range(calls))
    )
    return [answer.status_code for answer in answers]


def test_an_http_2_client_is_not_held_to_five_calls_at_once(loaded: Proxy) -> None:
    async def run() -> tuple[list[int], float]:
        async with async_http_2_client(loaded) as client:
            url = "https://api.openai.com/v1/chat/completions"
            await at_once(client, url, 1, "words=1")
            started = time.monotonic()
            statuses = await at_once(client, url, 20, "delay=2")
            return statuses, time.monotonic() - started

    statuses, seconds = asyncio.run(run())
    assert statuses == [200] * 20
    assert seconds < 6, "five at a time would take eight seconds"


def test_calls_beyond_the_ceiling_are_answered_503(loaded: Proxy) -> None:
    async def run() -> list[int]:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            url = f"{loaded.base_url}/chat/completions"
            return await at_once(client, url, 60, "delay=2")

    statuses = asyncio.run(run())
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 30
    with direct_client() as client:
        answer = client.post(f"{loaded.base_url}/chat/completions", json=CALL, headers=HEADERS)
    assert answer.status_code == 200


def queue_long_stream(gateway: str) -> str:
    """Let the next chat be answered with some 48 MB of events at once; returns them."""
    chunk = json.dumps({"object": "chat.completion.chunk", "choices": [], "filler": "x" * 900})
    body = f"data: {chunk}\n\n" * 50_000 + "data: [DONE]\n\n"
    with direct_client() as client:
        faults = [{"path": "/v1/chat", "type": "text/event-stream", "body": body}]
        client.post(f"{gateway}/_mock/faults", json=faults).raise_for_status()
    return body


def test_a_client_that_reads_slowly_costs_little_and_gets_all(loaded: Proxy, gateway: str) -> None:
    body = queue_long_stream(gateway)
    before = resident_mib(loaded)
    url = f"{loaded.base_url}/chat/completions"
    with (
        direct_client() as client,
        client.stream("POST", url, json={**CALL, "stream": True}, headers=HEADERS) as answer,
    ):
        parts = answer.iter_raw()
        text = next(parts)
        time.sleep(2.5)  # longer than a stream may be silent: it is the client that is waited for
        assert resident_mib(loaded) - before < 20
        text += b"".join(parts)
    assert text.decode() == body


def test_an_http_2_client_that_makes_no_room_costs_little_and_gets_all(
    loaded: Proxy, gateway: str
) -> None:
    body = queue_long_stream(gateway)
    before = resident_mib(loaded)
    with a_stream_without_room(loaded) as (secure, connection):
        read_for(secure, connection, 2.5)
        assert resident_mib(loaded) - before < 20
        connection.increment_flow_control_window(2**30)
        connection.increment_flow_control_window(2**30, 1)
        secure.sendall(connection.data_to_send())
        text = read_for(secure, connection, 20)
    assert len(text) > len(body) - 70_000  # the rest came before there was room
    assert text.endswith(b"data: [DONE]\n\n")


@contextlib.contextmanager
def a_stream_without_room(
    proxy: Proxy,
) -> Iterator[tuple[ssl.SSLSocket, h2.connection.H2Connection]]:
    """A call for a stream by an HTTP/2 client whose window is what it is at first: 64 KiB."""
    trust = ssl.create_default_context(cafile=proxy.certificate)
    trust.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", proxy.port), 10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        call = json.dumps({**CALL, "stream": True}).encode()
        head = [
            *((":method", "POST"), (":scheme", "https"), (":authority", f"localhost:{proxy.port}")),
            *((":path", "/v1/chat/completions"), ("authorization", f"Bearer {APP_KEY}")),
        ]
        connection.send_headers(1, head)
        connection.send_data(1, call, end_stream=True)
        secure.sendall(connection.data_to_send())
        yield secure, connection


def read_for(
    secure: ssl.SSLSocket, connection: h2.connection.H2Connection, seconds: float
) -> bytes:
    """What comes of the stream until it ends, or in so many seconds."""
    ends, text = time.monotonic() + seconds, bytearray()
    while (left := ends - time.monotonic()) > 0:
        secure.settimeout(left)
        try:
            data = secure.recv(1_048_576)
        except TimeoutError:
            break
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                text += event.data or b""
            if isinstance(event, h2.events.StreamEnded):
                return bytes(text)
        secure.sendall(connection.data_to_send())
    return bytes(text)


def test_an_answer_that_is_too_long_to_look_at_passes(loaded: Proxy, gateway: str) -> None:
    body = json.dumps({"object": "chat.completion", "choices": [], "filler": "x" * 48_000_000})
    before = resident_mib(loaded)
    with direct_client() as client:
        faults = [{"path": "/v1/chat", "body": body}]
        client.post(f"{gateway}/_mock/faults", json=faults).raise_for_status()
        answer = client.post(f"{loaded.base_url}/chat/completions", json=CALL, headers=HEADERS)
    assert answer.text == body
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(loaded.answer_records(exchange)))
    (record,) = loaded.answer_records(exchange)
    assert (record["outcome"], record["body_bytes"]) == ("completed", len(answer.content))
    assert resident_mib(loaded) - before < 150

"""Every record of a busy, mixed run fits the schema, is strict JSON, and has its pair."""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from foxora_addon.audit.schema import RECORD
from foxora_addon.audit.segments import lines_of
from foxora_addon.audit.verification import verify
from tests.end_to_end.proxies import APP_KEY, Proxy, running_proxy, wait_until

pytestmark = pytest.mark.real_server

HEADERS = {"authorization": f"Bearer {APP_KEY}", "content-type": "application/json"}
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi: ∑ 🙂"}]}
STREAM = CHAT | {"stream": True}
CONFIGURATION = """
gateway: {base_url: mock, retries: 1, response_timeout_seconds: 2}
limits: {shadow: %s}
audit: {level: %s, rotate_bytes: 65536, redact: [secrets, pii]}
accounts:
  - {name: acme, key: {env: FOXORA_API_KEY}, limits: {requests_per_minute: 70}}
"""
LONE = rb'{"model":"gpt-\ud83d4o","messages":[{"role":"user","content":"\udc00"}],"stream":true}'
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff.wav"\r\n\r\n'
    b"\x00\xff\r\n--b--"
)

POSTS: list[tuple[str, bytes, dict[str, str]]] = [
    ("chat/completions", json.dumps(CHAT).encode(), {}),
    ("chat/completions", json.dumps(STREAM).encode(), {}),
    ("responses", b'{"model": "gpt-4o-mini", "input": "Hi.", "stream": true}', {}),
    ("embeddings", b'{"model": "text-embedding-3-small", "input": ["a", "b"]}', {}),
    ("chat/completions", LONE, {}),
    ("chat/completions", b"no JSON", {}),
    ("chat/completions", b'{"messages": []}', {}),
    ("chat/completions", b"\xff\xfe\x00", {"content-encoding": "gzip"}),
    ("audio/transcriptions", FORM, {"content-type": "multipart/form-data; boundary=b"}),
    ("files", bytes(range(256)) * 8, {"content-type": "application/octet-stream"}),
    ("chat/completions", json.dumps(CHAT).encode(), {"authorization": ""}),
    ("chat/completions", json.dumps(CHAT).encode(), {"x-foxora-audit": "metadata"}),
    ("chat/completions", json.dumps(CHAT).encode(), {"x-foxora-audit": "minimal"}),
    ("chat/completions", json.dumps(CHAT).encode(), {"x-foxora-audit": "none"}),
    ("chat/completions", json.dumps(STREAM).encode(), {"x-foxora-tag": "nightly, team a"}),
    ("nowhere/at-all?key=sk-0123456789abcdefghij", b"{}", {}),
]
FAULTS = (
    *("status=429;retry-after=0", "status=503", "status=400", "status=500", "close-before-head"),
    *("reset", "delay=5"),
)
STREAM_FAULTS = ("cut-after=2", "status=500")


async def post(client: httpx.AsyncClient, path: str, body: bytes, more: dict[str, str]) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await client.post(path, content=body, headers=HEADERS | more)


async def leave(client: httpx.AsyncClient) -> None:
    """Ask for a slow stream, read its beginning, and go."""
    headers = HEADERS | {"x-mock-fault": "chunk-delay=0.3"}
    with contextlib.suppress(httpx.HTTPError):
        async with client.stream(
            "POST", "chat/completions", json=STREAM, headers=headers
        ) as answer:
            async for _ in answer.aiter_raw():
                break


async def talk(proxy: Proxy) -> None:
    url = f"{proxy.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
    with contextlib.suppress(HTTPClientError):
        socket = await websocket_connect(HTTPRequest(url, headers=HEADERS))
        await socket.write_message('{"type": "session.update", "to": "someone@example.com"}')
        await socket.read_message()  # that the session has begun
        await socket.read_message()
        await socket.write_message(b"\xff\x00", binary=True)
        socket.close()


async def busy(proxy: Proxy) -> None:
    async with httpx.AsyncClient(
        base_url=f"{proxy.base_url}/", trust_env=False, timeout=20
    ) as client:
        calls = [post(client, *given) for given in POSTS]
        calls += [post(client, *POSTS[0][:2], {"x-mock-fault": fault}) for fault in FAULTS]
        calls += [post(client, *POSTS[1][:2], {"x-mock-fault": fault}) for fault in STREAM_FAULTS]
        calls += [leave(client), leave(client), talk(proxy)]
        await asyncio.gather(*calls)
        await asyncio.gather(*(post(client, *POSTS[0]) for _ in range(70)))


def cut_off(proxy: Proxy) -> None:
    """Kill the proxy while a stream is open."""
    headers = HEADERS | {"x-mock-fault": "chunk-delay=0.5"}
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.stream(
            "POST", f"{proxy.base_url}/chat/completions", json=STREAM, headers=headers
        ) as answer,
    ):
        pieces = answer.iter_raw()  # kept: without it, the connection is closed
        next(pieces)
        assert proxy.process is not None
        proxy.process.send_signal(signal.SIGKILL)
        proxy.process.wait()


def records(trail: Path) -> Iterator[dict[str, Any]]:
    for _, _, line in lines_of(trail):
        RECORD.validate_json(line, strict=True)
        record: dict[str, Any] = orjson.loads(line)
        assert set(record) == set(RECORD.validate_json(line).model_dump())
        yield record


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("level", "shadow"), [("full", "false"), ("metadata", "true")])
def test_every_record_of_a_busy_run_fits_the_schema(
    tmp_path: Path, level: str, shadow: str
) -> None:
    (tmp_path / "foxora.yaml").write_text(CONFIGURATION % (shadow, level))
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_0123456789"}
    with running_proxy(tmp_path, (), environment) as proxy:
        cut_off(proxy)
    with running_proxy(tmp_path, (), environment) as proxy:
        wait_until(lambda: "left open are on record as aborted" in proxy.output)
        asyncio.run(busy(proxy))
    assert verify(proxy.trail).problem is None

    found = list(records(proxy.trail))
    events = Counter(record["event"] for record in found)
    assert events["request"] == events["response"] > 60
    outcomes = {record["outcome"] for record in found if record["event"] == "response"}
    expected = {"completed", "gateway_error", "client_disconnected", "aborted", "stream_broken"}
    assert expected | {"refused", "timeout", "gateway_unreachable"} == outcomes
    assert any(record.get("websocket") for record in found)
    assert any(record.get("files") for record in found)
    assert any(record.get("tries") for record in found)
    assert any((record.get("decision") or {}).get("shadow") for record in found) is (
        shadow == "true"
    )
    text = proxy.trail.read_text("utf-8")
    assert "someone@example.com" not in text
    assert "sk-0123456789abcdefghij" not in text
    if level == "metadata":
        assert all(record["body"] is None for record in found)

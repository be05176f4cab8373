"""Values and running gateways for the mock's tests."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from foxora_addon.mock.gateway import Exchange, Gateway
from foxora_addon.mock.received import Received
from foxora_addon.mock.server import MockGateway
from foxora_addon.mock.settings import AccountSettings, MockSettings

KEY = "foxora_sk_live_obviously-fake"
NOON = 1_795_435_200.0
"""2026-11-23T12:00:00Z, a full minute."""

CHAT = "/v1/chat/completions"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
        },
    },
}


class Clock:
    """A clock that stands until it is told otherwise."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def a_chat(text: str = "Hello, mock.", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "gpt-4o-mini", "messages": messages, **more}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def an_account(name: str = "acme", key: str = KEY, **more: Any) -> AccountSettings:
    return AccountSettings(name=name, keys=(key,), **more)


def settings_of(*accounts: AccountSettings, **more: Any) -> MockSettings:
    return MockSettings(accounts=accounts, accept_any_key=False, **more)


def a_request(
    method: str = "POST",
    target: str = CHAT,
    body: Any = None,
    key: str | None = KEY,
    **headers: str,
) -> Received:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if key is not None:
        pairs.append(("Authorization", f"Bearer {key}"))
    content = a_chat() if body is None and method == "POST" else body
    octets = content if isinstance(content, bytes) else encoded(content)
    return Received(NOON, method, target, tuple(pairs), octets if method == "POST" else b"")


def a_get(target: str) -> Received:
    return a_request("GET", target)


def a_form(texts: dict[str, str], files: dict[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    """The body of a form, and its content type."""
    request = httpx.Request("POST", "http://mock", data=texts, files=files or {"other": ("x", b"")})
    return request.read(), request.headers["content-type"]


def a_gateway(settings: MockSettings | None = None, clock: Clock | None = None) -> Gateway:
    return Gateway(settings or MockSettings(), clock or Clock())


def answered(gateway: Gateway, request: Received) -> Exchange:
    """The exchange of a request, delivered whole."""
    exchange = gateway.receive(request)
    gateway.finish(exchange, "answered", len(exchange.answer.pieces))
    return exchange


def body_of(exchange: Exchange) -> Any:
    return json.loads(b"".join(exchange.answer.pieces))


def headers_of(exchange: Exchange) -> dict[str, str]:
    return dict(exchange.answer.headers)


def events_of(pieces: tuple[bytes, ...]) -> list[Any]:
    """The JSON of a stream's events, without the [DONE] that must end it."""
    texts = [piece.decode().removeprefix("data: ").removesuffix("\n\n") for piece in pieces]
    assert texts[-1] == "[DONE]"
    return [json.loads(text) for text in texts[:-1]]


def run[T](scenario: Callable[[], Awaitable[T]]) -> T:
    """Run a scenario in a loop of its own, in bounded time."""

    async def bounded() -> T:
        async with asyncio.timeout(10):
            return await scenario()

    return asyncio.run(bounded())


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop go on until something is so; `run` bounds the time."""
    while not is_so():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)


@asynccontextmanager
async def running(
    settings: MockSettings | None = None, *, fault: str | None = None
) -> AsyncIterator[tuple[MockGateway, httpx.AsyncClient]]:
    """A gateway on a free port, and a client with a valid key that asks for the fault."""
    gateway = MockGateway(settings)
    gateway.start()
    headers = {"authorization": f"Bearer {KEY}"}
    if fault is not None:
        headers["x-mock-fault"] = fault
    try:
        async with httpx.AsyncClient(
            base_url=gateway.base_url, headers=headers, trust_env=False
        ) as client:
            yield gateway, client
    finally:
        await gateway.stop()


@asynccontextmanager
async def connected(
    gateway: MockGateway,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, for what no HTTP client would send."""
    port = httpx.URL(gateway.origin).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def until_received(gateway: MockGateway, count: int = 1) -> None:
    await until(lambda: len(gateway.received) >= count)

"""The mock as a server, over real loopback connections."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.mock.builders import CHAT, KEY, a_chat, connected, run, running, until, until_received


def test_it_answers_and_logs_what_it_received() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            answer = await client.post("/chat/completions?a=1", json=a_chat("Hi"))
            (received,) = gateway.received
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert "Hi" in answer.json()["choices"][0]["message"]["content"]
        assert (received.method, received.target) == ("POST", f"{CHAT}?a=1")
        assert json.loads(received.body) == a_chat("Hi")
        assert received.header("authorization") == f"Bearer {KEY}"
        assert (received.status, received.fate) == (200, "answered")

    run(scenario)


def test_it_streams_events_and_ends_with_done() -> None:
    async def scenario() -> None:
        async with running() as (_, client):
            answer = await client.post("/chat/completions", json=a_chat(stream=True))
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.text.endswith("data: [DONE]\n\n")

    run(scenario)


def test_a_connection_serves_many_requests() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _), connected(gateway) as (reader, writer):
            head = f"GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n\r\n"
            for _turn in range(2):
                writer.write(head.encode())
                lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                length = next(line for line in lines if line.startswith(b"Content-Length"))
                assert lines[0] == b"HTTP/1.1 200 OK"
                await reader.readexactly(int(length.split()[1]))

    run(scenario)


def test_a_streamed_chunk_arrives_before_the_next_is_due() -> None:
    async def scenario() -> None:
        async with running(fault="chunk-delay=3600") as (_, client):
            request = client.stream("POST", "/chat/completions", json=a_chat(stream=True))
            async with request as answer:
                first = await anext(answer.aiter_bytes())
        assert first.startswith(b"data: {")
        assert first.count(b"\n\n") == 1

    run(scenario)


def test_a_client_that_leaves_a_stream_is_noticed() -> None:
    async def scenario() -> None:
        async with running(fault="mute-after=2") as (gateway, client):
            request = client.stream("POST", "/chat/completions", json=a_chat(stream=True))
            async with request as answer:
                await anext(answer.aiter_bytes())
            (received,) = gateway.received
            await until(lambda: received.fate != "open")
        assert (received.fate, received.status) == ("client_left", 200)

    run(scenario)


def test_a_body_that_breaks_off_is_logged_as_far_as_it_came() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            async with connected(gateway) as (reader, writer):
                head = b"POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
                writer.write(head + b"Expect: 100-continue\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"abc")
                await writer.drain()
                writer.write_eof()
                await until_received(gateway)
            (received,) = gateway.received
        assert (received.body, received.fate) == (b"abc", "upload_broken")
        assert received.status is None

    run(scenario)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_a_form_is_taken_as_octets_even_if_it_is_none(kind: str) -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            headers = {"content-type": kind}
            answer = await client.post("/files", content=b"--y\r\n\xff%", headers=headers)
            (received,) = gateway.received
        assert answer.status_code == 400
        assert received.body == b"--y\r\n\xff%"

    run(scenario)


def test_a_chunked_body_is_read_whole() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000

    async def scenario() -> None:
        async with running() as (gateway, client):
            await client.post("/files", content=chunks())
            assert gateway.received[0].body == b"x" * 100_000

    run(scenario)


@pytest.mark.parametrize("path", ["/coffee", "/realtime"])
def test_a_method_without_a_meaning_is_refused_in_json_and_logged(path: str) -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            answer = await client.request("BREW", path)
            (received,) = gateway.received
        assert answer.status_code == 405
        assert answer.json()["error"]["code"] == "method_not_allowed"
        assert (received.method, received.status) == ("BREW", 405)

    run(scenario)


def test_head_and_options_have_no_body() -> None:
    async def scenario() -> None:
        async with running() as (_, client):
            head = await client.head("/models")
            options = await client.options("/chat/completions")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 100
        assert (options.status_code, options.content) == (204, b"")

    run(scenario)

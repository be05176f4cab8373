"""Faults as a client meets them, and the routes that control them, over real connections."""

import base64
import gzip
import json
from typing import Any

import httpx
import pytest

from foxora_addon.mock.faults import Fault
from tests.mock.builders import KEY, a_chat, run, running, until, until_received


def posted(fault: str, **chat: Any) -> httpx.Response:
    """The answer to a chat that asks for a fault; raises what the client raises."""

    async def scenario() -> httpx.Response:
        async with running(fault=fault) as (_, client):
            return await client.post("/chat/completions", json=a_chat(**chat))

    return run(scenario)


async def collect(answer: httpx.Response, octets: bytearray) -> None:
    """Read a body as far as it goes."""
    async for chunk in answer.aiter_bytes():
        octets += chunk


def test_a_status_with_a_wait() -> None:
    answer = posted("status=429;retry-after=2")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


def test_an_html_page() -> None:
    assert posted("html").text.startswith("<!DOCTYPE html>")


def test_an_empty_answer() -> None:
    answer = posted("empty")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_redirect() -> None:
    answer = posted("redirect=https://a.example/v1")
    assert (answer.status_code, answer.headers["location"]) == (307, "https://a.example/v1")


def test_compression_that_nobody_asked_for() -> None:
    answer = posted("gzip;header=X-A: 1")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["x-a"] == "1"
    assert answer.json()["object"] == "chat.completion"


def test_a_compressed_stream() -> None:
    assert posted("gzip", stream=True).text.endswith("data: [DONE]\n\n")


def test_a_stream_without_its_end() -> None:
    assert "[DONE]" not in posted("no-done", stream=True).text


def test_an_error_in_mid_stream() -> None:
    last = posted("error-event", stream=True).text.rstrip().rpartition("data: ")[2]
    assert json.loads(last)["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_has_no_body(status: int) -> None:
    assert posted(f"status={status}").content == b""


@pytest.mark.parametrize("fault", ["delay=0.05", "chunk-delay=0.002"])
def test_a_delay_before_the_head_or_between_chunks(fault: str) -> None:
    answer = posted(fault, stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.elapsed.total_seconds() >= 0.05


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("close-before-head", "without sending a response"),
        ("garbage", "illegal status line"),
        (
            "raw=HTTP/1.1 200 OK%0D%0AContent-Length: 9%0D%0A%0D%0Aabc",
            "received 3 bytes, expected 9",
        ),
        ("cut-bytes=5", "received 5 bytes"),
        ("cut-after=0", "received 0 bytes"),
    ],
)
def test_a_connection_that_breaks(fault: str, words: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=words):
        posted(fault)


def test_a_stream_that_breaks_after_three_chunks() -> None:
    async def scenario() -> None:
        async with running(fault="cut-after=3") as (gateway, client):
            request = client.stream("POST", "/chat/completions", json=a_chat(stream=True))
            async with request as answer:
                octets = bytearray()
                with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                    await collect(answer, octets)
            assert octets.count(b"\n\n") == 3
            assert gateway.received[0].fate == "cut"

    run(scenario)


@pytest.mark.parametrize("fault", ["mute", "delay=3600", "mute-after=0"])
def test_a_gateway_that_does_not_answer(fault: str) -> None:
    async def scenario() -> None:
        async with running(fault=fault) as (gateway, client):
            impatient = httpx.Timeout(5, read=0.1)
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/chat/completions", json=a_chat(), timeout=impatient)
            await until_received(gateway)
            (received,) = gateway.received
            await until(lambda: received.fate != "open")
            assert received.fate == "client_left"

    run(scenario)


def test_an_answer_after_a_broken_one_is_fine() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            gateway.faults.append(Fault(garbage=True))
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/me")
            assert (await client.get("/me")).status_code == 200

    run(scenario)


def test_a_script_is_sent_octet_by_octet_in_its_chunks() -> None:
    body = bytes(range(256)) * 400

    async def scenario() -> None:
        async with running() as (gateway, client):
            script = {
                "status": 203,
                "type": "application/x-script",
                "headers": [["X-A", "1"], ["X-A", "2"]],
                "body_base64": base64.b64encode(body).decode(),
                "chunks": [1, 70_000, 5],
            }
            queued = await client.post(f"{gateway.origin}/_mock/faults", json=[script])
            assert queued.json() == {"queued": 1, "in_waiting": 1}
            async with client.stream("GET", "/anything") as answer:
                chunks = [chunk async for chunk in answer.aiter_raw()]
            assert answer.status_code == 203
            assert answer.headers["content-type"] == "application/x-script"
            assert answer.headers.get_list("x-a") == ["1", "2"]
            assert chunks[0] == body[:1]
            assert b"".join(chunks) == body

    run(scenario)


@pytest.mark.parametrize("body", ["{", '{"status": 500}', '[{"stat": 500}]', "[[]]", "[" * 99_999])
def test_faults_that_make_no_sense_are_refused_in_words(body: str) -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            answer = await client.post(f"{gateway.origin}/_mock/faults", content=body)
            assert answer.status_code == 400
            assert answer.json()["error"]["message"]
            assert not gateway.faults

    run(scenario)


def test_the_log_can_be_asked_for_and_holds_no_control_requests() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            await client.post("/chat/completions", content=gzip.compress(b"x", mtime=0))
            await client.get("/me?a=b")
            log = (await client.get(f"{gateway.origin}/_mock/log")).json()
            last = (await client.get(f"{gateway.origin}/_mock/log?last=1")).json()
            wrong = await client.get(f"{gateway.origin}/_mock/log?last=x")
        assert [entry["path"] for entry in log] == ["/v1/chat/completions", "/v1/me?a=b"]
        assert base64.b64decode(log[0]["body_base64"]) == gzip.compress(b"x", mtime=0)
        assert ["Authorization", f"Bearer {KEY}"] in log[1]["headers"]
        assert (log[0]["status"], log[1]["account"], log[1]["body"]) == (400, "default", "")
        assert last == log[1:]
        assert wrong.status_code == 400

    run(scenario)


def test_a_reset_by_its_route_forgets_everything() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            gateway.faults.append(Fault(status=500))
            await client.get("/me", headers={"x-mock-fault": ""})
            await client.post(f"{gateway.origin}/_mock/reset")
            assert (gateway.received, list(gateway.faults)) == ([], [])

    run(scenario)


def test_the_mock_tells_what_it_offers_but_no_key() -> None:
    async def scenario() -> None:
        async with running() as (gateway, client):
            overview = await client.get(f"{gateway.origin}/_mock/")
            unknown = await client.get(f"{gateway.origin}/_mock/nothing")
        assert "cut-after" in overview.json()["faults"]["words"]
        assert KEY not in overview.text
        assert unknown.status_code == 404

    run(scenario)

"""Answers that a gateway encodes although it was asked not to: what passes, passes decoded."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from tests.end_to_end.gateways import Gateway
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    http_2_client,
    resident_mib,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data), quality=5),
}
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "stream": True}
CHUNK = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word "}}]}
EVENT = b"data: " + json.dumps(CHUNK).encode() + b"\n\n"
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as origin:
        yield Gateway(f"{origin}/v1", origin)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Proxy]:
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_coded", "FOXORA_BASE_URL": gateway.base_url}
    with running_proxy(tmp_path_factory.mktemp("proxy"), (), environment) as started:
        yield started


def ask(
    proxy: Proxy,
    gateway: Gateway,
    body: bytes,
    encoding: str,
    kind: str = "text/event-stream",
    path: str = "/chat/completions",
) -> tuple[bytes, httpx.Headers, dict[str, Any]]:
    """The body as it reached the client, undecoded; the headers; and the record."""
    fault = {
        "path": f"/v1{path}",
        "body_base64": base64.b64encode(body).decode(),
        "type": kind,
        "headers": {"content-encoding": encoding},
        "chunks": [7, 90, 1],
    }
    with direct_client() as client:
        client.post(f"{gateway.control}/_mock/faults", json=[fault]).raise_for_status()
        headers = {"authorization": f"Bearer {APP_KEY}"}
        url = f"{proxy.base_url}{path}"
        with client.stream("POST", url, json=CALL, headers=headers) as answer:
            content = b"".join(answer.iter_raw())
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    return content, answer.headers, record


@pytest.mark.parametrize("encoding", ["", "identity", "Identity, identity", "gzip"])
def test_what_was_asked_for_beyond_a_call_is_taken_out_of_what_is_in_no_encoding(
    proxy: Proxy, gateway: Gateway, encoding: str
) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    told = b"data: " + json.dumps({"id": "c", "choices": [], "usage": usage}).encode() + b"\n\n"
    body = ENCODERS.get(encoding, bytes)(EVENT + told + DONE)
    content, _, record = ask(proxy, gateway, body, encoding)
    assert content == EVENT + DONE
    assert record["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_stream_passes_decoded_and_is_folded(
    proxy: Proxy, gateway: Gateway, encoding: str
) -> None:
    body = ENCODERS[encoding](EVENT * 50 + DONE)
    content, headers, record = ask(proxy, gateway, body, encoding)
    assert content == EVENT * 50 + DONE
    assert "content-encoding" not in headers
    assert (record["outcome"], record["body_bytes"]) == ("completed", len(content))
    assert record["message"]["content"] == "word " * 50


@pytest.mark.parametrize("fast", ["true", "false"])
@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity"])
def test_what_was_compressed_on_the_way_alone_passes_plain_and_without_the_key(
    tmp_path: Path, gateway: Gateway, coding: str, fast: str
) -> None:
    """Many clients know no transfer coding but chunks, and refuse the answer."""
    key = "foxora_sk_fake_carried"
    environment = {"FOXORA_API_KEY": key, "FOXORA_BASE_URL": gateway.base_url, "FOXORA_FAST": fast}
    event = EVENT.replace(b"word", key.encode())
    body = ENCODERS.get(coding.partition(",")[0], bytes)(event + DONE)
    if coding.endswith("chunked"):
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: {coding}"
    fault = {
        "path": "/v1/chat/completions",
        "raw_base64": base64.b64encode(head.encode() + b"\r\n\r\n" + body).decode(),
    }
    with running_proxy(tmp_path, (), environment) as proxy, direct_client() as client:
        client.post(f"{gateway.control}/_mock/faults", json=[fault]).raise_for_status()
        headers = {"authorization": f"Bearer {APP_KEY}"}
        answer = client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=headers)
        wait_until(lambda: bool(proxy.answer_records(answer.headers["x-foxora-exchange"])))
        (record,) = proxy.answer_records(answer.headers["x-foxora-exchange"])
    assert answer.content == EVENT.replace(b"word", b"*" * len(key)) + DONE
    assert record["outcome"] == "completed"


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_bomb_ends_with_an_event_that_says_so(
    proxy: Proxy, gateway: Gateway, encoding: str
) -> None:
    bomb = ENCODERS[encoding](EVENT * 1_500_000 + DONE)
    before = resident_mib(proxy)
    content, _, record = ask(proxy, gateway, bomb, encoding)
    *events, last, rest = content.split(b"\n\n")
    assert set(events) == {EVENT.strip()}
    assert len(content) < 80_000_000
    told = json.loads(last.removeprefix(b"data: "))["error"]
    assert ({**told, "retry_after_ms": None}, rest) == (record["error"], b"")
    assert record["outcome"] == "stream_broken"
    assert record["error"]["code"] == "bad_gateway_answer"
    assert record["source"] == "gateway"
    assert resident_mib(proxy) - before < 150


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_bomb_in_the_middle_of_an_event_is_cut_off(
    proxy: Proxy, gateway: Gateway, encoding: str
) -> None:
    bomb = ENCODERS[encoding](EVENT + b"data: " + bytes(300_000_000) + b"\n\n" + DONE)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(proxy, gateway, bomb, encoding)
    wait_until(lambda: proxy.records()[-1].get("outcome") == "stream_broken")
    assert proxy.records()[-1]["error"]["code"] == "bad_gateway_answer"


def test_a_stream_that_is_not_encoded_as_it_says_ends_with_an_event(
    proxy: Proxy, gateway: Gateway
) -> None:
    content, _, record = ask(proxy, gateway, EVENT * 3 + DONE, "gzip")
    told = json.loads(content.removeprefix(b"data: "))["error"]
    assert {**told, "retry_after_ms": None} == record["error"]
    assert record["error"]["code"] == "bad_gateway_answer"
    assert record["outcome"] == "stream_broken"


def test_so_does_a_stream_of_the_responses_api_with_one_of_its_own(
    proxy: Proxy, gateway: Gateway
) -> None:
    event = b'event: response.x\ndata: {"type":"response.x","sequence_number":0}\n\n'
    coder = zlib.compressobj(0, wbits=31)  # nothing is made smaller: it breaks in the second event
    torn = coder.compress(event * 3) + coder.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 80
    content, _, record = ask(proxy, gateway, torn, "gzip", path="/responses")
    name, _, data = content.removeprefix(event).partition(b"\n")
    last = json.loads(data.removeprefix(b"data: "))
    assert (name, last["type"], last["sequence_number"]) == (b"event: error", "error", 1)
    assert last["error"]["code"] == record["error"]["code"] == "bad_gateway_answer"
    assert record["outcome"] == "stream_broken"


def test_a_stream_in_an_encoding_that_nobody_knows_passes_as_it_is(
    proxy: Proxy, gateway: Gateway
) -> None:
    content, headers, _ = ask(proxy, gateway, b"\x01\x02" * 200, "x-own")
    assert content == b"\x01\x02" * 200
    assert headers["content-encoding"] == "x-own"


def test_sound_passes_decoded_and_a_bomb_in_it_is_cut_off(proxy: Proxy, gateway: Gateway) -> None:
    sound = bytes(range(256)) * 100
    asked = partial(ask, proxy, gateway, kind="audio/mpeg", path="/audio/speech")
    content, _, record = asked(gzip.compress(sound), "gzip")
    assert content == sound
    assert record["body_bytes"] == len(sound)
    with pytest.raises(httpx.RemoteProtocolError):
        asked(gzip.compress(bytes(400_000_000)), "gzip")
    wait_until(lambda: proxy.records()[-1].get("outcome") == "stream_broken")
    assert proxy.records()[-1]["error"]["code"] == "bad_gateway_answer"


@pytest.mark.parametrize("way", ["http_1", "http_2"])
@pytest.mark.parametrize("fault", ["gzip;cut-after=3", "gzip;cut-bytes=200", "gzip;mute-after=3"])
def test_a_compressed_stream_that_breaks_has_a_last_event(
    tmp_path_factory: pytest.TempPathFactory, gateway: Gateway, fault: str, way: str
) -> None:
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "foxora.yaml").write_text("gateway: {stream_idle_timeout_seconds: 1}\n")
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_coded", "FOXORA_BASE_URL": gateway.base_url}
    with running_proxy(folder, (), environment) as proxy:
        client = direct_client() if way == "http_1" else http_2_client(proxy)
        base_url = proxy.base_url if way == "http_1" else "https://api.openai.com/v1"
        gateway.queue(fault)
        with client:
            headers = {"authorization": f"Bearer {APP_KEY}"}
            answer = client.post(f"{base_url}/chat/completions", json=CALL, headers=headers)
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    read = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "error" in read[-1]
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in read[:-1])
    assert "content-encoding" not in answer.headers

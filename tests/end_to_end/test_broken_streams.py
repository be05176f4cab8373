"""A stream that breaks after its head ends with an event that says so, and cleanly."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import openai
import pytest

from tests.end_to_end.gateways import Gateway, running_http_1, running_http_2
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    async_http_2_client,
    direct_client,
    http_2_client,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "stream": True}
PATIENCE = "connect_timeout_seconds: 1, response_timeout_seconds: 2, stream_idle_timeout_seconds: 1"
FAULTS = {
    "cut-after=2": "gateway_unreachable",
    "cut-bytes=300": "gateway_unreachable",
    "cut-bytes=0": "gateway_unreachable",
    "mute-after=2": "gateway_timeout",
}
RESPONSES_CALL = {"model": "gpt-4o-mini", "input": "hi", "stream": True}

type Read = Callable[[Proxy], httpx.Response]


@pytest.fixture(scope="module", params=["http_1", "http_2"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    running = {"http_1": running_http_1, "http_2": running_http_2}[request.param]
    with running(tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "foxora.yaml").write_text(f"gateway: {{{PATIENCE}}}\n")
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_broken", "FOXORA_BASE_URL": gateway.base_url}
    with running_proxy(folder, gateway.options, environment) as started:
        yield started


def by_http_1(proxy: Proxy) -> httpx.Response:
    return _read(direct_client(), f"{proxy.base_url}/chat/completions", CALL)


def by_http_2(proxy: Proxy) -> httpx.Response:
    return _read(http_2_client(proxy), "https://api.openai.com/v1/chat/completions", CALL)


def responses_by_http_1(proxy: Proxy) -> httpx.Response:
    return _read(direct_client(), f"{proxy.base_url}/responses", RESPONSES_CALL)


def responses_by_http_2(proxy: Proxy) -> httpx.Response:
    return _read(http_2_client(proxy), "https://api.openai.com/v1/responses", RESPONSES_CALL)


def _read(client: httpx.Client, url: str, call: dict[str, Any]) -> httpx.Response:
    with client:
        return client.post(url, json=call, headers={"authorization": f"Bearer {APP_KEY}"})


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events, which are all whole."""
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    return [json.loads(event.removeprefix("data: ")) for event in events]


def typed_events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a Responses stream, which are all whole and of the type that names them."""
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    read = []
    for event in events:
        name, data = event.split("\n")
        read.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {read[-1]['type']}"
    return read


@pytest.mark.parametrize("read", [by_http_1, by_http_2])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_event_says_what_happened(
    proxy: Proxy, gateway: Gateway, read: Read, fault: str
) -> None:
    gateway.reset()
    gateway.queue(fault)
    answer = read(proxy)
    assert answer.status_code == 200
    *chunks, last = events_of(answer)
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert last["error"].keys() == {"code", "message", "param"}
    assert last["error"]["code"] == FAULTS[fault]
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    assert record["outcome"] == ("timeout" if "mute" in fault else "stream_broken")
    assert {name: record["error"][name] for name in last["error"]} == last["error"]
    assert record["chunks"] == len(chunks)
    assert read(proxy).text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("read", [responses_by_http_1, responses_by_http_2])
@pytest.mark.parametrize("fault", [*FAULTS, "cut-bytes=2500", "gzip;cut-after=6"])
def test_the_last_event_of_a_responses_stream_is_of_its_kind(
    proxy: Proxy, gateway: Gateway, read: Read, fault: str
) -> None:
    gateway.reset()
    gateway.queue(fault, path="/v1/responses")
    answer = read(proxy)
    *events, last = typed_events_of(answer)
    assert [event["sequence_number"] for event in (*events, last)] == list(range(len(events) + 1))
    told = {name: last[name] for name in ("code", "message", "param")}
    assert (last["type"], told["code"]) == ("error", FAULTS.get(fault, "gateway_unreachable"))
    assert last["error"] == {"type": "server_error", **told}
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    assert record["outcome"] == ("timeout" if "mute" in fault else "stream_broken")
    assert {name: record["error"][name] for name in told} == told
    assert record["chunks"] == len(events)
    said = "".join(event.get("delta", "") for event in events)
    kept = record["message"]["content"] if record["message"] else []
    assert "".join(part["text"] for part in kept) == said
    assert typed_events_of(read(proxy))[-1]["type"] == "response.completed"


DOCUMENTED = (
    b"event: error\n"
    b'data: {"type":"error","code":"busy","message":"Wait.","param":null,"sequence_number":0}\n\n'
)


@pytest.mark.parametrize("read", [responses_by_http_1, responses_by_http_2])
def test_an_error_event_of_the_gateways_own_passes_as_it_is(
    proxy: Proxy, gateway: Gateway, read: Read
) -> None:
    gateway.reset()
    gateway.queue(f"body={quote(DOCUMENTED)};type=text/event-stream", path="/v1/responses")
    answer = read(proxy)
    assert answer.content == DOCUMENTED
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    assert (record["error"]["code"], record["error"]["message"]) == ("busy", "Wait.")


@pytest.mark.parametrize("read", [by_http_1, by_http_2])
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_stream_that_is_named_json_passes_whatever_its_last_line_ends_with(
    proxy: Proxy, gateway: Gateway, read: Read, end: str
) -> None:
    event = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}
    body = f"data: {json.dumps(event)}\n\ndata: [DONE]{end}"
    gateway.queue(f"body={quote(body)};type=application/json")
    answer = read(proxy)
    assert (answer.status_code, answer.text) == (200, body)
    (record,) = proxy.answer_records(answer.headers["x-foxora-exchange"])
    assert (record["outcome"], record["message"]["content"]) == ("completed", "Hello")


@pytest.mark.parametrize("read", [by_http_1, by_http_2])
def test_a_stream_without_its_done_passes_as_it_is(
    proxy: Proxy, gateway: Gateway, read: Read
) -> None:
    gateway.reset()
    whole = read(proxy).text
    gateway.queue("no-done")
    answer = read(proxy)
    assert len(answer.text.split("\n\n")) == len(whole.split("\n\n")) - 1
    (record,) = proxy.answer_records(answer.headers["x-foxora-exchange"])
    assert record["outcome"] == "stream_broken"


def test_an_openai_client_raises_its_own_error(proxy: Proxy, gateway: Gateway) -> None:
    gateway.reset()
    gateway.queue("cut-bytes=300")
    with openai.OpenAI(api_key=APP_KEY, base_url=proxy.base_url, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="broke in the middle"):
            list(stream)


def test_a_call_that_is_late_ends_alone(proxy: Proxy, gateway: Gateway) -> None:
    """On HTTP/2 its neighbours share its connection, on either side."""

    async def both() -> tuple[httpx.Response, httpx.Response]:
        async with async_http_2_client(proxy) as client:

            async def call(fault: str) -> httpx.Response:
                headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": fault}
                url = "https://api.openai.com/v1/chat/completions"
                return await client.post(url, json=CALL, headers=headers)

            await call("words=1")
            mute, slow = await asyncio.gather(call("mute"), call("chunk-delay=0.4;words=10"))
            return mute, slow

    mute, slow = asyncio.run(both())
    assert mute.status_code == 504
    assert slow.text.endswith("data: [DONE]\n\n")


def test_the_gateway_stops_its_work_when_the_client_leaves(proxy: Proxy, gateway: Gateway) -> None:
    gateway.reset()
    headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": "chunk-delay=0.3"}
    url = f"{proxy.base_url}/chat/completions"
    with (
        direct_client() as client,
        client.stream("POST", url, json=CALL, headers=headers) as answer,
    ):
        next(answer.iter_raw())
    wait_until(lambda: bool(gateway.log() and gateway.log()[-1]["fate"] == "client_left"))


@pytest.mark.parametrize("read", [by_http_1, by_http_2])
@pytest.mark.parametrize("fault", ["", ";status=503"], ids=["answer", "error"])
def test_a_head_that_no_client_would_take_is_not_passed_on(
    proxy: Proxy, gateway: Gateway, read: Read, fault: str
) -> None:
    gateway.reset()
    gateway.queue(f"header=x-large: {'a' * 70_000}{fault}")
    answer = read(proxy)
    assert answer.status_code in {502, 503}
    assert answer.json()["error"]["code"]
    assert "x-large" not in answer.headers
    assert read(proxy).status_code == 200

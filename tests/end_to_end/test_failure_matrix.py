"""Every failure of the gateway, over each protocol and each way in, plain and as a stream."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.chameleon import Chameleon, running_chameleon
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    free_port,
    http_2_client,
    running_gateway,
    running_proxy,
    tls_client,
    wait_until,
)

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
CONFIG = """
gateway: {connect_timeout_seconds: 2, tls_timeout_seconds: 1, response_timeout_seconds: 1,
          stream_idle_timeout_seconds: 1}
accounts:
  - name: acme
    default: true
    plan: pro
    key: {env: FOXORA_API_KEY}
    limits: {requests_per_minute: 100000, tokens_per_minute: 100000000, concurrent_requests: 1}
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a failure comes to: for the client, and for the record."""

    status: int
    code: str
    source: str
    outcome: str
    should_retry: str | None = None


UNREACHABLE = Told(502, "gateway_unreachable", "network", "gateway_unreachable")
NEVER = Told(502, "gateway_unreachable", "network", "gateway_unreachable", "false")
BAD_ANSWER = Told(502, "bad_gateway_answer", "gateway", "gateway_error")
LATE = Told(504, "gateway_timeout", "network", "timeout")


def says(status: int, code: str) -> Told:
    return Told(status, code, "gateway", "gateway_error")


BY_THE_MOCK = {
    "status=400": says(400, "invalid_request"),
    "status=401": says(401, "invalid_api_key"),
    "status=402": says(402, "payment_required"),
    "status=403": says(403, "forbidden"),
    "status=404": says(404, "not_found"),
    "status=408": says(408, "request_rejected"),
    "status=413": says(413, "request_too_large"),
    "status=500": says(500, "gateway_error"),
    "status=503;retry-after=7": says(503, "unavailable"),
    "status=402;cut-bytes=9": says(402, "payment_required"),
    "html": says(502, "gateway_error"),
    "html;status=200": BAD_ANSWER,
    "empty": BAD_ANSWER,
    "body=%7B%22choices%22: [": BAD_ANSWER,
    "header=content-encoding: gzip;body=%7B%7D": BAD_ANSWER,
    "header=content-encoding: rot13;body=%7B%7D": BAD_ANSWER,
    "garbage": BAD_ANSWER,
    "raw=HTTP/1.1 200 OK%0D%0AX-Cut: he": BAD_ANSWER,
    "raw=HTTP/1.1 200 OK%0D%0Acontent-length: 99%0D%0Acontent-type: application/json%0D%0A"
    "%0D%0A%7B%22a": UNREACHABLE,
    "close-before-head": UNREACHABLE,
    "mute": LATE,
}
BY_THE_CHAMELEON = {
    "mute": LATE,
    "close": UNREACHABLE,
    "reset": UNREACHABLE,
    "tls:untrusted": NEVER,
    "tls:expired": NEVER,
    "tls:wrong-name": NEVER,
    "h2:mute": LATE,
    "h2:reset": UNREACHABLE,
    "h2:cancel": UNREACHABLE,
    "h2:goaway": UNREACHABLE,
    "h2:broken error": says(503, "unavailable"),
}

REVERSE = ("--mode", "reverse:https://api.openai.com")

type Way = tuple[Callable[[Proxy], httpx.Client], Callable[[Proxy], str]]
WAYS: dict[str, Way] = {
    "base-url-http-1": (lambda _: direct_client(), lambda proxy: proxy.base_url),
    "base-url-http-2": (
        lambda proxy: http_2_client(proxy, via_proxy=False),
        lambda proxy: f"https://localhost:{proxy.port}/v1",
    ),
    "https-proxy-http-1": (tls_client, lambda _: "https://api.openai.com/v1"),
    "https-proxy-http-2": (http_2_client, lambda _: "https://api.openai.com/v1"),
}


@pytest.fixture(scope="module")
def on_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose gateway is a mock one that fails as its calls ask it to."""
    with (
        running_gateway(tmp_path_factory.mktemp("mock")) as origin,
        a_proxy(tmp_path_factory.mktemp("on_mock"), f"{origin}/v1") as proxy,
    ):
        yield proxy


@pytest.fixture(scope="module")
def in_reverse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The same in mitmproxy's reverse mode."""
    with (
        running_gateway(tmp_path_factory.mktemp("mock")) as origin,
        a_proxy(tmp_path_factory.mktemp("in_reverse"), f"{origin}/v1", REVERSE) as proxy,
    ):
        yield proxy


@pytest.fixture(scope="module")
def in_a_black_hole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose gateway is a host that says nothing: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        yield stack.enter_context(a_proxy(tmp_path_factory.mktemp("black_hole"), url))


@pytest.fixture(scope="module")
def chameleon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chameleon]:
    with running_chameleon(tmp_path_factory.mktemp("chameleon")) as started:
        yield started


@pytest.fixture(scope="module")
def on_chameleon(tmp_path_factory: pytest.TempPathFactory, chameleon: Chameleon) -> Iterator[Proxy]:
    options = ("--set", f"ssl_verify_upstream_trusted_ca={chameleon.trusted}")
    folder = tmp_path_factory.mktemp("on_chameleon")
    with a_proxy(folder, chameleon.base_url, options) as proxy:
        yield proxy


@contextlib.contextmanager
def a_proxy(folder: Path, base_url: str, options: tuple[str, ...] = ()) -> Iterator[Proxy]:
    (folder / "foxora.yaml").write_text(CONFIG)
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_matrix", "FOXORA_BASE_URL": base_url}
    with running_proxy(folder, options, environment) as proxy:
        yield proxy


def ask(way: Way, proxy: Proxy, fault: str = "", **more: Any) -> httpx.Response:
    make, base_url = way
    headers = {"authorization": f"Bearer {APP_KEY}"}
    if fault:
        headers["x-mock-fault"] = fault
    with make(proxy) as client:
        url = f"{base_url(proxy)}/chat/completions"
        return client.post(url, json={**CALL, **more}, headers=headers)


def assert_told(proxy: Proxy, answer: httpx.Response, told: Told) -> None:
    """Client and record agree, in the documented shape, and nobody's secrets are in it."""
    assert answer.status_code == told.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (shape,) = answer.json().values()
    assert shape.keys() == {"code", "message", "param"}
    assert answer.headers["x-foxora-source"] == told.source
    if told.source != "gateway":
        assert shape["code"] == told.code
    assert answer.headers["x-request-id"]
    assert told.should_retry is None or answer.headers["x-should-retry"] == told.should_retry
    assert "foxora_sk" not in answer.text
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    assert (record["status"], record["outcome"]) == (told.status, told.outcome)
    assert record["source"] == told.source
    assert {name: record["error"][name] for name in shape} == shape


each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
plain_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@each_way
@plain_and_stream
@pytest.mark.parametrize("fault", BY_THE_MOCK)
def test_what_the_gateway_does_wrong(on_mock: Proxy, way: Way, stream: bool, fault: str) -> None:
    answer = ask(way, on_mock, fault, stream=stream)
    assert_told(on_mock, answer, BY_THE_MOCK[fault])
    assert ask(way, on_mock, stream=stream).status_code == 200, "the account is not free again"


# HTTP/2 is offered to the gateway for the clients that speak it.
ON_THE_WAY = [
    pytest.param(behaviour, way, id=f"{behaviour}-{name}")
    for behaviour in BY_THE_CHAMELEON
    for name, way in WAYS.items()
    if name.endswith("http-2") or not behaviour.startswith("h2")
]


@plain_and_stream
@pytest.mark.parametrize(("behaviour", "way"), ON_THE_WAY)
def test_what_goes_wrong_on_the_way(
    on_chameleon: Proxy, chameleon: Chameleon, way: Way, stream: bool, behaviour: str
) -> None:
    chameleon.behaviour = behaviour
    answer = ask(way, on_chameleon, stream=stream)
    assert_told(on_chameleon, answer, BY_THE_CHAMELEON[behaviour])
    chameleon.behaviour = "tls:good"
    assert ask(way, on_chameleon).status_code == 200, "the account is not free again"


@pytest.fixture(scope="module", params=["not there", "not found"])
def on_nothing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    urls = {
        "not there": f"http://127.0.0.1:{free_port()}/v1",
        "not found": "https://gateway.invalid/v1",
    }
    with a_proxy(tmp_path_factory.mktemp("on_nothing"), urls[request.param]) as proxy:
        yield proxy


@plain_and_stream
@pytest.mark.parametrize("fault", BY_THE_MOCK)
def test_what_the_gateway_does_wrong_in_reverse_mode(
    in_reverse: Proxy, stream: bool, fault: str
) -> None:
    way = WAYS["base-url-http-1"]
    assert_told(in_reverse, ask(way, in_reverse, fault, stream=stream), BY_THE_MOCK[fault])
    assert ask(way, in_reverse, stream=stream).status_code == 200, "the account is not free again"


@each_way
def test_a_host_that_takes_no_connection(in_a_black_hole: Proxy, way: Way) -> None:
    answer = ask(way, in_a_black_hole)
    assert_told(in_a_black_hole, answer, LATE)
    assert "2 s to connect" in answer.json()["error"]["message"]


@each_way
@plain_and_stream
def test_a_gateway_that_is_not_there(on_nothing: Proxy, way: Way, stream: bool) -> None:
    for _ in range(2):
        assert_told(on_nothing, ask(way, on_nothing, stream=stream), UNREACHABLE)


def test_whatever_failed_nothing_crashed(on_mock: Proxy, on_chameleon: Proxy) -> None:
    for proxy in (on_mock, on_chameleon):
        assert "crashed" not in proxy.output
        assert "Traceback" not in proxy.output
        records = proxy.records()
        opened = [r["exchange"] for r in records if r["event"] == "request"]
        ended = [r["exchange"] for r in records if r["event"] == "response"]
        assert sorted(opened) == sorted(ended)
        assert json.dumps(records).count(APP_KEY) == 0


def test_a_peer_that_resets_at_once_never_leaves_a_call_hanging(
    on_chameleon: Proxy, chameleon: Chameleon
) -> None:
    """mitmproxy forgets some of these: the socket's peer is gone before it asks for its name."""
    chameleon.behaviour = "reset"
    answers = [
        ask(way, on_chameleon, stream=True).status_code for way in WAYS.values() for _ in range(20)
    ]
    assert set(answers) == {502}

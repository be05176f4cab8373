"""A stream whose last event has come is whole, whatever becomes of its connection then."""

import socket
import socketserver
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.end_to_end.proxies import APP_KEY, Proxy, direct_client, running_proxy, wait_until
from tests.end_to_end.raw_gateways import SECONDS, requests_in, serving

pytestmark = pytest.mark.real_server

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHAT = [
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}',
    b"data: [DONE]",
]
RESPONSE = (
    b'"response":{"id":"r1","object":"response","created_at":1,"model":"gpt-4o-mini","output":[],'
    b'"status":"%b"}'
)
RESPONSES = [
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,%b}'
    % (RESPONSE % b"in_progress"),
    b'event: response.completed\ndata: {"type":"response.completed","sequence_number":1,%b}'
    % (RESPONSE % b"completed"),
]
PICTURES = [
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image"}',
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed"}',
]
LONG_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
STREAMS = {"chat/completions": CHAT, "responses": RESPONSES, "images/generations": PICTURES}
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
    "images/generations": {"prompt": "a fox"},
}


KEEPER = """
class Keeper:
    def responseheaders(self, flow):
        kept = []
        def pass_at_the_end(data):
            if data:
                kept.append(data)
                return b""
            return b"".join(kept) + b": kept\\n\\n"
        flow.response.stream = pass_at_the_end

addons = [Keeper()]
"""


def said(path: str, most: int = 2, line_break: bytes = b"\n") -> bytes:
    """The events of a stream, as the gateway says them."""
    whole = b"".join(each + b"\n\n" for each in STREAMS[path][:most])
    return whole.replace(b"\n", line_break)


class Gateway(socketserver.ThreadingTCPServer):
    """Streams all events of a call; then ends them, or resets, closes or forgets the connection."""

    allow_reuse_address = True
    daemon_threads = True
    then = ""
    most = 2  # of the events
    line_break = b"\n"
    length: int | None = None  # that is promised


class Answers(socketserver.StreamRequestHandler):
    server: Gateway

    def handle(self) -> None:
        self.connection.settimeout(SECONDS)
        for asked in requests_in(self.rfile):
            if not asked.is_call:
                self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                continue
            path = asked.line.split()[1].partition(b"/v1/")[2].decode()
            events = said(path, self.server.most, self.server.line_break)
            if self.server.length is None:
                self.wfile.write(b"%b%x\r\n%b\r\n" % (HEAD, len(events), events))
            else:
                self.wfile.write(LONG_HEAD % self.server.length + events)
            if self.server.then == "end":
                self.wfile.write(b"0\r\n\r\n")
            if self.server.then == "reset":
                lingers = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingers)
            if self.server.then != "silence":
                return


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with serving(Gateway(("127.0.0.1", 0), Answers)) as server:
        yield server


@pytest.fixture(scope="module", params=["false", "true"])
def proxy(
    gateway: Gateway, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "foxora.yaml").write_text("gateway: {stream_idle_timeout_seconds: 1}\n")
    environment = {
        "FOXORA_API_KEY": "foxora_sk_fake_said_all",
        "FOXORA_BASE_URL": f"http://127.0.0.1:{gateway.server_address[1]}/v1",
        "FOXORA_FAST": request.param,
    }
    with running_proxy(folder, (), environment) as started:
        yield started


def asked(proxy: Proxy, path: str, **more: object) -> httpx.Response:
    call = {"model": "gpt-4o-mini", "stream": True, **BODIES[path], **more}
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/{path}", json=call, headers={"authorization": f"Bearer {APP_KEY}"}
        )


def record_of(proxy: Proxy, exchange: str) -> dict[str, Any]:
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    return record


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n"])
@pytest.mark.parametrize("then", ["reset", "close", "silence"])
@pytest.mark.parametrize("path", STREAMS)
def test_it_ends_as_if_its_connection_had(
    gateway: Gateway, proxy: Proxy, path: str, then: str, line_break: bytes
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = then, 2, None, line_break
    answer = asked(proxy, path)
    assert answer.content == said(path, 2, line_break)
    record = record_of(proxy, answer.headers["x-foxora-exchange"])
    assert (record["outcome"], record["status"], record["error"]) == ("completed", 200, None)


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_client_that_leaves_with_the_last_event_has_had_all(
    gateway: Gateway, proxy: Proxy, path: str
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "silence", 2, None, b"\n"
    record = record_of_one_that_leaves_at(proxy, path, STREAMS[path][-1])
    assert (record["outcome"], record["source"], record["error"]) == ("completed", "gateway", None)


def test_one_that_leaves_before_it_has_left(gateway: Gateway, proxy: Proxy) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "silence", 1, None, b"\n"
    record = record_of_one_that_leaves_at(proxy, "chat/completions", CHAT[0])
    assert (record["outcome"], record["source"]) == ("client_disconnected", "network")


def test_one_that_leaves_at_an_error_event_is_not_who_broke_it(
    gateway: Gateway, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "silence", 2, None, b"\n"
    failed = [CHAT[0], b'data: {"error":{"code":502,"message":"The provider has left."}}']
    monkeypatch.setitem(STREAMS, "chat/completions", failed)
    record = record_of_one_that_leaves_at(proxy, "chat/completions", failed[-1])
    assert (record["outcome"], record["source"]) == ("stream_broken", "gateway")
    assert record["error"]["message"] == "The provider has left."


def record_of_one_that_leaves_at(proxy: Proxy, path: str, last: bytes) -> dict[str, Any]:
    call = {"model": "gpt-4o-mini", "stream": True, **BODIES[path]}
    headers = {"authorization": f"Bearer {APP_KEY}"}
    with direct_client() as client:
        asking = client.stream("POST", f"{proxy.base_url}/{path}", json=call, headers=headers)
        with asking as answer:
            read = b""
            for piece in answer.iter_raw():
                read += piece
                if last + b"\n\n" in read:
                    break
    return record_of(proxy, answer.headers["x-foxora-exchange"])


def test_the_same_without_its_last_event_is_broken(gateway: Gateway, proxy: Proxy) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "reset", 1, None, b"\n"
    client = openai.OpenAI(base_url=proxy.base_url, api_key=APP_KEY, max_retries=0)
    with client, pytest.raises(openai.APIError) as raised:
        for _ in client.responses.create(model="gpt-4o-mini", input="hi", stream=True):
            pass
    assert raised.value.code == "gateway_unreachable"


@pytest.mark.parametrize("then", ["reset", "close", "silence"])
def test_pictures_are_not_over_before_all_that_were_asked_for_have_come(
    gateway: Gateway, proxy: Proxy, then: str
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = then, 2, None, b"\n"
    answer = asked(proxy, "images/generations", n=2)
    assert answer.content.startswith(said("images/generations") + b'data: {"error":')
    record = record_of(proxy, answer.headers["x-foxora-exchange"])
    broken = "timeout" if then == "silence" else "stream_broken"
    assert (record["outcome"], record["error"] is None) == (broken, False)


def test_pictures_of_which_some_are_missing_at_a_clean_end_pass_and_are_broken_on_record(
    gateway: Gateway, proxy: Proxy
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "end", 2, None, b"\n"
    answer = asked(proxy, "images/generations", n=2)
    assert answer.content == said("images/generations")
    assert record_of(proxy, answer.headers["x-foxora-exchange"])["outcome"] == "stream_broken"


def test_one_of_a_promised_length_is_broken_for_its_client_and_on_record(
    gateway: Gateway, proxy: Proxy
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "reset", 2, 5_000, b"\n"
    before = {record["exchange"] for record in proxy.records()}
    with pytest.raises(httpx.RemoteProtocolError):
        asked(proxy, "chat/completions", stream_options={"include_usage": True})
    wait_until(lambda: len({r["exchange"] for r in proxy.records()} - before) == 1)
    (exchange,) = {record["exchange"] for record in proxy.records()} - before
    assert record_of(proxy, exchange)["outcome"] == "stream_broken"


@pytest.mark.parametrize("fast", ["false", "true"])
def test_what_another_addon_has_kept_of_it_passes(
    gateway: Gateway, tmp_path: Path, fast: str
) -> None:
    gateway.then, gateway.most, gateway.length, gateway.line_break = "reset", 2, None, b"\n"
    (tmp_path / "keeper.py").write_text(KEEPER)
    environment = {
        "FOXORA_API_KEY": "foxora_sk_fake_said_all",
        "FOXORA_BASE_URL": f"http://127.0.0.1:{gateway.server_address[1]}/v1",
        "FOXORA_FAST": fast,
    }
    with running_proxy(tmp_path, ("-s", str(tmp_path / "keeper.py")), environment) as proxy:
        answer = asked(proxy, "responses")
        assert answer.content == said("responses") + b": kept\n\n"
        record = record_of(proxy, answer.headers["x-foxora-exchange"])
    assert record["outcome"] == "completed"

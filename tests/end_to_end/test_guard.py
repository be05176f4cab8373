"""An exception in any of our entries ends in JSON and a record, and sends nothing anywhere."""

import asyncio
import contextlib
import json
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    websocket_connect,
)

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    running_gateway,
    running_proxy,
    wait_until,
)
from tests.end_to_end.raw_gateways import requests_in, serving

pytestmark = pytest.mark.real_server

# Patches the entry that a request's header names, so that one proxy serves every case.
BROKEN = """
from foxora_addon.pipeline import Pipeline
from foxora_addon.proxy import requests, responses
from foxora_addon.proxy.addon import the_addon
from foxora_addon.proxy.desk import FlowDesk

def breaking(name, original):
    def broken(*args, **kwargs):
        if BREAK == name:
            raise RuntimeError("planted " + name)
        return original(*args, **kwargs)
    return broken

BREAK = ""
for owner, name in (
    (Pipeline, "arrive"), (Pipeline, "read"), (Pipeline, "reserve"), (Pipeline, "record"),
    (Pipeline, "send"), (Pipeline, "answered"), (Pipeline, "streamed"),
    (Pipeline, "_read"), (Pipeline, "renew"), (Pipeline, "said"),
    (FlowDesk, "_watch"), (requests, "check_decided"), (responses, "observe"),
    (responses, "begin"), (responses, "_piece_arrived"), (responses, "_scrub_headers"),
):
    setattr(owner, name, breaking(name, getattr(owner, name)))

class Chooser:
    def client_connected(self, client):
        global BREAK
        BREAK = open("break.txt").read()

    def responseheaders(self, flow):
        open("heard.txt", "a").write(f"{flow.response.headers.fields}\\n")

addons = [Chooser(), the_addon()]
"""
ENTRIES = [
    *("arrive", "read", "reserve", "record", "send", "answered"),
    *("_read", "check_decided", "_watch", "begin", "_scrub_headers"),
]
KEY = "foxora_sk_fake_guard"
JSON_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as origin:
        yield origin


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, gateway: str) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "break.txt").write_text("")
    (folder / "foxora.yaml").write_text("gateway: {retries: 1}")
    script = folder / "broken.py"
    script.write_text(BROKEN)
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_guard", "FOXORA_BASE_URL": f"{gateway}/v1"}
    with running_proxy(folder, (), environment, script=str(script)) as proxy:
        yield proxy


def call(proxy: Proxy, entry: str, fault: str = "", **more: object) -> httpx.Response:
    (proxy.folder / "break.txt").write_text(entry)
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/chat/completions",
            json={**CALL, **more},
            headers={"authorization": f"Bearer {APP_KEY}", "x-mock-fault": fault},
        )


def sent_keys(gateway: str) -> set[str]:
    with direct_client() as client:
        log = client.get(f"{gateway}/_mock/log").json()
    text = json.dumps(log)
    assert APP_KEY not in text
    return {value for entry in log for name, value in entry["headers"] if name == "Authorization"}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_broken_step_is_our_own_500_and_the_app_key_stays(
    broken: Proxy, gateway: str, entry: str
) -> None:
    answer = call(broken, entry)
    assert answer.status_code in {500, 502}, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "param"}
    assert answer.json()["error"]["code"] == "internal_error"
    assert sent_keys(gateway) <= {"Bearer foxora_sk_fake_guard"}
    assert call(broken, "").status_code == 200


def test_a_further_try_that_can_not_be_counted_is_not_sent(broken: Proxy, gateway: str) -> None:
    answer = call(broken, "", "status=503")
    assert (answer.status_code, answer.headers["x-foxora-retries"]) == (503, "1")
    answer = call(broken, "renew", "status=503")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert sent_keys(gateway) == {"Bearer foxora_sk_fake_guard"}


def test_a_stream_passes_whole_when_nobody_can_look_at_it(broken: Proxy) -> None:
    answer = call(broken, "_piece_arrived", stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_stream_passes_whole_when_its_record_cannot_be_made(broken: Proxy) -> None:
    answer = call(broken, "streamed", stream=True)
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_websocket_ends_when_its_messages_cannot_be_looked_at(broken: Proxy) -> None:
    (broken.folder / "break.txt").write_text("said")
    url = f"{broken.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"

    async def heard() -> list[str | bytes]:
        request = HTTPRequest(url, headers={"authorization": f"Bearer {APP_KEY}"})
        socket = await websocket_connect(request)
        for text in ("one", "two"):
            with contextlib.suppress(WebSocketClosedError):
                await socket.write_message(f'{{"type": "echo", "text": "{text}"}}')
        messages = [message async for message in _until_it_ends(socket)]
        socket.close()  # or it says that it was not
        return messages

    assert asyncio.run(asyncio.wait_for(heard(), 20)) == []
    wait_until(lambda: broken.records()[-1]["event"] == "response")
    assert broken.records()[-1]["outcome"] == "internal_error"


async def _until_it_ends(socket: WebSocketClientConnection) -> AsyncIterator[str | bytes]:
    while (message := await socket.read_message()) is not None:
        yield message


class Repeating(socketserver.StreamRequestHandler):
    """Puts the key that it was called with into the head of its answer."""

    def handle(self) -> None:
        for _ in requests_in(self.rfile):
            self.wfile.write(f"{JSON_HEAD}x-key: {KEY}\r\ncontent-length: 2\r\n\r\n{{}}".encode())


@pytest.mark.parametrize("entry", ["begin", "_scrub_headers", ""])
def test_no_addon_hears_a_head_that_could_not_be_looked_through(tmp_path: Path, entry: str) -> None:
    (tmp_path / "break.txt").write_text("")
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Repeating)) as gateway:
        base_url = f"http://127.0.0.1:{gateway.server_address[1]}/v1"
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": base_url}
        with running_proxy(tmp_path, (), environment, script=str(script)) as proxy:
            answer = call(proxy, entry)
    assert KEY not in f"{answer.headers}{answer.text}"
    heard = (tmp_path / "heard.txt").read_text()
    assert heard
    assert KEY not in heard


class Large(socketserver.StreamRequestHandler):
    """More of an answer than is taken whole."""

    def handle(self) -> None:
        for asked in requests_in(self.rfile):
            size = 48 * 1_048_576 if asked.is_call else 2
            head = f"{JSON_HEAD}content-length: {size}\r\n\r\n"
            with contextlib.suppress(OSError):  # it is given up before all of it was read
                self.wfile.write(head.encode() + b"{" + b" " * (size - 2) + b"}")


def test_an_answer_that_is_too_long_to_be_kept_and_cannot_be_passed_is_our_500(
    tmp_path: Path,
) -> None:
    (tmp_path / "break.txt").write_text("")
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Large)) as gateway:
        base_url = f"http://127.0.0.1:{gateway.server_address[1]}/v1"
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_guard", "FOXORA_BASE_URL": base_url}
        with running_proxy(tmp_path, (), environment, script=str(script)) as proxy:
            answer = call(proxy, "observe")
            assert answer.status_code in {500, 502}
            assert answer.json()["error"]["code"] == "internal_error"
            assert proxy.output.count("planted observe") == 1
            [*_, response] = proxy.records()
    assert response["outcome"] == "internal_error"


CRASHING = """
from mitmproxy.connection import Server
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers.http import HttpLayer
from foxora_addon.proxy.addon import the_addon

class Crashing:
    def running(self):
        usual = HttpLayer.handle_event

        def crashing(layer, event):
            is_answer = type(event) is DataReceived and isinstance(event.connection, Server)
            if is_answer and b"planted" in event.data:
                raise MemoryError
            return usual(layer, event)

        HttpLayer.handle_event = crashing

addons = [the_addon(), Crashing()]
"""


class Planting(socketserver.StreamRequestHandler):
    """Answers what mitmproxy crashes on: at once, or where a stream is under way."""

    is_read: ClassVar = threading.Event()

    def handle(self) -> None:
        for asked in requests_in(self.rfile):
            if b"x-stream" in asked.headers:
                head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                self.wfile.write(f"{head}data: {{}}\n\n".encode())
                self.is_read.wait()
            body = '"planted"' if asked.is_call else "{}"
            self.wfile.write(f"{JSON_HEAD}content-length: {len(body)}\r\n\r\n{body}".encode())


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_crash_of_the_host_ends_the_calls_of_its_connection_at_once(
    tmp_path: Path, fast: str
) -> None:
    Planting.is_read.clear()
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Planting)) as gateway:
        base_url = f"http://127.0.0.1:{gateway.server_address[1]}/v1"
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": base_url, "FOXORA_FAST": fast}
        with running_proxy(tmp_path, (), environment, script=str(script)) as proxy:
            answer = call(proxy, "")
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
            with (
                direct_client() as client,
                client.stream(
                    "POST",
                    f"{proxy.base_url}/chat/completions",
                    json={**CALL, "stream": True},
                    headers={"authorization": f"Bearer {APP_KEY}", "x-stream": "1"},
                ) as stream,
            ):
                assert stream.status_code == 200
                pieces = stream.iter_raw()
                said = next(pieces)
                Planting.is_read.set()
                said += b"".join(pieces)
            ends = [record for record in proxy.records() if record["event"] == "response"]
            assert proxy.output.count("mitmproxy has crashed!") == 2
    assert b'"internal_error"' in said
    assert [(end["outcome"], end["source"]) for end in ends] == [("internal_error", "addon")] * 2


def test_every_recorded_exchange_ends_once(broken: Proxy) -> None:
    call(broken, "")
    records = broken.records()
    opened = [r["exchange"] for r in records if r["event"] == "request"]
    ended = [r["exchange"] for r in records if r["event"] == "response"]
    assert sorted(opened) == sorted(ended)
    assert len(set(opened)) == len(opened)


def test_the_log_names_the_failure_and_no_secret(broken: Proxy) -> None:
    call(broken, "_read")
    output = Path(broken.folder / "output.log").read_text("utf-8", "replace")
    assert "planted _read" in output
    assert APP_KEY not in output
    assert "foxora_sk_fake_guard" not in output

"""WebSockets, uploads, preflights, HTTP/2 on the gateway's side, HTTP/3 on the client's."""

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.chameleon import ANSWER, TRAILER, running_chameleon
from tests.end_to_end.http_3 import Answer, http_3
from tests.end_to_end.programs import program
from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    Proxy,
    clean_environment,
    direct_client,
    free_port,
    http_2_client,
    running_command,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_fake_protocols"
HEADERS = {"authorization": f"Bearer {APP_KEY}"}
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
PAGE = "https://app.example"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as origin:
        yield origin


@pytest.fixture(scope="module")
def open_to_a_page(tmp_path_factory: pytest.TempPathFactory, gateway: str) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "foxora.yaml").write_text(f"listen: {{origins: ['{PAGE}']}}\n")
    environment = {"FOXORA_API_KEY": FOXORA_KEY, "FOXORA_BASE_URL": f"{gateway}/v1"}
    with running_proxy(folder, (), environment) as proxy:
        yield proxy


PROXYS_OWN = ("/v1/me", "/v1/models")


def last_received(gateway: str) -> dict[str, Any]:
    """The last call that the gateway got; what the proxy asks by itself may come at any time."""
    with direct_client() as client:
        received: list[dict[str, Any]] = client.get(f"{gateway}/_mock/log").json()
        return next(entry for entry in reversed(received) if entry["path"] not in PROXYS_OWN)


def header_of(entry: dict[str, Any], wanted: str) -> str | None:
    return next((v for name, v in entry["headers"] if name.lower() == wanted), None)


def test_a_websocket_is_led_to_the_gateway_with_its_key(
    open_to_a_page: Proxy, gateway: str
) -> None:
    async def talk() -> tuple[str | bytes | None, str | None]:
        url = f"{open_to_a_page.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
        protocols = ["realtime", f"openai-insecure-api-key.{APP_KEY}"]
        socket = await websocket_connect(HTTPRequest(url), subprotocols=protocols)
        await socket.write_message('{"type": "session.update"}')
        await socket.read_message()  # that the session has begun
        message = await socket.read_message()
        chosen = socket.selected_subprotocol
        socket.close()
        while await socket.read_message() is not None:
            pass
        return message, chosen

    message, chosen = asyncio.run(asyncio.wait_for(talk(), 20))
    assert message is not None
    assert chosen == "realtime"
    with direct_client() as client:
        log = client.get(f"{gateway}/_mock/log").text
    assert APP_KEY not in log
    assert f"Bearer {FOXORA_KEY}" in log

    def sessions() -> list[dict[str, Any]]:
        return [r for r in open_to_a_page.records() if r.get("status") == 101]

    wait_until(lambda: bool(sessions()))
    assert sessions()[0]["cost_usd"] is None  # not nothing: it is not known
    messages = sessions()[0]["websocket"]["messages"]
    assert '{"type": "session.update"}' in [m["text"] for m in messages if m["sender"] == "client"]
    assert message in [said["text"] for said in messages if said["sender"] == "gateway"]


async def said_back(proxy: Proxy, text: str) -> str | bytes | None:
    """What the mock gateway says over a WebSocket of what it heard."""
    url = f"{proxy.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
    socket = await websocket_connect(HTTPRequest(url, headers=HEADERS))
    await socket.write_message(text)
    await socket.read_message()  # that the session has begun
    message = await socket.read_message()
    socket.close()
    while await socket.read_message() is not None:
        pass
    return message


def test_a_websocket_that_says_our_key_is_masked(open_to_a_page: Proxy) -> None:
    text = f'{{"type": "echo", "text": "{FOXORA_KEY}"}}'
    message = asyncio.run(asyncio.wait_for(said_back(open_to_a_page, text), 20))
    assert message == text.replace(FOXORA_KEY, "*" * len(FOXORA_KEY))


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("status=403", 403, "forbidden"),
        ("html", 502, "gateway_error"),
        ("html;status=200", 502, "bad_gateway_answer"),
        ("close-before-head", 502, "gateway_unreachable"),
    ],
)
def test_a_websocket_that_the_gateway_refuses_is_told_why(
    open_to_a_page: Proxy, fault: str, status: int, code: str
) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "x-mock-fault": fault,
    }
    with direct_client() as client:
        url = f"{open_to_a_page.base_url}/realtime?model=gpt-4o-mini"
        answer = client.get(url, headers={**HEADERS, **upgrade})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_multipart_upload_reaches_the_gateway_as_it_is(
    open_to_a_page: Proxy, gateway: str
) -> None:
    with direct_client() as client:
        request = client.build_request(
            "POST",
            f"{open_to_a_page.base_url}/audio/transcriptions",
            data={"model": "whisper-1"},
            files={"file": ("speech.wav", bytes(range(256)) * 40, "audio/wav")},
            headers=HEADERS,
        )
        body = request.read()
        client.send(request)
    entry = last_received(gateway)
    assert header_of(entry, "content-length") == str(len(body))
    assert entry["path"] == "/v1/audio/transcriptions"


def test_a_client_that_waits_for_100_continue_gets_it(open_to_a_page: Proxy) -> None:
    finished = subprocess.run(
        [
            *(program("curl"), "-sS", "--noproxy", "*", "-m", "20", "-v"),
            *("-H", "Expect: 100-continue", "-H", f"Authorization: Bearer {APP_KEY}"),
            *("--data-binary", "@-"),
            f"{open_to_a_page.base_url}/chat/completions",
        ],
        input=httpx.Request("POST", "http://x", json=CALL).read(),
        env=clean_environment(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert b"HTTP/1.1 100 Continue" in finished.stderr
    assert b'"chat.completion"' in finished.stdout


def test_a_client_that_waits_for_100_continue_is_refused_without_it(open_to_a_page: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", open_to_a_page.port), 20) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 60\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert b'"missing_api_key"' in answer
    wait_until(lambda: open_to_a_page.records()[-1]["event"] == "response")
    request, response = open_to_a_page.records()[-2:]
    assert (request["body_bytes"], request["decision"]["verdict"]) == (0, "refuse")
    assert (response["status"], response["outcome"]) == (401, "refused")


def test_a_listed_page_may_call_and_its_preflight_goes_without_a_key(
    open_to_a_page: Proxy, gateway: str
) -> None:
    url = f"{open_to_a_page.base_url}/chat/completions"
    with direct_client() as client:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        preflight = client.options(url, headers=asked)
        entry = last_received(gateway)
        answer = client.post(url, json=CALL, headers={**HEADERS, "Origin": PAGE})
        bad = client.post(url, content=b"{", headers={**HEADERS, "Origin": PAGE})
        strangers = client.post(url, json=CALL, headers={**HEADERS, "Origin": f"{PAGE}.evil"})
        programs = client.post(url, content=b"{", headers=HEADERS)
    assert preflight.status_code == 204
    assert header_of(entry, "authorization") is None
    assert (answer.status_code, bad.status_code, strangers.status_code) == (200, 400, 403)
    for told in (answer, bad):
        assert told.headers["access-control-allow-origin"] == PAGE
        assert "x-should-retry" in told.headers["access-control-expose-headers"]
        assert told.headers["vary"].lower() == "origin"
    for told in (strangers, programs):
        assert not [name for name in told.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("fast", ["false", "true"])
def test_a_body_whose_length_http_2_does_not_tell_is_no_further_request(
    tmp_path: Path, gateway: str, fast: str
) -> None:
    """What follows a head without a length is, to an HTTP/1 gateway, the next request."""
    body = b"POST /v1/never-recorded HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    environment = {"FOXORA_API_KEY": FOXORA_KEY, "FOXORA_BASE_URL": f"{gateway}/v1"}

    with running_proxy(tmp_path, (), environment | {"FOXORA_FAST": fast}) as proxy:
        answer = by_curl(proxy, body, "files", "-X", "POST", "-T", "-")
        received = last_received(gateway)
    assert answer.endswith(b"[400/2]"), answer  # that is no form with a file
    assert received["path"] == "/v1/files"
    assert received["body"] == body.decode()
    assert header_of(received, "content-length") == str(len(body))


@pytest.mark.parametrize("fast", ["true", "false"])
def test_calls_over_http_3_go_to_a_gateway_that_does_not_speak_it(
    tmp_path: Path, gateway: str, fast: str
) -> None:
    path, call = "/v1/chat/completions", json.dumps({**CALL, "stream": True}).encode()

    async def made(proxy: Proxy) -> list[Answer]:
        async with asyncio.timeout(20), http_3(proxy, proxy.port) as client:
            answers = [client.ask(path, HEADERS, call) for _ in range(8)]
            for answer in answers:
                await answer.is_whole.wait()
            await client.ask(
                path, {**HEADERS, "x-mock-fault": "mute-after=3"}, call
            ).has_begun.wait()
            return answers

    environment = {"FOXORA_API_KEY": FOXORA_KEY, "FOXORA_BASE_URL": f"{gateway}/v1"}
    options = ["--mode", "reverse:https://api.openai.com", "--set", f"foxora_fast={fast}"]
    with running_proxy(tmp_path, options, environment) as proxy:
        answers = asyncio.run(made(proxy))
        wait_until(lambda: len(proxy.records()) == 18)
    assert [answer.status for answer in answers] == [200] * 8, proxy.output
    assert all(answer.content.endswith(b"data: [DONE]\n\n") for answer in answers)
    records = proxy.records()
    requests = [record for record in records if record["event"] == "request"]
    assert {record["http"]["version"] for record in requests} == {"HTTP/3"}
    outcomes = [record["outcome"] for record in records if record["event"] == "response"]
    assert outcomes == ["completed"] * 8 + ["client_disconnected"]


def test_http_2_on_both_sides(tmp_path: Path, gateway: str) -> None:
    """The gateway's HTTP/2 is a bare mitmdump's in front of the mock one."""
    port = free_port()
    front = tmp_path / "front"
    front.mkdir()
    command = [
        *(str(BIN / "mitmdump"), "--mode", f"reverse:{gateway}@127.0.0.1:{port}"),
        *("--set", f"confdir={front / 'confdir'}", "--set", "flow_detail=3"),
    ]
    with running_command(command, front, port):
        certificate = front / "confdir" / "mitmproxy-ca-cert.pem"
        options = ("--set", f"ssl_verify_upstream_trusted_ca={certificate}")
        environment = {
            "FOXORA_API_KEY": FOXORA_KEY,
            "FOXORA_BASE_URL": f"https://127.0.0.1:{port}/v1",
        }
        with running_proxy(tmp_path / "proxy", options, environment) as proxy:
            for more in ({}, {"stream": True}):
                call = httpx.Request("POST", "http://x", json={**CALL, **more}).read()
                answer = by_curl(proxy, call, "chat/completions", "--data-binary", "@-")
                assert answer.endswith(b"[200/2]"), answer
        output = (front / "output.log").read_text("utf-8", "replace")
    assert "HTTP/2.0" in output
    assert f"Bearer {FOXORA_KEY}" in output
    assert APP_KEY not in output


def by_curl(proxy: Proxy, body: bytes, path: str, *options: str) -> bytes:
    """The answer to a POST on HTTP/2, and `[STATUS/VERSION]`; `-T -` tells no length."""
    finished = subprocess.run(
        [
            *(program("curl"), "-sS", "--http2", "-m", "20", "-x", proxy.url),
            *("--cacert", proxy.certificate, "-H", f"Authorization: Bearer {APP_KEY}"),
            *("-w", "[%{http_code}/%{http_version}]"),
            *options,
            f"https://api.openai.com/v1/{path}",
        ],
        input=body,
        env=clean_environment(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    return finished.stdout


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("fast", ["true", "false"])
def test_trailers_of_a_gateway_go_nowhere(tmp_path: Path, fast: str, *, is_stream: bool) -> None:
    call = {"model": "gpt-4o-mini", "messages": [], "stream": is_stream}
    flows = tmp_path / "flows.mitm"
    with running_chameleon(tmp_path) as chameleon:
        chameleon.behaviour = "h2:trailers of a stream" if is_stream else "h2:trailers"
        environment = {
            "FOXORA_API_KEY": FOXORA_KEY,
            "FOXORA_BASE_URL": chameleon.base_url,
            "FOXORA_FAST": fast,
        }
        trusted = f"ssl_verify_upstream_trusted_ca={chameleon.trusted}"
        options = ("--set", trusted, "-w", str(flows))
        with running_proxy(tmp_path, options, environment) as proxy, http_2_client(proxy) as client:
            url = "https://api.openai.com/v1/chat/completions"
            answer = client.post(url, json=call, headers={"authorization": f"Bearer {APP_KEY}"})
    assert answer.status_code == 200
    assert answer.content.endswith(b"data: [DONE]\n\n" if is_stream else ANSWER)
    assert TRAILER.encode() not in flows.read_bytes()
    assert [record["outcome"] for record in proxy.records()[1::2]] == ["completed"]

"""The end of the program: open calls finish, new ones are refused, those that are cut are told."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    calls_in_line,
    direct_client,
    http_2_client,
    running_proxy,
    wait_until,
)
from tests.end_to_end.windows import running_web

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


ONE_AT_A_TIME = """
limits: {on_limit: wait}
accounts: [{name: acme, key: {env: FOXORA_API_KEY}, limits: {concurrent_requests: 1}}]
"""


@contextmanager
def a_proxy(
    folder: Path, grace_seconds: float, more: str = "", gateway: str = "mock"
) -> Iterator[Proxy]:
    (folder / "foxora.yaml").write_text(
        f"gateway: {{base_url: '{gateway}'}}\nlisten: {{grace_seconds: {grace_seconds}}}\n{more}"
    )
    with running_proxy(folder, (), {"FOXORA_API_KEY": "foxora_sk_fake_shutdown"}) as proxy:
        yield proxy


def stop_signal(proxy: Proxy, number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(proxy.pid, number)


def call(client: httpx.Client, proxy: Proxy, fault: str, **more: Any) -> httpx.Response:
    return client.post(url_of(proxy), json={**CALL, **more}, headers=asking_for(fault))


def url_of(proxy: Proxy) -> str:
    return f"{proxy.base_url}/chat/completions"


def asking_for(fault: str) -> dict[str, str]:
    return {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": fault}


def outcomes(proxy: Proxy) -> list[str]:
    return [record["outcome"] for record in proxy.records() if record["event"] == "response"]


def requests_of(proxy: Proxy) -> int:
    return sum(record["event"] == "request" for record in proxy.records())


def open_calls(proxy: Proxy) -> int:
    with direct_client() as client:
        count: int = client.get(f"{proxy.url}/_foxora/totals").json()["open"]
    return count


def test_open_calls_finish_and_new_ones_are_refused(tmp_path: Path) -> None:
    with a_proxy(tmp_path, 20) as proxy, direct_client() as other, ThreadPoolExecutor() as pool:
        assert call(other, proxy, "words=1").status_code == 200
        with direct_client() as client:
            slow = pool.submit(call, client, proxy, "chunk-delay=0.2;words=9", stream=True)
            wait_until(lambda: requests_of(proxy) == 2)
            stop_signal(proxy)
            wait_until(lambda: not proxy.is_listening())
            refused = call(other, proxy, "words=1")
            assert refused.json()["error"]["code"] == "unavailable"
            assert refused.headers["x-should-retry"] == "true"
            assert refused.headers["connection"] == "close", "the next call makes a new one"
            assert slow.result().text.endswith("data: [DONE]\n\n")
            with pytest.raises(httpx.ConnectError), direct_client() as late:
                call(late, proxy, "words=1")
        wait_until(lambda: not proxy.is_running())
    assert set(outcomes(proxy)) == {"completed", "refused"}


def by_http_2(proxy: Proxy) -> tuple[httpx.Client, str]:
    """A client whose requests name the proxy itself, as those of HTTP/2 do, and its base URL."""
    return http_2_client(proxy, via_proxy=False), f"https://localhost:{proxy.port}"


def by_http_proxy(proxy: Proxy) -> tuple[httpx.Client, str]:
    """The same of one that has the proxy for its base URL and for its HTTP proxy."""
    return httpx.Client(proxy=proxy.url, trust_env=False, timeout=20), proxy.url


@pytest.mark.parametrize("by", [by_http_2, by_http_proxy])
def test_who_names_the_proxy_is_refused_by_it_too(tmp_path: Path, by: Any) -> None:
    with a_proxy(tmp_path, 20) as proxy, direct_client() as other, ThreadPoolExecutor() as pool:
        client, origin = by(proxy)
        with client:
            assert client.get(f"{origin}/_foxora/status").status_code == 200
            slow = pool.submit(call, other, proxy, "chunk-delay=0.2;words=9", stream=True)
            wait_until(lambda: requests_of(proxy) == 1)
            stop_signal(proxy)
            wait_until(lambda: not proxy.is_listening())
            url = f"{origin}/v1/chat/completions"
            refused = client.post(url, json=CALL, headers=asking_for("words=1"))
            assert slow.result().text.endswith("data: [DONE]\n\n")
        wait_until(lambda: not proxy.is_running())
    assert refused.json()["error"]["code"] == "unavailable"
    assert refused.headers["x-should-retry"] == "true"
    assert (
        refused.headers.get("connection")
        == {"HTTP/2": None, "HTTP/1.1": "close"}[refused.http_version]
    )
    assert sorted(outcomes(proxy)) == ["completed", "refused"]


def test_what_is_cut_is_told_and_on_record_as_aborted(tmp_path: Path) -> None:
    with a_proxy(tmp_path, 0.3) as proxy, direct_client() as client, ThreadPoolExecutor() as pool:
        answer = pool.submit(call, client, proxy, "delay=30")
        wait_until(lambda: requests_of(proxy) == 1)
        stop_signal(proxy)
        told = answer.result()
        wait_until(lambda: not proxy.is_running())
    assert (told.status_code, told.json()["error"]["code"]) == (503, "unavailable")
    assert outcomes(proxy) == ["aborted"]


def test_a_stream_that_is_cut_ends_with_an_event_that_says_so(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "json": {**CALL, "stream": True},
        "headers": asking_for("chunk-delay=30"),
    }
    with a_proxy(tmp_path, 0.3) as proxy, direct_client() as client:
        with client.stream("POST", url_of(proxy), **asked) as answer:
            stop_signal(proxy)
            told = answer.read().decode()
        wait_until(lambda: not proxy.is_running())
    assert answer.status_code == 200
    last = told.rstrip().rpartition("\n\n")[2].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == "unavailable"
    assert outcomes(proxy) == ["aborted"]


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_call_that_stands_in_line_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: str
) -> None:
    monkeypatch.setenv("FOXORA_FAST", fast)
    with (
        a_proxy(tmp_path, 0, ONE_AT_A_TIME) as proxy,
        direct_client() as client,
        ThreadPoolExecutor() as pool,
    ):
        answers = [pool.submit(call, client, proxy, "delay=30")]
        wait_until(lambda: requests_of(proxy) == 1)
        answers.append(pool.submit(call, client, proxy, "words=1"))
        wait_until(lambda: calls_in_line(proxy) == 1)
        stop_signal(proxy)
        told = [answer.result() for answer in answers]
        wait_until(lambda: not proxy.is_running())
    assert [(each.status_code, each.json()["error"]["code"]) for each in told] == [
        (503, "unavailable")
    ] * 2
    decisions = [each["decision"] for each in proxy.records() if each["event"] == "request"]
    assert [each["verdict"] for each in decisions] == ["forward", "refuse"]
    assert decisions[1]["waited_ms"] > 0
    assert outcomes(proxy) == ["aborted"] * 2


def test_a_call_that_waits_for_its_ceilings_to_be_known_is_told_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        gateway = f"http://127.0.0.1:{mute.getsockname()[1]}/v1"
        with (
            a_proxy(tmp_path, 0, gateway=gateway) as proxy,
            direct_client() as client,
            ThreadPoolExecutor() as pool,
        ):
            answer = pool.submit(call, client, proxy, "")
            wait_until(lambda: open_calls(proxy) == 1)
            stop_signal(proxy)
            assert answer.result().status_code == 503
            wait_until(lambda: not proxy.is_running())
    assert outcomes(proxy) == ["aborted"]


@pytest.mark.parametrize("fast", ["true", "false"])
def test_what_a_user_holds_is_told_as_well(tmp_path: Path, fast: str) -> None:
    (tmp_path / "foxora.yaml").write_text("listen: {grace_seconds: 0.2}\n")
    options = ("--set", "intercept=~u chat & ~q", "--set", f"foxora_fast={fast}")
    with (
        running_web(tmp_path, options) as web,
        direct_client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        held = pool.submit(call, client, web.proxy, "")
        wait_until(lambda: any(flow["intercepted"] for flow in web.flows()))
        stop_signal(web.proxy)
        answer = held.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert outcomes(web.proxy) == ["aborted"]


@contextmanager
def started_with_sigquit(handler: signal.Handlers) -> Iterator[None]:
    """Whoever is started meanwhile has it so; what runs behind a shell's `&` has it ignored."""
    before = signal.signal(signal.SIGQUIT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGQUIT, before)


@pytest.fixture
def heeds_sigquit() -> Iterator[None]:
    with started_with_sigquit(signal.SIG_DFL):
        yield


@pytest.mark.usefixtures("heeds_sigquit")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_ends_it_now(tmp_path: Path, number: signal.Signals) -> None:
    with a_proxy(tmp_path, 60) as proxy, direct_client() as client, ThreadPoolExecutor() as pool:
        answer = pool.submit(call, client, proxy, "delay=30")
        wait_until(lambda: requests_of(proxy) == 1)
        stop_signal(proxy, number)
        wait_until(lambda: not proxy.is_listening())
        assert proxy.is_running()
        said = "1 call is open, with 60s to end; a second signal ends it all now"
        wait_until(lambda: said in proxy.output)
        stop_signal(proxy, number)
        wait_until(lambda: not proxy.is_running())
        assert answer.result().status_code == 503
    assert outcomes(proxy) == ["aborted"]


def test_who_starts_it_may_have_sigquit_ignored(tmp_path: Path) -> None:
    with started_with_sigquit(signal.SIG_IGN), a_proxy(tmp_path, 0) as proxy:
        stop_signal(proxy, signal.SIGQUIT)
        with direct_client() as client:
            assert [call(client, proxy, "words=1").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_websocket_that_outlasts_the_grace_is_closed_and_on_record_as_aborted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: str
) -> None:
    monkeypatch.setenv("FOXORA_FAST", fast)

    async def talk(proxy: Proxy) -> tuple[str | bytes | None, int | None]:
        url = f"{proxy.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
        headers = {"authorization": f"Bearer {APP_KEY}"}
        connection = await websocket_connect(HTTPRequest(url, headers=headers))
        await connection.write_message('{"type": "response.create"}')
        while "response.done" not in str(await connection.read_message()):
            pass
        stop_signal(proxy)
        told = await connection.read_message(), connection.close_code
        connection.close()
        return told

    with a_proxy(tmp_path, 0.2) as proxy:
        assert asyncio.run(asyncio.wait_for(talk(proxy), 20)) == (None, 1001)
        wait_until(lambda: not proxy.is_running())
        assert "AssertionError" not in proxy.output  # 3.12.1 logs a cancelled task itself
        assert outcomes(proxy)[-1] == "aborted"
        assert proxy.records()[-1]["usage"]["source"] == "reported"


def test_no_burst_in_the_log_drowns_a_signal(tmp_path: Path) -> None:
    script = tmp_path / "burst.py"
    script.write_text(
        "import logging, os, signal\n"
        "def request(flow):\n"
        "    for _ in range(2_000): logging.debug('one of many')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    options = (*ON_MOCK, "-s", str(script))
    with running_proxy(tmp_path, options) as proxy, direct_client() as client:
        assert call(client, proxy, "delay=0").status_code == 200
        wait_until(lambda: not proxy.is_running())
    assert outcomes(proxy) == ["completed"]

"""Clients of HTTP/1.0, which know no chunks and whose connection ends with an answer."""

import json
import socket
import ssl
from pathlib import Path

import pytest

from tests.end_to_end.proxies import APP_KEY, ON_MOCK, Proxy, running_proxy, wait_until
from tests.end_to_end.raw_gateways import SECONDS, serving
from tests.end_to_end.test_other_addons import KEY, Gateway

pytestmark = pytest.mark.real_server


def asked_of(way: str) -> bytes:
    call = {"model": "gpt-4o-mini", "stream": way == "stream", "messages": []}
    call["messages"] = [{"role": "user", "content": "hi"}]
    body = json.dumps(call)
    return (
        "POST /v1/chat/completions HTTP/1.0\r\nHost: api.openai.com\r\nConnection: keep-alive\r\n"
        f"Authorization: Bearer {APP_KEY}\r\nX-Way: {way}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def connected(proxy: Proxy, *, over_tls: bool) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), SECONDS)
    if not over_tls:
        return client
    client.sendall(b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n")
    assert b" 200 " in client.recv(65_536)
    trust = ssl.create_default_context(cafile=proxy.certificate)
    return trust.wrap_socket(client, server_hostname="api.openai.com")


@pytest.mark.parametrize("fast", ["true", "false"])
def test_an_old_client_gets_no_chunks(tmp_path: Path, fast: str) -> None:
    with serving(Gateway()) as gateway:
        options = ["--set", f"foxora_base_url=http://127.0.0.1:{gateway.port}/v1"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        with running_proxy(tmp_path, options, environment) as proxy:
            for way, over_tls in ((w, t) for w in ("chunked", "stream") for t in (False, True)):
                with connected(proxy, over_tls=over_tls) as client:
                    client.sendall(asked_of(way))
                    answered = b"".join(iter(lambda: client.recv(65_536), b""))
                head, _, body = answered.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200"), head
                assert b"transfer-encoding" not in head.lower()
                assert body.startswith(b"data: {" if way == "stream" else b"{")
                assert body.endswith(b"data: [DONE]\n\n" if way == "stream" else b"}")
            outcomes = [r["outcome"] for r in proxy.records() if r["event"] == "response"]
    assert outcomes == ["completed"] * 4


@pytest.mark.parametrize("fast", ["true", "false"])
def test_an_old_clients_connection_ends_with_its_answer(tmp_path: Path, fast: str) -> None:
    with running_proxy(tmp_path, ON_MOCK, {"FOXORA_FAST": fast}) as proxy:
        for way in ("whole", "stream"):
            with connected(proxy, over_tls=False) as client:
                client.sendall(asked_of(way))
                answered = b"".join(iter(lambda: client.recv(65_536), b""))
            head, _, body = answered.partition(b"\r\n\r\n")
            assert b"\r\nconnection: close" in head.lower()
            assert body.endswith(b"data: [DONE]\n\n" if way == "stream" else b"}")
        outcomes = [r["outcome"] for r in proxy.records() if r["event"] == "response"]
    assert outcomes == ["completed"] * 2


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_call_that_names_its_host_in_its_line_alone_has_one_at_the_gateway(
    tmp_path: Path, fast: str
) -> None:
    with running_proxy(tmp_path, ON_MOCK, {"FOXORA_FAST": fast}) as proxy:
        with connected(proxy, over_tls=False) as client:
            client.sendall(
                b"GET http://api.openai.com/v1/models HTTP/1.0\r\n"
                b"Authorization: Bearer %b\r\n\r\n" % APP_KEY.encode()
            )
            answered = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answered.startswith(b"HTTP/1.1 200"), answered


@pytest.mark.parametrize("fast", ["true", "false"])
def test_who_leaves_amid_an_upload_is_on_record_as_gone(tmp_path: Path, fast: str) -> None:
    with running_proxy(tmp_path, ON_MOCK, {"FOXORA_FAST": fast}) as proxy:
        with connected(proxy, over_tls=False) as client:
            client.sendall(asked_of("whole")[:-5])
        wait_until(lambda: len(proxy.records()) == 2, lambda: f"{proxy.records()}")
        request, response = proxy.records()
    assert request["decision"]["verdict"] == "refuse"
    assert (response["outcome"], response["status"]) == ("client_disconnected", None)
    assert response["body_bytes"] == 0

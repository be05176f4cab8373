"""What a client sends that is no request, or not all of one, and tunnels that lead nowhere."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import pytest

from tests.end_to_end.http_2 import Answer, http_2
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    running_proxy,
    tls_client,
    wait_until,
)

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
HEAD = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {APP_KEY}\r\n"
)


def exchanged(proxy: Proxy, data: bytes, *, ends: bool = False) -> bytes:
    """What the proxy says to these bytes; `ends`: then nothing more is sent."""
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(data)
        if ends:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while not answer.endswith(b"}}") and (piece := client.recv(65_536)):
            answer += piece
        return answer


def test_a_client_that_ends_its_side_before_the_answer_has_left(proxy: Proxy) -> None:
    body = json.dumps(CALL).encode()
    head = f"{HEAD}X-Mock-Fault: delay=30\r\nContent-Length: {len(body)}\r\n\r\n"
    before = len(proxy.records())
    assert exchanged(proxy, head.encode() + body, ends=True) == b""
    wait_until(lambda: len(proxy.records()) == before + 2)
    assert proxy.records()[-1]["outcome"] == "client_disconnected"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST http://[::1/v1 HTTP/1.1\r\n\r\n",
        HEAD.encode() + b"Content-Length: many\r\n\r\n",
        HEAD.encode() + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD.encode() + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_our_own_400(proxy: Proxy, data: bytes) -> None:
    answer = exchanged(proxy, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body.startswith(b'{"error":{"code":"invalid_request"')
    for name in (b"x-foxora-source: addon", b"x-request-id: ", b"x-should-retry: false"):
        assert name in head.lower()
    assert APP_KEY.encode() not in answer


@pytest.mark.parametrize("fast", ["true", "false"])
def test_what_has_no_end_is_refused_before_it_fills_the_memory(tmp_path: Path, fast: str) -> None:
    chunked = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n"
    with running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy:
        head = f"{HEAD}x-a: "
        answer = exchanged(proxy, head.encode() + b"a" * (262_145 - len(head)))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'{"error":{"code":"invalid_request"' in answer
        for begun in ("5;a=", "0\r\nx-a: "):
            assert exchanged(proxy, f"{chunked}{begun}".encode() + b"a" * 65_537) == b""
        wait_until(lambda: len(proxy.records()) == 4)
        assert [record["status"] for record in proxy.records()[1::2]] == [400, 400]


@pytest.mark.parametrize("length", ["many", "+5", "05", "5, 5"])
def test_what_has_a_bad_length_is_answered_once(proxy: Proxy, length: str) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(f"{HEAD}Content-Length: {length}\r\n\r\nhello".encode())
        while piece := client.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_request_without_a_certain_end_is_the_last_of_its_connection(
    tmp_path: Path, fast: str
) -> None:
    """What follows may be its body, or what somebody hides in it as a call of its own."""
    codings = {
        "gzip": "",
        "identity": "",
        "gzip, chunked": "X: y\r\nTransfer-Encoding: chunked\r\n",
    }
    codings["chunked"] = "Content-Length: 5\r\n"
    hidden = (
        f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {APP_KEY}\r\n\r\n"
    )
    with running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy:
        for coding, more in codings.items():
            head = f"{HEAD}Transfer-Encoding: {coding}\r\n{more}\r\n"
            with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
                client.sendall(f"{head}0\r\n\r\n".encode())
                answer = b"".join(iter(lambda: client.recv(65_536), b""))
            assert answer.startswith(b"HTTP/1.1 400 "), coding
            assert b"connection: close" in answer.lower()
            assert answer.endswith(b"}}")
            with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
                client.sendall(f"{head}0\r\n\r\n{hidden}".encode())
                answer = b""
                with contextlib.suppress(ConnectionResetError):
                    while piece := client.recv(65_536):
                        answer += piece
            assert answer.count(b"HTTP/1.1 ") == 1, coding
        assert all(record.get("operation") != "models" for record in proxy.records())


@pytest.mark.parametrize("fast", ["true", "false"])
@pytest.mark.parametrize("line_break", ["\r", "\r\n ", "\0"])
def test_no_header_is_hidden_in_another_ones_line(
    tmp_path: Path, line_break: str, fast: str
) -> None:
    """To Python's own server, say, a CR ends a line: the gateway would read a further length."""
    body = json.dumps(CALL)
    length = f"Content-Length: {len(body)}\r\n"
    head = f"{HEAD}X-A: 1{line_break}Content-Length: 5\r\n{length}\r\n"
    with running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy:
        assert exchanged(proxy, f"{head}{body}".encode()).startswith(b"HTTP/1.1 200 ")
        with direct_client() as client:
            gateway = client.get(f"{proxy.url}/_foxora/status").json()["gateway"]
            log = client.get(f"{gateway.removesuffix('/v1')}/_mock/log").json()
    assert ["X-A", "1 Content-Length: 5"] in log[-1]["headers"]


def test_a_call_that_comes_with_the_head_of_its_tunnel_is_answered(proxy: Proxy) -> None:
    body = json.dumps(CALL)
    call = f"{HEAD.replace('localhost', 'api.openai.com')}Content-Length: {len(body)}\r\n\r\n{body}"
    answer = exchanged(proxy, f"CONNECT api.openai.com:80 HTTP/1.1\r\n\r\n{call}".encode())
    assert answer.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("fast", ["true", "false"])
def test_empty_lines_before_a_call_are_passed_over(tmp_path: Path, fast: str) -> None:
    body = json.dumps(CALL)
    call = f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}"
    last = call.replace("Host:", "Connection: close\r\nHost:")
    with (
        running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
    ):
        client.sendall(f"\r\n\r\n{call}\r\n".encode())
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        client.sendall(f"{call}\r\n\n{last}".encode())
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answers.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    "host", ["", "Host:\r\n", "Host: a b\r\n", "Host: localhost:1\r\nHost: localhost\r\n"]
)
def test_a_request_that_names_no_host_is_refused_and_on_record(
    proxy: Proxy, host: str, version: str
) -> None:
    head = f"GET /v1/models HTTP/{version}\r\n{host}Authorization: Bearer {APP_KEY}\r\n\r\n"
    answer = exchanged(proxy, head.encode()).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "names no host" in answer
    exchange = answer.partition("x-foxora-exchange: ")[2].partition("\r\n")[0]
    wait_until(lambda: bool(proxy.answer_records(exchange)))
    (record,) = proxy.answer_records(exchange)
    assert (record["status"], record["outcome"]) == (400, "refused")


@pytest.mark.parametrize("fast", ["true", "false"])
def test_http_2_without_tls_is_on_record_as_refused(tmp_path: Path, fast: str) -> None:
    """mitmproxy closes it without a word; that is no end of the proxy's."""
    with running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy:
        assert exchanged(proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0") == b""
        wait_until(lambda: len(proxy.records()) == 2)
        request, response = proxy.records()
    assert (request["decision"]["verdict"], request["account"]) == ("refuse", None)
    assert (response["status"], response["outcome"], response["source"]) == (
        None,
        "refused",
        "addon",
    )
    assert response["error"]["message"].startswith("HTTP/2 is spoken over TLS alone")


def test_half_a_head_is_not_in_the_log(proxy: Proxy) -> None:
    before = proxy.output.count("before completing request headers")
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(HEAD.encode())
    wait_until(lambda: proxy.output.count("before completing request headers") > before)
    exchanged(proxy, f"GET /v1/models HTTP/1.1\r\nAuthorization Bearer {APP_KEY}\r\n\r\n".encode())
    wait_until(lambda: "Invalid header" in proxy.output or "header line" in proxy.output)
    assert APP_KEY not in proxy.output


def test_a_body_that_is_cut_is_on_record_as_a_client_that_left(proxy: Proxy) -> None:
    exchanged(proxy, HEAD.encode() + b'Content-Length: 500\r\n\r\n{"model": "x"', ends=True)
    wait_until(
        lambda: any(record.get("outcome") == "client_disconnected" for record in proxy.records())
    )


def test_a_tunnel_to_a_host_that_does_not_exist_is_led_to_the_gateway(proxy: Proxy) -> None:
    """The host is ours by its name; that nobody answers to it must not matter."""
    with tls_client(proxy) as client:
        answer = client.post(
            "https://api.openai.com/v1/chat/completions",
            json=CALL,
            headers={"authorization": f"Bearer {APP_KEY}"},
        )
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["nopath", "chat/completions"])
def test_a_path_of_http_2_without_a_slash_is_refused_and_its_host_on_record(
    proxy: Proxy, path: str
) -> None:
    async def answered() -> Answer:
        async with http_2(proxy, "https://api.openai.com") as client:
            head = [("authorization", f"Bearer {APP_KEY}"), ("content-type", "application/json")]
            return await client.post(path, head, json.dumps(CALL).encode())

    before = len(proxy.records())
    assert asyncio.run(answered()).status == 400
    request, response = proxy.records()[before:]
    assert request["http"]["url"] == f"https://api.openai.com/{path}"
    assert (request["decision"]["verdict"], response["outcome"]) == ("refuse", "refused")

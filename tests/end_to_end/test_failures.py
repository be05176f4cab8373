"""What the network or the gateway does wrong, as the client and the trail see it."""

import contextlib
import json
import socket
import socketserver
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    free_port,
    running_proxy,
    wait_until,
)
from tests.end_to_end.raw_gateways import requests_in, serving

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
HEADERS = {"authorization": f"Bearer {APP_KEY}"}
PATIENCE = (
    "connect_timeout_seconds: 1, tls_timeout_seconds: 1, "
    "response_timeout_seconds: 1, stream_idle_timeout_seconds: 1"
)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy on its mock gateway that waits for a second at the most."""
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "foxora.yaml").write_text(f"gateway: {{base_url: mock, {PATIENCE}}}\n")
    with running_proxy(folder, ()) as proxy:
        yield proxy


def post(proxy: Proxy, *, fault: str = "", **more: object) -> httpx.Response:
    headers = {**HEADERS, "x-mock-fault": fault} if fault else HEADERS
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/chat/completions", json={**CALL, **more}, headers=headers
        )


def ending_of(proxy: Proxy, answer: httpx.Response) -> dict[str, Any]:
    (record,) = proxy.answer_records(answer.headers["x-foxora-exchange"])
    return record


class EndlessError(socketserver.StreamRequestHandler):
    """Answers a call with an error that has no end."""

    def handle(self) -> None:
        for asked in requests_in(self.rfile):
            if not asked.is_call:
                self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                continue
            piece = b"%x\r\n%b\r\n" % (65_536, b"x" * 65_536)
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 503 Later\r\nretry-after: 7\r\n")
                self.wfile.write(b"transfer-encoding: chunked\r\n\r\n")
                while True:
                    self.wfile.write(piece)


def test_an_error_without_an_end_is_told_by_its_head(tmp_path: Path) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), EndlessError)) as gateway:
        base_url = f"http://127.0.0.1:{gateway.server_address[1]}/v1"
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_endless", "FOXORA_BASE_URL": base_url}
        with running_proxy(tmp_path, (), environment) as proxy:
            answer = post(proxy)
            told = ending_of(proxy, answer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-foxora-source"] == told["source"] == "gateway"
    assert (told["outcome"], told["status"]) == ("gateway_error", 503)


def test_a_mute_gateway_is_a_504_that_names_the_phase(impatient: Proxy) -> None:
    answer = post(impatient, fault="mute")
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "gateway_timeout"
    assert "to answer" in answer.json()["error"]["message"]
    assert answer.headers["x-foxora-source"] == "network"
    assert ending_of(impatient, answer)["outcome"] == "timeout"
    assert post(impatient).status_code == 200


def test_a_stream_that_falls_silent_is_cut_and_on_record(impatient: Proxy) -> None:
    with (
        direct_client() as client,
        client.stream(
            "POST",
            f"{impatient.base_url}/chat/completions",
            json={**CALL, "stream": True},
            headers={**HEADERS, "x-mock-fault": "mute-after=2"},
        ) as answer,
    ):
        last = answer.read().rstrip().rpartition(b"\n\n")[2]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "gateway_timeout"
    wait_until(lambda: bool(impatient.answer_records(answer.headers["x-foxora-exchange"])))
    record = ending_of(impatient, answer)
    assert (record["outcome"], record["chunks"]) == ("timeout", 2)


def test_a_gateway_that_is_not_there_is_a_502(tmp_path: Path) -> None:
    environment = {
        "FOXORA_API_KEY": "foxora_sk_fake_dead",
        "FOXORA_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
    }
    with running_proxy(tmp_path, (), environment) as proxy:
        answer = post(proxy)
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "gateway_unreachable"
        assert ending_of(proxy, answer)["outcome"] == "gateway_unreachable"


def test_a_gateway_that_never_speaks_tls_is_a_504(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        (tmp_path / "foxora.yaml").write_text(
            f"gateway: {{base_url: 'https://127.0.0.1:{mute.getsockname()[1]}/v1', {PATIENCE}}}\n"
        )
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_mute"}
        with running_proxy(tmp_path, (), environment) as proxy:
            answer = post(proxy)
    assert answer.status_code == 504
    assert "for the TLS handshake" in answer.json()["error"]["message"]


def test_a_request_that_could_be_smuggled_is_the_clients_mistake(impatient: Proxy) -> None:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {APP_KEY}"
        "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", impatient.port), 10) as client:
        client.sendall(head.encode())
        answer = b""
        while b"}}" not in answer and (piece := client.recv(65536)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"invalid_request"' in answer


def test_a_body_over_the_limit_is_a_413(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text(
        "gateway: {base_url: mock}\nintercept: {max_request_bytes: 1000}\n"
    )
    with running_proxy(tmp_path, ()) as proxy, direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        declared = client.post(url, content=b"x" * 5000, headers=HEADERS)
        chunked = client.post(url, content=iter([b"x" * 600] * 5), headers=HEADERS)
        assert (declared.status_code, chunked.status_code) == (413, 413)
        assert chunked.json()["error"]["code"] == "request_too_large"
        assert len(proxy.records()) == 4
        assert post(proxy).status_code == 200


@pytest.mark.parametrize("fast", ["true", "false"])
def test_an_upload_that_takes_too_long_is_ended_and_makes_room(tmp_path: Path, fast: str) -> None:
    (tmp_path / "foxora.yaml").write_text(
        "gateway: {base_url: mock, exchange_timeout_seconds: 2}\nlisten: {max_exchanges: 3}\n"
    )
    line = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    key = f"Authorization: Bearer {APP_KEY}\r\n"
    begun = [
        f"{line}{key}Content-Length: 60\r\n\r\n",
        f"{line}{key}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n",
        f"{line}Content-Length: 60\r\n\r\n{{",
    ]
    with (
        running_proxy(tmp_path, (), {"FOXORA_FAST": fast}) as proxy,
        contextlib.ExitStack() as clients,
    ):
        uploads = [
            clients.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 20))
            for _ in begun
        ]
        for upload, data in zip(uploads, begun, strict=True):
            upload.sendall(data.encode())
        answers = [b"".join(iter(partial(upload.recv, 65_536), b"")) for upload in uploads]
        assert post(proxy).status_code == 200
        endings = [r for r in proxy.records() if r["event"] == "response"][:3]
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 503"] * 2 + [b"HTTP/1.1 401"]
    assert all(b"could not be sent within 2 s" in answer for answer in answers[:2])
    assert {record["outcome"] for record in endings} == {"refused"}
    assert sorted(record["status"] for record in endings) == [401, 503, 503]


def test_a_client_that_leaves_is_on_record(impatient: Proxy) -> None:
    with (
        direct_client() as client,
        client.stream(
            "POST",
            f"{impatient.base_url}/chat/completions",
            json={**CALL, "stream": True},
            headers={**HEADERS, "x-mock-fault": "chunk-delay=0.3"},
        ) as answer,
    ):
        next(answer.iter_raw())
    wait_until(lambda: bool(impatient.answer_records(answer.headers["x-foxora-exchange"])))
    assert ending_of(impatient, answer)["outcome"] == "client_disconnected"

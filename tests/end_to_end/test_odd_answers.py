"""What a gateway may say on HTTP/1 that mitmproxy does not read, or that is no answer at all."""

import json
import socket
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.end_to_end.proxies import APP_KEY, Proxy, direct_client, http_2_client, running_proxy

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = json.dumps({"id": "x", "object": "chat.completion", "choices": []})
CRLF = "\r\n"
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
WHOLE = f"{HEAD}content-length: {len(ANSWER)}\r\n\r\n{ANSWER}"
TRAILED = (
    f"{HEAD}transfer-encoding: chunked\r\n\r\n{len(ANSWER):x}\r\n{ANSWER}\r\n0\r\nx-sum: 1\r\n\r\n"
)


def post(proxy: Proxy, fault: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": fault}
    with direct_client() as client:
        return client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=headers)


@pytest.mark.parametrize(
    "raw",
    [
        f"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n{WHOLE}",
        f"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{WHOLE}",
        f"HTTP/1.1  103 Early Hints\r\n\r\n{WHOLE}",
        TRAILED,
    ],
    ids=["early hints", "two interim answers", "two spaces", "trailers"],
)
def test_what_is_not_of_the_answer_is_left_out(proxy: Proxy, raw: str) -> None:
    answer = post(proxy, f"raw={quote(raw)}")
    assert (answer.status_code, answer.text) == (200, ANSWER)


@pytest.mark.parametrize(
    "raw",
    [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1  101 Switching Protocols\r\ncontent-length: 0\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nx-long: {'a' * 5_000}\r\n" + "x-more: a\r\n" * 10_000 + "\r\n",
        "HTTP/1.1 99 Odd\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",  # as the mock does
        "HTTP/1.1 1000 Odd\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    ],
    ids=[
        "another protocol",
        "one that nobody asked for",
        "a head without end",
        "no status",
        "too long a status",
    ],
)
def test_what_is_no_answer_is_a_502(proxy: Proxy, raw: str) -> None:
    with direct_client() as client:
        origin = gateway_of(proxy)
        fault = {"path": "/v1/chat", "raw": raw}
        client.post(f"{origin}/_mock/faults", json=[fault]).raise_for_status()
        headers = {"authorization": f"Bearer {APP_KEY}"}
        url = f"{proxy.base_url}/chat/completions"
        answer = client.post(url, json=CALL, headers=headers)
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "bad_gateway_answer"
        assert client.post(url, json=CALL, headers=headers).status_code == 200


@pytest.mark.parametrize("id_of_gateway", ["req_of_the_gateway", "", None])
@pytest.mark.parametrize("status", ["200 OK", "418 A Teapot"])
def test_an_answer_has_the_gateways_request_id_on_record_or_none(
    proxy: Proxy, status: str, id_of_gateway: str | None
) -> None:
    """The client gets an id in any case; ours is no id of the gateway's."""
    named = "" if id_of_gateway is None else f"X-Request-Id: {id_of_gateway}{CRLF}"
    raw = WHOLE.replace("200 OK", status).replace(CRLF, f"{CRLF}{named}", 1)
    answer = post(proxy, f"raw={quote(raw)}")
    exchange = answer.headers["x-foxora-exchange"]
    (record,) = proxy.answer_records(exchange)
    assert answer.headers["x-request-id"] == (id_of_gateway or exchange)
    assert record["gateway_request_id"] == (id_of_gateway or None)


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_client_can_read_a_head_whose_line_is_broken(tmp_path: Path, fast: str) -> None:
    """Many take no control character in one (RFC 9110, 5.5: a value has none but a tab).

    Over HTTP/2 none takes a line that goes on (RFC 9113, 8.2.1).
    """
    with (
        running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy,
        direct_client() as by_http_1,
        http_2_client(proxy, via_proxy=False) as by_http_2,
    ):
        for line_break, words in [
            ("\r\n ", "OK"),
            *((control, f"O{control}K") for control in "\r\0\v\f"),
        ]:
            named = f" {words}{CRLF}x-a: one{line_break}x-foxora-source: addon{CRLF}"
            headers = {
                "authorization": f"Bearer {APP_KEY}",
                "x-mock-fault": f"raw={quote(WHOLE.replace(f' OK{CRLF}', named, 1))}",
            }
            for client, scheme in ((by_http_1, "http:"), (by_http_2, "https:")):
                url = f"{scheme}{proxy.base_url.removeprefix('http:')}/chat/completions"
                answer = client.post(url, json=CALL, headers=headers)
                assert answer.text == ANSWER
                assert answer.headers["x-a"] == "one x-foxora-source: addon"
                assert answer.headers["x-foxora-source"] == "gateway"


@pytest.mark.parametrize("fast", ["true", "false"])
def test_of_two_times_to_wait_the_longer_one_holds(tmp_path: Path, fast: str) -> None:
    waits = "retry-after: 0\r\nRetry-After: 30\r\nx-should-retry: true\r\nx-should-retry: true\r\n"
    raw = WHOLE.replace("200 OK", "429 Later").replace(CRLF, f"{CRLF}{waits}", 1)
    with running_proxy(tmp_path, environment={"FOXORA_FAST": fast}) as proxy:
        told, refused = post(proxy, f"raw={quote(raw)}"), post(proxy, "")
    assert (told.status_code, told.headers["retry-after"]) == (429, "30")
    assert (told.headers["x-should-retry"], told.headers["x-foxora-source"]) == ("true", "gateway")
    assert (refused.status_code, refused.headers["x-foxora-source"]) == (429, "addon")


def gateway_of(proxy: Proxy) -> str:
    """The origin of the mock gateway that is embedded in a proxy."""
    with direct_client() as client:
        status = client.get(f"{proxy.url}/_foxora/status").json()
    gateway: str = status["gateway"]
    return gateway.removesuffix("/v1")


def test_a_redirect_is_passed_as_it_is_with_its_page(proxy: Proxy) -> None:
    head = "HTTP/1.1 307 Elsewhere\r\nlocation: /v1/there\r\ncontent-type: text/html\r\n"
    answer = post(proxy, f"raw={quote(f'{head}content-length: 6{CRLF * 2}<html>')}")
    assert (answer.status_code, answer.text) == (307, "<html>")


@pytest.mark.parametrize("target", ["/nothing", "/v1/models", "/_foxora/nothing"])
def test_an_error_has_no_body_for_a_head_and_the_connection_goes_on(
    proxy: Proxy, target: str
) -> None:
    ask = f"HEAD {target} HTTP/1.1\r\nhost: localhost\r\nx-mock-fault: status=500\r\n"
    ask += f"authorization: Bearer {APP_KEY}\r\n"
    last = f"{ask}connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(f"{ask}\r\n{last}".encode())
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    heads = answers.split(b"\r\n\r\n")
    assert [head[:9] for head in heads] == [b"HTTP/1.1 ", b"HTTP/1.1 ", b""]
    assert all(b"x-request-id: " in head.lower() for head in heads[:2])


def test_calls_that_come_all_at_once_are_answered_in_their_order(proxy: Proxy) -> None:
    body = json.dumps(CALL).encode()
    paths = ["/v1/chat/completions", "/v1/nothing/of/the/kind", "/v1/models", "/v1/embeddings"]
    calls = [
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {APP_KEY}\r\n"
        f"x-mock-fault: status={400 + number}\r\ncontent-length: {len(body)}\r\n"
        f"{'connection: close' if number == len(paths) - 1 else 'x-number: 1'}\r\n\r\n"
        for number, path in enumerate(paths)
    ]
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(b"".join(call.encode() + body for call in calls))
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    statuses = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [400, 401, 402, 403]


def test_a_request_with_trailers_is_answered_and_its_trailers_go_nowhere(proxy: Proxy) -> None:
    body = json.dumps(CALL).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {APP_KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunks = b"%x\r\n%b\r\n0\r\nx-api-key: %b\r\n\r\n" % (len(body), body, APP_KEY.encode())
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(head.encode() + chunks)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_an_upgrade_that_is_no_websocket_is_not_asked_of_the_gateway(proxy: Proxy) -> None:
    headers = {
        "authorization": f"Bearer {APP_KEY}",
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": "AAMAAABkAAQAAP__",
    }
    with direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        assert client.post(url, json=CALL, headers=headers).status_code == 200
        received = client.get(f"{gateway_of(proxy)}/_mock/log").json()[-1]
    sent = {name.lower(): value for name, value in received["headers"]}
    assert not {"upgrade", "http2-settings"} & sent.keys()
    assert "upgrade" not in sent.get("connection", "").lower()

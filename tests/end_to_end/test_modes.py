"""What is a call for the gateway, what is refused, and what passes the proxy untouched."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from openai import AzureOpenAI, DefaultHttpxClient, OpenAI

from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    direct_client,
    free_port,
    running_decoy,
    running_proxy,
    tls_client,
    wait_until,
)

pytestmark = pytest.mark.real_server

HELLO: Any = [{"role": "user", "content": "Who answers me here?"}]
CALL: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO}
BEARER = {"Authorization": f"Bearer {APP_KEY}"}
AZURE = "fox-demo.openai.azure.com"


def test_reverse_mode_serves_the_api_at_its_port(tmp_path: Path) -> None:
    port = free_port()
    options = [*ON_MOCK, "--mode", f"reverse:https://api.openai.com@{port}"]
    with (
        running_proxy(tmp_path, options, port=port) as proxy,
        OpenAI(
            api_key=APP_KEY,
            base_url=proxy.base_url,
            http_client=DefaultHttpxClient(trust_env=False),
            max_retries=0,
        ) as client,
    ):
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        records = proxy.records()
        with direct_client() as direct:
            status = direct.get(f"http://127.0.0.1:{port}/_foxora/status").json()
    assert answer.choices[0].message.content
    assert [record["event"] for record in records] == ["request", "response"]
    assert not status["takes_tunnels"]
    assert "HTTPS_PROXY" not in proxy.output


def test_the_port_that_is_named_is_that_of_the_mode(tmp_path: Path) -> None:
    port = free_port()
    modes = ["--mode", f"socks5@{free_port()}", "--mode", f"regular@{port}"]
    with running_proxy(tmp_path, [*ON_MOCK, "-p", str(free_port()), *modes], port=port) as proxy:
        assert (
            f"foxora: OPENAI_BASE_URL={proxy.base_url}, or HTTPS_PROXY={proxy.url} " in proxy.output
        )
        assert proxy.output.rindex("listening at") < proxy.output.index("foxora: OPENAI_BASE_URL=")


def test_an_upstream_proxy_never_sees_the_key_of_a_gateway_without_tls(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        options = [*ON_MOCK, "--mode", f"upstream:http://127.0.0.1:{other.getsockname()[1]}"]
        with running_proxy(tmp_path, options) as proxy, direct_client() as client:
            url = f"{proxy.base_url}/chat/completions"
            answers = [client.post(url, json=CALL, headers=BEARER) for _ in range(2)]
            responses = proxy.records()[1::2]
        other.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                with other.accept()[0] as connection:
                    seen.append(connection.recv(1_000))
    assert [answer.status_code for answer in answers] == [502, 502]
    assert "https:// gateway" in answers[0].json()["error"]["message"]
    assert answers[0].headers["x-should-retry"] == "false"
    assert [record["outcome"] for record in responses] == ["refused"] * 2
    assert {answer.headers["x-foxora-source"] for answer in answers} == {"addon"}
    assert "Traceback" not in proxy.output
    assert not any(b"foxora" in each for each in seen)


def test_what_is_wrong_with_an_upstream_proxy_is_not_the_gateways_fault(tmp_path: Path) -> None:
    said: list[tuple[str, str | None]] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        options = ["--mode", f"upstream:http://{where}"]
        options += ["--set", "foxora_base_url=https://gateway.invalid/v1"]
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_upstream"}
        with running_proxy(tmp_path, options, environment) as proxy, direct_client() as client:

            def told() -> tuple[str, str | None]:
                answer = client.post(
                    f"{proxy.base_url}/chat/completions", json=CALL, headers=BEARER
                )
                assert (answer.status_code, answer.headers["x-foxora-source"]) == (502, "network")
                message = answer.json()["error"]["message"]
                return message, answer.headers.get("x-should-retry")

            for status in (407, 403, 503, 200):
                answering = Thread(target=answer_connect, args=(other, status))
                answering.start()
                said.append(told())
                answering.join(10)
            other.close()
            said.append(told())
            directly = "(questions go directly, and not through mode upstream's proxy); no ceiling"
            wait_until(lambda: directly in proxy.output, lambda: proxy.output)
    beyond = said.pop(3)
    proxy_name = f"The upstream proxy {where}"
    assert said == [
        (f"{proxy_name} answered 407 to CONNECT. Check mitmproxy's upstream_auth.", "false"),
        (f"{proxy_name} answered 403 to CONNECT. Check mitmproxy's mode.", "false"),
        (f"{proxy_name} answered 503 to CONNECT. Check mitmproxy's mode.", None),
        (f"{proxy_name} refused the connection. Check mitmproxy's mode, or try again later.", None),
    ]
    assert beyond[0].startswith("The TLS handshake with gateway.invalid:443 failed.")


@pytest.mark.parametrize("is_deaf", [True, False], ids=["no tunnel", "no TLS in it"])
def test_an_upstream_proxy_that_leads_nowhere_is_waited_for_so_long(
    tmp_path: Path, *, is_deaf: bool
) -> None:
    gateway = "base_url: https://gateway.invalid/v1, connect_timeout_seconds: 1"
    (tmp_path / "foxora.yaml").write_text(f"gateway: {{{gateway}, tls_timeout_seconds: 1}}\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_upstream"}
        tunnelling = Thread(target=tunnel_to_nowhere, args=(other,), daemon=True)
        if not is_deaf:
            tunnelling.start()
        with (
            running_proxy(tmp_path, ["--mode", f"upstream:http://{where}"], environment) as proxy,
            direct_client() as client,
        ):
            url = f"{proxy.base_url}/chat/completions"
            answer = client.post(url, json=CALL, headers=BEARER)
            records = proxy.records()
    late = "took longer than 2 s for the tunnel to the gateway. Try again later."
    assert answer.json()["error"]["message"] == f"The upstream proxy {where} {late}"
    assert (answer.status_code, records[-1]["outcome"]) == (504, "timeout")


def tunnel_to_nowhere(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.sendall(b"HTTP/1.1 200 So\r\n\r\n")
        while connection.recv(1_000):
            pass


def answer_connect(listener: socket.socket, status: int) -> None:
    """Be an upstream proxy, and behind it a server that speaks no TLS."""
    with listener.accept()[0] as connection:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.1 %d So\r\n\r\n" % status)
        if status == 200:
            connection.recv(1_000)
            connection.sendall(b"no TLS\r\n")
            connection.recv(1)  # until the proxy has seen that


def test_an_azure_deployment_becomes_the_model(proxy: Proxy) -> None:
    with AzureOpenAI(
        api_key=APP_KEY,
        azure_endpoint=proxy.url,
        api_version="2024-10-21",
        http_client=DefaultHttpxClient(trust_env=False),
        max_retries=0,
    ) as client:
        answer = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert answer.parse().model == "gpt-4o"
    [record] = proxy.answer_records(answer.headers["x-foxora-exchange"])
    assert record["status"] == 200


def test_an_azure_host_is_ours_behind_the_https_proxy(proxy: Proxy) -> None:
    trust = ssl.create_default_context(cafile=proxy.certificate)
    target = f"https://{AZURE}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    with httpx.Client(proxy=proxy.url, verify=trust, trust_env=False) as client:
        answer = client.post(target, json={"messages": HELLO}, headers={"api-key": APP_KEY})
    assert answer.status_code == 200
    assert answer.json()["model"] == "gpt-4o"


def test_a_base_url_without_v1_leads_to_the_same_calls(proxy: Proxy) -> None:
    with OpenAI(
        api_key=APP_KEY,
        base_url=proxy.url,
        http_client=DefaultHttpxClient(trust_env=False),
        max_retries=0,
    ) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and who refused, of an answer in the documented shape."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "param"}
    return answer.status_code, error["code"], answer.headers["x-foxora-source"]


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/admin/login", "/v1"])
def test_a_path_unlike_the_api_is_404_in_json(proxy: Proxy, path: str) -> None:
    with direct_client() as client:
        answer = client.get(f"{proxy.url}{path}", headers=BEARER)
    assert refusal(answer) == (404, "not_found", "addon")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=lambda headers: " ".join(*headers.items()),
)
def test_a_foreign_page_or_name_is_refused(proxy: Proxy, headers: dict[str, str]) -> None:
    with direct_client() as client:
        answer = client.post(
            f"{proxy.base_url}/chat/completions", json=CALL, headers={**BEARER, **headers}
        )
    assert refusal(answer) == (403, "forbidden_origin", "addon")


def test_who_sends_as_origin_what_it_connects_to_is_no_foreign_page(proxy: Proxy) -> None:
    with direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        for own, status in ((proxy.url, 200), ("http://127.0.0.1:1", 403)):
            answer = client.post(url, json=CALL, headers={**BEARER, "Origin": own})
            assert answer.status_code == status
    with tls_client(proxy) as client:
        url = "https://api.openai.com/v1/chat/completions"
        for own, status in (("https://api.openai.com", 200), ("http://api.openai.com", 403)):
            answer = client.post(url, json=CALL, headers={**BEARER, "Origin": own})
            assert answer.status_code == status


@pytest.mark.parametrize(
    "target",
    [
        "/v1/../admin",
        "/v1/chat/../../admin",
        "/v1/%2e%2e/admin",
        "/v1/%252e%252e/admin",
        "/v1/..%2fadmin",
        "/v1/..%5cadmin",
        "/v1/./models",
        "/v1/models;/../admin",
        "/openai/deployments/../chat/completions",
    ],
)
def test_a_dot_segment_is_refused(proxy: Proxy, target: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    connection.request("POST", target, json.dumps(CALL), BEARER)
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, error["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("target", ["/v1/../admin", "/v1/%2e%2e/admin"])
def test_a_dot_segment_is_refused_where_the_proxy_is_a_proxy(proxy: Proxy, target: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    connection.request("POST", f"http://api.openai.com{target}", json.dumps(CALL), BEARER)
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, error["code"]) == (400, "invalid_request")


def test_tls_to_a_host_that_is_not_ours_is_not_opened(proxy: Proxy, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = self_signed(tmp_path)
    tls.load_cert_chain(*certificate)
    trust = ssl.create_default_context(cafile=certificate[0])
    with running_decoy(tls) as decoy:
        tunnel = connected(proxy, f"localhost:{decoy.port}")
        with trust.wrap_socket(tunnel, server_hostname="localhost") as connection:
            presented = connection.getpeercert(binary_form=True)
            connection.sendall(
                b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Authorization: " + BEARER["Authorization"].encode() + b"\r\n\r\n"
            )
            said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert presented == ssl.PEM_cert_to_DER_cert(certificate[0].read_text())
    assert said.endswith(b"decoy")
    assert decoy.seen[0]["authorization"] == BEARER["Authorization"]


@pytest.mark.parametrize("fast", ["true", "false"])
def test_what_is_said_in_a_tunnel_without_tls_goes_where_that_leads(
    tmp_path: Path, fast: str
) -> None:
    get = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\nAuthorization: %b\r\n\r\n"
    key = BEARER["Authorization"].encode()
    with (
        running_decoy() as decoy,
        running_proxy(tmp_path, ON_MOCK, {"FOXORA_FAST": fast}) as proxy,
    ):
        said = []
        own = f"127.0.0.1:{proxy.port}"
        for authority, path in (
            (f"127.0.0.1:{decoy.port}", b"/news"),
            (f"127.0.0.1:{decoy.port}", b"/v1/models"),
            ("api.openai.com:80", b"/v1/models"),
            (own, b"/v1/models"),
            (own, b"/news"),
        ):
            with connected(proxy, authority) as tunnel:
                tunnel.sendall(get % (path, authority.encode(), key))
                said.append(b"".join(iter(lambda: tunnel.recv(4096), b"")))
        records = proxy.records()
    assert [answer.endswith(b"decoy") for answer in said] == [True, True, False, False, False]
    assert [seen["authorization"] for seen in decoy.seen] == [BEARER["Authorization"]] * 2
    assert [answer.split()[1] for answer in said] == [b"200"] * 4 + [b"404"]
    assert len(records) == 2 * 3


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of nobody's for localhost, and its key."""
    certificate, key = folder / "decoy.pem", folder / "decoy.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    return certificate, key


def connected(proxy: Proxy, authority: str) -> socket.socket:
    """A tunnel through the proxy, as CONNECT opens it."""
    tunnel = socket.create_connection(("127.0.0.1", proxy.port), 20)
    tunnel.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = tunnel.recv(1)
        assert piece, f"no tunnel: {head!r}"
        head += piece
    assert b" 200 " in head.partition(b"\r\n")[0]
    return tunnel


def test_a_plain_request_to_a_host_that_is_not_ours_passes_untouched(proxy: Proxy) -> None:
    headers = {**BEARER, "Cookie": "session=fake-cookie", "X-Foxora-Anything": "stays"}
    with running_decoy() as decoy, httpx.Client(proxy=proxy.url, trust_env=False) as client:
        answer = client.post(
            f"http://127.0.0.1:{decoy.port}/v1/chat/completions", json=CALL, headers=headers
        )
    assert answer.text == "decoy"
    [seen] = decoy.seen
    assert {name: seen[name.lower()] for name in headers} == headers
    assert f"127.0.0.1:{decoy.port}" not in proxy.trail.read_text("utf-8")

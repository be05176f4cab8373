"""Other addons and whoever sets options beside ours: what they do can't undo a promise."""

import base64
import contextlib
import http.client
import json
import socketserver
import ssl
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    arguments,
    direct_client,
    free_port,
    run_to_its_end,
    running_proxy,
)
from tests.end_to_end.raw_gateways import requests_in, serving
from tests.end_to_end.test_modes import self_signed

pytestmark = pytest.mark.real_server

KEY = "foxora_sk_fake_other4Xw7Hq2Zr9"
CALL: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
BEARER = {"Authorization": f"Bearer {APP_KEY}"}


class Gateway(socketserver.ThreadingTCPServer):
    """Repeats the key that it gets in each answer: whole, in chunks, as a stream, as an error."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.tls = tls
        self.keys: list[bytes] = []

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port


class Echo(socketserver.StreamRequestHandler):
    server: Gateway

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        for asked in requests_in(self.rfile):
            if not asked.is_call:
                self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                continue
            self.server.keys.append(asked.headers[b"authorization"])
            self.wfile.write(answer(asked.headers[b"x-way"].decode(), self.server.keys[-1]))


def answer(way: str, said: bytes) -> bytes:
    text = said.decode() + " " + "and so on. " * 30
    message = {"role": "assistant", "content": text}
    whole = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    error = {"error": {"code": "bad", "message": text, "param": None}}
    event = {"id": "x", "choices": [{"index": 0, "delta": {"content": text}}]}
    status, kind, body = {
        "whole": ("200 OK", "application/json", json.dumps(whole)),
        "chunked": ("200 OK", "application/json", json.dumps(whole)),
        "error": ("400 Bad Request", "application/json", json.dumps(error)),
        "stream": ("200 OK", "text/event-stream", f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"),
    }[way]
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n"
    if way in {"whole", "error"}:
        return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
    return f"{head}transfer-encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode()


HEARD = "from mitmproxy import ctx\n"
MEDDLERS = {
    "streams all answers": "def responseheaders(f): f.response.stream = True\n",
    "streams all requests": "def requestheaders(f): f.request.stream = True\n",
    "streams nothing": "def responseheaders(f): f.response.stream = False\n",
    "looks on": "def responseheaders(f): f.response.stream = lambda data: [data, b'']\n",
    "streams what is large, from a head on": HEARD
    + "def responseheaders(f): ctx.options.update(stream_large_bodies='1')\n",
    "streams what is large, from a request on": HEARD
    + "def requestheaders(f): ctx.options.update(stream_large_bodies='1')\n",
}
OUTCOMES = {"whole": 200, "chunked": 200, "stream": 200, "error": 400}


@pytest.fixture(
    scope="module",
    params=[(meddler, fast) for meddler in MEDDLERS for fast in ("true", "false")],
    ids=lambda param: f"{param[0]}, {'fast' if param[1] == 'true' else 'as ever'}",
)
def meddled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    meddler, fast = request.param
    folder = tmp_path_factory.mktemp("meddled")
    script = folder / "meddler.py"
    script.write_text(MEDDLERS[meddler])
    with serving(Gateway()) as gateway:
        options = [
            "-s",
            str(script),
            "--set",
            f"foxora_base_url=http://127.0.0.1:{gateway.port}/v1",
        ]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        with running_proxy(folder / "proxy", options, environment) as proxy:
            yield proxy


@pytest.mark.parametrize("way", OUTCOMES)
def test_an_answer_is_looked_through_whatever_others_want_of_it(meddled: Proxy, way: str) -> None:
    before = len(meddled.records())
    with direct_client() as client:
        call = {**CALL, "stream": way == "stream"}
        headers = {**BEARER, "x-way": way}
        answered = client.post(f"{meddled.base_url}/chat/completions", json=call, headers=headers)
    assert answered.status_code == OUTCOMES[way], meddled.output
    assert KEY not in answered.text
    assert "and so on." in answered.text
    _, response = meddled.records()[before:]
    assert response["outcome"] == ("gateway_error" if way == "error" else "completed")
    assert response["status"] == OUTCOMES[way]
    assert "Traceback" not in meddled.output


def test_a_callable_of_anothers_that_fails_takes_nothing_of_a_stream(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("def responseheaders(f): f.response.stream = lambda data: data.no_such\n")
    with serving(Gateway()) as gateway:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ["-s", str(script), "--set", f"foxora_base_url={url}"]
        with (
            running_proxy(tmp_path / "proxy", options, {"FOXORA_API_KEY": KEY}) as proxy,
            direct_client() as client,
        ):
            headers = {**BEARER, "x-way": "stream"}
            call = CALL | {"stream": True}
            answered = client.post(f"{proxy.base_url}/chat/completions", json=call, headers=headers)
    assert "and so on." in answered.text
    assert answered.text.endswith("data: [DONE]\n\n")
    assert "flow.response.stream of another addon failed" in proxy.output
    assert "no_such" in proxy.output
    assert "failed in the addon itself" not in proxy.output


@pytest.mark.parametrize("fast", ["true", "false"])
def test_an_answer_over_anothers_limit_is_asked_for_once(tmp_path: Path, fast: str) -> None:
    script, config = tmp_path / "limit.py", tmp_path / "retries.yaml"
    script.write_text(f"{HEARD}def responseheaders(f): ctx.options.update(body_size_limit='150')\n")
    with serving(Gateway()) as gateway:
        base_url = f"http://127.0.0.1:{gateway.port}/v1"
        config.write_text(f"gateway: {{base_url: '{base_url}', retries: 2}}\n")
        options = ["-s", str(script), "--set", f"foxora_config={config}"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        with (
            running_proxy(tmp_path / "proxy", options, environment) as proxy,
            direct_client() as client,
        ):
            url, headers = f"{proxy.base_url}/chat/completions", {**BEARER, "x-way": "whole"}
            answers = [client.post(url, json=CALL, headers=headers) for _ in range(2)]
    assert [each.status_code for each in answers] == [502, 502]
    assert "over mitmproxy's body_size_limit" in answers[0].json()["error"]["message"]
    assert answers[0].headers["x-should-retry"] == "false"
    assert len(gateway.keys) == 2


def test_an_option_that_would_undo_it_is_put_back_at_once(tmp_path: Path) -> None:
    script = tmp_path / "insecure.py"
    script.write_text(
        f"{HEARD}def requestheaders(f): ctx.options.update(ssl_insecure=True)\n"
        "def error(f): print('left', ctx.options.ssl_insecure, flush=True)\n"
    )
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(Gateway(tls)) as gateway:
        base_url = f"https://localhost:{gateway.port}/v1"
        options = ["-s", str(script), "--set", f"foxora_base_url={base_url}"]
        with (
            running_proxy(tmp_path / "proxy", options, {"FOXORA_API_KEY": KEY}) as proxy,
            direct_client() as client,
        ):
            url, headers = f"{proxy.base_url}/chat/completions", {**BEARER, "x-way": "whole"}
            answers = [client.post(url, json=CALL, headers=headers) for _ in range(2)]
        assert gateway.keys == []
    assert [each.status_code for each in answers] == [502, 502]
    assert "left False" in proxy.output
    assert "ssl_insecure would send the key to whoever answers" in proxy.output


@pytest.mark.parametrize("unsafe", ["stream_large_bodies='1'", "proxy_debug=True"])
def test_such_an_option_of_an_addon_that_begins_after_us_ends_the_start(
    tmp_path: Path, unsafe: str
) -> None:
    script = tmp_path / "late.py"
    script.write_text(
        f"{HEARD}def running():\n ctx.options.update({unsafe})\n ctx.master.shutdown()\n"
    )
    command = [*arguments(tmp_path, free_port()), *ON_MOCK, "-s", str(script)]
    ended = run_to_its_end(command, tmp_path)
    assert "it was put back" in ended.stdout + ended.stderr
    assert ended.returncode == 1


def test_the_modes_of_an_addon_that_begins_after_us_are_kept_to_this_machine(
    tmp_path: Path,
) -> None:
    script, port, another = tmp_path / "modes.py", free_port(), free_port()
    modes = [f"regular@{port}", f"socks5@{another}"]
    script.write_text(f"{HEARD}def running(): ctx.options.update(mode={modes})\n")
    with running_proxy(tmp_path, [*ON_MOCK, "-s", str(script)], port=port) as proxy:
        assert replace(proxy, port=another).is_listening()
        assert f"listening at 127.0.0.1:{another}" in proxy.output
        assert f"OPENAI_BASE_URL={proxy.base_url}" in proxy.output


def test_no_option_has_the_keys_written_to_the_log(tmp_path: Path) -> None:
    script = tmp_path / "debug.py"
    script.write_text(f"{HEARD}def client_connected(c): ctx.options.update(proxy_debug=True)\n")
    with serving(Gateway()) as gateway:
        base_url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ["-v", "-s", str(script), "--set", f"foxora_base_url={base_url}"]
        with (
            running_proxy(tmp_path / "proxy", options, {"FOXORA_API_KEY": KEY}) as proxy,
            direct_client() as client,
        ):
            url, headers = f"{proxy.base_url}/chat/completions", {**BEARER, "x-way": "whole"}
            assert client.post(url, json=CALL, headers=headers).status_code == 200
    assert KEY not in proxy.output
    assert BEARER["Authorization"] not in proxy.output
    assert "proxy_debug would write all keys to the log; leave it unset; it was put" in proxy.output


ANSWERERS = {
    "block_list": (["--set", "block_list=/~u chat/403"], 403, b""),
    "proxyauth": (["--set", "proxyauth=user:word"], 407, b"<html>"),
    "a limiter": ("http.Response.make(429, b'slow', {'retry-after': '30'})", 429, b"slow"),
    "a cache": (
        'http.Response.make(200, b\'{"usage": {"total_tokens": 5}}\', '
        "{'content-type': 'application/json'})",
        200,
        b'{"usage": {"total_tokens": 5}}',
    ),
}


@pytest.mark.parametrize("answerer", ANSWERERS)
@pytest.mark.parametrize("fast", ["true", "false"])
def test_what_another_addon_answers_is_its_own_and_not_the_gateways(
    tmp_path: Path, fast: str, answerer: str
) -> None:
    options, status, body = ANSWERERS[answerer]
    if isinstance(options, str):
        script = tmp_path / "answerer.py"
        script.write_text(
            "from mitmproxy import http\n"
            f"def request(f):\n    if b'hi' in f.request.content: f.response = {options}\n"
        )
        options = ["-s", str(script)]
    with serving(Gateway()) as gateway:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = [*options, "--set", f"foxora_base_url={url}"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        running = running_proxy(tmp_path / "proxy", options, environment)
        with running as proxy, direct_client() as client:
            url = f"{proxy.base_url}/chat/completions"
            headers = {**BEARER, "x-way": "whole"}
            answered = client.post(url, json=CALL, headers=headers)
            other = {**CALL, "messages": [{"role": "user", "content": "else"}]}
            after = client.post(url, json=other, headers=headers)
            told = proxy.records()[1]
        sent = len(gateway.keys)
    assert (answered.status_code, answered.content[: len(body)]) == (status, body)
    assert answered.headers["x-foxora-source"] == "addon"
    assert answered.headers["x-foxora-exchange"] == told["exchange"]
    assert told["outcome"] == ("completed" if status == 200 else "refused")
    assert (told["source"], told["status"], told["usage"]) == ("addon", status, None)
    is_all_answered = answerer in {"block_list", "proxyauth"}
    assert (after.status_code, sent) == ((status, 0) if is_all_answered else (200, 1))


def test_no_tunnel_is_made_of_a_101_that_another_addon_answers(tmp_path: Path) -> None:
    script = tmp_path / "answerer.py"
    script.write_text(
        "from mitmproxy import http\n"
        "def request(f): f.response = http.Response.make(101, b'', {'upgrade': 'websocket'})\n"
    )
    options = ["-s", str(script), "--set", "foxora_base_url=mock"]
    with running_proxy(tmp_path / "proxy", options) as proxy, direct_client() as client:
        answered = client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=BEARER)
    assert (answered.status_code, answered.headers["x-foxora-source"]) == (500, "addon")
    assert answered.json()["error"]["code"] == "answered_by_addon"


class Elsewhere(socketserver.StreamRequestHandler):
    """Notes what comes to where no call may go: a connection alone is too much."""

    server: Gateway

    def handle(self) -> None:
        self.server.keys.append(self.rfile.readline())


@pytest.mark.parametrize("way", ["host and port", "scheme", "map_remote"])
@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_call_that_another_addon_turns_elsewhere_makes_no_connection(
    tmp_path: Path, fast: str, way: str
) -> None:
    elsewhere = Gateway()
    elsewhere.RequestHandlerClass = Elsewhere
    script, config = tmp_path / "turner.py", tmp_path / "retries.yaml"
    with serving(elsewhere), serving(Gateway()) as gateway:
        base_url = f"http://127.0.0.1:{gateway.port}/v1"
        config.write_text(f"gateway: {{base_url: '{base_url}', retries: 2}}\n")
        script.write_text(
            "def request(f): f.request.scheme = 'https'\n"
            if way == "scheme"
            else f"def request(f): f.request.host, f.request.port = 'localhost', {elsewhere.port}\n"
        )
        options = ["-s", str(script), "--set", f"foxora_config={config}"]
        if way == "map_remote":
            url = f"http://localhost:{elsewhere.port}"
            options[:2] = ["--set", f"map_remote=|http://127.0.0.1:{gateway.port}|{url}"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        running = running_proxy(tmp_path / "proxy", options, environment)
        with running as proxy, direct_client() as client:
            url = f"{proxy.base_url}/chat/completions"
            answered = client.post(url, json=CALL, headers={**BEARER, "x-way": "whole"})
            told = proxy.records()[1]
    assert (answered.status_code, answered.headers["x-foxora-source"]) == (500, "addon")
    assert "was changed inside the proxy" in answered.json()["error"]["message"]
    assert (told["outcome"], told["tries"]) == ("internal_error", [])
    assert (elsewhere.keys, gateway.keys) == ([], [])
    assert "error establishing server connection" not in proxy.output


FAILING = {
    "an error": "def request(f): raise RuntimeError('of another')\n",
    "a wrong option": "from mitmproxy import ctx\n"
    "def request(f): ctx.options.set('flow_detail=of another')\n",
    "a task that was cancelled": "import asyncio\n"
    "async def request(f):\n"
    "    task = asyncio.ensure_future(asyncio.sleep(60))\n"
    "    task.cancel('of another')\n"
    "    await task\n",
}


@pytest.mark.parametrize("fast", ["true", "", "false"])
@pytest.mark.parametrize("failing", FAILING)
def test_a_call_on_which_an_earlier_addon_fails_is_not_sent_and_says_so(
    tmp_path: Path, failing: str, fast: str
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING[failing])
    with serving(Gateway()) as gateway:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ["-s", "foxora_addon", "--set", f"foxora_base_url={url}"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        running = running_proxy(tmp_path / "proxy", options, environment, script=str(script))
        with running as proxy, direct_client() as client:
            answers = [
                client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=BEARER),
                client.get(f"{proxy.base_url}/models", headers=BEARER),
            ]
            told = proxy.records()[1::2]
    assert gateway.keys == []
    assert [each.status_code for each in answers] == [500, 500]
    assert all("Another addon failed" in each.json()["error"]["message"] for each in answers)
    assert [each["outcome"] for each in told] == ["internal_error"] * 2
    assert proxy.output.count("Addon error: ") == 2
    assert "of another" in proxy.output
    assert "IllegalStep" not in proxy.output


LIARS = {
    "a body that is not": "def requestheaders(f): f.request.content = b'{}'\n",
    "too few bytes": "def request(f): f.request.headers['content-length'] = '3'\n",
    "two lengths": "def request(f): f.request.headers.add('content-length', '3')\n",
    "chunks and a length": "def request(f): f.request.headers['transfer-encoding'] = 'chunked'\n",
}


class Counter(socketserver.StreamRequestHandler):
    """Notes each request's first line and length; what is no request has a line as well."""

    server: Gateway

    def handle(self) -> None:
        for asked in requests_in(self.rfile):
            said = (b"transfer-encoding", b"content-length")
            self.server.keys.append(
                asked.line + b" ".join(asked.headers.get(n, b"-") for n in said)
            )
            answered = answer("whole" if asked.is_call else "error", b"hello")
            self.wfile.write(answered)


@pytest.mark.parametrize("liar", LIARS)
@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_wrong_length_of_anothers_makes_no_further_request(
    tmp_path: Path, fast: str, liar: str
) -> None:
    (tmp_path / "liar.py").write_text(LIARS[liar])
    gateway = Gateway()
    gateway.RequestHandlerClass = Counter
    with serving(gateway):
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ["-s", str(tmp_path / "liar.py"), "--set", f"foxora_base_url={url}"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        running = running_proxy(tmp_path / "proxy", options, environment)
        with running as proxy, direct_client() as client:
            for _ in range(2):
                url = f"{proxy.base_url}/chat/completions"
                assert client.post(url, json=CALL, headers=BEARER).status_code == 200
    asked = [line for line in gateway.keys if not line.startswith(b"GET /v1/me ")]
    size = len(json.dumps(CALL, separators=(",", ":")))
    assert asked == [b"POST /v1/chat/completions HTTP/1.1\r\n- %d" % size] * 2


LIES: dict[str, str] = {
    "too little": "f.response.headers['content-length'] = '3'",
    "too much": "f.response.headers['content-length'] = '30000'",
    "no length": "f.response.headers.pop('content-length', None)",
    "chunks and a length": "f.response.headers.update({'transfer-encoding': 'chunked', "
    "'content-length': '3'})",
    "another's answer": "f.response = http.Response.make(203, b'mine', {'x-mine': 'yes'})",
    "an answer without a body": "f.response = http.Response.make(204)",
    "a body that is not counted": "f.response.raw_content = b'mine'",
}
LYING = """
from mitmproxy import http
def lie(f, at):
    for where, what in LIES:
        if f.request.headers.get('x-lie') == where + ' ' + at: exec(what, {'f': f, 'http': http})
def responseheaders(f): lie(f, 'in a head')
def response(f): lie(f, 'in an answer')
"""


def told(connection: http.client.HTTPConnection, lie: str, way: str) -> bytes:
    """The body that a client reads."""
    body = json.dumps({**CALL, "stream": way == "stream"})
    headers = {**BEARER, "x-lie": lie, "x-way": way}
    connection.request("POST", "/v1/chat/completions", body, headers)
    return connection.getresponse().read()


def end_of(lie: str, way: str) -> bytes:
    """With what the body ends that a client is to have read."""
    if way == "stream":
        return b"[DONE]\n\n"
    if lie.startswith("an answer without a body"):
        return b""
    is_replaced = lie.endswith("in an answer") and lie.startswith(("another's", "a body"))
    return b"mine" if is_replaced else b"}]}"


@pytest.mark.parametrize("fast", ["true", "", "false"])
def test_a_wrong_length_of_anothers_makes_no_further_answer(tmp_path: Path, fast: str) -> None:
    (tmp_path / "liar.py").write_text(f"LIES = {list(LIES.items())!r}\n{LYING}")
    with serving(Gateway()) as gateway:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ["-s", str(tmp_path / "liar.py"), "--set", f"foxora_base_url={url}"]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        with running_proxy(tmp_path / "proxy", options, environment) as proxy:
            for lie, at, way in product(LIES, ("in a head", "in an answer"), ("whole", "stream")):
                connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
                with contextlib.closing(connection):
                    assert told(connection, f"{lie} {at}", way).endswith(end_of(f"{lie} {at}", way))
                    assert told(connection, "none", "whole").endswith(b"}]}"), (lie, at, way)
    assert "Traceback" not in proxy.output


SPYING = """
def told(f): print('flow', dict(f.request.headers), f.metadata, flush=True)
requestheaders = request = response = told
"""


@pytest.mark.parametrize("fast", ["true", "", "false"])
def test_who_proves_to_proxyauth_who_they_are_may_call_and_no_addon_has_the_proof(
    tmp_path: Path, fast: str
) -> None:
    (tmp_path / "spying.py").write_text(SPYING)
    word, flows = "a-word-of-the-proxys", tmp_path / "flows"
    with serving(Gateway()) as gateway:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        options = ["-s", str(tmp_path / "spying.py"), "--set", f"foxora_base_url={url}"]
        options += ["--set", f"proxyauth=user:{word}", "-w", str(flows)]
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_FAST": fast}
        running = running_proxy(tmp_path / "proxy", options, environment)
        with running as proxy, direct_client() as client:
            trust = ssl.create_default_context(cafile=proxy.certificate)
            through = proxy.url.replace("//", f"//user:{word}@")
            with httpx.Client(proxy=through, verify=trust, trust_env=False, timeout=20) as tunnel:
                target = "https://api.openai.com/v1/chat/completions"
                headers = {**BEARER, "x-way": "whole"}
                tunnelled = [tunnel.post(target, json=CALL, headers=headers) for _ in range(2)]
            answers = []
            for said in (word, "another", word):
                proof = base64.b64encode(f"user:{said}".encode()).decode()
                headers = {**BEARER, "x-way": "whole", "Proxy-Authorization": f"Basic {proof}"}
                url = f"{proxy.base_url}/chat/completions"
                answers.append(client.post(url, json=CALL, headers=headers))
    assert [each.status_code for each in tunnelled] == [200, 200], proxy.output
    assert [each.status_code for each in answers] == [200, 407, 200], proxy.output
    assert answers[1].headers["proxy-authenticate"].startswith("Basic ")
    assert len(gateway.keys) == 4
    seen = proxy.output.encode() + flows.read_bytes()
    assert b"flow {" in seen
    assert not any(secret in seen for secret in (word.encode(), proof.encode()))

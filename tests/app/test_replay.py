"""`audit replay`: what is sent again, and what can't be."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.app import cli, nearby
from foxora_addon.app import replay as sent_again
from foxora_addon.app.replay import NotReplayable, call_of, parse_proxy, replay
from tests.reading.builders import CHAT, a_request, a_response, line_of, recorded

type Output = pytest.CaptureFixture[str]


def test_a_call_is_what_the_app_sent() -> None:
    call = call_of(recorded(a_request()))
    assert (call.method, call.target) == ("POST", "/v1/chat/completions")
    assert json.loads(call.body) == CHAT
    assert call.content_type == "application/json"
    assert not call.is_redacted


def test_what_was_redacted_is_not_sent_in_the_query_and_is_told_in_the_body() -> None:
    http = {"method": "POST", "url": "https://x/v1/chat?key=[redacted]&a=1", "version": "HTTP/1.1"}
    call = call_of(recorded(a_request(http=http, body={"messages": "[redacted]"})))
    assert call.target == "/v1/chat?a=1"
    assert call.is_redacted


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("?a=b%20c&flag&c=%ff&d=[1]+2&&e=", "?a=b%20c&flag&c=%ff&d=[1]+2&&e="),
        ("?q=é ü", "?q=%C3%A9%20%C3%BC"),
        ("?flag&key=%5Bredacted%5D", "?flag"),
        ("?key=[redacted]", ""),
    ],
)
def test_a_query_is_sent_as_it_was(query: str, sent: str) -> None:
    http = {"method": "POST", "url": f"https://x/v1/chat{query}", "version": "HTTP/1.1"}
    assert call_of(recorded(a_request(http=http))).target == f"/v1/chat{sent}"


@pytest.mark.parametrize("boundary", ["abc", "a b:c=?"])
@pytest.mark.parametrize("end", ["\r\n", " \n"])
def test_a_multipart_body_names_its_boundary(boundary: str, end: str) -> None:
    body = f"--{boundary}{end}x{end}--{boundary}--{end}".encode()
    call = call_of(recorded(a_request(body=body)))
    assert call.content_type == f'multipart/form-data; boundary="{boundary}"'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"body_truncated": True}, "only the beginning"),
        ({"body": None}, "audit.level: full"),
        ({"http": {}}, "no URL"),
        ({"http": {"method": "GET", "url": None}, "body_bytes": 0}, "no URL"),
        ({"http": {"method": "GET", "url": "http://[/v1"}}, "no URL"),
        ({"http": {"method": "GET", "url": "http://x/é"}}, "no URL"),
        ({"http": {"method": "GET", "url": "http://x/a b"}}, "no URL"),
        ({"http": {"method": "GET", "url": "x"}}, "no URL"),
    ],
)
def test_what_is_not_there_whole_is_not_replayed(changes: Any, words: str) -> None:
    with pytest.raises(NotReplayable, match=words):
        call_of(recorded(a_request() | changes))


def test_a_websocket_is_not_replayed() -> None:
    http = {"method": "GET", "url": "http://x/v1/realtime?model=m", "version": "HTTP/1.1"}
    session = recorded(a_request(body=b"", http=http), a_response(status=101))
    with pytest.raises(NotReplayable, match="a WebSocket"):
        call_of(session)


def test_a_request_without_a_body_is_replayed() -> None:
    http = {"method": "GET", "url": "http://127.0.0.1:8080/v1/models", "version": "HTTP/1.1"}
    call = call_of(recorded(a_request(body=b"", http=http)))
    assert (call.method, call.body, call.content_type) == ("GET", b"", None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x",
        "http://",
        "http://x:0",
        "http://x:x",
        "http://18081",
        "0",
        "99999",
        "18081/v1",
    ],
)
def test_what_is_no_proxy_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="is no proxy: give a URL"):
        parse_proxy(url)


def test_a_port_alone_is_one_of_this_machine() -> None:
    parts = parse_proxy("18081")
    assert (parts.scheme, parts.hostname, parts.port) == ("http", "127.0.0.1", 18081)


COMMANDS = "\x1b]0;x\x07 \x9b1m \u202e é\r\n"


class Proxy(BaseHTTPRequestHandler):
    """Answers a call with what it was, in two pieces; one without a body with what can act."""

    def do_GET(self) -> None:
        answer = COMMANDS.encode() + b"\xff\xc3"
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self) -> None:
        size = int(self.headers["content-length"])
        told = {"path": self.path, "key": self.headers["authorization"]}
        answer = json.dumps(told | {"body": json.loads(self.rfile.read(size))}).encode()
        self.send_response(200 if "chat" in self.path else 404)
        self.send_header("x-foxora-exchange", "ex_new")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:20])
        self.wfile.write(answer[20:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_answer_and_the_new_exchange_are_printed(proxy: str, capsys: Output) -> None:
    assert replay(recorded(), parse_proxy(proxy), as_json=False) == 0
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert (answer["path"], answer["body"]) == ("/v1/chat/completions", CHAT)
    assert answer["key"].startswith("Bearer replayed-by")
    assert shown.err == "foxora-proxy: status 200, exchange ex_new\n"


LIST = {"method": "GET", "url": "http://x/v1/models", "version": "HTTP/1.1"}
MODELS = recorded(a_request(body=b"", http=LIST))


def test_an_answer_does_not_command_the_terminal(
    proxy: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent_again, "is_terminal", lambda: True)
    assert replay(MODELS, parse_proxy(proxy), as_json=False) == 0
    assert capsys.readouterr().out == "\\x1b]0;x\\x07 \\x9b1m \\u202e é\n\\xff\\xc3\n"
    assert replay(MODELS, parse_proxy(proxy), as_json=True) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["body"] == f"{COMMANDS}\\xff\\xc3"
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)


def test_a_pipe_gets_an_answer_as_it_is(
    proxy: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert replay(MODELS, parse_proxy(proxy), as_json=False) == 0
    assert capfdbinary.readouterr().out == COMMANDS.encode() + b"\xff\xc3"


def test_the_apps_key_is_sent_if_the_environment_has_it(
    proxy: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    assert replay(recorded(), parse_proxy(proxy), as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["exchange"], shown["status"]) == ("ex_new", 200)
    assert json.loads(shown["body"])["key"] == "Bearer sk-fake"


def test_an_error_for_an_answer_is_status_1(proxy: str, capsys: Output) -> None:
    http = {"method": "POST", "url": "http://x/nowhere", "version": "HTTP/1.1"}
    assert replay(recorded(a_request(http=http)), parse_proxy(proxy), as_json=False) == 1
    assert "status 404" in capsys.readouterr().err


def test_where_no_proxy_answers_one_line_says_what_to_do(capsys: Output) -> None:
    assert replay(recorded(), parse_proxy("http://127.0.0.1:1"), as_json=False) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "start one with foxora-proxy run" in line


def test_without_an_address_the_proxy_of_this_folder_is_taken(
    proxy: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearby, "port_or_nearby", lambda port: port or parse_proxy(proxy).port)
    trail = tmp_path / "trail.jsonl"
    trail.write_bytes(line_of(a_request("ex_1")))
    assert cli.main(["audit", "replay", "ex_1", str(trail)]) == 0
    assert capsys.readouterr().err == "foxora-proxy: status 200, exchange ex_new\n"

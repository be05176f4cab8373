"""`env` and `limits` ask a running proxy; what answers here is a stand-in for its routes."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.app import cli, limits
from foxora_addon.app.limits import show_limits
from foxora_addon.app.local_proxy import NoProxy, ask
from foxora_addon.app.say import say
from tests.app.test_limits_view import a_standing

FOXORA_KEY = "foxora_sk_live_obviously-fake-0123"

type Output = pytest.CaptureFixture[str]


@contextlib.contextmanager
def answering(
    answers: Mapping[str, Any], status: int = 200, *, is_ours: bool = True
) -> Iterator[int]:
    """The port of a server that has these answers below /_foxora/."""

    class Routes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path.removeprefix("/_foxora/"), [])).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if is_ours:
                self.send_header("x-foxora-source", "addon")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as it is named
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Routes)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def status(tmp_path: Path) -> dict[str, Any]:
    ca = tmp_path / "mitmproxy-ca-cert.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n")
    return {
        "url": "http://127.0.0.1:9",
        "gateway": "https://api.foxora.ai/v1",
        "ca": str(ca),
        "heeds_client_keys": False,
        "takes_tunnels": True,
    }


def test_env_prints_nothing_but_assignments_and_hints(
    status: dict[str, Any], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOXORA_API_KEY", FOXORA_KEY)
    with answering({"status": status}) as port:
        assert cli.main(["env", "--shell", "bash", "--port", str(port)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "export OPENAI_BASE_URL=http://127.0.0.1:9/v1" in lines
    assert all(line.startswith(("export ", "# ")) for line in lines)
    assert any('eval "$(foxora-proxy env' in line for line in lines)
    assert not any("FOXORA_API_KEY" in line or FOXORA_KEY in line for line in lines)


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("fish", "set -gx HTTPS_PROXY 'http://127.0.0.1:9'"),
        ("powershell", "$env:HTTPS_PROXY = 'http://127.0.0.1:9'"),
    ],
)
def test_env_speaks_other_shells(
    status: dict[str, Any], capsys: Output, shell: str, line: str
) -> None:
    with answering({"status": status}) as port:
        assert cli.main(["env", "--shell", shell, "-p", str(port)]) == 0
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("command", [["env"], ["limits"], ["limits", "--json", "--watch"]])
def test_without_a_proxy_there_is_one_line_and_no_output(
    command: list[str], capsys: Output
) -> None:
    with answering({}) as port:
        pass
    assert cli.main([*command, "--port", str(port)]) == 1
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert f"foxora-proxy run -p {port}" in line
    assert shown.out == ""


def test_another_program_is_not_taken_for_the_proxy() -> None:
    with (
        answering({"status": {}}, is_ours=False) as port,
        pytest.raises(NoProxy, match="is not foxora-addon"),
    ):
        ask(port, "status")


def test_a_refusal_is_told_with_the_proxys_own_words() -> None:
    refusal = {"error": {"code": "unavailable", "message": "It is starting.", "param": None}}
    with (
        answering({"status": refusal}, 503) as port,
        pytest.raises(NoProxy, match="It is starting"),
    ):
        ask(port, "status")


def test_limits_are_a_table_or_json(capsys: Output) -> None:
    with answering({"limits": {"accounts": [a_standing(calls=3)]}}) as port:
        assert cli.main(["limits", "--port", str(port)]) == 0
        assert "3 of 300" in capsys.readouterr().out
        assert cli.main(["limits", "--json", "--port", str(port)]) == 0
    (account,) = json.loads(capsys.readouterr().out)["accounts"]
    assert account["requests"]["remaining"] == 297


def test_a_watch_goes_on_until_ctrl_c(capsys: Output) -> None:
    looks = iter([None, None])

    def pause(seconds: float) -> None:
        if next(looks, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    with answering({"limits": {"accounts": [a_standing()]}}) as port:
        assert show_limits(port, say, is_json=True, watches=True, pause=pause) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("options", [(), ("--json",), ("--watch",), ("--watch", "--json")])
def test_a_reader_that_has_left_ends_it_in_silence(options: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name("foxora-proxy")
    reading, writing = os.pipe()
    os.close(reading)
    accounts = {"accounts": [a_standing()]}
    with answering({"limits": accounts}) as port, os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [program, "limits", "--port", str(port), *options],
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_who_can_move_no_cursor_has_each_look_below_the_last(
    is_terminal: bool, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "is_terminal", lambda: is_terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal then
    monkeypatch.setenv("TERM", "dumb" if is_terminal else "xterm")
    seen: list[str] = []

    def pause(_: float) -> None:
        seen.append(capsys.readouterr().out)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with answering({"limits": {"accounts": [a_standing()]}}) as port:
        assert show_limits(port, say, is_json=False, watches=True, pause=pause) == 0
    assert all("requests a minute" in look and "\x1b" not in look for look in seen)

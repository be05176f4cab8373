"""An output that takes nothing: no call waits for it, and nor does the end of the program."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread

import pytest

from tests.end_to_end.proxies import BIN, ON_MOCK, Proxy, arguments, free_port, wait_until
from tests.end_to_end.runs import SECONDS, started

pytestmark = pytest.mark.real_server

CALLS = 1_500
MORE_THAN_A_PIPE_TAKES = 65_536
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi."}]})
HEADERS = {"Authorization": "Bearer anything", "Content-Type": "application/json"}
BUFFERED = ("/usr/bin/env", "-u", "PYTHONUNBUFFERED")

LEAVES_SOMETHING = """
class Leaves:
    def done(self):
        print("x" * 5_000)  # no more than Python's own stream holds back, until it ends

addons = [Leaves()]
"""
BOUND_OF_400 = """
from foxora_addon.proxy import outlet

outlet.MOST_LINES = 400
"""


def mitmdump(folder: Path, port: int) -> list[str]:
    return [*arguments(folder, port), *ON_MOCK]


def run(folder: Path, port: int) -> list[str]:
    own = arguments(folder, port)[3:]  # without the program and its script
    return [str(BIN / "foxora-proxy"), "run", *own, *ON_MOCK]


@contextmanager
def serving(
    command: Sequence[str], folder: Path, port: int
) -> Iterator[tuple[subprocess.Popen[str], Proxy]]:
    proxy = Proxy(port, folder)
    with started(command, folder) as process:
        wait_until(lambda: takes_calls(port), lambda: "it takes no calls")
        yield process, proxy


def takes_calls(port: int) -> bool:
    with suppress(OSError, HTTPException):  # it has just begun to listen, or not yet
        return all_answered(port, 1)
    return False


def status_of_call(connection: HTTPConnection) -> int:
    connection.request("POST", "/v1/chat/completions", BODY, HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def all_answered(port: int, calls: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        return all(status_of_call(connection) == 200 for _ in range(calls))


def words_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """All that an ended process has written to its two pipes."""
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.read(), process.stderr.read()


@pytest.mark.parametrize(
    ("program", "around", "sign"),
    [
        (mitmdump, (), signal.SIGTERM),
        (mitmdump, BUFFERED, signal.SIGINT),
        (run, (), signal.SIGINT),
        (run, BUFFERED, signal.SIGTERM),
    ],
)
def test_a_pipe_that_nobody_reads_holds_up_neither_calls_nor_the_end(
    tmp_path: Path,
    program: Callable[[Path, int], list[str]],
    around: Sequence[str],
    sign: signal.Signals,
) -> None:
    script = tmp_path / "leaves.py"
    script.write_text(LEAVES_SOMETHING)
    command = [*around, *program(tmp_path, port := free_port())]
    if around:
        command += ["-s", str(script)]
    with serving(command, tmp_path, port) as (process, proxy):
        assert all_answered(port, CALLS)
        process.send_signal(sign)
        assert process.wait(SECONDS) == 0
        output, errors = words_of(process)
    assert errors == ""
    assert output.endswith("\n")
    assert MORE_THAN_A_PIPE_TAKES / 2 < len(output) <= MORE_THAN_A_PIPE_TAKES
    assert re.search(r"  ex_\w{8}\n$", output)
    records = proxy.records()
    assert sum(record["event"] == "response" for record in records) == len(records) / 2 > CALLS


def test_who_reads_late_learns_how_many_lines_were_left_out(tmp_path: Path) -> None:
    script = tmp_path / "bound.py"
    script.write_text(BOUND_OF_400)
    command = [*mitmdump(tmp_path, port := free_port()), "-s", str(script)]
    with serving(command, tmp_path, port) as (process, proxy):
        assert all_answered(port, CALLS)
        lines: list[str] = []
        assert process.stdout is not None
        reader = Thread(target=lines.extend, args=(process.stdout,))
        reader.start()
        wait_until(lambda: any("left out" in line for line in lines))
        assert all_answered(port, 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        reader.join()
    (notice,) = (line for line in lines if "left out" in line)
    at = lines.index(notice)
    words = re.fullmatch(r"foxora: ([\d,]+) lines are left out here, .*\n", notice)
    assert words is not None
    left_out = int(words[1].replace(",", ""))
    printed = [line.split()[-1] for line in lines if re.search(r"ex_\w{8}$", line)]
    made = [record["exchange"] for record in proxy.records() if record["event"] == "response"]
    assert len(printed) + left_out == len(made)
    since = [line.split()[-1] for line in lines[at + 1 :] if re.search(r"ex_\w{8}$", line)]
    assert len(since) > 400
    assert since == [exchange[:11] for exchange in made[-len(since) :]]


def test_a_pipe_whose_reader_has_gone_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text("audit: {level: full}\n")
    with serving(mitmdump(tmp_path, port := free_port()), tmp_path, port) as (process, _):
        assert process.stdout is not None
        process.stdout.close()
        assert all_answered(port, 3)
        (tmp_path / "foxora.yaml").write_text("audit: {level: full}\nmodels: {}\n")  # it is logged
        assert all_answered(port, 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


STOP, GO_ON = b"\x13", b"\x11"  # Ctrl-S and Ctrl-Q


def test_a_terminal_that_was_stopped_holds_up_no_call(tmp_path: Path) -> None:
    keyboard, terminal = os.openpty()
    command = mitmdump(tmp_path, port := free_port())
    shown = bytearray()

    def read() -> None:
        while piece := os.read(keyboard, 65_536):
            shown.extend(piece)
            if b"good-bye" in shown:
                return

    reader = Thread(target=read)
    reader.start()
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
    )
    try:
        wait_until(lambda: takes_calls(port))
        wait_until(lambda: b"completed" in shown)
        os.write(keyboard, STOP)
        before = shown.count(b"completed")
        assert all_answered(port, 200)
        assert shown.count(b"completed") <= before + 1
        os.write(keyboard, GO_ON)
        wait_until(lambda: shown.count(b"completed") == before + 200)
        os.write(keyboard, STOP)
        assert all_answered(port, 200)
        process.terminate()
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.write(keyboard, GO_ON)
        os.write(terminal, b"good-bye")
        reader.join()
        os.close(keyboard)
        os.close(terminal)

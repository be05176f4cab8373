"""Runs commands behind `foxora-proxy run`, as its tests do, and looks at what they leave."""

import contextlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.end_to_end.proxies import BIN, clean_environment, run_to_its_end, wait_until

SECONDS = 60

PYTHON_APP = """
import os
from openai import OpenAI
hello = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Who is it?"}]}
for base_url in (None, "https://api.openai.com/v1"):
    with OpenAI(base_url=base_url, max_retries=0) as client:
        print(len(client.chat.completions.create(**hello).choices))
print(os.environ["OPENAI_API_KEY"], os.environ.get("FOXORA_API_KEY"))
"""


def run_line(folder: Path, *options: str, command: Sequence[str]) -> list[str]:
    """A command line whose proxy is on the mock gateway and keeps what it writes in `folder`."""
    return [
        *(str(BIN / "foxora-proxy"), "run", "--mock"),
        *("--set", f"confdir={folder / 'confdir'}"),
        *("--set", f"foxora_audit={folder / 'trail.jsonl'}"),
        *(*options, "--", *command),
    ]


def run(
    folder: Path, *options: str, command: Sequence[str], stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return run_to_its_end(run_line(folder, *options, command=command), folder, environment, stdin)


def port_in(url: str) -> int:
    """The port of a proxy's base URL, as an app is given it."""
    return int(url.rpartition(":")[2].partition("/")[0])


def wait_for_notice(folder: Path) -> Path:
    """Wait until a proxy has said to others that it is there; the file that says so."""
    found: list[Path] = []

    def is_there() -> bool:
        found[:] = (folder / "confdir").glob("foxora-proxy-*.json")
        return bool(found)

    wait_until(is_there, lambda: "the proxy has left no notice")
    return found[0]


@contextlib.contextmanager
def started(
    line: Sequence[str], folder: Path, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, which has ended when this does. Each signal has its usual effect."""
    with _no_signal_ignored():
        process = subprocess.Popen(
            line,
            cwd=folder,
            env=clean_environment(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(SECONDS)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def _no_signal_ignored() -> Iterator[None]:
    """Have children not ignore what we were told to ignore, by `nohup` or a shell's `&`.

    What is ignored is inherited, what is handled is not.
    """
    ignored = [
        number
        for number in (signal.SIGHUP, signal.SIGINT)
        if signal.getsignal(number) is signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "trail.jsonl").read_text().splitlines()]

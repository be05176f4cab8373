"""The main job, played: a proxy on the mock gateway, an app that knows of neither, the trail.

Run by scripts/demo. All traffic stays on this machine; the trail is left in a folder of its own.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich import box
from rich.console import Console
from rich.json import JSON
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

BIN = Path(sys.executable).parent
APP = Path(__file__).with_name("demo_app.py")
APP_KEY = "sk-the-apps-own-key"
READY_SECONDS = 30
STOP_SECONDS = 10
# Of the app's four calls and the refused one; the question whether the proxy is ready is one more.
EXPECTED_EXCHANGES = 6

type Record = dict[str, Any]

console = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """Something is not as it should be; `str` says what."""


def main() -> int:
    """Plays the demo; 0 if all of it went as it should."""
    started = time.monotonic()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # all of them end as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix="foxora-demo-"))
    try:
        play(folder)
    except (DemoError, OSError, ValueError, LookupError, httpx.HTTPError) as error:
        console.print(f"\n[bold red]The demo failed:[/] {escape(str(error) or repr(error))}")
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; the proxy is stopped.")
        return 130
    console.print(f"\n[bold green]All as promised[/], in {time.monotonic() - started:.1f} s.")
    return 0


def play(folder: Path) -> None:
    trail = folder / "foxora-audit.jsonl"
    confdir = folder / "mitmproxy"
    port = free_port()
    title("The proxy, on its mock gateway: no account, no network")
    with running_proxy(port, trail, confdir):
        url = f"http://127.0.0.1:{port}"
        title("An app, pointed at it by its base URL")
        run_app({"OPENAI_BASE_URL": f"{url}/v1"})
        title("The same app, which now means api.openai.com: by the proxy variable")
        certificate = str(confdir / "mitmproxy-ca-cert.pem")
        run_app({"HTTPS_PROXY": url, "SSL_CERT_FILE": certificate})
        title("A call without a key: refused here, before anything leaves")
        show_refusal(url)
    shutil.rmtree(confdir)
    records = [json.loads(line) for line in trail.read_text("utf-8").splitlines()]
    title("The trail: a request and a response record of every exchange")
    show_exchanges(records)
    console.print(f"  {len(records)} records in [bold]{escape(str(trail))}[/]")
    check_trail(trail, records)
    title("The record of a streamed answer, folded into one message")
    show_record(next(r for r in reversed(records) if r.get("chunks")))
    title("The trail verifies")
    verify(trail)


def title(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def show_command(command: str, environment: Mapping[str, str] | None = None) -> None:
    variables = "".join(f"{name}={value} " for name, value in (environment or {}).items())
    console.print(f"  [dim]$ {escape(variables)}[/][bold]{escape(command)}[/]")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bare_environment() -> dict[str, str]:
    """The user's environment without what would lead an app or the proxy elsewhere."""
    ours = ("FOXORA_", "OPENAI_", "SSL_CERT_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and not name.upper().endswith("_PROXY")
    }


@contextlib.contextmanager
def running_proxy(port: int, trail: Path, confdir: Path) -> Iterator[None]:
    """A proxy that is ready, and stopped in the end; mitmproxy's own files stay in `confdir`."""
    options = ["-s", "foxora_addon", "-p", str(port), "--set", "foxora_base_url=mock"]
    show_command(f"mitmdump {' '.join(options)}")
    log = trail.with_name("mitmdump.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(BIN / "mitmdump"),
                *options,
                *("--set", f"foxora_audit={trail}"),
                *("--set", f"confdir={confdir}"),
            ],
            cwd=trail.parent,
            env=bare_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us, who then stop it
        )
    try:
        wait_until_ready(process, port, log)
        yield
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    started = time.monotonic()
    while time.monotonic() - started < READY_SECONDS:
        if process.poll() is not None:
            raise DemoError(f"mitmdump has ended: {log.read_text('utf-8', 'replace').strip()}")
        with contextlib.suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{port}/v1/models"
            headers = {"Authorization": f"Bearer {APP_KEY}"}
            if httpx.get(url, headers=headers, trust_env=False, timeout=10).is_success:
                console.print(f"  ready in {time.monotonic() - started:.1f} s")
                return
        time.sleep(0.05)
    raise DemoError(f"the proxy is not ready after {READY_SECONDS} s; its log is {log}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_app(environment: Mapping[str, str]) -> None:
    """Runs the app and shows what it says, as it says it."""
    show_command(f"python scripts/{APP.name}", environment)
    process = subprocess.Popen(
        [sys.executable, str(APP)],
        env={**bare_environment(), **environment, "OPENAI_API_KEY": APP_KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        pass_on(process)
        if process.wait() != 0:
            raise DemoError("the app has failed, as it says above")
    finally:
        stop(process)


def pass_on(process: subprocess.Popen[bytes]) -> None:
    """Prints what a process writes, indented, each piece when it comes."""
    assert process.stdout is not None
    at_line_start = True
    while piece := os.read(process.stdout.fileno(), 65536):
        for line in piece.decode("utf-8", "replace").splitlines(keepends=True):
            indent = "  │ " if at_line_start else ""
            console.out(f"{indent}{line}", end="", style="green", highlight=False)
            at_line_start = line.endswith("\n")


def show_refusal(url: str) -> None:
    call = f"{url}/v1/chat/completions"
    show_command(f"curl -d '{{...}}' {call}")
    answer = httpx.post(call, json={"model": "gpt-4o", "messages": []}, trust_env=False, timeout=10)
    source = answer.headers.get("x-foxora-source")
    lines = (f"HTTP/1.1 {answer.status_code}", f"x-foxora-source: {source}", answer.text.strip())
    for line in lines:
        console.out(f"  │ {line}", style="yellow", highlight=False)
    if (answer.status_code, source) != (401, "addon"):
        raise DemoError("a call without a key was not refused by the proxy itself with 401")


def show_exchanges(records: Sequence[Record]) -> None:
    """A row for each exchange, out of its two records."""
    responses = {record["exchange"]: record for record in records if record["event"] == "response"}
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for name in ("asked of", "call", "model", "answer", "tokens", "1st byte"):
        table.add_column(name, no_wrap=True, justify="right" if name == "1st byte" else "left")
    for request in records:
        if request["event"] == "request":
            table.add_row(*cells_of(request, responses[request["exchange"]]))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def cells_of(request: Record, response: Record) -> tuple[str, ...]:
    usage, first_byte = response.get("usage") or {}, response.get("first_byte_ms")
    return (
        httpx.URL(request["http"]["url"]).netloc.decode(),
        f"{request['operation']}{', streamed' if request['stream'] else ''}",
        request["model"] or "",
        f"{response['status']} {response['outcome']}",
        str(usage.get("total_tokens") or ""),
        "" if first_byte is None else f"{first_byte:.0f} ms",
    )


def check_trail(trail: Path, records: Sequence[Record]) -> None:
    begun, closed = (
        Counter(record["exchange"] for record in records if record["event"] == event)
        for event in ("request", "response")
    )
    if begun != closed or set(begun.values()) != {1} or len(begun) < EXPECTED_EXCHANGES:
        raise DemoError("not every exchange has one request and one response record")
    if APP_KEY in trail.read_text("utf-8"):
        raise DemoError("the app's key stands in the trail")


def show_record(record: Record) -> None:
    """What a record says; without the body as it came, which is long."""
    told = {name: said for name, said in record.items() if said is not None and name != "body"}
    console.print(JSON(json.dumps(told, ensure_ascii=False), indent=2))


def verify(trail: Path) -> None:
    show_command(f"foxora-proxy audit verify {trail}")
    command = [str(BIN / "foxora-proxy"), "audit", "verify", str(trail)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    console.out(f"  {finished.stdout.strip()}{finished.stderr.strip()}", highlight=False)
    if finished.returncode != 0:
        raise DemoError("the trail does not verify")


if __name__ == "__main__":
    sys.exit(main())

"""Starts real proxies and mock gateways as processes, waits until they serve, and stops them.

Each gets a folder and an environment of its own, so that nothing of the machine leads it elsewhere.
"""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
APP_KEY = "sk-app-fake-0123456789abcdef"
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.05

ON_MOCK = ("--set", "foxora_base_url=mock")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running mitmdump: where it listens, and the folder with its trail, CA and output."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process is not None and self.process.poll() is None

    def is_listening(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def certificate(self) -> str:
        return str(self.folder / "confdir" / "mitmproxy-ca-cert.pem")

    @property
    def output(self) -> str:
        return (self.folder / "output.log").read_text("utf-8", "replace")

    @property
    def trail(self) -> Path:
        return self.folder / "trail.jsonl"

    def records(self) -> list[dict[str, Any]]:
        """The whole records of the trail, in their order."""
        lines = self.trail.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def answer_records(self, exchange: str) -> list[dict[str, Any]]:
        """The response records of one exchange."""
        return [
            record
            for record in self.records()
            if record["exchange"] == exchange and record["event"] == "response"
        ]


def calls_in_line(proxy: Proxy) -> int:
    """How many calls wait for room below their account's ceilings."""
    with direct_client() as client:
        accounts = client.get(f"{proxy.url}/_foxora/limits").json()["accounts"]
    return sum(account["waiting"] for account in accounts)


def resident_mib(proxy: Proxy) -> float:
    """The proxy's resident memory."""
    lines = Path(f"/proc/{proxy.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def clean_environment(**given: str) -> dict[str, str]:
    """This environment without what would lead a proxy or a client elsewhere, and with `given`.

    FOXORA_FAST stays, so that any of these tests can be run with mitmproxy sped up.
    """
    ours = ("FOXORA_", "OPENAI_", "AZURE_OPENAI_", "SSL_CERT_", "MITMPROXY", "PYTHON")
    kept = {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith(ours) or name == "FOXORA_FAST")
        and not name.upper().endswith("_PROXY")
        and name not in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"}
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **given}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def direct_client() -> httpx.Client:
    """A client that heeds no environment."""
    return httpx.Client(trust_env=False, timeout=20)


class _Http2Alone(ssl.SSLContext):
    """Offers nothing but HTTP/2; httpx would offer HTTP/1.1 first, and mitmproxy take it."""

    def set_alpn_protocols(self, alpn_protocols: object) -> None:  # as it is named
        super().set_alpn_protocols(["h2"])


def http_2_client(proxy: Proxy, *, via_proxy: bool = True) -> httpx.Client:
    """A client that speaks HTTP/2, through the proxy or to it, and trusts its CA."""
    url = proxy.url if via_proxy else None
    trust = _http_2_alone(proxy)
    return httpx.Client(http2=True, proxy=url, verify=trust, trust_env=False, timeout=20)


def async_http_2_client(proxy: Proxy) -> httpx.AsyncClient:
    """The same for several calls at once, through the proxy."""
    trust = _http_2_alone(proxy)
    return httpx.AsyncClient(http2=True, proxy=proxy.url, verify=trust, trust_env=False, timeout=20)


def _http_2_alone(proxy: Proxy) -> ssl.SSLContext:
    trust = _Http2Alone(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(proxy.certificate)
    return trust


def tls_client(proxy: Proxy) -> httpx.Client:
    """A client that goes through the proxy, over HTTP/1, and trusts its CA."""
    trust = ssl.create_default_context(cafile=proxy.certificate)
    return httpx.Client(proxy=proxy.url, verify=trust, trust_env=False, timeout=20)


def arguments(
    folder: Path, port: int, script: str = "foxora_addon", program: str = "mitmdump"
) -> list[str]:
    """The command line of a proxy that keeps all that it writes in `folder`."""
    return [
        str(BIN / program),
        *("-s", script),
        *("-p", str(port)),
        *("--set", f"confdir={folder / 'confdir'}"),
        *("--set", f"foxora_audit={folder / 'trail.jsonl'}"),
    ]


@contextlib.contextmanager
def running_proxy(
    folder: Path,
    options: Sequence[str] = ON_MOCK,
    environment: Mapping[str, str] | None = None,
    script: str = "foxora_addon",
    port: int | None = None,
    program: str = "mitmdump",
) -> Iterator[Proxy]:
    """A proxy that serves, in a folder of its own; it is stopped in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    proxy = Proxy(port or free_port(), folder)
    command = [*arguments(folder, proxy.port, script, program), *options]
    with _process(command, folder, environment or {}) as process:
        wait_until(lambda: _serves(process, proxy), lambda: f"no proxy: {proxy.output}")
        yield replace(proxy, process=process)


@contextlib.contextmanager
def running_command(command: Sequence[str], folder: Path, port: int) -> Iterator[None]:
    """Any of mitmproxy's programs with the addon, once it answers on its port."""
    url = f"http://127.0.0.1:{port}/"
    with _process(command, folder, {}) as process, direct_client() as client:

        def serves() -> bool:
            assert process.poll() is None, (folder / "output.log").read_text("utf-8", "replace")
            with contextlib.suppress(httpx.TransportError):
                return client.get(url).status_code == 404
            return False

        wait_until(serves, lambda: (folder / "output.log").read_text("utf-8", "replace"))
        yield


@contextlib.contextmanager
def running_gateway(folder: Path, settings: str = "") -> Iterator[str]:
    """The origin of a mock gateway in a process of its own; `settings` are its YAML file."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    command = [str(BIN / "foxora-proxy"), "mock", "--port", str(port)]
    if settings:
        (folder / "mock.yaml").write_text(settings)
        command += ["--config", str(folder / "mock.yaml")]
    with _process(command, folder, {}) as process:
        wait_until(lambda: _answers(process, f"{origin}/_mock/"), lambda: "no mock gateway")
        yield origin


def run_to_its_end(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """A process that ends by itself, with what it wrote."""
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(**(environment or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )


def wait_until(
    holds: Callable[[], bool], otherwise: Callable[[], str] = lambda: "it did not happen"
) -> None:
    """Wait, with a bound, until `holds()`; AssertionError with the words of `otherwise()`."""
    deadline = time.monotonic() + READY_SECONDS
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def _process(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serves(process: subprocess.Popen[bytes], proxy: Proxy) -> bool:
    """Whether it has said where it listens, which is its last word before calls are taken."""
    assert process.poll() is None, f"the proxy has ended: {proxy.output}"
    if "OPENAI_BASE_URL=" not in proxy.output:
        return False
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port), 1):
        return True
    return False


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "the process has ended"
    with contextlib.suppress(httpx.TransportError), direct_client() as client:
        return client.get(url).is_success
    return False


@dataclass(frozen=True, slots=True)
class Decoy:
    """A host on loopback that is nobody's gateway; `seen` has the heads of what reached it."""

    port: int
    seen: list[dict[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def running_decoy(tls: ssl.SSLContext | None = None) -> Iterator[Decoy]:
    """A web server in a thread that says the same to everybody; over TLS if `tls` is given."""
    seen: list[dict[str, str]] = []

    class Replies(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(200)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"decoy")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as it is named
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Replies)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Decoy(server.server_address[1], seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

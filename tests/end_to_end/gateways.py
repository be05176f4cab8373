"""The mock gateway over HTTP/1, and over HTTP/2, which a bare mitmdump in front of it speaks."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.proxies import BIN, direct_client, free_port, running_command, running_gateway


@dataclass(frozen=True, slots=True)
class Gateway:
    """A mock gateway: the base URL that a proxy is given, and where its controls are.

    `options` are those that a proxy needs to trust it.
    """

    base_url: str
    control: str
    options: tuple[str, ...] = ()

    def queue(self, *faults: str, path: str = "/v1/chat") -> None:
        """Let the next calls below a path go wrong, one fault for each; not the proxy's own."""
        queued = [f"path={path};{fault}" for fault in faults]
        with direct_client() as client:
            client.post(f"{self.control}/_mock/faults", json=queued).raise_for_status()

    def reset(self) -> None:
        with direct_client() as client:
            client.post(f"{self.control}/_mock/reset").raise_for_status()

    def log(self) -> list[dict[str, Any]]:
        """What it received of others than the proxy itself, oldest first."""
        with direct_client() as client:
            entries: list[dict[str, Any]] = client.get(f"{self.control}/_mock/log").json()
            return [entry for entry in entries if entry["path"] not in {"/v1/me", "/v1/models"}]


@contextlib.contextmanager
def running_http_1(folder: Path) -> Iterator[Gateway]:
    """A mock gateway over plain HTTP/1."""
    with running_gateway(folder) as origin:
        yield Gateway(f"{origin}/v1", origin)


@contextlib.contextmanager
def running_http_2(folder: Path) -> Iterator[Gateway]:
    """A mock gateway over HTTP/2 and TLS."""
    with running_gateway(folder / "mock") as origin:
        port = free_port()
        front = folder / "front"
        front.mkdir()
        script = front / "streams.py"
        script.write_text("def responseheaders(flow):\n    flow.response.stream = True\n")
        command = [
            *(str(BIN / "mitmdump"), "--mode", f"reverse:{origin}@127.0.0.1:{port}"),
            *("-s", str(script)),
            *("--set", f"confdir={front / 'confdir'}"),
        ]
        with running_command(command, front, port):
            trusted = front / "confdir" / "mitmproxy-ca-cert.pem"
            options = ("--set", f"ssl_verify_upstream_trusted_ca={trusted}")
            yield Gateway(f"https://127.0.0.1:{port}/v1", origin, options)

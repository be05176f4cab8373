"""Starts mitmweb with the addon, and asks it what its pages ask it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.proxies import ON_MOCK, Proxy, free_port, running_proxy, wait_until

PASSWORD = "look-at-me"


def is_over(flow: dict[str, Any]) -> bool:
    """Whether a flow's comment says how its exchange has ended."""
    return bool(flow["comment"]) and not flow["comment"].startswith(("open", "waiting"))


@dataclass(frozen=True, slots=True)
class Web:
    """A running mitmweb: the proxy in it, and its own pages."""

    proxy: Proxy
    port: int

    @property
    def url(self) -> str:
        """Where a browser is let in."""
        return f"http://127.0.0.1:{self.port}/?token={PASSWORD}"

    def get(self, path: str) -> httpx.Response:
        """What mitmweb tells its page."""
        headers = {"Authorization": f"Bearer {PASSWORD}"}
        address = f"http://127.0.0.1:{self.port}{path}"
        return httpx.get(address, headers=headers, trust_env=False, timeout=20)

    def flows(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.get("/flows").json()
        return listed

    def flow_of(self, exchange: str) -> dict[str, Any]:
        """The flow of an exchange, once its comment says how that has ended."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [flow for flow in self.flows() if exchange in str(flow.get("response"))]
            return bool(found) and is_over(found[0])

        wait_until(is_there, lambda: f"{exchange} is not in mitmweb's list")
        return found[0]

    def flow_with(self, path: str) -> dict[str, Any]:
        """The first flow with this in its path."""
        return next(flow for flow in self.flows() if path in flow["request"]["path"])

    def content(self, exchange: str, part: str, view: str = "auto") -> dict[str, Any]:
        """A body as a view of mitmweb's shows it."""
        flow = self.flow_of(exchange)
        answer = self.get(f"/flows/{flow['id']}/{part}/content/{view}.json")
        shown: dict[str, Any] = answer.json()
        return shown

    def text_of_open(self, exchange: str) -> str:
        """What can be read of an answer that is still coming."""
        flow = next(flow for flow in self.flows() if exchange in str(flow.get("response")))
        shown = self.get(f"/flows/{flow['id']}/response/content/auto.json").json()
        return str(shown["text"])

    def command(self, name: str, *arguments: str) -> dict[str, Any]:
        """What mitmweb's command line answers."""
        answer = self.send("POST", f"/commands/{name}", {"arguments": arguments})
        told: dict[str, Any] = answer.json()
        return told

    def send(self, method: str, path: str, value: object = None) -> httpx.Response:
        """Have mitmweb do what its page's buttons have it do."""
        headers = {"Authorization": f"Bearer {PASSWORD}", "X-XSRFToken": "token"}
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            json=value,
            headers={**headers, "Cookie": "_mitmproxy_xsrf=token"},
            trust_env=False,
            timeout=20,
        )


@contextlib.contextmanager
def running_web(
    folder: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Web]:
    """A mitmweb with the addon, by default on its mock gateway."""
    port = free_port()
    gateway = () if environment and "FOXORA_BASE_URL" in environment else ON_MOCK
    more = (
        *("--set", f"web_port={port}"),
        *("--set", "web_open_browser=false"),
        *("--set", f"web_password={PASSWORD}"),
    )
    with running_proxy(
        folder, (*gateway, *more, *options), environment, program="mitmweb"
    ) as proxy:
        yield Web(proxy, port)

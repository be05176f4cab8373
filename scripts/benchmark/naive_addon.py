"""What one writes in ten minutes: an addon that logs both bodies, and taps streams as they pass."""

import json
import os
from collections.abc import Callable
from typing import IO

from mitmproxy import http


class Naive:
    """Writes a line of JSON for each request and response; no chain, no redaction, no limits."""

    def __init__(self) -> None:
        path = os.environ["NAIVE_LOG"]
        self._out: IO[str] = open(path, "a", encoding="utf-8")  # noqa: SIM115, PTH123  # for good

    def request(self, flow: http.HTTPFlow) -> None:
        flow.request.headers["authorization"] = "Bearer foxora_sk_fake_naive"
        self._write({"id": flow.id, "url": flow.request.url, "body": flow.request.text})

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response and "event-stream" in flow.response.headers.get("content-type", ""):
            flow.response.stream = self._tap(flow)

    def _tap(self, flow: http.HTTPFlow) -> Callable[[bytes], bytes]:
        parts: list[bytes] = []

        def tapped(data: bytes) -> bytes:
            parts.append(data)
            if not data:
                self._write({"id": flow.id, "stream": b"".join(parts).decode("utf-8", "replace")})
            return data

        return tapped

    def response(self, flow: http.HTTPFlow) -> None:
        if flow.response and not flow.response.stream:
            status = flow.response.status_code
            self._write({"id": flow.id, "status": status, "body": flow.response.text})

    def _write(self, record: dict[str, object]) -> None:
        self._out.write(json.dumps(record) + "\n")
        self._out.flush()


addons = [Naive()]

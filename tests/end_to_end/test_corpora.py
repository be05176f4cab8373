"""Recorded traffic through a real proxy: bodies and streams byte for byte, errors normalised.

The recordings are looked for beside the repo, of which they are no part: without them there is
nothing to test here, in CI either.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from foxora_addon.api.usage_request import with_usage_asked
from foxora_addon.observation import Observation
from tests.end_to_end.proxies import (
    APP_KEY,
    ROOT,
    Proxy,
    direct_client,
    running_gateway,
    running_proxy,
)

CORPORA = ROOT.parent / "shared" / "corpora"

pytestmark = (
    pytest.mark.real_server
    if CORPORA.is_dir()
    else pytest.mark.skip(reason="no recordings beside the repo")
)

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Replay"]:
    folder = tmp_path_factory.mktemp("corpora")
    with running_gateway(folder / "gateway") as origin:
        environment = {"FOXORA_API_KEY": "foxora_sk_fake", "FOXORA_BASE_URL": f"{origin}/v1"}
        with (
            running_proxy(folder / "proxy", (), environment) as proxy,
            direct_client() as client,
        ):
            yield Replay(proxy, origin, client)


class Replay:
    """Lets the mock gateway answer with recorded bytes, and asks for them through the proxy."""

    def __init__(self, proxy: Proxy, origin: str, client: httpx.Client) -> None:
        self.proxy = proxy
        self._origin = origin
        self._client = client

    def answer(
        self, body: bytes, kind: str, *, status: int = 200, chunks: tuple[int, ...] = ()
    ) -> httpx.Response:
        fault: dict[str, Any] = {
            "path": "/v1/chat",
            "status": status,
            "type": kind,
            "body_base64": base64.b64encode(body).decode(),
        }
        if chunks:
            fault["chunks"] = list(chunks)
        queued = self._client.post(f"{self._origin}/_mock/faults", json=[fault])
        assert queued.is_success, queued.text
        is_stream = "event-stream" in kind
        # A client that asks for the usage itself gets every byte as it comes.
        options = {"stream_options": {"include_usage": True}} if is_stream else {}
        return self.ask({**CALL, "stream": is_stream, **options})

    def ask(self, call: object) -> httpx.Response:
        return self._client.post(
            f"{self.proxy.base_url}/chat/completions",
            content=call if isinstance(call, bytes) else json.dumps(call).encode(),
            headers={"authorization": f"Bearer {APP_KEY}", "content-type": "application/json"},
        )

    def last_received(self) -> bytes:
        log = self._client.get(f"{self._origin}/_mock/log?last=1").json()
        entry = log[-1]
        if entry.get("body_base64"):
            return base64.b64decode(entry["body_base64"])
        text: str = entry["body"]
        return text.encode()


def files(folder: str) -> list[Path]:
    return sorted((CORPORA / folder).iterdir())


def test_successful_bodies_reach_the_client_byte_for_byte(replay: Replay) -> None:
    for file in files("json_bodies"):
        body = file.read_bytes()
        assert replay.answer(body, "application/json").content == body, file.name


@pytest.mark.parametrize("chunks", [(), (1,) * 64, (7, 1, 13, 512), (4096,)])
def test_streams_reach_the_client_byte_for_byte(replay: Replay, chunks: tuple[int, ...]) -> None:
    for file in files("sse_streams"):
        body = file.read_bytes()
        answer = replay.answer(body, "text/event-stream", chunks=chunks)
        assert answer.content == body, file.name


def test_a_stream_is_on_record_as_what_it_adds_up_to(replay: Replay) -> None:
    for file in files("sse_streams"):
        body = file.read_bytes()
        answer = replay.answer(body, "text/event-stream", chunks=(11, 3, 700))
        record = replay.proxy.answer_records(answer.headers["x-foxora-exchange"])[0]
        seen = Observation(
            content_encoding=None, is_event_stream=True, is_json=False, max_head_bytes=0
        )
        seen.feed(body)
        seen.end()
        assert seen.transcript is not None
        assert record["message"] == seen.transcript.message(), file.name
        assert record["body_sha256"] == hashlib.sha256(body).hexdigest()
        outcome = "completed" if seen.transcript.done else "stream_broken"
        assert record["outcome"] == outcome, file.name


def test_request_bodies_reach_the_gateway_byte_for_byte(replay: Replay) -> None:
    sent = 0
    for file in files("request_bodies"):
        body = file.read_bytes()
        value = json.loads(body)
        if not isinstance(value, dict) or not value.get("model") or "messages" not in value:
            continue
        replay.answer(b"{}", "application/json")
        replay.ask(body)
        assert replay.last_received() == (with_usage_asked("chat", body, value) or body), file.name
        sent += 1
    assert sent > 20


def test_errors_reach_the_client_in_the_documented_shape(replay: Replay) -> None:
    for status, file in ((400 + i % 30, f) for i, f in enumerate(files("error_bodies"))):
        answer = replay.answer(file.read_bytes(), "application/json", status=status)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"code", "message", "param"}, file.name

"""No secret is found anywhere that it has no business to be, however a call ends.

One proxy takes calls that succeed, are refused, and fail at the gateway; all of them carry every
secret. Once it is stopped, all that it left behind is searched.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.end_to_end.proxies import (
    Proxy,
    direct_client,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_live_fake7Hq2Zr9Lm4Xw"
APP_SECRETS = {
    "authorization": "sk-fake-authorization-1a2b3c4d",
    "api-key": "fake-azure-key-5e6f7a8b9c0d",
    "x-api-key": "sk-ant-fake-1f2e3d4c5b6a",
    "query": "fake-query-key-9z8y7x6w",
    "cookie": "fake-session-q1w2e3r4t5",
    "organisation": "org-fake0p9o8i7u6y",
    "project": "proj_fake5t4r3e2w1q",
}
HEADERS = {
    "Authorization": f"Bearer {APP_SECRETS['authorization']}",
    "api-key": APP_SECRETS["api-key"],
    "x-api-key": APP_SECRETS["x-api-key"],
    "Cookie": f"session={APP_SECRETS['cookie']}; theme=dark",
    "X-Debug-Copy": f"sent {APP_SECRETS['authorization']} with it",
    "X-Azure-Copy": APP_SECRETS["api-key"],
    "X-Auth": base64.b64encode(APP_SECRETS["authorization"].encode()).decode(),
    f"X-{APP_SECRETS['x-api-key']}": "a key for a name",
    "OpenAI-Organization": APP_SECRETS["organisation"],
    "OpenAI-Project": APP_SECRETS["project"],
}
TARGET = f"/chat/completions?api-key={APP_SECRETS['query']}&api-version=2024-10-21"
CALL: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Who answers me here?"}],
}
ECHO = f"No such key: Bearer {FOXORA_KEY}"
TWICE = f"x-twice: kept\r\nx-twice: {ECHO}\r\n"
FAULTS: dict[str, dict[str, Any]] = {
    "a plain failure": {"status": 500},
    "a refusal that echoes the key in JSON": {
        "status": 401,
        "body": json.dumps({"error": {"code": "bad", "message": ECHO, "param": FOXORA_KEY}}),
        "type": "application/json",
    },
    "a page that echoes the key": {
        "status": 502,
        "body": f"<html><body>{ECHO}</body></html>",
        "type": "text/html",
    },
    "a text that echoes the key": {"status": 400, "body": ECHO, "type": "text/plain"},
    "a header that echoes the key": {"status": 500, "headers": {"X-Echo": FOXORA_KEY}},
    "an answer whose reason and headers' names echo the key": {
        "raw": f"HTTP/1.1 200 Is {FOXORA_KEY}\r\nX-{FOXORA_KEY}: 1\r\n{TWICE}"
        'content-type: application/json\r\ncontent-length: 15\r\n\r\n{"object": "x"}'
    },
    "no line of a head, which echoes the key": {"raw": f"{FOXORA_KEY}\r\n\r\n"},
    "no header, which echoes the key": {"raw": f"HTTP/1.1 200 OK\r\n{FOXORA_KEY}\r\n\r\n"},
    "no length, which echoes the key": {
        "raw": f"HTTP/1.1 200 OK\r\ncontent-length: {FOXORA_KEY}\r\n\r\n"
    },
    "no chunk, which echoes the key": {
        "raw": f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{FOXORA_KEY}\r\n"
    },
    "no chunk of a stream, which echoes the key": {
        "raw": "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        f"transfer-encoding: chunked\r\n\r\n{FOXORA_KEY}\r\n"
    },
    "a redirect that echoes the key": {"redirect": f"/v1/elsewhere?key={FOXORA_KEY}"},
    "garbage": {"garbage": True},
    "a close before the head": {"close_before_head": True},
    "an answer that echoes the key": {"body": json.dumps({"object": "x", "echo": ECHO})},
    "an answer in gzip that echoes the key": {
        "body_base64": base64.b64encode(gzip.compress(json.dumps({"e": ECHO}).encode())).decode(),
        "headers": {"content-encoding": "gzip"},
    },
    "sound that echoes the key in UTF-16": {
        "body": "".join(f"{letter}\0" for letter in ECHO),
        "type": "audio/mpeg",
        "chunks": [1, 20, 9, 43, 2],
    },
    "sound that echoes the key in UTF-32": {
        "body_base64": base64.b64encode(ECHO.encode("utf-32")).decode(),
        "type": "audio/mpeg",
    },
    "sound that echoes the key": {"body": ECHO, "type": "audio/mpeg", "chunks": [1, 20, 9, 2]},
    "a stream that echoes the key": {
        "body": f'data: {{"echo": "{ECHO}"}}\n\ndata: [DONE]\n\n',
        "type": "text/event-stream",
        "chunks": [9, 20, 15, 2],
    },
    "a large event in a stream that echoes the key": {
        "body": f'data: {{"a": "{"a" * 70_000}", "echo": "{ECHO}"}}\n\ndata: [DONE]\n\n',
        "type": "text/event-stream",
        "chunks": [69_999, 51, 9, 2],
    },
    "a compressed stream that echoes the key": {
        "body": f'data: {{"echo": "{ECHO}"}}\n\ndata: [DONE]\n\n',
        "type": "text/event-stream",
        "gzip": True,
    },
    "a cut stream": {"cut_after": 1},
    "an error event in the stream": {"error_event": True},
}


@dataclass(frozen=True, slots=True)
class Aftermath:
    """All that calls left behind: what clients were told, what the gateway got, what is on disk."""

    answers: dict[str, bytes]
    statuses: dict[str, int]
    received: list[dict[str, Any]]
    left: dict[str, bytes]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("leaks")
    flows = folder / "proxy" / "flows.mitm"
    with running_gateway(folder / "gateway") as origin:
        environment = {"FOXORA_BASE_URL": f"{origin}/v1", "FOXORA_API_KEY": FOXORA_KEY}
        options = ("-w", str(flows), "--set", "flow_detail=4")
        with running_proxy(folder / "proxy", options, environment) as proxy:
            answers = dict(all_calls(proxy, origin))
        with direct_client() as client:
            received = client.get(f"{origin}/_mock/log").json()
    return Aftermath(
        {name: bytes_of(answer) for name, answer in answers.items()},
        {name: answer.status_code for name, answer in answers.items()},
        received,
        {
            "trail": proxy.trail.read_bytes(),
            "output": proxy.output.encode(),
            "flows": flows.read_bytes(),
        },
    )


def all_calls(proxy: Proxy, origin: str) -> Iterator[tuple[str, httpx.Response]]:
    """Every call's name and answer."""
    with direct_client() as client:

        def post(call: object, target: str = TARGET, **headers: str) -> httpx.Response:
            return client.post(
                f"{proxy.base_url}{target}", json=call, headers={**HEADERS, **headers}
            )

        yield "an answer", post(CALL)
        yield "a stream", post({**CALL, "stream": True})
        yield "no model", post({"messages": CALL["messages"]})
        yield "a foreign page", post(CALL, TARGET, Origin="https://evil.example")
        yield "a dot segment", post(CALL, f"/%2e%2e/admin?key={APP_SECRETS['query']}")
        yield "a key in the path", post(CALL, f"/models/{APP_SECRETS['authorization']}")
        yield "no such route", post(CALL, f"/nothing/here?api_key={APP_SECRETS['query']}")
        yield "our key in a query", post(CALL, f"/chat/completions?y=1&x={FOXORA_KEY}")
        yield "our key escaped in a query", post(CALL, f"/chat/completions?x=f%6F{FOXORA_KEY[2:]}")
        yield "our key in the path", post(CALL, f"/models/{FOXORA_KEY}")
        yield "our key in a header", post(CALL, **{"X-Debug-Copy": f"is {FOXORA_KEY}"})
        unlike = dict.fromkeys(("X-Debug-Copy", "X-Auth"), "none")
        from_app = {"Authorization": f"Bearer {FOXORA_KEY}", **unlike}
        yield "our key from the app", post(CALL, **from_app)
        yield "no key", client.post(f"{proxy.base_url}/chat/completions", json=CALL)
        for name, fault in FAULTS.items():
            queued = client.post(f"{origin}/_mock/faults", json=[fault])
            assert queued.status_code == 200, queued.text
            is_stream = "stream" in name
            try:
                target = "/audio/speech" if "sound" in name else TARGET
                yield name, post({**CALL, "stream": is_stream}, target)
            except httpx.RemoteProtocolError:
                assert is_stream, name  # a stream that was cut is cut for the client, too


def bytes_of(answer: httpx.Response) -> bytes:
    """An answer as the client got it: its headers and its body."""
    head = answer.reason_phrase.encode() + b"".join(
        b"\r\n" + name + b": " + value for name, value in answer.headers.raw
    )
    return head + b"\r\n\r\n" + answer.content


def spellings(secret: str) -> set[bytes]:
    """The ways in which a secret may stand somewhere."""
    return {
        secret.encode(),
        quote(secret, safe="").encode(),
        base64.b64encode(secret.encode()).rstrip(b"="),
        json.dumps(secret)[1:-1].encode(),
        secret.encode("utf-16-le"),
        secret.encode("utf-32-le"),
    }


def found_in(content: bytes) -> list[str]:
    """The names of the secrets that stand in it."""
    secrets = {**APP_SECRETS, "the Foxora key": FOXORA_KEY}
    lowered = content.lower()
    return [
        name
        for name, secret in secrets.items()
        if any(spelling.lower() in lowered for spelling in spellings(secret))
    ]


def test_the_calls_ended_in_all_the_ways_that_are_meant(aftermath: Aftermath) -> None:
    statuses = aftermath.statuses
    assert statuses["an answer"] == statuses["a stream"] == 200
    assert statuses["no model"] == statuses["a dot segment"] == 400
    assert statuses["our key in the path"] == 400
    assert {statuses[name] for name in statuses if "our key" in name and "path" not in name} == {
        200
    }
    successes = ("an answer", "sound", "stream that echoes")
    assert {statuses[name] for name in statuses if any(s in name for s in successes)} == {200}
    assert statuses["a foreign page"] == 403
    assert statuses["no key"] == 401
    assert statuses["no such route"] == 404
    assert statuses["a plain failure"] == 500
    assert statuses["a refusal that echoes the key in JSON"] == 401
    assert statuses["garbage"] == statuses["a close before the head"] == 502


@pytest.mark.parametrize("place", ["trail", "output", "flows"])
def test_nothing_that_is_kept_has_a_secret(aftermath: Aftermath, place: str) -> None:
    content = aftermath.left[place]
    assert b"chat/completions" in content
    assert found_in(content) == []


def test_no_answer_has_a_secret(aftermath: Aftermath) -> None:
    found = {name: found_in(answer) for name, answer in aftermath.answers.items()}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


def test_the_gateway_gets_the_foxora_key_and_no_other_secret(aftermath: Aftermath) -> None:
    assert len(aftermath.received) >= 2 + len(FAULTS)
    for received in aftermath.received:
        headers = {name.lower(): value for name, value in received["headers"]}
        assert headers["authorization"] == f"Bearer {FOXORA_KEY}"
        others = {**headers, "authorization": ""}
        assert found_in(json.dumps({**received, "headers": others}).encode()) == []


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_text_that_quotes_the_foxora_key_is_redacted_in_the_trail(
    quoting_proxy: Proxy, is_stream: bool
) -> None:
    encoded = base64.b64encode(FOXORA_KEY.encode()).decode()
    text = f"What is {FOXORA_KEY}, and what {encoded}?"
    call = {**CALL, "messages": [{"role": "user", "content": text}], "stream": is_stream}
    with direct_client() as client:
        answer = client.post(
            f"{quoting_proxy.base_url}/chat/completions", json=call, headers=HEADERS
        )
    assert answer.status_code == 200
    exchange = answer.headers["x-foxora-exchange"]
    wait_until(lambda: bool(quoting_proxy.answer_records(exchange)))
    assert "What is" in quoting_proxy.trail.read_text("utf-8")
    assert found_in(quoting_proxy.trail.read_bytes()) == []


@pytest.fixture(scope="module")
def quoting_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    environment = {"FOXORA_API_KEY": FOXORA_KEY}
    with running_proxy(tmp_path_factory.mktemp("quoted"), environment=environment) as proxy:
        yield proxy


CHANGING = """
gateway: {{base_url: mock}}
audit: {{redact: []}}
accounts: [{{name: acme, key: {{env: {name}}}}}]
"""


def test_a_key_that_is_changed_stays_out_of_the_records_of_open_calls(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text(CHANGING.format(name="OLD"))
    environment = {"OLD": FOXORA_KEY, "NEW": "foxora_sk_fake_new"}
    text = f"The key {FOXORA_KEY} and more"
    call = {**CALL, "messages": [{"role": "user", "content": text}], "stream": True}
    headers = {**HEADERS, "x-mock-fault": "mute-after=16"}
    with running_proxy(tmp_path, (), environment) as proxy, direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        with client.stream("POST", url, json=call, headers=headers) as answer:
            events = answer.iter_lines()  # by a name: without one it closes the answer
            assert any("***" in event for event in events)
            (tmp_path / "foxora.yaml").write_text(CHANGING.format(name="NEW"))
            wait_until(lambda: "the changed configuration is in force" in proxy.output)
        wait_until(lambda: len(proxy.records()) == 2)
        _, record = proxy.records()
        kept = proxy.trail.read_bytes()
    assert "The key [redacted]" in record["message"]["content"]
    assert found_in(kept) == []


def test_of_two_headers_of_a_name_the_other_stays_as_it_was(aftermath: Aftermath) -> None:
    answer = aftermath.answers["an answer whose reason and headers' names echo the key"].lower()
    assert answer.startswith(b"is [redacted]\r\n")
    assert answer.count(b"x-twice: ") == 2
    assert b"x-twice: kept\r\n" in answer

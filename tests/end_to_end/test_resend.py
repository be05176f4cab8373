"""A request that is sent once more, with another body, unseen by the client."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.end_to_end.gateways import Gateway, running_http_1, running_http_2
from tests.end_to_end.proxies import APP_KEY, Proxy, direct_client, http_2_client, running_proxy

pytestmark = pytest.mark.real_server

# Sends every failed call again, until its body says that it is the third try.
INSISTENT = """
import json
import time
from mitmproxy import http
from foxora_addon.api.errors import bad_gateway_answer
from foxora_addon.proxy import requests
from foxora_addon.proxy.addon import the_addon
from foxora_addon.proxy.desk import FlowDesk

def again(self, flow, failure):
    exchange = self._open.get(flow.id)
    whole = failure is not None or flow.response.status_code >= 400
    body = json.loads(flow.request.raw_content)
    if not whole or exchange is None or body.get("seed", 0) >= 2:
        return None
    error, status = bad_gateway_answer("It failed."), None if failure else 503
    self._pipeline.again(exchange, error, time.monotonic(), status)
    body["seed"] = body.get("seed", 0) + 1
    exchange.sent_body = json.dumps(body).encode()
    requests.put_body(flow.request, exchange.sent_body)
    return 0.0

FlowDesk.again = again
addons = [the_addon()]
"""
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module", params=["http_1", "http_2"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    running = {"http_1": running_http_1, "http_2": running_http_2}[request.param]
    with running(tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.fixture(scope="module")
def insistent(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("insistent")
    script = folder / "insistent.py"
    script.write_text(INSISTENT)
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_again", "FOXORA_BASE_URL": gateway.base_url}
    with running_proxy(folder, gateway.options, environment, script=str(script)) as proxy:
        yield proxy


def by_http_1(proxy: Proxy, calls: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    """Answers to calls that are made over one connection, one after another."""
    with direct_client() as client:
        return _answers(client, f"{proxy.base_url}/chat/completions", calls, "HTTP/1.1")


def by_http_2(proxy: Proxy, calls: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    """Answers to calls that are made over one connection, one after another."""
    with http_2_client(proxy) as client:
        return _answers(client, "https://api.openai.com/v1/chat/completions", calls, "HTTP/2")


def _answers(
    client: httpx.Client, url: str, calls: list[dict[str, Any]], version: str
) -> list[tuple[int, bytes]]:
    headers = {"authorization": f"Bearer {APP_KEY}"}
    answers = [client.post(url, json=call, headers=headers) for call in calls]
    assert {answer.http_version for answer in answers} == {version}
    return [(answer.status_code, answer.content) for answer in answers]


@pytest.mark.parametrize("by", [by_http_1, by_http_2])
@pytest.mark.parametrize("fault", ["status=400", "status=503", "close-before-head", "garbage"])
@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["plain", "stream"])
def test_the_client_sees_the_last_try_alone(
    insistent: Proxy, gateway: Gateway, by: Any, fault: str, more: dict[str, Any]
) -> None:
    gateway.reset()
    gateway.queue(fault, fault)
    answers = by(insistent, [{**CALL, **more}] * 3)
    assert [status for status, _ in answers] == [200] * 3
    bodies = [json.loads(entry["body"]) for entry in gateway.log()]
    assert [body.get("seed", 0) for body in bodies] == [0, 1, 2, 0, 0]
    assert all(content.rstrip().endswith((b"}", b"[DONE]")) for _, content in answers)


@pytest.mark.parametrize("by", [by_http_1, by_http_2])
def test_the_last_failure_is_the_clients(insistent: Proxy, gateway: Gateway, by: Any) -> None:
    gateway.reset()
    gateway.queue("status=503", "close-before-head", "status=502")
    answers = by(insistent, [CALL, CALL])
    assert [status for status, _ in answers] == [502, 200]
    assert json.loads(answers[0][1])["error"]["message"]


def test_every_call_is_on_record_once(insistent: Proxy, gateway: Gateway) -> None:
    by_http_1(insistent, [CALL])
    records = insistent.records()
    opened = [record["exchange"] for record in records if record["event"] == "request"]
    ended = [record["exchange"] for record in records if record["event"] == "response"]
    assert opened
    assert sorted(opened) == sorted(ended)
    assert len(set(opened)) == len(opened)
    assert "crashed" not in insistent.output
    assert "Traceback" not in insistent.output

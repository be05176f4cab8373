"""Streams are asked for their usage, and the client sees nothing of it."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.gateways import Gateway
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    http_2_client,
    running_gateway,
    running_proxy,
)

pytestmark = pytest.mark.real_server

CALL = {
    "model": "gpt-4o-mini",
    "stream": True,
    "messages": [{"role": "user", "content": "Say something of a certain length."}],
}
ASKING = {**CALL, "stream_options": {"include_usage": True}}


@contextmanager
def proxied(folder: Path, usage: str, limits: str = "") -> Iterator[tuple[Proxy, Gateway]]:
    with running_gateway(folder / "gateway", f"include_usage: {usage}\n") as origin:
        (folder / "foxora.yaml").write_text(
            f"gateway: {{base_url: {origin}/v1}}\nlimits: {{{limits}}}\n"
        )
        with running_proxy(folder, (), {"FOXORA_API_KEY": "foxora_sk_fake_usage"}) as proxy:
            yield proxy, Gateway(f"{origin}/v1", origin)


@pytest.fixture(scope="module")
def honoured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Gateway]]:
    with proxied(tmp_path_factory.mktemp("honoured"), "honoured") as running:
        yield running


def stream(proxy: Proxy, call: dict[str, Any], **headers: str) -> httpx.Response:
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/chat/completions",
            json=call,
            headers={"authorization": f"Bearer {APP_KEY}", **headers},
        )


def chunks_of(answer: httpx.Response) -> list[dict[str, Any]]:
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def records_of(proxy: Proxy, answer: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
    exchange = answer.headers["x-foxora-exchange"]
    request, response = (r for r in proxy.records() if r["exchange"] == exchange)
    return request, response


def test_the_client_sees_what_it_would_have_seen(honoured: tuple[Proxy, Gateway]) -> None:
    proxy, gateway = honoured
    gateway.reset()
    answer = stream(proxy, CALL)
    (sent,) = gateway.log()
    with direct_client() as client:
        plain = client.post(
            f"{gateway.base_url}/chat/completions",
            json=CALL,
            headers={"authorization": "Bearer any"},
        )
    assert json.loads(sent["body"])["stream_options"] == {"include_usage": True}
    assert all("usage" not in chunk for chunk in chunks_of(answer))
    told = [{**chunk, "id": "", "created": 0} for chunk in chunks_of(answer)]
    assert told == [{**chunk, "id": "", "created": 0} for chunk in chunks_of(plain)]


def test_the_record_holds_what_was_asked_what_was_sent_and_the_usage(
    honoured: tuple[Proxy, Gateway],
) -> None:
    proxy, gateway = honoured
    gateway.reset()
    answer = stream(proxy, CALL)
    (sent,) = gateway.log()
    request, response = records_of(proxy, answer)
    assert json.loads(request["body"]) == CALL
    assert request["sent"] == {
        "changed": {"stream_options": {"include_usage": True}},
        "body_bytes": len(sent["body"]),
        "body_sha256": hashlib.sha256(sent["body"].encode()).hexdigest(),
    }
    assert response["usage"]["source"] == "reported"
    assert response["usage"]["output_tokens"] > 0
    assert response["outcome"] == "completed"


def test_a_client_that_asks_itself_gets_its_usage(honoured: tuple[Proxy, Gateway]) -> None:
    proxy, _ = honoured
    answer = stream(proxy, ASKING)
    chunks = chunks_of(answer)
    request, _ = records_of(proxy, answer)
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert request["sent"] is None


def test_a_cut_stream_is_charged_with_what_was_seen(honoured: tuple[Proxy, Gateway]) -> None:
    proxy, _ = honoured
    answer = stream(proxy, CALL, **{"x-mock-fault": "cut-after=4"})
    _, response = records_of(proxy, answer)
    assert response["outcome"] == "stream_broken"
    assert response["usage"]["source"] == "counted"
    assert 0 < response["usage"]["output_tokens"] < 10


def test_a_gateway_that_ignores_the_field_has_its_tokens_counted(tmp_path: Path) -> None:
    with proxied(tmp_path, "ignored") as (proxy, _):
        answer = stream(proxy, CALL)
        _, response = records_of(proxy, answer)
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks_of(answer))
    assert response["usage"]["source"] == "counted"
    assert 0.5 < response["usage"]["output_tokens"] / (len(text) / 4.5) < 1.6


@pytest.mark.parametrize("http_2", [False, True], ids=["http_1", "http_2"])
def test_a_gateway_that_refuses_the_field_is_asked_without_it_once(
    tmp_path: Path, http_2: bool
) -> None:
    with proxied(tmp_path, "refused") as (proxy, gateway):
        url = "https://api.openai.com/v1" if http_2 else proxy.base_url
        headers = {"authorization": f"Bearer {APP_KEY}"}
        with http_2_client(proxy) if http_2 else direct_client() as client:
            answers = [
                client.post(f"{url}/chat/completions", json=CALL, headers=headers)
                for _turn in range(2)
            ]
        asked = ["stream_options" in json.loads(entry["body"]) for entry in gateway.log()]
        statuses = [entry["status"] for entry in gateway.log()]
        records = proxy.records()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [len(chunks_of(answer)) > 2 for answer in answers] == [True, True]
    assert asked == [True, False, False]
    assert statuses == [400, 200, 200]
    assert len(records) == 4
    outcomes = [r["outcome"] for r in records if r["event"] == "response"]
    assert outcomes == ["completed"] * 2


def test_the_clients_own_body_goes_again_under_the_head_that_it_had(tmp_path: Path) -> None:
    with proxied(tmp_path, "refused") as (proxy, gateway):
        with direct_client() as client:
            answer = client.post(
                f"{proxy.base_url}/chat/completions",
                content=gzip.compress(json.dumps(CALL).encode()),
                headers={
                    "authorization": f"Bearer {APP_KEY}",
                    "content-type": "application/json",
                    "content-encoding": "gzip",
                },
            )
        heads = [{name.lower(): value for name, value in e["headers"]} for e in gateway.log()]
    assert answer.status_code == 200, answer.text
    assert [head.get("content-encoding") for head in heads] == [None, "gzip"]


def test_a_client_that_asks_itself_sees_the_refusal(tmp_path: Path) -> None:
    with proxied(tmp_path, "refused") as (proxy, _):
        assert stream(proxy, ASKING).status_code == 400


def test_asking_can_be_switched_off(tmp_path: Path) -> None:
    with proxied(tmp_path, "honoured", "ask_usage: false") as (proxy, gateway):
        answer = stream(proxy, CALL)
        assert "stream_options" not in gateway.log()[0]["body"]
        request, response = records_of(proxy, answer)
    assert request["sent"] is None
    assert response["usage"]["source"] == "counted"


def test_a_prompt_above_the_ceiling_is_refused_for_good(tmp_path: Path) -> None:
    with running_gateway(tmp_path / "gateway") as origin:
        (tmp_path / "foxora.yaml").write_text(
            f"gateway: {{base_url: {origin}/v1}}\n"
            "accounts: [{name: acme, key: {env: KEY}, limits: {tokens_per_minute: 500}}]\n"
        )
        with running_proxy(tmp_path, (), {"KEY": "foxora_sk_fake_usage"}) as proxy:
            long = {**CALL, "messages": [{"role": "user", "content": "word " * 3_000}]}
            refused = stream(proxy, long)
            fits = stream(proxy, {**CALL, "max_tokens": 100_000})
    assert refused.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert "ceiling of 500 tokens per minute" in refused.json()["error"]["message"]
    assert fits.status_code == 200

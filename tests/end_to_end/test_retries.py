"""Retries by the proxy: what may be other the next time, before the client has seen anything."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.gateways import Gateway, running_http_1
from tests.end_to_end.proxies import APP_KEY, Proxy, direct_client, running_proxy

pytestmark = pytest.mark.real_server

CONFIG = """
gateway: {retries: 2, response_timeout_seconds: 5}
accounts:
  - {name: acme, default: true, key: {env: FOXORA_API_KEY}, limits: {concurrent_requests: 1}}
"""
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_http_1(tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("patient")
    (folder / "foxora.yaml").write_text(CONFIG)
    with running_proxy(folder, (), environment_of(gateway)) as proxy:
        yield proxy


def environment_of(gateway: Gateway) -> dict[str, str]:
    return {"FOXORA_API_KEY": "foxora_sk_fake_retry", "FOXORA_BASE_URL": gateway.base_url}


def call(proxy: Proxy, path: str = "/chat/completions", **more: Any) -> httpx.Response:
    with direct_client() as client:
        headers = {"authorization": f"Bearer {APP_KEY}"}
        return client.post(f"{proxy.base_url}{path}", json={**CALL, **more}, headers=headers)


def record_of(proxy: Proxy, answer: httpx.Response) -> dict[str, Any]:
    (record,) = proxy.answer_records(answer.headers["x-foxora-exchange"])
    return record


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_call_is_sent_again_until_it_is_answered(
    patient: Proxy, gateway: Gateway, stream: bool
) -> None:
    gateway.reset()
    gateway.queue("status=503", "close-before-head")
    answer = call(patient, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-foxora-retries"] == "2"
    record = record_of(patient, answer)
    tries = [(each["status"], each["code"], each["source"]) for each in record["tries"]]
    assert tries == [
        (503, "unavailable", "gateway"),
        (None, "gateway_unreachable", "network"),
    ]
    assert record["outcome"] == "completed"
    assert 0 <= record["tries"][0]["after_ms"] <= record["tries"][1]["after_ms"]
    assert call(patient).headers.get("x-foxora-retries") is None


def test_the_last_failure_is_told_after_the_last_try(patient: Proxy, gateway: Gateway) -> None:
    gateway.reset()
    gateway.queue("status=503", "status=502", "close-before-head")
    answer = call(patient)
    assert (answer.status_code, answer.headers["x-foxora-retries"]) == (502, "2")
    assert answer.json()["error"]["code"] == "gateway_unreachable"
    assert len(record_of(patient, answer)["tries"]) == 2
    assert call(patient).status_code == 200


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_what_would_be_the_same_again_is_told_at_once(
    patient: Proxy, gateway: Gateway, status: int
) -> None:
    gateway.reset()
    gateway.queue(f"status={status}")
    answer = call(patient)
    assert answer.status_code == status
    assert "x-foxora-retries" not in answer.headers
    assert len(gateway.log()) == 1


def test_a_mute_gateway_is_not_asked_twice(patient: Proxy, gateway: Gateway) -> None:
    gateway.reset()
    gateway.queue("mute")
    answer = call(patient)
    assert answer.status_code == 504
    assert len(gateway.log()) == 1


def test_a_client_that_leaves_in_the_pause_ends_the_retries(
    patient: Proxy, gateway: Gateway
) -> None:
    gateway.reset()
    gateway.queue("status=503;retry-after=3")
    with direct_client() as client, pytest.raises(httpx.ReadTimeout):
        client.post(
            f"{patient.base_url}/chat/completions",
            json=CALL,
            headers={"authorization": f"Bearer {APP_KEY}"},
            timeout=1,
        )
    assert call(patient).status_code == 200
    outcomes = [r["outcome"] for r in patient.records() if r["event"] == "response"]
    assert outcomes[-2:] == ["client_disconnected", "completed"]


def test_a_429_is_tried_again_when_the_gateway_wants_it(patient: Proxy, gateway: Gateway) -> None:
    gateway.reset()
    gateway.queue("status=429;retry-after=1")
    started = time.monotonic()
    answer = call(patient)
    assert answer.status_code == 200
    assert time.monotonic() - started >= 1
    assert record_of(patient, answer)["tries"][0]["status"] == 429


NARROW = """
gateway: {retries: 5, exchange_timeout_seconds: 20}
limits: {on_limit: %s}
accounts:
  - {name: acme, default: true, key: {env: FOXORA_API_KEY}, limits: {requests_per_minute: %d}}
"""


@pytest.mark.parametrize("on_limit", ["refuse", "wait"])
def test_a_try_for_which_the_account_has_no_room_ends_as_the_gateway_has_answered(
    tmp_path: Path, gateway: Gateway, on_limit: str
) -> None:
    (tmp_path / "foxora.yaml").write_text(NARROW % (on_limit, 2))
    gateway.reset()
    gateway.queue(*["status=503"] * 9)
    with running_proxy(tmp_path, (), environment_of(gateway)) as proxy:
        answer = call(proxy)
        record = record_of(proxy, answer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["x-foxora-source"] == "gateway"
    assert answer.headers["x-foxora-retries"] == "1"
    assert len(gateway.log()) == 2
    assert (record["outcome"], record["source"]) == ("gateway_error", "gateway")
    assert [each["status"] for each in record["tries"]] == [503, 503]


@pytest.mark.parametrize("on_limit", ["refuse", "wait"])
def test_calls_that_the_gateway_puts_off_together_all_wait_for_their_turn(
    tmp_path: Path, gateway: Gateway, on_limit: str
) -> None:
    (tmp_path / "foxora.yaml").write_text(NARROW % (on_limit, 1_000))
    gateway.reset()
    gateway.queue(*["delay=1.5;status=429;retry-after=1"] * 4)
    with running_proxy(tmp_path, (), environment_of(gateway)) as proxy:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: call(proxy), range(4)))
        records = [record_of(proxy, answer) for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.headers["x-foxora-retries"] for answer in answers] == ["1"] * 4
    assert [[each["status"] for each in record["tries"]] for record in records] == [[429]] * 4
    assert len(gateway.log()) == 8

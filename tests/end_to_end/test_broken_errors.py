"""An error of the gateway whose body does not come whole is told by its head."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.gateways import Gateway, running_http_1
from tests.end_to_end.proxies import APP_KEY, Proxy, direct_client, running_proxy, wait_until

pytestmark = pytest.mark.real_server

CONFIG = "gateway: {retries: 1, response_timeout_seconds: 2}"
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
MUTE = "chunks=9;mute-after=1"
HOWS = pytest.mark.parametrize("how", ["cut-bytes=9", MUTE])
"""The connection ends within the body, or stays open and falls silent."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_http_1(tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Proxy]:
    with a_proxy(tmp_path_factory.mktemp("proxy"), gateway) as started:
        yield started


@contextlib.contextmanager
def a_proxy(folder: Path, gateway: Gateway, **more: str) -> Iterator[Proxy]:
    (folder / "foxora.yaml").write_text(CONFIG)
    environment = {
        "FOXORA_API_KEY": "foxora_sk_fake_broken",
        "FOXORA_BASE_URL": gateway.base_url,
        **more,
    }
    with running_proxy(folder, (), environment) as started:
        yield started


def call(proxy: Proxy, patience: float = 20) -> tuple[httpx.Response, dict[str, Any]]:
    """An answer, and its record; the client leaves after so many seconds of waiting."""
    with direct_client() as client:
        client.timeout = httpx.Timeout(patience)
        headers = {"authorization": f"Bearer {APP_KEY}"}
        answer = client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=headers)
    (record,) = proxy.answer_records(answer.headers["x-foxora-exchange"])
    return answer, record


@HOWS
def test_a_refusal_keeps_its_status_and_waiting_time_and_is_charged_nothing(
    proxy: Proxy, gateway: Gateway, how: str
) -> None:
    gateway.reset()
    gateway.queue(f"status=402;retry-after=7;{how}")
    answer, record = call(proxy)
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "payment_required")
    most = 5 if how == MUTE else 7  # it counts from the head
    assert int(answer.headers["retry-after"]) <= most
    assert answer.headers["x-foxora-source"] == "gateway"
    assert len(gateway.log()) == 1
    assert (record["status"], record["outcome"]) == (402, "gateway_error")
    assert record["usage"] is None


@HOWS
def test_one_that_may_pass_is_sent_again(proxy: Proxy, gateway: Gateway, how: str) -> None:
    gateway.reset()
    gateway.queue(f"status=503;{how}")
    answer, record = call(proxy)
    assert answer.status_code == 200
    tries = [(each["status"], each["code"], each["source"]) for each in record["tries"]]
    assert tries == [(503, "unavailable", "gateway")]


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_429_whose_client_leaves_before_its_body_is_there_closes_the_account(
    tmp_path: Path, gateway: Gateway, fast: str
) -> None:
    gateway.reset()
    gateway.queue(f"status=429;retry-after=3600;{MUTE}")
    with a_proxy(tmp_path, gateway, FOXORA_FAST=fast) as proxy:
        with pytest.raises(httpx.ReadTimeout):
            call(proxy, patience=1)
        wait_until(lambda: any(each["event"] == "response" for each in proxy.records()))
        (left,) = [each for each in proxy.records() if each["event"] == "response"]
        answer, _ = call(proxy)
    assert (answer.status_code, answer.headers["x-foxora-source"]) == (429, "addon")
    assert len(gateway.log()) == 1
    assert (left["outcome"], left["usage"]) == ("client_disconnected", None)


def test_a_429_closes_the_account(tmp_path: Path, gateway: Gateway) -> None:
    gateway.reset()
    gateway.queue("status=429;retry-after=3600;cut-bytes=9")
    with a_proxy(tmp_path, gateway) as proxy:
        answers = [call(proxy)[0] for _ in range(2)]
    assert [answer.status_code for answer in answers] == [429, 429]
    assert [answer.headers["x-foxora-source"] for answer in answers] == ["gateway", "addon"]
    assert answers[0].headers["retry-after"] == "3600"
    assert len(gateway.log()) == 1

"""Calls that are over a ceiling: refused, made to wait, or counted alone; with a real proxy."""

import gzip
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    calls_in_line,
    direct_client,
    http_2_client,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
KEY = "foxora_sk_fake_limits"


@contextmanager
def proxied(folder: Path, limits: str, figures: str, more: str = "") -> Iterator[Proxy]:
    """A proxy on a mock gateway of its own, with an account that has these figures."""
    with running_gateway(folder / "gateway") as origin:
        (folder / "foxora.yaml").write_text(
            f"gateway: {{base_url: {origin}/v1}}\n"
            f"limits: {{{limits}}}\n"
            "accounts:\n"
            f"  - {{name: acme, key: {{env: FOXORA_API_KEY}}, limits: {{{figures}}}{more}}}\n"
        )
        with running_proxy(folder, (), {"FOXORA_API_KEY": KEY}) as proxy:
            yield proxy


def call(proxy: Proxy, key: str = APP_KEY, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", **more.pop("headers", {})}
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/chat/completions", json={**CALL, **more}, headers=headers
        )


def test_a_refusal_says_when_to_come_back_in_every_form(tmp_path: Path) -> None:
    with proxied(tmp_path, "", "requests_per_minute: 3") as proxy:
        answers = [call(proxy) for _turn in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429]
    refused = answers[-1]
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    milliseconds = int(refused.headers["retry-after-ms"])
    seconds = int(refused.headers["retry-after"])
    assert 55_000 < milliseconds <= 60_300
    assert seconds == -(-milliseconds // 1000)
    assert (
        "Account 'acme' is at its limit of requests per minute: limit 3, used 3" in error["message"]
    )
    assert f"Please try again in {milliseconds // 1000}" in error["message"]
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_every_answer_says_what_is_left(tmp_path: Path) -> None:
    figures = "requests_per_minute: 50, tokens_per_minute: 9000"
    with proxied(tmp_path, "", figures) as proxy:
        answers = [
            call(proxy),
            call(proxy, stream=True),
            call(proxy, headers={"x-mock-fault": "status=503"}),
            call(proxy, headers={"x-mock-fault": "close-before-head"}),
            call(proxy, messages="wrong"),
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 503, 502, 400]
    for answer in answers[:-1]:
        assert answer.headers["x-ratelimit-limit-requests"] == "50"
        assert 40 <= int(answer.headers["x-ratelimit-remaining-requests"]) < 50
        assert answer.headers["x-ratelimit-limit-tokens"] == "9000"
        assert answer.headers["x-ratelimit-reset-tokens"].endswith("s")


def test_calls_that_wait_go_in_the_order_of_coming_when_room_is_freed(tmp_path: Path) -> None:
    with proxied(tmp_path, "on_limit: wait", "concurrent_requests: 1") as proxy:
        with ThreadPoolExecutor(3) as pool:
            waiting = []
            with open_stream(proxy):
                for turn in range(3):
                    waiting.append(pool.submit(call, proxy, user=f"turn {turn}"))
                    wait_until(lambda: calls_in_line(proxy) == len(waiting))
            answers = [future.result() for future in waiting]
        sent = [r for r in proxy.records() if r["event"] == "request"]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [r["body"].partition("turn ")[2][:1] for r in sent] == ["", "0", "1", "2"]
    assert sent[0]["decision"]["waited_ms"] == 0
    assert all(r["decision"]["waited_ms"] > 0 for r in sent[1:])


@contextmanager
def open_stream(proxy: Proxy) -> Iterator[None]:
    """A call that is open until its client leaves."""
    headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": "chunk-delay=30"}
    url, asked = f"{proxy.base_url}/chat/completions", {**CALL, "stream": True}
    with direct_client() as client, client.stream("POST", url, json=asked, headers=headers):
        yield


def test_a_wait_that_lasts_too_long_ends_in_429(tmp_path: Path) -> None:
    limits = "on_limit: wait, max_wait_seconds: 0.2"
    with proxied(tmp_path, limits, "concurrent_requests: 1") as proxy:
        with open_stream(proxy):
            refused = call(proxy)
        wait_until(lambda: "client_disconnected" in outcomes(proxy))
        assert call(proxy).status_code == 200
        records = proxy.answer_records(refused.headers["x-foxora-exchange"])
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert [r["outcome"] for r in records] == ["refused"]


@pytest.mark.parametrize("http_2", [False, True], ids=["http_1", "http_2"])
def test_a_client_that_leaves_gives_up_its_place_at_once(tmp_path: Path, http_2: bool) -> None:
    with (
        proxied(tmp_path, "on_limit: wait", "concurrent_requests: 1") as proxy,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(call, proxy, headers={"x-mock-fault": "delay=1.5"})
        wait_until(lambda: len(proxy.records()) >= 1)
        with pytest.raises(httpx.ReadTimeout):
            leave_early(proxy, http_2=http_2)
        wait_until(lambda: "client_disconnected" in outcomes(proxy))
        was_open = not slow.done()
        assert slow.result().status_code == 200
        assert call(proxy).status_code == 200
        records = proxy.records()
    assert was_open
    left = next(r for r in records if r.get("outcome") == "client_disconnected")
    assert left["source"] == "network"
    request = next(r for r in records if r["exchange"] == left["exchange"])
    assert request["decision"]["verdict"] == "refuse"
    assert request["decision"]["reason"] == "client_disconnected"
    assert json.loads(request["body"]) == CALL | {"user": "[redacted]"}
    assert request["decision"]["waited_ms"] > 0
    assert request["body_bytes"] > 0


def leave_early(proxy: Proxy, *, http_2: bool) -> None:
    client = http_2_client(proxy) if http_2 else direct_client()
    url = "https://api.openai.com/v1" if http_2 else proxy.base_url
    with client:
        client.post(
            f"{url}/chat/completions",
            content=gzip.compress(json.dumps(CALL | {"user": KEY}).encode()),
            headers={"authorization": f"Bearer {APP_KEY}", "content-encoding": "gzip"},
            timeout=0.4,
        )


def outcomes(proxy: Proxy) -> list[str]:
    return [record["outcome"] for record in proxy.records() if record["event"] == "response"]


def test_a_model_and_a_client_have_ceilings_below_their_accounts(tmp_path: Path) -> None:
    more = ", clients: [{name: batch, key: {env: BATCH_KEY}, limits: {requests_per_minute: 2}}]"
    figures = "requests_per_minute: 100, models: {gpt-4o: {requests_per_minute: 1}}"
    with running_gateway(tmp_path / "gateway") as origin:
        (tmp_path / "foxora.yaml").write_text(
            f"gateway: {{base_url: {origin}/v1}}\n"
            "accounts:\n"
            f"  - {{name: acme, default: true, key: {{env: KEY}}, limits: {{{figures}}}{more}}}\n"
        )
        keys = {"KEY": "foxora_sk_fake_limits", "BATCH_KEY": "sk-fake-batch-key"}
        with running_proxy(tmp_path, (), keys) as proxy:
            by_model = [call(proxy, model="gpt-4o") for _turn in range(2)]
            by_client = [call(proxy, "sk-fake-batch-key") for _turn in range(3)]
            others = call(proxy)
            records = proxy.records()
    assert [answer.status_code for answer in by_model] == [200, 429]
    assert "Model 'gpt-4o' of account 'acme'" in by_model[1].json()["error"]["message"]
    assert [answer.status_code for answer in by_client] == [200, 200, 429]
    assert "Client 'batch' of account 'acme'" in by_client[2].json()["error"]["message"]
    assert others.status_code == 200
    assert {r["client"]["name"] for r in records if r["event"] == "request"} == {None, "batch"}


def test_shadow_mode_refuses_nothing(tmp_path: Path) -> None:
    with proxied(tmp_path, "shadow: true", "requests_per_minute: 1") as proxy:
        assert [call(proxy).status_code for _turn in range(3)] == [200] * 3


def test_who_waits_as_shadow_mode_begins_goes_at_once_and_is_on_record(tmp_path: Path) -> None:
    with (
        proxied(tmp_path, "on_limit: wait", "concurrent_requests: 1") as proxy,
        ThreadPoolExecutor(3) as pool,
    ):
        slow = pool.submit(call, proxy, headers={"x-mock-fault": "delay=6"})
        wait_until(lambda: len(proxy.records()) >= 1)
        waiting = [pool.submit(call, proxy) for _turn in range(2)]
        wait_until(lambda: calls_in_line(proxy) == 2)
        file = tmp_path / "foxora.yaml"
        file.write_text(file.read_text().replace("limits: {", "limits: {shadow: true, ", 1))
        assert [each.result(timeout=5).status_code for each in waiting] == [200, 200]
        assert not slow.done()
        decisions = [r["decision"] for r in proxy.records() if r["event"] == "request"]
        assert slow.result().status_code == 200
    assert [each["verdict"] for each in decisions] == ["forward"] * 3
    assert all(each["waited_ms"] > 100 for each in decisions[1:])
    assert all("concurrent requests" in each["shadow"]["message"] for each in decisions[1:])


def test_ceilings_can_be_changed_while_calls_wait(tmp_path: Path) -> None:
    limits = "on_limit: wait, max_wait_seconds: 90"
    with (
        proxied(tmp_path, limits, "requests_per_minute: 1, tokens_per_minute: 100000") as proxy,
        ThreadPoolExecutor(1) as pool,
    ):
        assert call(proxy).status_code == 200
        waiting = pool.submit(call, proxy)
        wait_until(lambda: calls_in_line(proxy) == 1)
        file = tmp_path / "foxora.yaml"
        file.write_text(
            file.read_text().replace("requests_per_minute: 1,", "requests_per_minute: 9,")
        )
        assert waiting.result(timeout=15).status_code == 200


def test_a_call_that_waits_goes_to_the_gateway_that_it_came_for(tmp_path: Path) -> None:
    with (
        running_gateway(tmp_path / "another") as another,
        proxied(tmp_path, "on_limit: wait", "concurrent_requests: 1") as proxy,
        ThreadPoolExecutor(1) as pool,
    ):
        with open_stream(proxy):
            waiting = pool.submit(call, proxy)
            wait_until(lambda: calls_in_line(proxy) == 1)
            file = tmp_path / "foxora.yaml"
            file.write_text(re.sub("http://[^/]*", another, file.read_text()))
            wait_until(lambda: "the changed configuration is in force" in proxy.output)
        assert waiting.result().status_code == 200
        assert call(proxy).status_code == 200
        sent = [r["gateway_url"] for r in proxy.records() if r["event"] == "request"]
    assert sent[0] == sent[1]
    assert sent[2].startswith(another)


def test_a_stream_that_says_more_than_was_expected_holds_it_while_it_goes_on(
    tmp_path: Path,
) -> None:
    headers = {
        "authorization": f"Bearer {APP_KEY}",
        "x-mock-fault": "words=1500; chunk_delay=0.002",
    }
    with proxied(tmp_path, "", "tokens_per_minute: 9000") as proxy, direct_client() as client:

        def used() -> tuple[int, int]:
            standing = client.get(f"http://127.0.0.1:{proxy.port}/_foxora/limits").json()
            account = standing["accounts"][0]
            return account["concurrent"]["used"], account["tokens"]["used"]

        url = f"{proxy.base_url}/chat/completions"
        seen = []
        with client.stream("POST", url, json={**CALL, "stream": True}, headers=headers) as answer:
            for number, _ in enumerate(answer.iter_lines()):
                if number % 100 == 0:
                    seen.append(used())
        while_open = [tokens for is_open, tokens in seen if is_open]
        wait_until(lambda: not used()[0], lambda: f"{used()} of {while_open}")
        _, finally_used = used()
        assert while_open == sorted(while_open)
        assert while_open[0] < 400
        assert 0.5 < while_open[-1] / finally_used < 1.4

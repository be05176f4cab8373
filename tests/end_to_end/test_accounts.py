"""Ceilings that the gateway tells of by GET /v1/me, with a real proxy and a real gateway."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from foxora_addon.audit.state import path_beside
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

KEY = "foxora_sk_fake_accounts"
SECOND_KEY = "foxora_sk_fake_second"
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
GATEWAY = f"""
accept_any_key: false
window: sliding
accounts:
  - {{name: acme, keys: [{KEY}, {SECOND_KEY}], requests_per_minute: 5, tokens_per_minute: 100000}}
"""


@contextmanager
def proxied(
    folder: Path, settings: str = "", gateway: str = GATEWAY
) -> Iterator[tuple[Proxy, str]]:
    with running_gateway(folder / "gateway", gateway) as origin:
        (folder / "foxora.yaml").write_text(settings)
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": f"{origin}/v1"}
        with running_proxy(folder, (), environment) as proxy:
            yield proxy, origin


def call(proxy: Proxy, key: str = APP_KEY) -> httpx.Response:
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/chat/completions",
            json=CALL,
            headers={"authorization": f"Bearer {key}"},
        )


def seen_by(origin: str) -> list[tuple[str, int]]:
    """Path and status of what the gateway received, once it has answered all of it."""
    with direct_client() as client:
        wait_until(lambda: all(e["status"] for e in client.get(f"{origin}/_mock/log").json()))
        return [(e["path"], e["status"]) for e in client.get(f"{origin}/_mock/log").json()]


def test_the_first_call_is_held_to_ceilings_that_the_gateway_tells(tmp_path: Path) -> None:
    with proxied(tmp_path) as (proxy, origin):
        answers = [call(proxy) for _turn in range(6)]
        seen = seen_by(origin)
    # One of the five requests is the proxy's own question.
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert answers[4].headers["x-foxora-source"] == "addon"
    assert "limit 5" in answers[4].json()["error"]["message"]
    assert [status for _, status in seen] == [200] * 5
    assert [target for target, _ in seen].count("/v1/me") == 1


def test_two_keys_of_one_account_that_pass_share_its_ceiling(tmp_path: Path) -> None:
    settings = "intercept: {unclaimed_keys: pass}\naccounts: [{name: other, key: {env: OTHER}}]\n"
    with running_gateway(tmp_path / "gateway", GATEWAY) as origin:
        (tmp_path / "foxora.yaml").write_text(settings)
        environment = {"OTHER": "foxora_sk_fake_other", "FOXORA_BASE_URL": f"{origin}/v1"}
        with running_proxy(tmp_path, (), environment) as proxy:
            first = [call(proxy, KEY).status_code for _turn in range(2)]
            second = [call(proxy, SECOND_KEY).status_code for _turn in range(2)]
            records = proxy.records()
        seen = seen_by(origin)
    # Two questions, one for each key, and three calls fill the five requests.
    assert (first, second) == ([200, 200], [200, 429])
    assert 429 not in {status for _, status in seen}
    names = {record["account"] for record in records}
    assert len(names) == 1
    assert str(names.pop()).startswith("usr_")


ONE_ACCOUNT_TWICE = """
intercept: {{unclaimed_keys: pass}}
accounts:
  - {{name: acme, default: true, key: {{env: KEY}}, limits: {{requests_per_minute: {acme}}}}}
  - {{name: lab, key: {{env: SECOND_KEY}}, limits: {{requests_per_minute: {lab}}}}}
"""


def test_two_accounts_that_are_one_are_held_to_the_tighter_figure(tmp_path: Path) -> None:
    gateway = GATEWAY.replace("requests_per_minute: 5", "requests_per_minute: 60")
    with running_gateway(tmp_path / "gateway", gateway) as origin:
        settings = tmp_path / "foxora.yaml"
        settings.write_text(ONE_ACCOUNT_TWICE.format(acme=40, lab=8))
        environment = {"KEY": KEY, "SECOND_KEY": SECOND_KEY, "FOXORA_BASE_URL": f"{origin}/v1"}
        with running_proxy(tmp_path, (), environment) as proxy:
            wait_until(lambda: "tighter holds: 8 requests per minute" in proxy.output)
            answers = [call(proxy, (KEY, SECOND_KEY)[turn % 2]) for turn in range(9)]
            first = len(seen_by(origin))  # calls, and questions of the proxy's
            settings.write_text(ONE_ACCOUNT_TWICE.format(acme=10, lab=50))
            wait_until(lambda: "tighter holds: 10 requests per minute" in proxy.output)
            answers += [call(proxy, (SECOND_KEY, KEY)[turn % 2]) for turn in range(3)]
            said = proxy.output.count("are one account at the gateway")
        seen = seen_by(origin)
    refused = [answer.json()["error"]["message"] for answer in answers if answer.is_error]
    assert "'acme' and 'lab' are one account" in proxy.output
    assert said == 2
    assert (first, len(seen)) == (8, 10)
    assert {"limit 8" in each for each in refused[:3]} == {True}
    assert "limit 10, used 10" in refused[-1]


PAUSED = [{"path": "/v1/chat/completions", "status": 429, "headers": {"retry-after": "120"}}]


def test_a_pause_and_the_spend_of_accounts_that_are_one_outlive_a_kill(tmp_path: Path) -> None:
    with running_gateway(
        tmp_path / "gateway", GATEWAY.replace("minute: 5", "minute: 60")
    ) as origin:
        (tmp_path / "foxora.yaml").write_text(ONE_ACCOUNT_TWICE.format(acme=40, lab=40))
        environment = {"KEY": KEY, "SECOND_KEY": SECOND_KEY, "FOXORA_BASE_URL": f"{origin}/v1"}
        with running_proxy(tmp_path, (), environment) as proxy:
            wait_until(lambda: "are one account at the gateway" in proxy.output)
            wait_until(lambda: "/v1/models" in {path for path, _ in seen_by(origin)})
            wait_until(lambda: kept_beside(proxy.trail).count('"usr_') == 2)  # within a second
            assert [call(proxy, key).status_code for key in (KEY, SECOND_KEY)] == [200] * 2
            before = balances(proxy)
            with direct_client() as client:
                client.post(f"{origin}/_mock/faults", json=PAUSED).raise_for_status()
            assert call(proxy, SECOND_KEY).headers["x-foxora-source"] == "gateway"
            os.kill(proxy.pid, signal.SIGKILL)
        with direct_client() as client:
            client.post(f"{origin}/_mock/faults", json=[{"path": "/v1/me", "mute": True}] * 4)
        with running_proxy(tmp_path, (), environment) as proxy:
            after = balances(proxy)
            refused = [call(proxy, key) for key in (KEY, SECOND_KEY)]
    assert before[0] > 0
    assert after == before == [before[0]] * 2
    assert [answer.headers["x-foxora-source"] for answer in refused] == ["addon"] * 2
    assert 60 < min(int(answer.headers["retry-after"]) for answer in refused) <= 120


def kept_beside(trail: Path) -> str:
    """The text of the state file."""
    state = path_beside(trail)
    return state.read_text() if state.exists() else ""


def balances(proxy: Proxy) -> list[float]:
    """What each account has spent, in US dollars."""
    with direct_client() as client:
        accounts = client.get(f"{proxy.url}/_foxora/limits").json()["accounts"]
    return [account["spend"]["used_usd"] for account in accounts]


def test_a_mute_gateway_holds_the_first_call_for_two_seconds_and_nothing_is_enforced(
    tmp_path: Path,
) -> None:
    with running_gateway(tmp_path / "gateway") as origin:
        with direct_client() as client:
            client.post(f"{origin}/_mock/faults", json=["path=/v1/me;mute"])
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": f"{origin}/v1"}
        with running_proxy(tmp_path, (), environment) as proxy:
            answers = [call(proxy) for _turn in range(2)]
            said = proxy.output  # before the question has failed
            first, second = (r for r in proxy.records() if r["event"] == "response")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert said.count("has not answered GET /me yet; no ceiling of requests per minute and") == 1
    assert first["duration_ms"] < 4_000
    assert second["duration_ms"] < first["duration_ms"]


def test_what_is_unknown_is_said_in_the_log_with_a_remedy(tmp_path: Path) -> None:
    gateway = "accept_any_key: false\naccounts: [{name: acme, keys: [nobodys]}]\n"
    with proxied(tmp_path, gateway=gateway) as (proxy, _):
        wait_until(lambda: "in vain" in proxy.output)
        line = next(line for line in proxy.output.splitlines() if "in vain" in line)
    assert "account 'default'" in line
    assert "it does not accept the account's key (status 401)" in line
    assert "no ceiling of requests per minute and tokens per minute is known" in line
    assert "name its plan, or give it limits, in foxora.yaml" in line
    assert KEY not in proxy.output


def test_a_gateway_that_lacks_the_route_is_told_of_with_what_its_url_ends_in(
    tmp_path: Path,
) -> None:
    with running_gateway(tmp_path / "gateway", GATEWAY) as origin:
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": origin}
        with running_proxy(tmp_path, (), environment) as proxy:
            wait_until(lambda: "in vain" in proxy.output)
            line = next(line for line in proxy.output.splitlines() if "in vain" in line)
    assert "it answered with status 404 (check gateway.base_url: as a rule it ends in /v1)" in line

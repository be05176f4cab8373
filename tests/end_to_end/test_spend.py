"""Monthly caps, costs on record, and what a restart remembers, with a real proxy and gateway."""

import json
import os
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    arguments,
    clean_environment,
    direct_client,
    free_port,
    running_gateway,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

KEY = "foxora_sk_fake_spend"
CALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something."}]}
GATEWAY = f"""
accept_any_key: false
accounts: [{{name: acme, keys: [{KEY}], monthly_spend_cap_usd: 0.01, requests_per_minute: 200}}]
"""


def call(proxy: Proxy, **more: Any) -> httpx.Response:
    with direct_client() as client:
        return client.post(
            f"{proxy.base_url}/chat/completions",
            json={**CALL, **more},
            headers={"authorization": f"Bearer {APP_KEY}"},
        )


def answers_of(proxy: Proxy) -> list[dict[str, Any]]:
    return [record for record in proxy.records() if record["event"] == "response"]


def test_a_call_costs_what_its_tokens_cost(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as proxy:
        wait_until(lambda: call(proxy).is_success and answers_of(proxy)[-1]["cost_usd"] is not None)
        record = answers_of(proxy)[-1]
    usage = record["usage"]
    cost = Decimal("0.0025") * usage["input_tokens"] + Decimal("0.01") * usage["output_tokens"]
    assert Decimal(str(record["cost_usd"])) == cost / 1000


def test_a_cap_that_the_gateway_tells_is_kept_before_anything_leaves(tmp_path: Path) -> None:
    with running_gateway(tmp_path / "gateway", GATEWAY) as origin:
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": f"{origin}/v1"}
        with running_proxy(tmp_path, (), environment) as proxy:
            answers = [call(proxy, max_tokens=200) for _turn in range(40)]
        with direct_client() as client:
            statuses = [e["status"] for e in client.get(f"{origin}/_mock/log").json()]
    refused = [answer for answer in answers if answer.status_code == 402]
    assert refused
    assert answers[0].status_code == 200
    assert refused[0].json()["error"]["code"] == "spend_limit_reached"
    assert refused[0].headers["x-should-retry"] == "false"
    assert refused[0].headers["x-foxora-source"] == "addon"
    assert "cap $0.01" in refused[0].json()["error"]["message"]
    assert 402 not in statuses


def started(folder: Path, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "output.log").open("wb") as output:
        return subprocess.Popen(
            arguments(folder, port),
            cwd=folder,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_a_kill_forgets_neither_the_minute_nor_the_month(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text(
        "accounts: [{name: acme, key: {env: FOXORA_API_KEY}, limits: {requests_per_minute: 6}}]\n"
        "prices: {gpt-4o: {input_per_1k_usd: 0.0025, output_per_1k_usd: 0.01}}\n"
    )
    with running_gateway(tmp_path / "gateway") as origin:
        environment = {"FOXORA_API_KEY": KEY, "FOXORA_BASE_URL": f"{origin}/v1"}
        proxy = Proxy(free_port(), tmp_path)
        process = started(tmp_path, proxy.port, environment)
        try:
            wait_until(lambda: serves(proxy))
            before = [call(proxy).status_code for _turn in range(4)]
            spent = sum(Decimal(str(r["cost_usd"] or 0)) for r in answers_of(proxy))
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        with running_proxy(tmp_path, (), environment, port=proxy.port) as again:
            after = [call(again).status_code for _turn in range(4)]
            with direct_client() as client:
                standing = client.get(f"{again.url}/_foxora/limits").json()["accounts"][0]
    assert (before, after) == ([200] * 4, [200] * 2 + [429] * 2)
    assert Decimal(str(standing["spend"]["used_usd"])) > spent > 0
    state = json.loads((tmp_path / "trail.jsonl.state.json").read_text())
    assert Decimal(state["accounts"]["acme"]["spent_usd"]) > spent


def serves(proxy: Proxy) -> bool:
    if "OPENAI_BASE_URL=" not in proxy.output:
        time.sleep(0.05)
        return False
    try:
        with direct_client() as client:
            return client.get(f"{proxy.url}/").status_code == 404
    except httpx.TransportError:
        return False

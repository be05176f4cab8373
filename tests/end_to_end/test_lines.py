"""What mitmdump prints and what it is asked: a line an exchange, and answers to this machine."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from foxora_addon.app.script_argv import SCRIPT
from tests.end_to_end.programs import program
from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    arguments,
    clean_environment,
    direct_client,
    free_port,
    running_command,
    running_decoy,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

MOST_CALLS = 5_000
BEARER = {"Authorization": f"Bearer {APP_KEY}"}
CALL: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi."}]}


def call(proxy: Proxy, body: Any = CALL) -> httpx.Response:
    with direct_client() as client:
        return client.post(f"{proxy.base_url}/chat/completions", json=body, headers=BEARER)


def lines_with(proxy: Proxy, text: str) -> list[str]:
    return [line for line in proxy.output.splitlines() if text in line]


def line_of(proxy: Proxy, answer: httpx.Response) -> str:
    """The one line that is printed for an exchange."""
    head = answer.headers["x-foxora-exchange"][:11]
    wait_until(lambda: bool(lines_with(proxy, head)), lambda: proxy.output)
    (line,) = lines_with(proxy, head)
    return line


def test_each_exchange_is_one_plain_line_in_place_of_mitmdumps_own(proxy: Proxy) -> None:
    line = line_of(proxy, call(proxy))
    assert "default" in line
    assert "gpt-4o-mini" in line
    assert "200 completed" in line
    assert "tokens" in line
    assert "\x1b" not in line
    refused = line_of(proxy, call(proxy, {}))
    assert "400 refused invalid_request" in refused
    assert not lines_with(proxy, "/v1/chat/completions")
    assert not lines_with(proxy, "client connect")


def test_a_stream_is_one_line_too(proxy: Proxy) -> None:
    assert "200 completed" in line_of(proxy, call(proxy, {**CALL, "stream": True}))
    assert not lines_with(proxy, "Streaming response")


def test_other_traffic_keeps_mitmdumps_own_lines(proxy: Proxy) -> None:
    with running_decoy() as other, httpx.Client(proxy=proxy.url, trust_env=False) as client:
        assert client.get(f"http://127.0.0.1:{other.port}/page").text == "decoy"
        wait_until(lambda: bool(lines_with(proxy, f"GET http://127.0.0.1:{other.port}/page")))


def test_who_wants_another_flow_detail_gets_mitmdumps_own_output(tmp_path: Path) -> None:
    with running_proxy(tmp_path, [*ON_MOCK, "--flow-detail", "2"]) as proxy:
        call(proxy)
        wait_until(lambda: bool(lines_with(proxy, "/v1/chat/completions")))
        assert not lines_with(proxy, "200 completed")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_an_output_that_is_full_keeps_nothing_from_being_closed(tmp_path: Path) -> None:
    program = shlex.join([*arguments(tmp_path, port := free_port()), *ON_MOCK])
    # Unbuffered, mitmproxy itself would leave at the first line of its log.
    command = ["/bin/sh", "-c", f"unset PYTHONUNBUFFERED; exec {program} >/dev/full"]
    with running_command(command, tmp_path, port), direct_client() as client:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        calls = [client.post(url, json=CALL, headers=BEARER) for _ in range(3)]
        assert [call.status_code for call in calls] == [200] * 3
    head = json.loads((tmp_path / "trail.jsonl.head").read_bytes())
    records = (tmp_path / "trail.jsonl").read_bytes().splitlines()
    assert (head["seq"], head["open"]) == (len(records), {})
    assert (tmp_path / "trail.jsonl.state.json").exists()


SPY = """
import threading
from pathlib import Path

class Spy:
    def response(self, flow):
        names = [each.name for each in threading.enumerate() if each.name.startswith("foxora-")]
        Path("threads").write_text(" ".join(names))

addons = [Spy()]
"""


@pytest.mark.parametrize("fast", ["false", "true"])
def test_a_script_that_is_loaded_anew_prints_each_line_once_in_order_and_by_one_thread(
    tmp_path: Path, fast: str
) -> None:
    script = tmp_path / "script.py"
    shutil.copy(SCRIPT, script)
    edited = script.stat().st_mtime
    (tmp_path / "spy.py").write_text(SPY)
    options = (*ON_MOCK, "-s", str(tmp_path / "spy.py"))
    called = []
    with running_proxy(tmp_path, options, {"FOXORA_FAST": fast}, str(script)) as proxy:
        for turn in range(1, 4):
            loaded = len(lines_with(proxy, f"Loading script {script}"))
            os.utime(script, (edited + turn, edited + turn))
            while len(lines_with(proxy, f"Loading script {script}")) == loaded:
                called.append(call(proxy))
                assert len(called) < MOST_CALLS, proxy.output
            called += [call(proxy) for _ in range(5)]
        line_of(proxy, called[-1])
        heads = [line.split()[-1] for line in lines_with(proxy, " completed ")]
    threads = (tmp_path / "threads").read_text().split()
    assert "foxora-lines" in threads
    assert len(threads) == len(set(threads))
    assert [answer.status_code for answer in called] == [200] * len(called)
    assert heads == [answer.headers["x-foxora-exchange"][:11] for answer in called]


def test_a_filter_of_mitmdump_holds_for_our_lines(tmp_path: Path) -> None:
    with running_proxy(tmp_path, [*ON_MOCK, "~c 400"]) as proxy:
        passing = call(proxy).headers["x-foxora-exchange"][:11]
        line_of(proxy, call(proxy, {}))
        assert not lines_with(proxy, passing)


@pytest.fixture
def saving(tmp_path: Path) -> Any:
    with running_proxy(tmp_path, [*ON_MOCK, "-w", str(tmp_path / "flows")]) as proxy:
        yield proxy


def test_the_proxys_own_answers_are_no_exchanges_and_no_flows(saving: Proxy) -> None:
    call(saving)
    with direct_client() as client:
        status = client.get(f"{saving.url}/_foxora/status").json()
        totals = client.get(f"{saving.url}/_foxora/totals").json()
        (account,) = client.get(f"{saving.url}/_foxora/limits").json()["accounts"]
    assert (status["url"], status["trail"]) == (saving.url, str(saving.trail))
    assert (totals["calls"], totals["open"]) == (1, 0)
    assert account["account"] == "default"
    assert account["requests"]["used"] >= 1  # the addon's own questions to the gateway count too
    assert APP_KEY not in json.dumps([status, totals, account])
    assert len(saving.records()) == 2
    assert b"_foxora" not in (saving.folder / "flows").read_bytes()
    assert not lines_with(saving, "_foxora")


def test_the_proxys_own_answers_are_not_for_web_pages(proxy: Proxy) -> None:
    with direct_client() as client:
        url = f"{proxy.url}/_foxora/limits"
        assert client.get(url, headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.get(url, headers={"Host": "evil.example"}).status_code == 403
        assert client.post(url, content=b"x" * 100_000).status_code == 404
        assert client.get(url).status_code == 200


def test_the_proxys_own_answers_come_over_http_2_too(proxy: Proxy) -> None:
    curl = program("curl")
    target = f"https://localhost:{proxy.port}/_foxora/status"
    said = subprocess.run(
        [curl, "-sS", "--http2", "--cacert", proxy.certificate, "-w", "\n%{http_version}", target],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    body, _, version = said.stdout.rpartition("\n")
    assert json.loads(body)["takes_calls"] is True
    assert version == "2"

"""A handful of crashes, of which `scripts/crash-test` makes as many as one likes; and SIGHUP."""

import signal
from pathlib import Path

import pytest

from foxora_addon.audit.verification import verify
from tests.end_to_end.crashes import CONFIGURATION, mortal, rounds
from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    arguments,
    direct_client,
    free_port,
    wait_until,
)
from tests.end_to_end.runs import started


@pytest.mark.real_server
@pytest.mark.timeout(300)
def test_killed_under_load_it_leaves_a_trail_that_keeps_its_promises(tmp_path: Path) -> None:
    found = list(rounds(tmp_path, 5, seed=1))
    assert [round_.report.problem for round_ in found] == [None] * 5
    assert sum(round_.finished for round_ in found) > 20


@pytest.mark.real_server
def test_at_sighup_the_trail_is_opened_anew_and_goes_on(tmp_path: Path) -> None:
    configuration = CONFIGURATION.format(sync="each", compress="none")
    (tmp_path / "foxora.yaml").write_text(configuration)
    proxy = Proxy(free_port(), tmp_path)
    call = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}
    headers = {"authorization": f"Bearer {APP_KEY}"}
    with mortal(proxy) as process, direct_client() as client:
        for number in range(3):
            answer = client.post(f"{proxy.base_url}/chat/completions", json=call, headers=headers)
            assert answer.status_code == 200, answer.text
            if number < 2:
                proxy.trail.rename(tmp_path / f"trail.jsonl.{2 - number}")
                process.send_signal(signal.SIGHUP)
                wait_until(proxy.trail.exists, lambda: proxy.output)
        process.terminate()
        process.wait(20)
    report = verify(proxy.trail)
    assert (report.problem, report.records, report.segments) == (None, 6, 3)


@pytest.mark.real_server
def test_a_sighup_as_the_proxy_starts_to_listen_does_not_end_it(tmp_path: Path) -> None:
    line = [*arguments(tmp_path, free_port()), *ON_MOCK]
    with started(line, tmp_path) as process:
        assert process.stdout is not None
        assert any(" listening at " in line for line in process.stdout)
        process.send_signal(signal.SIGHUP)
        assert any("foxora: OPENAI_BASE_URL=" in line for line in process.stdout)

"""Two `run` in one folder: a trail has one writer, so the second uses the proxy of the first."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foxora_addon.audit.journal import Journal
from tests.end_to_end.proxies import free_port, running_proxy, wait_until
from tests.end_to_end.runs import (
    PYTHON_APP,
    SECONDS,
    is_open,
    port_in,
    records,
    run,
    run_line,
    started,
    wait_for_notice,
)

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_live_obviously-fake-0123"

CALLS_WHEN_TOLD = """
import os, pathlib, sys, time
from openai import OpenAI
go = pathlib.Path(sys.argv[1])
print(os.environ["OPENAI_BASE_URL"], flush=True)
while not go.exists():
    time.sleep(0.02)
with OpenAI(max_retries=0) as client:
    hello = [{"role": "user", "content": "Who is it?"}]
    client.chat.completions.create(model="gpt-4o-mini", messages=hello)
print("answered", flush=True)
"""


def waiting_app(folder: Path, name: str, *options: str) -> list[str]:
    """A run whose app makes its call once there is a file of this name."""
    command = [sys.executable, "-c", CALLS_WHEN_TOLD, str(folder / name)]
    return run_line(folder, *options, command=command)


def told_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextlib.contextmanager
def one_that_waits(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A first run, whose app makes its call in the end, and gets its answer."""
    with started(waiting_app(folder, "go", *options), folder) as first:
        told_by(first)
        wait_for_notice(folder)
        yield first
        (folder / "go").touch()
        assert told_by(first) == "answered"
        assert first.wait(SECONDS) == 0


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_second_run_joins_the_firsts_proxy_which_stays_until_both_are_done(
    tmp_path: Path, *, is_killed: bool
) -> None:
    with started(waiting_app(tmp_path, "first"), tmp_path) as first:
        url = told_by(first)
        port = port_in(url)
        with started(waiting_app(tmp_path, "second"), tmp_path) as second:
            assert told_by(second) == url
            if is_killed:
                first.kill()
            (tmp_path / "first").touch()
            assert told_by(first) == "answered"  # killed or not: its app has the proxy still
            assert first.wait(SECONDS) == (-signal.SIGKILL if is_killed else 0)
            assert is_open(port)
            (tmp_path / "second").touch()
            assert told_by(second) == "answered"
            assert second.wait(SECONDS) == 0
            assert second.stderr is not None
            using, calls = second.stderr.read().splitlines()
    assert f"using the proxy that writes {tmp_path / 'trail.jsonl'}: " in using
    assert calls.endswith("(of all clients of this proxy in that time)")
    wait_until(lambda: not is_open(port), lambda: "the proxy is left behind")
    assert [record["event"] for record in records(tmp_path)] == ["request", "response"] * 2
    assert not list((tmp_path / "confdir").glob("foxora-proxy-*"))


@pytest.mark.parametrize("count", [2, 5])
def test_those_that_start_at_once_have_one_proxy(tmp_path: Path, count: int) -> None:
    with contextlib.ExitStack() as stack:
        line = waiting_app(tmp_path, "go")
        processes = [stack.enter_context(started(line, tmp_path)) for _ in range(count)]
        assert len({told_by(process) for process in processes}) == 1
        (tmp_path / "go").touch()
        for process in processes:
            assert told_by(process) == "answered"
            assert process.wait(SECONDS) == 0
    assert [record["event"] for record in records(tmp_path)].count("response") == count


def test_a_second_run_with_another_key_does_not_spend_the_firsts(tmp_path: Path) -> None:
    with one_that_waits(tmp_path):
        other = run(tmp_path, command=["echo", "ran"], FOXORA_API_KEY=FOXORA_KEY)
        asked = run(tmp_path, "-p", str(free_port()), command=["echo", "ran"])
    assert (other.stdout, other.returncode) == ("", 1)
    assert "has another configuration or key: http://127.0.0.1:" in other.stderr
    assert (asked.stdout, asked.returncode) == ("", 1)
    assert "can't be given -p " in asked.stderr


WEB = ("--web", "--no-web-open-browser")


def test_two_with_mitmweb_have_one_page(tmp_path: Path) -> None:
    with one_that_waits(tmp_path, *WEB) as first:
        second = run(tmp_path, *WEB, command=["echo", "ran"])
        assert first.stderr is not None
        page = first.stderr.readline()
    assert (second.stdout, second.returncode) == ("ran\n", 0)
    assert page.startswith("foxora-proxy: mitmweb: http://127.0.0.1:")
    assert page in second.stderr


def test_one_without_mitmweb_is_no_page_for_another(tmp_path: Path) -> None:
    with one_that_waits(tmp_path):
        second = run(tmp_path, *WEB, command=["echo", "ran"])
    assert (second.stdout, second.returncode) == ("", 1)
    assert "can't be given --web" in second.stderr


def test_a_trail_whose_writer_lets_nobody_in_is_told_in_a_line(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "trail.jsonl", wall_clock=lambda: 0.0)
    try:
        done = run(tmp_path, command=["echo", "ran"])
    finally:
        journal.close()
    assert (done.stdout, done.returncode) == ("", 1)
    waiting, why = done.stderr.splitlines()
    assert "waiting for it to end" in waiting
    assert f"the trail {tmp_path / 'trail.jsonl'} is written by another program" in why


def test_a_proxy_that_runs_in_the_folder_is_used_without_being_named(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as proxy:
        wait_for_notice(tmp_path)
        done = run(tmp_path, command=[sys.executable, "-c", PYTHON_APP])
        assert f"using the proxy that writes {proxy.trail}: {proxy.url}" in done.stderr
        assert done.returncode == 0
        assert proxy.is_listening()


def test_the_notice_of_a_proxy_is_its_users_alone_and_has_no_key(tmp_path: Path) -> None:
    environment = {"FOXORA_API_KEY": FOXORA_KEY}
    with running_proxy(tmp_path, environment=environment):
        notice = wait_for_notice(tmp_path)
        assert notice.stat().st_mode & 0o077 == 0
        assert FOXORA_KEY not in notice.read_text()


def test_a_notice_that_a_kill_left_behind_leads_nobody_astray(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as proxy:
        wait_for_notice(tmp_path)
        os.kill(proxy.pid, signal.SIGKILL)
        wait_until(lambda: not proxy.is_running())
        done = run(tmp_path, command=[sys.executable, "-c", PYTHON_APP])
        assert done.returncode == 0
        assert "using the proxy" not in done.stderr
        assert "2 calls" in done.stderr

"""Kills a proxy under load again and again, and holds its trail to what it promises each time.

`kill -9` at a random moment; then the trail must verify, have the request record of every exchange
that a client was answered in, and the response record of every answer that had come to its end. At
the next start what was open is ended as aborted.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx

from foxora_addon.audit.verification import Report, verify
from tests.builders import records_of
from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    arguments,
    clean_environment,
    free_port,
    wait_until,
)

CONFIGURATION = """
accounts:
  - {{name: default, key: {{env: FOXORA_API_KEY}}, limits: {{requests_per_minute: 1000000}}}}
audit: {{path: trail.jsonl, sync: {sync}, rotate_bytes: 150000, compress: {compress}}}
"""
CLIENTS = 4


@dataclass
class Load:
    """What the clients of one round were told."""

    is_over: Event = field(default_factory=Event)
    answered: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round left behind."""

    report: Report
    finished: int
    aborted: int


def rounds(folder: Path, count: int, seed: int) -> Iterator[Round]:
    """Kill a proxy `count` times, over one trail; AssertionError where a promise is broken."""
    chance = random.Random(seed)
    path = folder / "trail.jsonl"
    for number in range(count):
        sync = chance.choice(["none", "interval", "each"])
        compress = chance.choice(["zstd", "none"])
        (folder / "foxora.yaml").write_text(CONFIGURATION.format(sync=sync, compress=compress))
        before = verify(path).open if path.exists() else ()
        load = _one_life(folder, chance.uniform(0.05, 1.2), chance)
        report = verify(path)
        assert report.problem is None, f"round {number}, seed {seed}: {report.problem}"
        events: dict[str, list[str]] = {}
        aborted = set()
        for record in records_of(path):
            events.setdefault(record["exchange"], []).append(record["event"])
            if record.get("outcome") == "aborted":
                aborted.add(record["exchange"])
        assert all(exchange in events for exchange in load.answered), f"round {number}: lost"
        ended = {exchange for exchange in load.finished if len(events[exchange]) == 2}
        assert load.finished - ended <= set(report.open), f"round {number}: lost"
        assert len(load.finished - ended) <= CLIENTS
        assert set(before) <= aborted, f"round {number}: open for ever"
        yield Round(report, len(load.finished), len(before))


def _one_life(folder: Path, seconds: float, chance: random.Random) -> Load:
    proxy = Proxy(free_port(), folder)
    load = Load()
    threads = [
        Thread(target=_call, args=(proxy, load, chance.random()), daemon=True)
        for _ in range(CLIENTS)
    ]
    with mortal(proxy) as process:
        for thread in threads:
            thread.start()
        wait_until(lambda: bool(load.finished), lambda: f"no answer: {proxy.output}")
        time.sleep(seconds)  # the moment of the crash is chance
        process.send_signal(signal.SIGKILL)
        process.wait()
    load.is_over.set()
    for thread in threads:
        thread.join(20)
    return load


@contextlib.contextmanager
def mortal(proxy: Proxy) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy that serves, configured by its folder, as a process to send signals to."""
    command: Sequence[str] = [*arguments(proxy.folder, proxy.port), *ON_MOCK]
    with (proxy.folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=proxy.folder,
            env=clean_environment(FOXORA_API_KEY="foxora_sk_test_obviously-fake"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "OPENAI_BASE_URL=" in proxy.output, lambda: proxy.output)
        yield process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _call(proxy: Proxy, load: Load, seed: float) -> None:
    chance = random.Random(seed)
    headers = {"authorization": f"Bearer {APP_KEY}"}
    url = f"{proxy.base_url}/chat/completions"
    with httpx.Client(trust_env=False, timeout=10, headers=headers) as client:
        while not load.is_over.is_set():
            call = {
                "model": "gpt-4o-mini",
                "stream": chance.random() < 0.5,
                "messages": [{"role": "user", "content": "word " * chance.randrange(1, 400)}],
            }
            with contextlib.suppress(httpx.HTTPError):
                with client.stream("POST", url, json=call) as answer:
                    exchange = answer.headers.get("x-foxora-exchange", "")
                    if exchange:
                        load.answered.add(exchange)
                    answer.read()
                if exchange:
                    load.finished.add(exchange)

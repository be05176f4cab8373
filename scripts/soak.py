"""Mixed traffic with random faults, for a long time: nothing may leak, and nothing go unanswered.

Run by scripts/soak. All traffic stays on this machine. It ends with status 1 if a record has no
pair, an answer is no JSON, a reservation was never given back, or memory keeps growing.
"""

import asyncio
import contextlib
import json
import os
import random
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.end_to_end.proxies import APP_KEY, Proxy, running_gateway, running_proxy

WORKERS = 12
CONCURRENT = 40
SAMPLE_SECONDS = 2.0
RELOAD_SECONDS = 7.0
MOST_GROWTH = 1.10
CONFIG = """
gateway: {{connect_timeout_seconds: 2, response_timeout_seconds: 1, stream_idle_timeout_seconds: 1,
          retries: 1}}
audit: {{sync: none, max_body_bytes: 4096}}
accounts:
  - name: soak
    default: true
    plan: team
    key: {{env: FOXORA_API_KEY}}
    limits: {{requests_per_minute: 1000000, tokens_per_minute: 1000000000,
             concurrent_requests: {concurrent}}}
# change {change}
"""
# Most calls go well, as in life; each fault is as likely as the others.
FAULTS = (
    *("status=400", "status=429;retry-after=0", "status=500", "status=503", "html", "empty"),
    *("html;status=200", "body=%7B%22cut", "garbage", "close-before-head", "mute", "no-done"),
    *("cut-after=1", "cut-bytes=200", "mute-after=2", "error-event", "gzip", "chunk-delay=0.05"),
    *("delay=0.2", "words=2000", "chunks=1,2,3,5,8", "header=content-encoding: br;body=%7B%7D"),
)
GOOD = 0.5
LEAVES = 0.05


@dataclass
class Tally:
    """What the clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    try:
        minutes = float(arguments[0]) if arguments else 20.0
    except ValueError:
        print(f"soak: '{arguments[0]}' is not a number of minutes", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="foxora-soak-") as name:
        folder = Path(name)
        with running_gateway(folder / "gateway") as origin:
            return soak(folder / "proxy", origin, minutes * 60)


def soak(folder: Path, origin: str, seconds: float) -> int:
    folder.mkdir()
    change_config(folder, 0)
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_soak", "FOXORA_BASE_URL": f"{origin}/v1"}
    tally = Tally()
    with running_proxy(folder, (), environment) as proxy:
        asyncio.run(traffic(proxy, tally, seconds))
        time.sleep(3)  # what clients left behind is to end
        leaked = asyncio.run(count_leaked(proxy))
        output = proxy.output
    return report(proxy, tally, leaked, output)


async def traffic(proxy: Proxy, tally: Tally, seconds: float) -> None:
    ends = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(sample(proxy, tally, ends))
        group.create_task(reload(proxy.folder, ends))
        for number in range(WORKERS):
            group.create_task(work(proxy, tally, ends, random.Random(number)))


def change_config(folder: Path, change: int) -> None:
    (folder / "foxora.yaml").write_text(CONFIG.format(concurrent=CONCURRENT, change=change))


async def reload(folder: Path, ends: float) -> None:
    """Have the configuration read anew now and then."""
    change = 0
    while time.monotonic() < ends:
        await asyncio.sleep(min(RELOAD_SECONDS, max(ends - time.monotonic(), 0)))
        change += 1
        change_config(folder, change)


async def sample(proxy: Proxy, tally: Tally, ends: float) -> None:
    """Note the proxy's resident memory, in MiB."""
    while time.monotonic() < ends:
        await asyncio.sleep(SAMPLE_SECONDS)
        tally.memory.append(resident_mib(proxy.pid))


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def work(proxy: Proxy, tally: Tally, ends: float, dice: random.Random) -> None:
    """One user after another, each with some calls over a connection of its own."""
    while time.monotonic() < ends:
        async with a_client(proxy, dice) as (client, base_url):
            for _ in range(dice.randint(1, 8)):
                await call(client, base_url, tally, dice)


@contextlib.asynccontextmanager
async def a_client(
    proxy: Proxy, dice: random.Random
) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client on one of the ways in."""
    way = dice.choice(("base url", "https proxy", "http/2"))
    trust: ssl.SSLContext | bool = True
    if way == "https proxy":
        trust = ssl.create_default_context(cafile=proxy.certificate)
    elif way == "http/2":
        trust = Http2Alone(ssl.PROTOCOL_TLS_CLIENT)
        trust.load_verify_locations(proxy.certificate)
    async with httpx.AsyncClient(
        http2=way == "http/2",
        proxy=None if way == "base url" else proxy.url,
        verify=trust,
        trust_env=False,
        timeout=30,
    ) as client:
        yield client, proxy.base_url if way == "base url" else "https://api.openai.com/v1"


class Http2Alone(ssl.SSLContext):
    def set_alpn_protocols(self, alpn_protocols: object) -> None:  # noqa: ARG002  # as it is named
        super().set_alpn_protocols(["h2"])


async def call(client: httpx.AsyncClient, base_url: str, tally: Tally, dice: random.Random) -> None:
    fault = "words=20" if dice.random() < GOOD else dice.choice(FAULTS)
    stream, leaves = dice.random() < 0.5, dice.random() < LEAVES
    body = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Who is it? " * dice.randint(1, 200)}],
        "stream": stream,
    }
    headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": fault}
    patience = dice.uniform(0.01, 0.3) if leaves else 30
    try:
        async with asyncio.timeout(patience):
            answer = await client.post(f"{base_url}/chat/completions", json=body, headers=headers)
    except TimeoutError:
        tally.statuses["left" if leaves else "hung"] += 1
        if not leaves:
            tally.wrong.append(f"{fault}: no answer in {patience} s")
        return
    except httpx.HTTPError as error:
        tally.statuses["torn"] += 1
        # A compressed stream can't be ended by an event of ours.
        if fault != "gzip":
            tally.wrong.append(f"{fault}: {type(error).__name__}: {error}")
        return
    tally.statuses[str(answer.status_code)] += 1
    flaw = flaw_of(answer, fault, stream=stream)
    if flaw:
        tally.wrong.append(f"{fault} ({answer.status_code}): {flaw}")


def flaw_of(answer: httpx.Response, fault: str, *, stream: bool) -> str | None:
    """What a client could not read of an answer; None: nothing."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        return flaw_of_events(answer.text, fault)
    try:
        shape = answer.json()
    except ValueError:
        return f"no JSON: {answer.text[:80]!r}"
    if answer.is_success:
        return "a stream was asked for" if stream else None
    if set(shape) == {"error"} and set(shape["error"]) == {"code", "message", "param"}:
        return None
    return f"another shape: {answer.text[:80]!r}"


def flaw_of_events(text: str, fault: str) -> str | None:
    events = [event for event in text.split("\n\n") if event]
    try:
        read = [json.loads(e.removeprefix("data: ")) for e in events if e != "data: [DONE]"]
    except ValueError:
        return f"half an event: {events[-1][-80:]!r}"
    ended = events[-1] == "data: [DONE]" or "error" in read[-1] or fault == "no-done"
    return None if ended and text.endswith("\n\n") else f"no end: {text[-80:]!r}"


async def count_leaked(proxy: Proxy) -> int:
    """How many of the concurrent calls that there may be are never free again."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": "delay=0.8"}
    limits = httpx.Limits(max_connections=CONCURRENT)
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        url = f"{proxy.base_url}/chat/completions"
        calls = (client.post(url, json=body, headers=headers) for _ in range(CONCURRENT))
        answers = await asyncio.gather(*calls)
    return sum(answer.status_code == 429 for answer in answers)


def report(proxy: Proxy, tally: Tally, leaked: int, output: str) -> int:
    records = proxy.records()
    opened = Counter(r["exchange"] for r in records if r["event"] == "request")
    ended = Counter(r["exchange"] for r in records if r["event"] == "response")
    unpaired = sum(((opened - ended) + (ended - opened)).values())
    outcomes = Counter(r["outcome"] for r in records if r["event"] == "response")
    crashes = output.count("crashed") + output.count("Traceback")
    third = max(len(tally.memory) // 3, 1)
    before = statistics.median(tally.memory[third : 2 * third] or [0])
    after = statistics.median(tally.memory[-third:] or [0])
    growth = after / before if before else 1.0
    print(f"calls               {sum(tally.statuses.values())}")
    print(f"seen by clients     {dict(sorted(tally.statuses.items()))}")
    print(f"outcomes on record  {dict(sorted(outcomes.items()))}")
    print(f"unpaired records    {unpaired}")
    print(f"wrong answers       {len(tally.wrong)}")
    print(f"leaked reservations {leaked}")
    print(f"crashes in the log  {crashes}")
    print(f"resident memory     {before:.0f} MiB in the middle third, {after:.0f} MiB in the last")
    for line in Counter(tally.wrong).most_common(10):
        print(f"  {line[1]} x {line[0]}")
    is_fine = not (unpaired or tally.wrong or leaked or crashes) and growth <= MOST_GROWTH
    if crashes and (kept := os.environ.get("FOXORA_SOAK_LOG")):
        Path(kept).write_text(output)
    print("fine" if is_fine else "NOT FINE")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

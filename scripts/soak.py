"""Mixed traffic with random faults, for a long time: nothing may leak, and nothing go unanswered.

Run by scripts/soak. All traffic stays on this machine. It ends with status 1 if a record has no
pair, an answer is no JSON, a reservation was never given back, or memory keeps growing.
"""

import asyncio
import contextlib
import gzip
import json
import os
import random
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.end_to_end.http_2 import Http2Client, Torn, http_2
from tests.end_to_end.proxies import APP_KEY, Proxy, resident_mib, running_gateway, running_proxy

WORKERS = 12
WAYS = ("base url", "https proxy", "base url, http/2", "https proxy, http/2")
PATH = "/chat/completions"
CONCURRENT = 40
SAMPLE_SECONDS = 2.0
RELOAD_SECONDS = 7.0
SLOW_MS = 20_000
TOLD_OF_SLOW = ("time", "exchange", "outcome", "status", "duration_ms", "sent_ms", "tries")
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
    *("gzip;cut-after=4", "gzip;mute-after=3", "gzip;cut-bytes=90"),
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
    faults: Counter[str] = field(default_factory=Counter)
    generator: Counter[str] = field(default_factory=Counter)
    stall: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A whole answer."""

    status: int
    content_type: str
    text: str


type Post = Callable[[dict[str, str], bytes], Awaitable[Seen]]


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
    """Note the proxy's resident memory, in MiB, and whether it is us who stood still."""
    while time.monotonic() < ends:
        slept_at = time.monotonic()
        await asyncio.sleep(SAMPLE_SECONDS)
        tally.stall = max(tally.stall, time.monotonic() - slept_at - SAMPLE_SECONDS)
        tally.memory.append(resident_mib(proxy))


async def work(proxy: Proxy, tally: Tally, ends: float, dice: random.Random) -> None:
    """One user after another, each with some calls over a connection of its own.

    What fails in a client's library is no failure of the proxy's: it is told apart.
    """
    while time.monotonic() < ends:
        try:
            way = dice.choice(WAYS)
            async with a_post(proxy, way) as post:
                for _ in range(dice.randint(1, 8)):
                    at_once = dice.randint(1, 4) if "http/2" in way else 1
                    await asyncio.gather(*(call(post, way, tally, dice) for _ in range(at_once)))
        except Exception as error:  # noqa: BLE001  # the run goes on; the report has it
            tally.generator[f"{type(error).__name__}: {error}"] += 1


@contextlib.asynccontextmanager
async def a_post(proxy: Proxy, way: str) -> AsyncIterator[Post]:
    """A way to post a call over a connection of its own."""
    is_proxied = "https proxy" in way
    if "http/2" in way:
        own, other = f"https://localhost:{proxy.port}", "https://api.openai.com"
        async with http_2(proxy, other if is_proxied else own) as connection:
            yield partial(by_http_2, connection)
        return
    trust = ssl.create_default_context(cafile=proxy.certificate) if is_proxied else True
    url = proxy.url if is_proxied else None
    async with httpx.AsyncClient(proxy=url, verify=trust, trust_env=False, timeout=30) as client:
        base_url = "https://api.openai.com/v1" if is_proxied else proxy.base_url
        yield partial(by_http_1, client, base_url)


async def by_http_1(
    client: httpx.AsyncClient, base_url: str, headers: dict[str, str], body: bytes
) -> Seen:
    try:
        answer = await client.post(f"{base_url}{PATH}", content=body, headers=headers)
    except httpx.HTTPError as error:
        raise Torn(f"{type(error).__name__}: {error}") from error
    return Seen(answer.status_code, answer.headers["content-type"], answer.text)


async def by_http_2(client: Http2Client, headers: dict[str, str], body: bytes) -> Seen:
    answer = await client.post(f"/v1{PATH}", headers.items(), body)
    is_gzip = answer.headers.get("content-encoding") == "gzip"
    content = gzip.decompress(answer.content) if is_gzip else bytes(answer.content)
    return Seen(answer.status, answer.headers["content-type"], content.decode())


async def call(post: Post, way: str, tally: Tally, dice: random.Random) -> None:
    fault = "words=20" if dice.random() < GOOD else dice.choice(FAULTS)
    stream, leaves = dice.random() < 0.5, dice.random() < LEAVES
    body = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Who is it? " * dice.randint(1, 200)}],
        "stream": stream,
    }
    headers = {"authorization": f"Bearer {APP_KEY}", "x-mock-fault": fault}
    patience = dice.uniform(0.01, 0.3) if leaves else 30
    tally.faults[fault] += 1
    try:
        async with asyncio.timeout(patience):
            seen = await post(headers, json.dumps(body).encode())
    except TimeoutError:
        tally.statuses["left" if leaves else "hung"] += 1
        if not leaves:
            tally.wrong.append(f"{fault} ({way}): no answer in {patience} s at {time.ctime()}")
        return
    except Torn as error:
        tally.statuses["torn"] += 1
        tally.wrong.append(f"{fault} ({way}): {error}")
        return
    tally.statuses[str(seen.status)] += 1
    flaw = flaw_of(seen, fault, stream=stream)
    if flaw:
        tally.wrong.append(f"{fault} ({way}, {seen.status}): {flaw}")


def flaw_of(seen: Seen, fault: str, *, stream: bool) -> str | None:
    """What a client could not read of an answer; None: nothing."""
    if seen.content_type.startswith("text/event-stream"):
        return flaw_of_events(seen.text, fault)
    try:
        shape = json.loads(seen.text)
    except ValueError:
        return f"no JSON: {seen.text[:80]!r}"
    if 200 <= seen.status < 300:
        return "a stream was asked for" if stream else None
    if set(shape) == {"error"} and set(shape["error"]) == {"code", "message", "param"}:
        return None
    return f"another shape: {seen.text[:80]!r}"


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
    faults = sum(tally.faults.values()) - tally.faults["words=20"]
    print(f"calls               {sum(tally.statuses.values())}, {faults} of them with a fault")
    print(f"seen by clients     {dict(sorted(tally.statuses.items()))}")
    print(f"outcomes on record  {dict(sorted(outcomes.items()))}")
    print(f"unpaired records    {unpaired}")
    print(f"wrong answers       {len(tally.wrong)}")
    print(f"no JSON             {sum('no JSON' in wrong for wrong in tally.wrong)}")
    print(f"leaked reservations {leaked}")
    print(f"crashes in the log  {crashes}")
    print(f"resident memory     {before:.0f} MiB in the middle third, {after:.0f} MiB in the last")
    print(f"  tenth by tenth    {', '.join(f'{mib:.0f}' for mib in by_tenths(tally.memory))} MiB")
    print(f"clients' own faults {sum(tally.generator.values())}")
    print(f"  their longest halt  {tally.stall:.1f} s")
    for text, times in tally.generator.most_common(5):
        print(f"  {times} x {text}")
    for record in records:
        if record["event"] == "response" and (record["duration_ms"] or 0) > SLOW_MS:
            print(f"  {json.dumps({name: record[name] for name in TOLD_OF_SLOW})}")
    for line in Counter(tally.wrong).most_common(10):
        print(f"  {line[1]} x {line[0]}")
    is_fine = not (unpaired or tally.wrong or leaked or crashes) and growth <= MOST_GROWTH
    if crashes and (kept := os.environ.get("FOXORA_SOAK_LOG")):
        Path(kept).write_text(output)
    print("fine" if is_fine else "NOT FINE")
    return 0 if is_fine else 1


def by_tenths(samples: Sequence[float]) -> list[float]:
    """The median of each tenth of a run."""
    edges = [len(samples) * tenth // 10 for tenth in range(11)]
    parts = [samples[start:end] for start, end in pairwise(edges)]
    return [statistics.median(part) for part in parts if part]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Saturates limiters under one ceiling, and reads off the gateway's own notes what it saw.

Run by scripts/bench-limits. In the first minute calls are paced at the ceiling's own rate, so that
what follows is no burst a minute but a steady stream; then 64 connections ask for more than there
is. The use is what the gateway counted after that first minute, of what the ceiling allows in that
time. All traffic stays on this machine.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.bench_limits_waits import told_of_waits
from tests.end_to_end.proxies import (
    BIN,
    ROOT,
    STOP_SECONDS,
    clean_environment,
    free_port,
    running_proxy,
    stop,
)

CONNECTIONS = 64
REQUESTS = 600
TOKENS = 60_000
MEAN_TOKENS = 255  # of a call, both ways, as the benchmark's gateway answers
MEAN_OUTPUT = 215
KEY = "foxora_sk_fake_bench"
LITELLM = ROOT / ".tools" / "litellm"
READY_SECONDS = 300.0
# A case stops a gateway and a limiter one after the other, each of which may take `STOP_SECONDS`.
STOP_CASE_SECONDS = 3 * STOP_SECONDS

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Bound = Literal["requests", "tokens"]
Limiter = Literal["foxora-addon", "token bucket", "LiteLLM"]


@dataclass(frozen=True, slots=True)
class Case:
    limiter: Limiter
    bound: Bound
    window: Literal["fixed", "sliding"]
    counted: Literal["start", "end"]
    on_limit: Literal["wait", "refuse"]
    large: bool = False  # a tenth of the calls reserve a third of the ceiling

    @property
    def name(self) -> str:
        size = " large" if self.large else ""
        return f"{self.limiter} {self.bound} {self.window} {self.counted} {self.on_limit}{size}"

    @property
    def ceiling(self) -> int:
        return REQUESTS if self.bound == "requests" else TOKENS


@dataclass
class Seen:
    """What came of a case: the gateway's notes, and the statuses that clients got.

    `is_exact`: clients go by retry-after-ms, as OpenAI's do, else by whole seconds.
    """

    case: Case
    seconds: float
    is_exact: bool
    notes: list[tuple[str, float, int]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    waits: str = ""
    ended_at: float = 0.0  # Unix seconds

    @property
    def refused(self) -> int:
        return sum(kind == "x" for kind, _, _ in self.notes)

    @property
    def counted(self) -> list[tuple[float, int]]:
        wanted = "r" if self.case.bound == "requests" else "t"
        return sorted((at, amount) for kind, at, amount in self.notes if kind == wanted)

    @property
    def use(self) -> float:
        counted = self.counted
        begins = counted[0][0] + 60.0
        ends = min(counted[0][0] + self.seconds, self.ended_at)
        amount = sum(amount for at, amount in counted if begins <= at < ends)
        return amount / (self.case.ceiling * (ends - begins) / 60.0)

    @property
    def worst(self) -> int:
        """The most in any 60 seconds."""
        worst = total = 0
        last: deque[tuple[float, int]] = deque()
        for at, amount in self.counted:
            last.append((at, amount))
            total += amount
            while last[0][0] <= at - 60.0:
                total -= last.popleft()[1]
            worst = max(worst, total)
        return worst


def cases(*, with_litellm: bool) -> Iterator[Case]:
    limiters: list[Limiter] = ["foxora-addon", "token bucket"]
    for limiter in [*limiters, "LiteLLM"] if with_litellm else limiters:
        ways: Sequence[Literal["wait", "refuse"]] = (
            ("wait", "refuse") if limiter == "foxora-addon" else ("wait",)
        )
        if limiter == "LiteLLM":
            ways = ("refuse",)
        for on_limit in ways:
            for window in ("sliding", "fixed"):
                yield Case(limiter, "requests", window, "start", on_limit)
                yield Case(limiter, "tokens", window, "start", on_limit)
                yield Case(limiter, "tokens", window, "end", on_limit)


# Processes.


@contextlib.contextmanager
def process(
    command: Sequence[str], folder: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as at_the_end:
        with (folder / "output.log").open("wb") as output, interruptions_put_off():
            started = subprocess.Popen(
                command,
                cwd=folder,
                env=clean_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            at_the_end.callback(stop, started)
        yield started


@contextlib.contextmanager
def interruptions_put_off() -> Iterator[None]:
    """Let an interruption wait until a process that is just started is known to who stops it."""
    late: list[int] = []
    handlers = [signal.signal(ending, lambda number, _: late.append(number)) for ending in ENDINGS]
    try:
        yield
    finally:
        for ending, handler in zip(ENDINGS, handlers, strict=True):
            signal.signal(ending, handler)
        for number in late[:1]:
            signal.raise_signal(number)


def wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench-limits: no {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def gateway(case: Case, folder: Path) -> Iterator[str]:
    figures = {f"{case.bound}_per_minute": case.ceiling}
    settings = {
        "accounts": [{"name": "bench", "keys": [KEY], **figures}],
        "accept_any_key": False,
        "window": case.window,
        "tokens_counted": case.counted,
    }
    script = str(ROOT / "scripts" / "bench_limits_gateway.py")
    command = [sys.executable, script, json.dumps(settings), str(folder / "notes")]
    output = folder / "gateway" / "output.log"
    with process(command, folder / "gateway"):
        wait_for(lambda: output.read_text().startswith("http://"), "gateway")
        yield output.read_text().split()[0]


@contextlib.contextmanager
def limiter(case: Case, folder: Path, origin: str) -> Iterator[str]:
    """The base URL of the limiter of a case."""
    match case.limiter:
        case "foxora-addon":
            with ours(case, folder, origin) as url:
                yield url
        case "token bucket":
            with bucket(case, folder, origin) as url:
                yield url
        case "LiteLLM":
            with litellm(case, folder, origin) as url:
                yield url


@contextlib.contextmanager
def ours(case: Case, folder: Path, origin: str) -> Iterator[str]:
    folder = folder / "proxy"
    folder.mkdir()
    (folder / "foxora.yaml").write_text(
        f"gateway: {{base_url: {origin}/v1}}\n"
        f"limits: {{on_limit: {case.on_limit}, max_wait_seconds: 120, refresh_seconds: 86400}}\n"
        "accounts:\n"
        "  - name: bench\n"
        "    key: {env: FOXORA_API_KEY}\n"
        f"    limits: {{{case.bound}_per_minute: {case.ceiling}}}\n"
    )
    with running_proxy(folder, (), {"FOXORA_API_KEY": KEY}) as proxy:
        yield proxy.base_url


@contextlib.contextmanager
def bucket(case: Case, folder: Path, origin: str) -> Iterator[str]:
    port = free_port()
    command = [
        *(str(BIN / "mitmdump"), "-q", "--mode", f"reverse:{origin}@127.0.0.1:{port}"),
        *("-s", str(ROOT / "scripts" / "bench_limits_bucket.py")),
        *("--set", f"confdir={folder / 'confdir'}"),
    ]
    output = str(MEAN_OUTPUT if case.bound == "tokens" else 0)
    figures = {"BUCKET_CEILING": str(case.ceiling), "BUCKET_MEAN_OUTPUT": output}
    with process(command, folder / "bucket", **figures):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/_mock/"), "token bucket")
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def litellm(case: Case, folder: Path, origin: str) -> Iterator[str]:
    """LiteLLM's proxy, with the ceiling on the caller's key, which its own limiter enforces."""
    port = free_port()
    folder = folder / "litellm"
    folder.mkdir()
    limit = "rpm_limit" if case.bound == "requests" else "tpm_limit"
    (folder / "bench_auth.py").write_text(
        "from litellm.proxy._types import UserAPIKeyAuth\n"
        "async def user_api_key_auth(request, api_key):\n"
        f"    return UserAPIKeyAuth(api_key='bench', {limit}={case.ceiling})\n"
    )
    (folder / "config.yaml").write_text(
        "model_list:\n"
        "  - model_name: gpt-4o-mini\n"
        "    litellm_params:\n"
        f"      {{model: openai/gpt-4o-mini, api_base: {origin}/v1, api_key: {KEY}}}\n"
        "general_settings:\n"
        f"  {{master_key: sk-{secrets.token_hex(24)}, custom_auth: bench_auth.user_api_key_auth}}\n"
        "litellm_settings: {num_retries: 0, telemetry: false}\n"
        "router_settings: {disable_cooldowns: true, num_retries: 0}\n"
    )
    command = [
        *(str(LITELLM / "bin" / "litellm"), "--config", "config.yaml"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    local = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # loopback alone
    }
    with process(command, folder, **local):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health/liveliness"), "LiteLLM")
        yield f"http://127.0.0.1:{port}/v1"


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False).status_code == 200
    return False


# Traffic.


class Pace:
    """In the first minute a call at a time, evenly; from then on whoever comes goes."""

    def __init__(self, per_minute: float) -> None:
        self.began = time.monotonic()
        self._step = 60.0 / per_minute
        self._next = self.began

    async def turn(self) -> None:
        moment = self._next
        if moment - self.began < 60.0:
            self._next += self._step
        await asyncio.sleep(moment - time.monotonic())


async def saturate(seen: Seen, base_url: str) -> None:
    case = seen.case
    per_minute = case.ceiling if case.bound == "requests" else case.ceiling / MEAN_TOKENS
    pace = Pace(per_minute)
    workers = [
        asyncio.create_task(work(seen, base_url, pace, random.Random(number)))
        for number in range(CONNECTIONS)
    ]
    await asyncio.sleep(seen.seconds + 2.0)
    seen.ended_at = time.time()
    for worker in workers:
        worker.cancel()
    for ended in await asyncio.gather(*workers, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def work(seen: Seen, base_url: str, pace: Pace, dice: random.Random) -> None:
    """One client: a call at a time, each asked again after the wait that it was told."""
    headers = {"authorization": f"Bearer {KEY if seen.case.limiter != 'LiteLLM' else 'sk-any'}"}
    async with httpx.AsyncClient(  # verify: reading the authorities takes a while, 64 times
        headers=headers, trust_env=False, timeout=180, verify=False
    ) as client:
        while True:
            await pace.turn()
            body = a_call(seen.case, dice)
            wait = await ask(client, f"{base_url}/chat/completions", body, seen)
            while wait:
                await asyncio.sleep(wait)
                wait = await ask(client, f"{base_url}/chat/completions", body, seen)


def a_call(case: Case, dice: random.Random) -> dict[str, object]:
    text = "say what you know of it, please. " * dice.randint(1, 12)
    body: dict[str, object] = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": text}],
        "stream": dice.random() < 0.5,
    }
    if case.large and dice.random() < 0.1:
        body["max_tokens"] = TOKENS // 3
    return body


async def ask(client: httpx.AsyncClient, url: str, body: dict[str, object], seen: Seen) -> float:
    """Make a call; the seconds to wait before it is made again, 0 if it went through."""
    answer = await client.post(url, json=body)
    seen.statuses[answer.status_code] += 1
    if answer.status_code != 429:
        return 0.0
    if seen.is_exact and (wait := answer.headers.get("retry-after-ms")):
        return float(wait) / 1000
    return max(float(answer.headers.get("retry-after", "1")), 0.1)


# Figures.


def run(case: Case, seconds: float, *, is_exact: bool) -> Seen:
    seen = Seen(case, seconds, is_exact)
    with tempfile.TemporaryDirectory(prefix="foxora-bench-") as name:
        folder = Path(name)
        with gateway(case, folder) as origin, limiter(case, folder, origin) as base_url:
            asyncio.run(saturate(seen, base_url))
            log = httpx.get(f"{origin}/_mock/log", trust_env=False, timeout=60).json()
        lines = (folder / "notes").read_text().splitlines()
        seen.notes = [(kind, float(at), int(n)) for kind, at, n in map(str.split, lines)]
        if case.limiter == "foxora-addon" and case.on_limit == "wait":
            ceiling = case.ceiling if case.bound == "requests" else None
            own = [entry["time"] for entry in log if entry["path"] in {"/v1/me", "/v1/models"}]
            seen.waits = told_of_waits(folder / "proxy" / "trail.jsonl", ceiling, own)
        if kept := os.environ.get("BENCH_KEEP"):
            shutil.copytree(folder, Path(kept, case.name.replace(" ", "-")), dirs_exist_ok=True)
    return seen


HEAD = """\
| limiter | ceiling | gateway's minute | over it | gateway's 429s | use | most in any 60 s |
| --- | --- | --- | --- | ---: | ---: | ---: |"""


def row(seen: Seen) -> str:
    case = seen.case
    counted = f", counted at the {case.counted}" if case.bound == "tokens" else ""
    return (
        f"| {case.limiter} | {case.ceiling:,} {case.bound} | {case.window}{counted} | "
        f"{case.on_limit} | {seen.refused:,} | {floored(seen.use * 100)} % | {seen.worst:,} |"
    )


def floored(percent: float) -> str:
    """One digit, never rounded up."""
    return f"{math.floor(percent * 10) / 10:.1f}"


def alone(number: int, output: Path) -> subprocess.Popen[bytes]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--case", str(number)]
    with output.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def main() -> int:
    options = options_of()
    for ending in ENDINGS:
        signal.signal(ending, interrupt)
    try:
        return bench(options)
    except KeyboardInterrupt:
        print("bench-limits: interrupted; all that it had started is stopped", file=sys.stderr)
        return 130


def interrupt(_number: int, _frame: object) -> None:
    """End once, as Ctrl-C does; what comes after it must not break off the cleaning up."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def bench(options: argparse.Namespace) -> int:
    seconds = 70.0 if options.quick else 60.0 * options.minutes
    chosen = [
        case
        for case in chosen_cases(options)
        if not options.only or any(words in case.name for words in options.only)
    ]
    if not chosen:
        names = "\n  ".join(case.name for case in chosen_cases(options))
        print(
            f"bench-limits: --only: no case has these words; there are\n  {names}", file=sys.stderr
        )
        return 2
    if options.case is not None:
        seen = run(chosen[options.case], seconds, is_exact=options.exact)
        print(row(seen))
        print(f"{seen.case.name}: clients got {dict(seen.statuses)}; {seen.waits}")
        return 0
    print(HEAD, flush=True)
    return run_all(options, len(chosen))


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    if options.fairness:
        return [
            Case("foxora-addon", "requests", "sliding", "start", "wait"),
            Case("foxora-addon", "tokens", "sliding", "end", "wait", large=True),
        ]
    return list(cases(with_litellm=options.with_litellm))


def run_all(options: argparse.Namespace, count: int) -> int:
    """All cases, some at once; the rows come as they end, the remarks last."""
    remarks: list[str] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="foxora-bench-") as name:
        waiting, running = deque(range(count)), dict[int, subprocess.Popen[bytes]]()
        try:
            while waiting or running:
                while waiting and len(running) < options.at_once:
                    number = waiting.popleft()
                    running[number] = alone(number, Path(name, str(number)))
                time.sleep(0.5)
                for number in [n for n, each in running.items() if each.poll() is not None]:
                    failed = running.pop(number).returncode != 0 or failed
                    first, _, rest = Path(name, str(number)).read_text().partition("\n")
                    print(first, flush=True)
                    remarks.append(rest.strip())
        finally:
            for each in running.values():
                each.terminate()
            for each in running.values():
                stop(each, STOP_CASE_SECONDS)
    print("\n" + "\n".join(remarks))
    return 1 if failed else 0


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-limits", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="a case, from 2 (default: 3)")
    parser.add_argument("--quick", action="store_true", help="70 seconds a case")
    parser.add_argument("--at-once", type=int, default=1, help="cases side by side (default: 1)")
    parser.add_argument("--only", action="append", help="cases whose name has these words")
    parser.add_argument(
        "--exact", action="store_true", help="clients go by retry-after-ms, as OpenAI's do"
    )
    parser.add_argument("--fairness", action="store_true", help="how calls wait, and in what order")
    parser.add_argument("--with-litellm", action="store_true", help="LiteLLM as well")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.minutes < 1.1:
        parser.error("--minutes: must be 1.1 at least, since the first minute is not measured")
    if options.with_litellm and not (LITELLM / "bin" / "litellm").exists():
        parser.error(f"--with-litellm: put the package litellm[proxy] into {LITELLM}, a venv")
    return options


if __name__ == "__main__":
    sys.exit(main())

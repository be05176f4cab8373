"""Measures the peers in interleaved rounds, each with fresh processes, and prints the tables.

Run by scripts/bench. All traffic stays on this machine. Where there are several cores, the proxy
has one, load and upstream another.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import load, report, upstream
from scripts.benchmark.peers import (
    ON_DEMAND,
    PEERS,
    ROOT,
    TOOLS,
    Peer,
    Running,
    cores,
    pinned,
    process_of,
    running,
)
from tests.end_to_end.proxies import free_port

COUNTS = (1, 16, 64)
STREAM_COUNTS = (1, 8)
READY_SECONDS = 60.0
REST_SECONDS = 20.0
MEMORY_REQUESTS = 100_000
OPEN_STREAMS = (500, 1_000)
OPEN_PACE_SECONDS = 5.0
QUICK_PEERS = ("bare", "run", "script", "naive")


@dataclass(frozen=True)
class Effort:
    """How long everything is measured."""

    rounds: int
    seconds: float
    streams: int


QUICK = Effort(rounds=2, seconds=1.2, streams=1)
FULL = Effort(rounds=5, seconds=3.0, streams=2)


@dataclass(frozen=True)
class Bench:
    """Where it is measured: a folder, the upstream's port, and the proxy's core."""

    folder: Path
    upstream: int
    core: int | None
    effort: Effort


def main() -> int:
    arguments = _arguments()
    effort = QUICK if arguments.quick else FULL
    if arguments.rounds:
        effort = Effort(arguments.rounds, effort.seconds, effort.streams)
    chosen = _chosen(arguments)
    with tempfile.TemporaryDirectory(prefix="foxora-bench-") as name, _upstream(name) as port:
        choice = cores()
        if choice is not None:
            os.sched_setaffinity(0, {choice[1]})
        bench = Bench(Path(name), port, choice[0] if choice else None, effort)
        if arguments.flame:
            return asyncio.run(_flame(bench, chosen[-1], arguments.flame))
        if arguments.memory:
            return asyncio.run(_memory(bench, chosen, arguments.requests))
        return asyncio.run(_rounds(bench, chosen))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than two minutes")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--with", dest="more", default="", help="peers on demand, by comma")
    parser.add_argument("--only", default="", help="these peers alone, by comma")
    parser.add_argument("--flame", metavar="FILE", help="a flame graph of `run` (or the last of "
                        "--only) under load, by py-spy")  # fmt: skip
    parser.add_argument("--memory", action="store_true", help="memory over many requests instead")
    parser.add_argument("--requests", type=int, default=MEMORY_REQUESTS, help="so many, for that")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace) -> list[Peer]:
    wanted = {peer.name for peer in PEERS} - ON_DEMAND
    if arguments.quick or arguments.memory:
        wanted = set(QUICK_PEERS)
    if arguments.flame:
        wanted = {"run"}
    if arguments.only:
        wanted = set(arguments.only.split(","))
    wanted |= set(filter(None, arguments.more.split(",")))
    known = {peer.name for peer in PEERS}
    if unknown := wanted - known:
        sys.exit(f"bench: no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [peer for peer in PEERS if peer.name in wanted]
    for peer in chosen:
        if not peer.is_here:
            _say(f"{peer.name} is left out: {peer.needs} is not there")
    return [peer for peer in chosen if peer.is_here]


def _say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _upstream(folder: str, pace: float = upstream.PACE_SECONDS) -> Iterator[int]:
    port, choice = free_port(), cores()
    command = [sys.executable, str(Path(upstream.__file__)), str(port), str(pace)]
    with process_of(pinned(command, choice[1] if choice else None), Path(folder), {}):
        yield port


# Rounds.


async def _rounds(bench: Bench, peers: Sequence[Peer]) -> int:
    await _first_answer(bench.upstream, load.request_of("/v1/chat/completions", stream=False))
    rounds: list[report.Round] = []
    for number in range(bench.effort.rounds):
        done = {"direct": await _measure_direct(bench)}
        turn = number % len(peers)
        for peer in [*peers[turn:], *peers[:turn]]:
            began = time.monotonic()
            try:
                done[peer.name] = await _measured(bench, peer, number)
            except (load.Failed, TimeoutError, OSError) as error:
                _say(f"{peer.name} failed in round {number + 1}: {error}")
                continue
            _say(f"round {number + 1}: {peer.name}, {time.monotonic() - began:.0f} s")
        rounds.append(done)
    _print(rounds, peers)
    return 0


def _print(rounds: Sequence[report.Round], peers: Sequence[Peer]) -> None:
    names = {"direct": "no proxy at all", **{peer.name: peer.what for peer in peers}}
    busy = os.getloadavg()[1]
    print(f"{len(rounds)} rounds; Python {platform.python_version()}; {os.cpu_count()} cores; "
          f"load of the machine {busy:.1f}. Median (least-most).\n")  # fmt: skip
    print(report.requests_table(rounds, names, COUNTS))
    print("\nStreams: milliseconds beyond those without a proxy.\n")
    print(report.streams_table(rounds, names, STREAM_COUNTS))


async def _measured(bench: Bench, peer: Peer, number: int) -> report.Measured:
    folder = bench.folder / f"{number}-{peer.name}"
    with running(peer, folder, bench.upstream, bench.core) as proxy:
        try:
            plain, stream = _requests(bench, peer)
            found = report.Measured()
            await _first_answer(proxy.port, plain)
            found.figures[report.FIRST_ANSWER] = time.monotonic() - proxy.began
            await _measure(bench, proxy.port, plain, stream, found, proxy)
        except load.Failed as error:
            raise load.Failed(f"{error}\n{proxy.output[-600:]}") from error
        return found


async def _measure_direct(bench: Bench) -> report.Measured:
    found = report.Measured()
    plain, stream = (
        load.request_of("/v1/chat/completions", stream=stream) for stream in (False, True)
    )
    await _measure(bench, bench.upstream, plain, stream, found, None)
    return found


def _requests(bench: Bench, peer: Peer) -> tuple[bytes, bytes]:
    more = peer.headers(bench.upstream)
    plain, stream = (load.request_of(peer.path, stream=stream) for stream in (False, True))
    at = plain.index(b"\r\n") + 2
    return plain[:at] + more + plain[at:], stream[:at] + more + stream[at:]


async def _first_answer(port: int, request: bytes) -> None:
    ends = time.monotonic() + READY_SECONDS
    while True:
        try:
            opened = await load.connections(port, 1)
            try:
                await load.answer_of(opened[0], request)
                return
            finally:
                load.close(opened)
        except (OSError, load.Failed):
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(0.01)


async def _measure(  # one argument for each thing that a round has
    bench: Bench,
    port: int,
    plain: bytes,
    stream: bytes,
    found: report.Measured,
    proxy: Running | None,
) -> None:
    load.close(await _fresh(port, max(COUNTS), plain, bench))
    if proxy is not None:
        await _at_rest(proxy)
    cpu, count = 0.0, 0
    for clients in COUNTS:
        opened = await _fresh(port, clients, plain, bench)
        before = proxy.cpu_seconds() if proxy else 0.0
        came = await load.burst(opened, plain, bench.effort.seconds)
        load.close(opened)
        spent = (proxy.cpu_seconds() if proxy else 0.0) - before
        cpu, count = cpu + spent, count + came.count
        found.figures[report.at(report.PER_SECOND, clients)] = came.per_second
    found.figures[report.CPU] = cpu / count * 1000
    try:
        for clients in STREAM_COUNTS:
            opened = await _fresh(port, clients, plain, bench)
            await _measure_streams(bench, opened, stream, found, proxy)
            load.close(opened)
    except (load.Failed, TimeoutError) as error:
        name = proxy.peer.name if proxy else "the upstream"
        _say(f"{name}: its streams failed, the rest counts: {error}")


async def _fresh(port: int, count: int, request: bytes, bench: Bench) -> list[load.Connection]:
    """So many connections that are warm: some proxies close those that are idle for seconds."""
    opened = await load.connections(port, count)
    await load.burst(opened, request, bench.effort.seconds / 6)
    return opened


async def _at_rest(proxy: Running) -> None:
    """Wait until nothing that a first call set off goes on in the background."""
    ends = time.monotonic() + REST_SECONDS
    before = proxy.cpu_seconds()
    while time.monotonic() < ends:
        await asyncio.sleep(0.3)
        now = proxy.cpu_seconds()
        if now - before < 0.03:
            return
        before = now


async def _measure_streams(
    bench: Bench,
    opened: Sequence[load.Connection],
    stream: bytes,
    found: report.Measured,
    proxy: Running | None,
) -> None:
    clients = len(opened)
    before = proxy.cpu_seconds() if proxy else 0.0
    times = bench.effort.streams * (3 if clients == 1 else 2)
    came = await load.streams(opened, stream, times)
    found.figures[report.at(report.FIRST_BYTE, clients)] = statistics.median(came.first_bytes)
    if clients == 1:
        found.figures[report.PER_CHUNK] = statistics.median(came.delays)
    else:
        cpu = (proxy.cpu_seconds() if proxy else 0.0) - before
        events = len(came.first_bytes) * (upstream.CHUNKS + 1)
        found.figures[report.CPU_OF_CHUNKS] = cpu / events * 1000


# A flame graph, and memory.


async def _flame(bench: Bench, peer: Peer, file: str) -> int:
    spy = TOOLS / "common/bin/py-spy"
    if not spy.exists():
        _say(f"{spy} is not there")
        return 1
    with running(peer, bench.folder / "flame", bench.upstream, bench.core) as proxy:
        plain, _ = _requests(bench, peer)
        await _first_answer(proxy.port, plain)
        opened = await load.connections(proxy.port, 16)
        await load.burst(opened, plain, 1.0)
        command = (str(spy), "record", "--pid", str(proxy.process.pid), "--duration", "10")
        spying = subprocess.Popen([*command, "--rate", "200", "--output", str(ROOT / file)])  # noqa: ASYNC220  # before the load
        await load.burst(opened, plain, 11.0)
        load.close(opened)
    return spying.wait()


async def _memory(bench: Bench, peers: Sequence[Peer], requests: int) -> int:
    """How much a proxy grows over many requests, and what each open stream holds of it."""
    growth, held = [], []
    with _upstream(str(bench.folder), OPEN_PACE_SECONDS) as slow:
        for peer in peers:
            growth.append([peer.what, *await _growth(bench, peer, requests)])
            _say(" | ".join(growth[-1]))
            held.append([peer.what, *await _held(bench, peer, slow)])
            _say(" | ".join(held[-1]))
    print(report.table(["KiB", "before", f"after {requests:,} requests", "growth"], growth))
    heads = [f"with {count:,} streams" for count in OPEN_STREAMS]
    print()
    print(report.table(["KiB", "before", *heads, "a stream and its connection, more"], held))
    return 0


async def _growth(bench: Bench, peer: Peer, requests: int) -> list[str]:
    """What is resident once caches are full, and after so many requests more."""
    with running(peer, bench.folder / f"growth-{peer.name}", bench.upstream, bench.core) as proxy:
        plain, _ = _requests(bench, peer)
        await _first_answer(proxy.port, plain)
        opened = await load.connections(proxy.port, 16)
        await _so_many(opened, plain, min(5_000, requests))
        await _at_rest(proxy)
        before = proxy.resident_kib()
        await _so_many(opened, plain, requests)
        await _at_rest(proxy)
        after = proxy.resident_kib()
        load.close(opened)
        return [str(before), str(after), f"{after - before} ({(after / before - 1) * 100:.1f} %)"]


async def _held(bench: Bench, peer: Peer, slow: int) -> list[str]:
    """What is resident with more and more open streams, each of one event, and what one adds."""
    with running(peer, bench.folder / f"held-{peer.name}", slow, bench.core) as proxy:
        plain, stream = _requests(bench, peer)
        await _first_answer(proxy.port, plain)
        load.close(await _fresh(proxy.port, 16, plain, bench))
        await _at_rest(proxy)
        sizes = [proxy.resident_kib()]
        opened: list[load.Connection] = []
        for count in OPEN_STREAMS:
            more = await load.connections(proxy.port, count - len(opened))
            opened += more
            asked = [connection.ask(stream, stream=True) for connection in more]
            for answer in asked:
                answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.sleep(OPEN_PACE_SECONDS)
            await _at_rest(proxy)
            if over := sum(answer.done() for answer in asked):
                raise load.Failed(f"{over} streams are over already")
            sizes.append(proxy.resident_kib())
        load.close(opened)
        each = (sizes[-1] - sizes[-2]) / (OPEN_STREAMS[-1] - OPEN_STREAMS[-2])
        return [*map(str, sizes), f"{each:.0f}"]


async def _so_many(opened: Sequence[load.Connection], request: bytes, count: int) -> None:
    left = count

    async def work(connection: load.Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await load.answer_of(connection, request)

    await asyncio.gather(*(work(connection) for connection in opened))


if __name__ == "__main__":
    sys.exit(main())

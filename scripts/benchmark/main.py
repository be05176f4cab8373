"""Measures the peers beside each other (`rounds`), and prints the tables; or their memory.

Run by scripts/bench. All traffic stays on this machine. Where there are several cores, the proxy
has one, load and upstream another.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.benchmark import load, report, upstream
from scripts.benchmark.peers import (
    ON_DEMAND,
    PEERS,
    ROOT,
    TOOLS,
    Peer,
    cores,
    pinned,
    process_of,
    running,
)
from scripts.benchmark.rounds import (
    COUNTS,
    STREAM_COUNTS,
    Bench,
    Effort,
    at_rest,
    first_answer,
    line_to,
    measured,
    say,
    warm,
)
from tests.end_to_end.proxies import free_port

MEMORY_REQUESTS = 100_000
OPEN_STREAMS = (500, 1_000)
OPEN_PACE_SECONDS = 5.0
QUICK_PEERS = ("bare", "run", "script", "naive")
QUICK = Effort(rounds=1, slices=4, seconds=0.4)
FULL = Effort(rounds=3, slices=5, seconds=0.8)


def main() -> int:
    arguments = _arguments()
    effort = QUICK if arguments.quick else FULL
    if arguments.rounds:
        effort = dataclasses.replace(effort, rounds=arguments.rounds)
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
            say(f"{peer.name} is left out: {peer.needs} is not there")
    return [peer for peer in chosen if peer.is_here]


@contextlib.contextmanager
def _upstream(folder: str, pace: float = upstream.PACE_SECONDS) -> Iterator[int]:
    port, choice = free_port(), cores()
    command = [sys.executable, str(Path(upstream.__file__)), str(port), str(pace)]
    with process_of(pinned(command, choice[1] if choice else None), Path(folder), {}):
        yield port


# Rounds.


async def _rounds(bench: Bench, peers: Sequence[Peer]) -> int:
    slices, effort = await measured(bench, peers), bench.effort
    names = {report.DIRECT: "no proxy at all", **{peer.name: peer.what for peer in peers}}
    busy = os.getloadavg()[1]
    print(f"{effort.rounds} rounds of {effort.slices} slices; Python {platform.python_version()}; "
          f"{os.cpu_count()} cores; load of the machine {busy:.1f}. "
          "Median (middle half).\n")  # fmt: skip
    print(report.requests_table(slices, names, COUNTS))
    print("\nStreams: milliseconds beyond those without a proxy.\n")
    print(report.streams_table(slices, names, STREAM_COUNTS))
    return 0


# A flame graph, and memory.


async def _flame(bench: Bench, peer: Peer, file: str) -> int:
    spy = TOOLS / "common/bin/py-spy"
    if not spy.exists():
        say(f"{spy} is not there")
        return 1
    with running(peer, bench.folder / "flame", bench.upstream, bench.core) as proxy:
        plain = line_to(bench, proxy).plain
        await first_answer(proxy.port, plain)
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
            say(" | ".join(growth[-1]))
            held.append([peer.what, *await _held(bench, peer, slow)])
            say(" | ".join(held[-1]))
    print(report.table(["KiB", "before", f"after {requests:,} requests", "growth"], growth))
    heads = [f"with {count:,} streams" for count in OPEN_STREAMS]
    print()
    print(report.table(["KiB", "before", *heads, "a stream and its connection, more"], held))
    return 0


async def _growth(bench: Bench, peer: Peer, requests: int) -> list[str]:
    """What is resident once caches are full, and after so many requests more."""
    with running(peer, bench.folder / f"growth-{peer.name}", bench.upstream, bench.core) as proxy:
        plain = line_to(bench, proxy).plain
        await first_answer(proxy.port, plain)
        opened = await load.connections(proxy.port, 16)
        await _so_many(opened, plain, min(5_000, requests))
        await at_rest(proxy)
        before = proxy.resident_kib()
        await _so_many(opened, plain, requests)
        await at_rest(proxy)
        after = proxy.resident_kib()
        load.close(opened)
        return [str(before), str(after), f"{after - before} ({(after / before - 1) * 100:.1f} %)"]


async def _held(bench: Bench, peer: Peer, slow: int) -> list[str]:
    """What is resident with more and more open streams, each of one event, and what one adds."""
    with running(peer, bench.folder / f"held-{peer.name}", slow, bench.core) as proxy:
        line = line_to(bench, proxy)
        await first_answer(line.port, line.plain)
        async with warm(bench, line, 16):
            pass
        await at_rest(proxy)
        sizes = [proxy.resident_kib()]
        opened: list[load.Connection] = []
        for count in OPEN_STREAMS:
            more = await load.connections(proxy.port, count - len(opened))
            opened += more
            asked = [connection.ask(line.stream, stream=True) for connection in more]
            for answer in asked:
                answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.sleep(OPEN_PACE_SECONDS)
            await at_rest(proxy)
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

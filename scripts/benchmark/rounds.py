"""Measures the peers beside each other: rounds of fresh processes, and in each round many slices.

All peers of a round are up at once, and each slice takes every figure of all of them, one after the
other: what else a machine does from one second to the next meets all alike, so that the ratios of a
slice count.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from scripts.benchmark import load, report, upstream
from scripts.benchmark.peers import Peer, Running, running

COUNTS: Final = (1, 16, 64)
STREAM_COUNTS: Final = (1, 8)
_WARMING_SHARE: Final = 1 / 6
_READY_SECONDS: Final = 60.0
_REST_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Effort:
    """How long everything is measured: `seconds` are those of one burst of requests."""

    rounds: int
    slices: int
    seconds: float


@dataclass(frozen=True)
class Bench:
    """Where it is measured: a folder, the upstream's port, and the proxies' core."""

    folder: Path
    upstream: int
    core: int | None
    effort: Effort


@dataclass(frozen=True)
class Line:
    """A way to the upstream: through a proxy, or straight. With what it is asked."""

    name: str
    port: int
    plain: bytes
    stream: bytes
    proxy: Running | None = None

    def cpu_seconds(self) -> float:
        return 0.0 if self.proxy is None else self.proxy.cpu_seconds()


def say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)


async def measured(bench: Bench, peers: Sequence[Peer]) -> list[report.Slice]:
    """All slices of all rounds."""
    await first_answer(bench.upstream, _requests(bench, None)[0])
    slices: list[report.Slice] = []
    for number in range(bench.effort.rounds):
        began = time.monotonic()
        slices += await _round(bench, _in_turn(peers, number), number)
        say(f"round {number + 1} of {bench.effort.rounds}, {time.monotonic() - began:.0f} s")
    return slices


async def _round(bench: Bench, peers: Sequence[Peer], number: int) -> list[report.Slice]:
    """The start of all peers, as a slice of its own, and then the others."""
    lines = [Line(report.DIRECT, bench.upstream, *_requests(bench, None))]
    begun: dict[str, report.Measured] = {}
    with contextlib.ExitStack() as stack:
        for peer in peers:
            folder = bench.folder / f"{number}-{peer.name}"
            proxy = stack.enter_context(running(peer, folder, bench.upstream, bench.core))
            line = line_to(bench, proxy)
            try:
                begun[peer.name] = await _started(bench, line, proxy)
            except (load.Failed, TimeoutError, OSError) as error:
                say(f"{peer.name} is left out of round {number + 1}: {error}\n"
                    f"{proxy.output[-600:]}")  # fmt: skip
                continue
            lines.append(line)
        turns = range(bench.effort.slices)
        return [begun, *[await _slice(bench, _in_turn(lines, turn)) for turn in turns]]


def _in_turn[T](things: Sequence[T], number: int) -> list[T]:
    """All of them, each time with another one first."""
    turn = number % len(things)
    return [*things[turn:], *things[:turn]]


def line_to(bench: Bench, proxy: Running) -> Line:
    return Line(proxy.peer.name, proxy.port, *_requests(bench, proxy.peer), proxy)


def _requests(bench: Bench, peer: Peer | None) -> tuple[bytes, bytes]:
    """A request for a whole answer, and one for a stream."""
    more = b"" if peer is None else peer.headers(bench.upstream)
    plain, stream = (load.request_of(upstream.PATH, stream=stream) for stream in (False, True))
    at = plain.index(b"\r\n") + 2
    return plain[:at] + more + plain[at:], stream[:at] + more + stream[at:]


async def _started(bench: Bench, line: Line, proxy: Running) -> report.Measured:
    """How long the first answer took; what that set off is over then, and the rest is warm."""
    await first_answer(line.port, line.plain)
    first = time.monotonic() - proxy.began
    async with warm(bench, line, max(COUNTS)):
        pass
    await at_rest(proxy)
    return report.Measured({report.FIRST_ANSWER: first})


async def first_answer(port: int, request: bytes) -> None:
    """Wait for an answer with status 200; raises what the last try did if there is none."""
    ends = time.monotonic() + _READY_SECONDS
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


async def at_rest(proxy: Running) -> None:
    """Wait until nothing that a first call set off goes on in the background."""
    ends = time.monotonic() + _REST_SECONDS
    before = proxy.cpu_seconds()
    while time.monotonic() < ends:
        await asyncio.sleep(0.3)
        now = proxy.cpu_seconds()
        if now - before < 0.03:
            return
        before = now


async def _slice(bench: Bench, lines: Sequence[Line]) -> report.Slice:
    """Every figure of all lines: one figure, and all lines in turn, after the other."""
    found = {line.name: report.Measured() for line in lines}
    requests = partial(_measure_requests, bench.effort.seconds)
    for measure, counts in ((requests, COUNTS), (_measure_streams, STREAM_COUNTS)):
        for clients in counts:
            for line in lines:
                try:
                    async with warm(bench, line, clients) as opened:
                        await measure(line, opened, found[line.name])
                except (load.Failed, TimeoutError, OSError) as error:
                    say(f"{line.name} is left out once, with {clients} at once: {error}")
    return found


@contextlib.asynccontextmanager
async def warm(bench: Bench, line: Line, count: int) -> AsyncIterator[list[load.Connection]]:
    """So many connections that are warm: some proxies close those that are idle for seconds.

    They are closed in the end: what still asks over one would load the machine for the next line.
    """
    opened = await load.connections(line.port, count)
    try:
        await load.burst(opened, line.plain, bench.effort.seconds * _WARMING_SHARE)
        yield opened
    finally:
        load.close(opened)


async def _measure_requests(
    seconds: float, line: Line, opened: Sequence[load.Connection], found: report.Measured
) -> None:
    before = line.cpu_seconds()
    came = await load.burst(opened, line.plain, seconds)
    found.figures[report.at(report.PER_SECOND, len(opened))] = came.per_second
    found.add(report.CPU, line.cpu_seconds() - before, came.count)


async def _measure_streams(
    line: Line, opened: Sequence[load.Connection], found: report.Measured
) -> None:
    before = line.cpu_seconds()
    came = await load.streams(opened, line.stream)
    first = statistics.median(came.first_bytes)
    found.figures[report.at(report.FIRST_BYTE, len(opened))] = first
    if len(opened) == 1:
        found.figures[report.PER_CHUNK] = statistics.median(came.delays)
    else:
        events = len(came.first_bytes) * (upstream.CHUNKS + 1)
        found.add(report.CPU_OF_CHUNKS, line.cpu_seconds() - before, events)

"""What each event of a stream costs, without sockets, beside a tap that passes everything on.

Streams are driven through mitmproxy's layers as in `own_code`: the answer's head, event by event,
the end. The least of many batches counts. With `EVENTS` in the environment one stream of so many
is driven and nothing is measured: for a tool that counts instructions, of which two runs make a
difference.
"""

import asyncio
import cProfile
import os
import pstats
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mitmproxy import ctx, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from foxora_addon.proxy import fast, hold
from foxora_addon.speed import Speed
from scripts.benchmark import upstream
from scripts.benchmark.load import request_of
from tests.proxy.wires import Hooks, Wire, a_desk

EVENTS = 40
BATCHES = 200
_REQUEST = request_of("/v1/chat/completions", stream=True)
type Way = Callable[[], Wire]
type Times = tuple[float, float, float, float]
"""Seconds of the request, the answer's head, each event, and the end."""


class Tap:
    """The least that an addon can do to a stream."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Have every chunk go through a function."""
        if flow.response is not None:
            flow.response.stream = lambda data: data


def pieces_of(count: int) -> list[bytes]:
    """The events of an answer as they come, each a chunk by itself."""
    return [_chunk(upstream.EVENT % time.monotonic_ns()) for _ in range(count)]


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


_END = _chunk(upstream.LAST) + b"0\r\n\r\n"


def stream(wire: Wire, pieces: list[bytes]) -> Times:
    """One call whose answer comes in these pieces."""
    request = _request_for(wire)
    began = time.perf_counter()
    wire.ask(request)
    asked = time.perf_counter()
    wire.say(upstream.STREAM_HEAD)
    headed = time.perf_counter()
    for piece in pieces:
        wire.say(piece)
    told = time.perf_counter()
    sent = wire.answered
    wire.say(_END)
    ended = time.perf_counter()
    assert sent >= len(pieces), "not every event was passed on"
    return asked - began, headed - asked, (told - headed) / len(pieces), ended - told


def _request_for(wire: Wire) -> bytes:
    if wire.is_ours:
        return _REQUEST
    return _REQUEST.replace(b"host: 127.0.0.1\r\n", b"host: 127.0.0.1:9\r\n")


@contextmanager
def tapped() -> Iterator[Way]:
    """A tap, and nothing of ours."""
    tap = Tap()
    ctx.master.addons.add(tap)
    try:
        yield lambda: Wire(None)
    finally:
        ctx.master.addons.remove(tap)


@contextmanager
def observed() -> Iterator[Way]:
    """All of ours."""
    with a_desk() as desk:
        assert hold.install(desk) is None
        hooks = Hooks(desk)
        ctx.master.addons.add(hooks)
        try:
            yield lambda: Wire(desk)
        finally:
            ctx.master.addons.remove(hooks)


WAYS = {"tap": (tapped, Speed.NONE), "fast-tap": (tapped, Speed.ALL),
        "script": (observed, Speed.UNSEEN), "run": (observed, Speed.ALL)}  # fmt: skip


async def _least(way: Way) -> Times:
    found: list[Times] = []
    for _ in range(BATCHES):
        found.append(stream(way(), pieces_of(EVENTS)))
        await asyncio.sleep(0)
    request, head, event, end = (min(times) for times in zip(*found, strict=True))
    return request, head, event, end


def _profile(way: Way) -> None:
    wire, pieces = way(), pieces_of(EVENTS * 50)
    profile = cProfile.Profile()
    profile.enable()
    stream(wire, pieces)
    profile.disable()
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(50)


async def main(names: list[str], *, profiles: bool) -> None:
    with taddons.context(Proxyserver()):
        for name in names or WAYS:
            made, speed = WAYS[name]
            fast.switch(speed)
            with made() as way:
                if count := os.environ.get("EVENTS"):
                    stream(way(), pieces_of(int(count)))
                elif profiles:
                    _profile(way)
                else:
                    request, head, event, end = (each * 1e6 for each in await _least(way))
                    print(f"{name:9} {request:6.0f} us the request, {head:4.0f} the head, "
                          f"{event:5.1f} an event, {end:4.0f} the end")  # fmt: skip


if __name__ == "__main__":
    os.environ.pop("FOXORA_AUDIT", None)
    chosen = [word for word in sys.argv[1:] if not word.startswith("-")]
    asyncio.run(main(chosen, profiles="--profile" in sys.argv[1:]))

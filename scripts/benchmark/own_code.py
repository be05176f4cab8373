"""What our own code costs for each request, without sockets, processes or another machine's noise.

Requests are driven through mitmproxy's layers as its server does, sped up, once with the desk and a
real trail, and once with a desk that does nothing: the difference is ours. The least of many
batches counts, for everything else that a machine does only adds to it.
"""

import asyncio
import cProfile
import os
import pstats
import sys
import time

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from foxora_addon.proxy import fast, hold
from foxora_addon.proxy.desk import FlowDesk
from foxora_addon.speed import Speed
from scripts.benchmark import upstream
from scripts.benchmark.load import request_of
from tests.proxy.wires import Hooks, Silent, Wire, a_desk

BATCH = 100
BATCHES = 40
LEAST, USUAL, MOST = 300, 2_000, 200_000
SIZES = ((LEAST, LEAST), (USUAL, USUAL), (20_000, USUAL), (MOST, USUAL), (USUAL, MOST))
"""Bytes of the bodies of a request and its answer."""

_SENTENCE = b"How far is it, and who told you so? "
_REPEATS = 50


def request_to(path: str, size: int) -> bytes:
    """A chat request whose body has about so many bytes."""
    head, _, body = request_of(path, stream=False).partition(b"\r\n\r\n")
    repeats = max(_REPEATS + (size - len(body)) // len(_SENTENCE), 1)
    other = body.replace(_SENTENCE * _REPEATS, _SENTENCE * repeats)
    length = b"content-length: %d"
    return head.replace(length % len(body), length % len(other)) + b"\r\n\r\n" + other


async def least_seconds(desk: FlowDesk | None, asked: int, said: int) -> float:
    """Of one request and its answer, with bodies of so many bytes, the least of all batches."""
    request, answer = request_to("/v1/chat/completions", asked), upstream.answer_of(said)
    if desk is None:
        request = request.replace(b"host: 127.0.0.1\r\n", b"host: 127.0.0.1:9\r\n")
    found = []
    for _ in range(BATCHES):
        wire = Wire(desk)
        count = max(BATCH * USUAL // max(asked, said, USUAL), 5)
        began = time.perf_counter()
        for _ in range(count):
            wire.exchange(request, answer)
        found.append((time.perf_counter() - began) / count)
        assert wire.answered >= count, "not every request was answered"
        await asyncio.sleep(0)
    return min(found)


async def main(*, profiles: bool) -> None:
    with taddons.context(Proxyserver()) as context:
        fast.switch(Speed.ALL)
        assert hold.install(Silent()) is None
        alone = {sizes: await least_seconds(None, *sizes) for sizes in SIZES}
        with a_desk() as desk:
            assert hold.install(desk) is None
            context.master.addons.add(Hooks(desk))
            ours = {}
            for sizes in SIZES:
                without = alone[sizes]
                ours[sizes] = await least_seconds(desk, *sizes) - without
                print(f"{sizes[0]:7,} bytes asked, {sizes[1]:7,} answered: mitmproxy's layers "
                      f"{without * 1e6:5.0f} us, ours {ours[sizes] * 1e6:6.0f} us")  # fmt: skip
            print(_in_sum(ours))
            if profiles:
                await _profile(desk)


def _in_sum(ours: dict[tuple[int, int], float]) -> str:
    """What of our own is for the call, and what for its bodies, a kilobyte of each."""
    usual = ours[USUAL, USUAL]
    kilobytes = (MOST - USUAL) / 1_000
    asked, said = ((ours[sizes] - usual) / kilobytes for sizes in ((MOST, USUAL), (USUAL, MOST)))
    alone = ours[LEAST, LEAST] - (asked + said) * LEAST / 1_000
    return (f"ours is about {alone * 1e6:.0f} us, and {asked * 1e6:.1f} us a kB of the request, "
            f"{said * 1e6:.1f} us a kB of the answer")  # fmt: skip


async def _profile(desk: FlowDesk) -> None:
    wire, request = Wire(desk), request_to("/v1/chat/completions", USUAL)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(1_000):
        wire.exchange(request, upstream.ANSWER)
    profile.disable()
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    os.environ.pop("FOXORA_AUDIT", None)
    asyncio.run(main(profiles="--profile" in sys.argv[1:]))

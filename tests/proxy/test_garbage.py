"""An exchange that is over is freed at once, with its bodies, not when garbage is looked for."""

import asyncio
import gc
from collections.abc import Callable

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.test import taddons

from foxora_addon.exchange import Exchange
from foxora_addon.observation import Observation
from foxora_addon.proxy import fast, host_sockets
from foxora_addon.speed import Speed
from scripts.benchmark import own_streams, upstream
from scripts.benchmark.own_code import request_to
from tests.end_to_end.sockets import frame, opened, opening
from tests.proxy.test_host_sockets import CHANGED
from tests.proxy.wires import Wire


@pytest.fixture(autouse=True)
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """WebSockets are as in a proxy, for one test."""
    for owner, name in CHANGED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    host_sockets.take_over(lambda _: (), lambda _: ())


def a_plain_call(wire: Wire) -> None:
    wire.exchange(request_to("/v1/chat/completions", 2_000), upstream.ANSWER)


def a_refused_call(wire: Wire) -> None:
    wire.ask(request_to("/v1/chat/completions", 2_000).replace(b"{", b"[", 1))


def a_stream(wire: Wire) -> None:
    own_streams.stream(wire, own_streams.pieces_of(3))


def a_websocket(wire: Wire) -> None:
    """On a connection of its own, as each is."""
    own = wire.another()
    own.ask(opening("sk-fake"))
    own.say(opened(b"dGhlIHNhbXBsZSBub25jZQ=="))
    own.ask(frame(1, b"x" * 60_000, mask=True))
    own.ask(frame(8, (1000).to_bytes(2), mask=True))


def streams() -> int:
    return sum(isinstance(each, HttpStream) for each in gc.get_objects())


@pytest.mark.parametrize("call", [a_plain_call, a_refused_call, a_stream, a_websocket])
def test_nothing_of_it_is_left_to_the_collector(call: Callable[[Wire], None]) -> None:
    async def drive() -> list[object]:
        with taddons.context(Proxyserver()), own_streams.observed() as way:
            fast.switch(Speed.ALL)
            wire = way()
            for _ in range(3):
                call(wire)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                before = streams()
                for _ in range(3):
                    call(wire)
                assert streams() == before
                gc.collect()
                return list(gc.garbage)
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
                fast.switch(Speed.NONE)

    held = HttpStream | HTTPFlow | Exchange | Observation
    assert not [each for each in asyncio.run(drive()) if isinstance(each, held)]

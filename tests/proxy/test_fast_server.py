"""Hooks are made, events enter a connection's layers, and writers are waited for, in fewer steps.

Each case runs without and with the speed-ups.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pytest
from mitmproxy import ctx, hooks
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer, NextLayer, NextLayerHook
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, HttpStream
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.proxy.layers.modes import HttpProxy
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.test import taddons, tflow

from foxora_addon.proxy import fast, hold
from foxora_addon.proxy.fast import reading, streams
from foxora_addon.speed import Speed

REQUEST = b"GET http://host.example/ HTTP/1.1\r\nhost: host.example\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["as it is", "sped up"], autouse=True)
def speed(request: pytest.FixtureRequest) -> Iterator[bool]:
    # Whoever ran before in this process may have left a desk on the line.
    with taddons.context(Proxyserver()), hold.in_place(None):
        fast.switch(Speed.ALL if request.param else Speed.NONE)
        yield request.param
        fast.switch(Speed.NONE)


# Hooks.


def test_a_hook_is_what_it_was() -> None:
    flow = tflow.tflow()
    for _ in range(3):
        hook = HttpRequestHook(flow)
        assert (type(hook), hook.args(), hook.name) == (HttpRequestHook, [flow], "request")
        assert hook != HttpRequestHook(flow)
        assert hook.blocking is True
    with pytest.raises(TypeError, match="flow"):
        HttpRequestHook()  # type: ignore[call-arg]


def test_what_is_no_kind_of_hook_is_not_made() -> None:
    class NoData(commands.StartHook):
        name = "no_data"

    kind: Any = NoData
    try:
        for _ in range(2):
            with pytest.raises(TypeError, match="StartHook may not be"):
                commands.StartHook()
            with pytest.raises(TypeError, match="not a dataclass"):
                kind()
    finally:
        del hooks.all_hooks["no_data"]


def test_a_hook_that_is_made_in_a_way_of_its_own_is_made_so_each_time() -> None:
    class Counted:
        made: ClassVar[list[Any]] = []

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            cls.made.append(cls)
            return super().__new__(cls)

    @dataclass
    class OwnHook(commands.StartHook, Counted):
        what: int

    try:
        assert [OwnHook(each).what for each in range(3)] == [0, 1, 2]
        assert Counted.made == [OwnHook] * 3
    finally:
        del hooks.all_hooks["own"]


# The entry.


def a_proxy() -> HttpProxy:
    context = Context(tflow.tclient_conn(), ctx.options)
    return HttpProxy(context)


def enter(proxy: Layer, event: events.Event) -> list[commands.Command]:
    return list(proxy.handle_event(event))


def decided(proxy: HttpProxy, kind: type[Layer], *arguments: Any) -> list[commands.Command]:
    """What comes of the first bytes once somebody has decided who reads them."""
    enter(proxy, events.Start())
    (asking,) = enter(proxy, events.DataReceived(proxy.context.client, REQUEST))
    assert isinstance(asking, NextLayerHook)
    assert isinstance(waits_for(asking), NextLayer)
    asking.data.layer = kind(asking.data.context, *arguments)
    assert enter(proxy, events.DataReceived(proxy.context.client, b"queued")) == []
    return enter(proxy, events.HookCompleted(asking))


def waits_for(command: commands.Command) -> Any:
    """The layer that waits for what becomes of a command; True: whoever gets it next."""
    return command.blocking


def names(found: list[commands.Command]) -> list[str]:
    return [each.name if isinstance(each, commands.StartHook) else str(each) for each in found]


def test_what_comes_before_it_is_decided_who_reads_it_is_read_afterwards() -> None:
    proxy = a_proxy()
    begun = decided(proxy, HttpLayer, HTTPMode.regular)
    assert names(begun)[-1] == "requestheaders"
    assert isinstance(waits_for(begun[-1]), HttpStream), "and nobody above it"
    assert proxy._paused is None


def test_what_an_http_layer_wants_comes_out_as_it_went_in() -> None:
    proxy = a_proxy()
    (hook,) = [
        each
        for each in decided(proxy, HttpLayer, HTTPMode.regular)
        if isinstance(each, commands.StartHook)
    ]
    (following,) = [
        each
        for each in enter(proxy, events.HookCompleted(hook))
        if isinstance(each, commands.StartHook)
    ]
    assert (hook.name, following.name) == ("requestheaders", "request")
    wanted = enter(proxy, events.HookCompleted(following))
    assert [type(each) for each in wanted] == [commands.OpenConnection]
    assert isinstance(waits_for(wanted[0]), Layer)
    assert proxy._paused is None


def test_another_layer_is_entered_as_ever() -> None:
    proxy = a_proxy()
    assert names(decided(proxy, TCPLayer)) == ["tcp_start"]
    assert enter(proxy, events.DataReceived(proxy.context.client, b"more")) == []


def test_an_event_that_is_out_of_place_fails_as_ever() -> None:
    with pytest.raises(AssertionError, match="Unexpected event type"):
        enter(a_proxy(), events.DataReceived(tflow.tclient_conn(), REQUEST))


def test_a_layer_that_is_watched_tells_of_each_event() -> None:
    proxy = a_proxy()
    decided(proxy, HttpLayer, HTTPMode.regular)
    proxy.debug = ""
    (told, *_) = enter(proxy, events.DataReceived(proxy.context.client, b""))
    assert isinstance(told, commands.Log)


# Back-pressure.


@dataclass
class Pipe:
    """A connection's handler with one writer, and the socket at which what it writes arrives."""

    handler: Any
    writer: asyncio.StreamWriter
    other_end: socket.socket
    waits: asyncio.Task[Any]

    async def read(self, size: int) -> bytes:
        """Read so many bytes."""
        found = b""
        while len(found) < size:
            found += await asyncio.get_running_loop().sock_recv(self.other_end, size - len(found))
        return found


def with_pipe(case: Callable[[Pipe], Coroutine[Any, Any, None]]) -> None:
    """Run a case in a loop of its own."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        handler: Any = object.__new__(ProxyConnectionHandler)
        handler._drain_lock = asyncio.Lock()
        waits = asyncio.create_task(asyncio.Event().wait())
        handler.transports = {
            "opening": ConnectionIO(),
            "open": ConnectionIO(reader=reader, writer=writer, handler=waits),
        }
        with theirs:
            await case(Pipe(handler, writer, theirs, waits))
        waits.cancel()
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    asyncio.run(run())


def began(pipe: Pipe) -> asyncio.Task[None]:
    return asyncio.create_task(pipe.handler.drain_writers())


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_nothing_is_waited_for_where_all_is_sent() -> None:
    async def case(pipe: Pipe) -> None:
        pipe.writer.write(b"all of it")
        with pytest.raises(StopIteration):
            pipe.handler.drain_writers().send(None)
        assert await pipe.read(9) == b"all of it"

    with_pipe(case)


def test_what_is_not_sent_yet_is_waited_for_and_those_after_that_wait_too() -> None:
    size = 4 * 1_048_576

    async def case(pipe: Pipe) -> None:
        pipe.writer.write(bytes(size))
        first = began(pipe)
        await turns()
        second = began(pipe)
        await turns()
        assert (first.done(), second.done()) == (False, False)
        assert len(await pipe.read(size)) == size
        await asyncio.gather(first, second)

    with_pipe(case)


def test_whoever_waits_already_goes_first() -> None:
    async def case(pipe: Pipe) -> None:
        async with pipe.handler._drain_lock:
            following = began(pipe)
            await turns()
            assert not following.done()
        await following

    with_pipe(case)


def test_a_connection_that_is_lost_is_given_up() -> None:
    async def case(pipe: Pipe) -> None:
        pipe.writer.transport.abort()
        await pipe.handler.drain_writers()
        await turns()
        assert pipe.waits.cancelled()

    with_pipe(case)


def test_a_writer_of_another_kind_is_asked() -> None:
    async def case(pipe: Pipe) -> None:
        class Writer:
            async def drain(self) -> None:
                drained.append(self)

        drained: list[Any] = []
        pipe.handler.transports["udp"] = ConnectionIO(writer=cast("Any", Writer()))
        await pipe.handler.drain_writers()
        assert len(drained) == 1

    with_pipe(case)


# Reading: what has come is handled where it was read.


class Reading(ProxyConnectionHandler):
    """A connection's handler that writes down what its layer hears, and in whose turn."""

    def __init__(self) -> None:
        self._server_event_lock = asyncio.Lock()
        self._drain_lock = asyncio.Lock()
        self.timeout_watchdog = cast("Any", self)
        self.client = tflow.tclient_conn()
        self.heard: list[bytes | str] = []
        self.is_over = asyncio.Event()
        self.reader = asyncio.StreamReader()
        self.transports = {self.client: ConnectionIO(reader=self.reader)}
        self.layer: Any = self

    def register_activity(self) -> None:
        pass

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            self.heard.append(event.data)
        else:
            self.heard.append("end")
            self.is_over.set()
        yield from ()


def heard_by(
    feed: Callable[[Reading], Coroutine[Any, Any, None]], kind: type[Reading] = Reading
) -> list[bytes | str]:
    """What a layer hears of a connection that is fed, up to its end."""

    async def handled() -> list[bytes | str]:
        handler = kind()
        writer = Unsent()
        handler.transports[handler.client].writer = cast("Any", writer)
        task = asyncio.create_task(handler.handle_connection(handler.client))
        await asyncio.sleep(0)
        await feed(handler)
        handler.reader.feed_eof()
        await handler.is_over.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert "feed_data" not in vars(handler.reader), "or the handler would never be freed"
        return handler.heard

    return asyncio.run(handled())


class Unsent:
    """A writer with nothing to wait for."""

    def close(self) -> None:
        pass

    async def drain(self) -> None:
        pass


def all_sent(monkeypatch: pytest.MonkeyPatch, *, is_so: bool = True) -> None:
    monkeypatch.setattr(reading, "is_drained", lambda _: is_so)


def test_what_comes_is_handled_where_it_is_read(
    monkeypatch: pytest.MonkeyPatch, speed: bool
) -> None:
    async def feed(handler: Reading) -> None:
        for piece in (b"one", b"two"):
            handler.reader.feed_data(piece)
        assert handler.heard == ([b"one", b"two"] if speed else [])

    all_sent(monkeypatch)
    assert heard_by(feed) == ([b"one", b"two", "end"] if speed else [b"onetwo", "end"])


def test_what_comes_in_the_turn_of_another_event_waits_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def feed(handler: Reading) -> None:
        async with handler._server_event_lock:
            handler.reader.feed_data(b"one")
            await asyncio.sleep(0)
            handler.reader.feed_data(b"two")
            assert handler.heard == []

    all_sent(monkeypatch)
    assert heard_by(feed) == [b"one", b"two", "end"]


def test_what_comes_before_something_was_sent_waits_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def feed(handler: Reading) -> None:
        handler.reader.feed_data(b"one")
        handler.reader.feed_data(b"two")
        assert handler.heard == []

    all_sent(monkeypatch, is_so=False)
    assert heard_by(feed) == [b"onetwo", "end"]


def test_a_handler_that_takes_events_in_its_own_way_reads_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(Reading):
        async def server_event(self, event: events.Event) -> None:
            await asyncio.sleep(0)
            await super().server_event(event)

    async def feed(handler: Reading) -> None:
        handler.reader.feed_data(b"one")
        handler.reader.feed_data(b"two")

    all_sent(monkeypatch)
    assert heard_by(feed, Slow) == [b"onetwo", "end"]


def test_more_than_mitmproxy_reads_at_once_is_read_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def feed(handler: Reading) -> None:
        handler.reader.feed_data(b"x" * 65_536)
        handler.reader.feed_data(b"y")

    all_sent(monkeypatch)
    assert heard_by(feed) == [b"x" * 65_535, b"xy", "end"]


# Sending: what passes goes at once, and what is said comes later.


class To:
    """Writes down what is sent."""

    def __init__(self, heard: list[bytes]) -> None:
        self.heard = heard

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.heard.append(data)


def test_bytes_that_pass_are_sent_before_a_layer_goes_on() -> None:
    heard: list[bytes] = []

    async def passed() -> None:
        handler = Reading()
        client = handler.client

        def steps(event: events.Event) -> Iterator[commands.Command]:
            yield commands.SendData(client, b"a head")
            yield streams.Passed(client, b"an event")
            heard.append(b"looked at")

        client.state = ConnectionState.OPEN
        handler.transports[client].writer = cast("Any", To(heard))
        handler.handle_event = steps  # type: ignore[method-assign]
        await handler.server_event(events.Start())

    asyncio.run(passed())
    assert b"".join(heard) == b"a headan eventlooked at"


def test_each_datagram_is_sent_by_itself() -> None:
    heard: list[bytes] = []

    async def sent() -> None:
        handler = Reading()
        client = handler.client

        def steps(event: events.Event) -> Iterator[commands.Command]:
            yield commands.SendData(client, b"one")
            yield commands.SendData(client, b"two")

        client.state, client.transport_protocol = ConnectionState.OPEN, "udp"
        handler.transports[client].writer = cast("Any", To(heard))
        handler.handle_event = steps  # type: ignore[method-assign]
        await handler.server_event(events.Start())

    asyncio.run(sent())
    assert heard == [b"one", b"two"]


def test_nothing_more_is_written_once_a_piece_could_not_be_sent() -> None:
    class ToNobody(To):
        def is_closing(self) -> bool:
            return bool(self.heard)

    heard: list[bytes] = []

    async def sent() -> None:
        handler = Reading()
        client = handler.client

        def steps(event: events.Event) -> Iterator[commands.Command]:
            for size in (40_000, 50_000, 60_000):
                yield commands.SendData(client, bytes(size))

        client.state = ConnectionState.OPEN
        handler.transports[client].writer = cast("Any", ToNobody(heard))
        handler.handle_event = steps  # type: ignore[method-assign]
        await handler.server_event(events.Start())

    asyncio.run(sent())
    assert [len(piece) for piece in heard] == [40_000]


def test_what_a_layer_says_is_logged_after_what_it_sends(
    speed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def said() -> None:
        handler = Reading()

        def steps(event: events.Event) -> Iterator[commands.Command]:
            yield commands.Log("first")
            yield commands.Log("second", logging.WARNING)
            assert ("first" in caplog.text) is not speed

        handler.layer = cast("Any", handler)
        handler.handle_event = steps  # type: ignore[method-assign]
        await handler.server_event(events.Start())
        await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO):
        asyncio.run(said())
    assert [record.getMessage() for record in caplog.records] == ["first", "second"]


def test_what_a_layer_says_before_it_crashes_is_logged_before_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def crashed() -> None:
        handler = Reading()

        def steps(event: events.Event) -> Iterator[commands.Command]:
            yield commands.Log("first")
            raise ZeroDivisionError

        handler.handle_event = steps  # type: ignore[method-assign]
        await handler.server_event(events.Start())

    with caplog.at_level(logging.INFO):
        asyncio.run(crashed())
    assert [r.getMessage() for r in caplog.records] == ["first", "mitmproxy has crashed!"]

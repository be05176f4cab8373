"""Whatever is sped up does what mitmproxy does: each case runs without and with the speed-ups."""

import asyncio
import contextlib
import dataclasses
import inspect
import logging
import traceback
from collections.abc import Iterator, Sequence
from copy import deepcopy
from io import StringIO
from itertools import chain
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import addonmanager, exceptions, hooks, http, options, optmanager
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionIO, TimeoutWatchdog
from mitmproxy.test import taddons, tflow

from foxora_addon.proxy import fast
from foxora_addon.proxy.fast import hooks as hooks_of_streams
from foxora_addon.proxy.fast.idle import IDLE
from foxora_addon.proxy.fast.sources import source_of
from foxora_addon.speed import Speed

type Heard = list[str]
_GOES_ON: Final = (exceptions.AddonHalt, exceptions.OptionsError)


@pytest.fixture(params=Speed, ids=["as it is", "unseen", "sped up"], autouse=True)
def speed(request: pytest.FixtureRequest) -> Iterator[Speed]:
    with taddons.context(loadcore=False):
        fast.switch(request.param)
        yield request.param
        fast.switch(Speed.NONE)


class Addon:
    """Tells what it hears."""

    def __init__(self, name: str, heard: Heard, raises: Exception | None = None) -> None:
        self.name = name
        self.heard = heard
        self.raises = raises

    def request(self, flow: http.HTTPFlow) -> None:
        self.heard.append(self.name)
        if self.raises:
            raise self.raises


class Slow(Addon):
    async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]  # as hooks may
        await asyncio.sleep(0)
        super().request(flow)


class Unhurried(Addon):
    """May wait, and does not."""

    async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]  # as hooks may
        super().request(flow)


class Watching:
    name = "watching"

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def update(self, flows: Any) -> None:
        self.heard.append(f"update of {len(flows)}")


class Deaf:
    name = "deaf"


class Folder:
    """Has addons of its own, as the loader of scripts does."""

    name = "folder"

    def __init__(self, *addons: Any) -> None:
        self.addons = list(addons)


def heard_by(*addons: Any, times: int = 1) -> None:
    """Let addons hear of a request; they write down what they hear."""
    with taddons.context(*addons, loadcore=False) as context:
        asyncio.run(told(context.master.addons, times))


async def told(manager: addonmanager.AddonManager, times: int = 1) -> None:
    for _ in range(times):
        await manager.handle_lifecycle(HttpRequestHook(tflow.tflow()))


def test_addons_hear_in_their_order_and_updates_follow() -> None:
    heard: Heard = []
    heard_by(Addon("a", heard), Deaf(), Slow("b", heard), Watching(heard), Addon("c", heard))
    assert heard == ["a", "b", "c", "update of 1"]


def test_halt_keeps_the_rest_from_hearing() -> None:
    heard: Heard = []
    halting = Addon("b", heard, exceptions.AddonHalt())
    heard_by(Addon("a", heard), halting, Addon("c", heard))
    assert heard == ["a", "b"]


def test_halt_below_another_addon_keeps_the_rest_from_hearing() -> None:
    heard: Heard = []
    below = Folder(Addon("b", heard, exceptions.AddonHalt()), Addon("c", heard))
    heard_by(Addon("a", heard), below, Addon("d", heard))
    assert heard == ["a", "b"]


@pytest.mark.parametrize("is_below", [False, True])
@pytest.mark.parametrize("kind", [Addon, Unhurried, Slow])
def test_an_error_is_logged_and_the_others_hear_all_the_same(
    is_below: bool, kind: type[Addon], caplog: pytest.LogCaptureFixture
) -> None:
    heard: Heard = []
    failing: Any = kind("a", heard, ValueError("spilled"))
    heard_by(Folder(failing) if is_below else failing, Addon("b", heard))
    assert heard == ["a", "b"]
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "mitmproxy.addonmanager"
    assert record.getMessage() == "Addon error: spilled"
    assert record.exc_info is not None
    trace = record.exc_info[2]
    assert trace is not None
    assert trace.tb_frame.f_code.co_name == "request", "no frame of the manager's is shown"


def guarded(error: BaseException) -> str:
    """What comes of an error below the guard around an addon: what is logged, and where it goes.

    With all that a log could tell of it, frames and all.
    """
    said = StringIO()
    handler = logging.StreamHandler(said)
    addonmanager.logger.addHandler(handler)

    def raise_it() -> None:
        raise error from ZeroDivisionError("before")

    try:
        with contextlib.suppress(BaseException), addonmanager.safecall():
            raise_it()
    finally:
        addonmanager.logger.removeHandler(handler)
    return said.getvalue() + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("kind", [ValueError, StopIteration, StopAsyncIteration, RuntimeError])
def test_what_an_addon_raises_is_logged_as_ever(speed: Speed, kind: type[Exception]) -> None:
    told = guarded(kind("of an addon"))
    fast.switch(Speed.NONE)
    assert told == guarded(kind("of an addon"))
    assert told.startswith("Addon error: of an addon")


@pytest.mark.parametrize("kind", [*_GOES_ON, asyncio.CancelledError, GeneratorExit])
def test_what_passes_the_guard_passes_as_ever(speed: Speed, kind: type[BaseException]) -> None:
    passed = guarded(kind("of an addon"))
    with pytest.raises(kind, match="of an addon"), addonmanager.safecall():
        raise kind("of an addon")
    fast.switch(Speed.NONE)
    assert passed == guarded(kind("of an addon"))
    assert "Addon error" not in passed


def test_an_options_error_goes_to_whoever_triggered_the_event() -> None:
    with pytest.raises(exceptions.OptionsError, match="no such"):
        heard_by(Addon("a", [], exceptions.OptionsError("no such")))


def test_a_hook_that_is_no_function_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    heard: Heard = []
    odd: Any = Deaf()
    odd.request = "not a function"
    heard_by(odd, Addon("b", heard))
    assert heard == ["b"]
    assert "Addon handler request" in caplog.text


def test_a_module_that_has_the_name_of_a_hook_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: Heard = []
    odd: Any = Deaf()
    odd.request = ModuleType("request")
    heard_by(odd, Addon("b", heard))
    assert heard == ["b"]
    assert "error" not in caplog.text


def test_addons_that_come_and_go_are_heeded_from_the_next_event_on() -> None:
    heard: Heard = []
    first, second = Addon("a", heard), Addon("b", heard)
    with taddons.context(first, loadcore=False) as context:
        manager = context.master.addons
        asyncio.run(told(manager))
        manager.add(second)
        asyncio.run(told(manager))
        manager.remove(first)
        asyncio.run(told(manager))
        manager.clear()
        asyncio.run(told(manager))
    assert heard == ["a", "a", "b", "b"]


def test_scripts_that_come_and_go_below_their_loader_are_heeded() -> None:
    heard: Heard = []
    loader = Folder()
    with taddons.context(loader, loadcore=False) as context:
        manager = context.master.addons
        asyncio.run(told(manager))
        loader.addons = [Folder2(Addon("a", heard)), Watching(heard)]
        asyncio.run(told(manager))
        loader.addons[0].addons = [Addon("read anew", heard)]
        asyncio.run(told(manager))
        loader.addons = []
        asyncio.run(told(manager))
    assert heard == ["a", "update of 1", "read anew", "update of 1"]


class Folder2(Folder):
    name = "folder2"


def test_a_hook_that_is_replaced_is_heard_in_its_new_form() -> None:
    heard: Heard = []
    addon: Any = Addon("a", heard)
    with taddons.context(addon, loadcore=False) as context:
        asyncio.run(told(context.master.addons))
        addon.request = lambda _: heard.append("replaced")
        asyncio.run(told(context.master.addons))
    assert heard == ["a", "replaced"]


def test_an_addon_that_takes_a_hook_on_as_options_change_hears() -> None:
    heard: Heard = []

    class Switched:
        def configure(self, updated: Any) -> None:
            if "listen_port" in updated:
                self.request = lambda _: heard.append("now")

    with taddons.context(Switched(), loadcore=False) as context:
        asyncio.run(told(context.master.addons))
        context.options.update(listen_port=8081)
        asyncio.run(told(context.master.addons))
    assert heard == ["now"]


def test_an_addon_that_is_added_while_others_hear_hears_as_well() -> None:
    heard: Heard = []

    class Adding:
        def request(self, flow: http.HTTPFlow) -> None:
            if not manager.get("late"):
                manager.add(Addon("late", heard))

    with taddons.context(Adding(), loadcore=False) as context:
        manager = context.master.addons
        asyncio.run(told(manager))
    assert heard == ["late"]


def test_running_and_done_reach_addons_as_ever() -> None:
    heard: Heard = []

    class Living:
        def running(self) -> None:
            heard.append("running")

        async def done(self) -> None:
            heard.append("done")

    with taddons.context(Living(), loadcore=False) as context:
        asyncio.run(context.master.addons.trigger_event(hooks.RunningHook()))
        asyncio.run(context.master.addons.trigger_event(hooks.DoneHook()))
    assert heard == ["running", "done"]


def test_messages_of_wrong_types_are_refused() -> None:
    good = http.Request.make("GET", "http://host.example/").data
    wrong: dict[str, Any] = {
        "http_version": "HTTP/1.1",
        "headers": [],
        "content": "text",
        "trailers": {},
        "timestamp_start": "now",
        "timestamp_end": "then",
        "host": b"host",
        "port": "80",
        "method": "GET",
        "scheme": None,
        "authority": "a",
        "path": "/",
    }
    for name, value in wrong.items():
        with pytest.raises(TypeError, match=f"for {name}, but got"):
            http.RequestData(**{**vars(good), name: value})
    answer = http.Response.make().data
    for name, value in {"status_code": "200", "reason": "OK"}.items():
        with pytest.raises(TypeError, match=f"for {name}, but got"):
            http.ResponseData(**{**vars(answer), name: value})
    http.RequestData(**{**vars(good), "timestamp_start": 1, "content": None})


_names = st.sampled_from(["a", "A", "b", "host", "Host", "HOST", "x-\udcff", ""])
_fields = st.lists(st.tuples(st.binary(max_size=3) | st.sampled_from([b"a", b"A", b"host"]),
                             st.binary(max_size=4)), max_size=5)  # fmt: skip


@given(fields=_fields, name=_names)
def test_headers_read_as_they_are_written(fields: list[tuple[bytes, bytes]], name: str) -> None:
    headers = http.Headers(fields)
    key = name.encode("utf-8", "surrogateescape")
    values = [v.decode("utf-8", "surrogateescape") for k, v in fields if k.lower() == key.lower()]
    assert headers.get_all(name) == headers.get_all(key) == values
    assert headers.get(name) == (", ".join(values) if values else None)
    assert headers.get(name, "else") == (", ".join(values) if values else "else")
    assert (name in headers) == bool(values)


@pytest.mark.parametrize(("key", "kind"), [(None, AttributeError), (7, TypeError)])
def test_headers_have_names_that_are_texts(key: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        http.Headers().get_all(key)
    with pytest.raises(kind):
        http.Headers().get(key)
    with pytest.raises(kind):
        assert key in http.Headers()


def test_what_an_option_gives_can_be_changed_without_changing_the_option() -> None:
    option = optmanager._Option("many", Sequence[str], [], "", None)
    option.value = given_value = ["a"]
    found = option.current()
    found.append("b")
    assert given_value == option.current() == ["a"]
    plain = optmanager._Option("one", int, 7, "", None)
    assert plain.current() == 7
    assert not plain.has_changed()
    plain.set(8)
    assert (plain.current(), plain.has_changed()) == (8, True)


@pytest.mark.parametrize("times", [1, 2])
def test_authorities_are_read_as_ever(times: int) -> None:
    for _ in range(times):
        assert url.parse_authority("host.example:80", check=True) == ("host.example", 80)
        assert url.parse_authority(b"host.example", check=False) == ("host.example", None)
        assert url.parse_authority("[::1]:443", check=True) == ("::1", 443)
        assert url.parse_authority("not a host", check=False) == ("not a host", None)
        assert url.parse_authority("a" * 300, check=False) == ("a" * 300, None)
        for wrong in ("not a host", "a" * 300, "host:99999"):
            with pytest.raises(ValueError, match=r"^$"):
                url.parse_authority(wrong, check=True)


def test_a_context_that_is_forked_shares_all_but_its_layers() -> None:
    context = Context(tflow.tclient_conn(), options.Options())
    context.layers.append(cast("Any", "a layer"))
    forked = context.fork()
    assert (forked.client, forked.server) == (context.client, context.server)
    assert forked.options is context.options
    assert forked.layers == context.layers
    assert forked.layers is not context.layers
    assert vars(forked).keys() == vars(context).keys()


def test_flows_are_copied_as_ever() -> None:
    flow = tflow.tflow(resp=True)
    copied = flow.copy()
    assert copied.request.headers == flow.request.headers
    assert copied.request.headers is not flow.request.headers
    assert deepcopy(flow.request.data) == flow.request.data


# Hooks of streams, which are told at once, and what the server sends.


sped_up = pytest.mark.parametrize("speed", [Speed.ALL], indirect=True)


class Proxyserver:
    """Has the connections, as mitmproxy's own has them."""

    def __init__(self) -> None:
        self.connections: dict[str, Any] = {}


class Handler(ProxyConnectionHandler):
    """A connection's handler, without a connection: what it sends is written down."""

    def __init__(self) -> None:
        self._server_event_lock = asyncio.Lock()
        self.timeout_watchdog = TimeoutWatchdog(60, self.on_timeout)
        self.client = tflow.tclient_conn()
        self.told: list[events.Event] = []
        self.transports = {}
        self.layer: Any = self

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        self.told.append(event)
        yield from ()


def told_at_once(flow: http.HTTPFlow, *addons: Any) -> tuple[bool, list[events.Event]]:
    """Whether a hook is over at once, and what the layer hears once what is left of it is over."""

    async def told() -> tuple[bool, list[events.Event]]:
        handler = Handler()
        proxy.connections[flow.client_conn.id] = handler
        hook = HttpRequestHook(flow)
        is_over = hooks_of_streams.told_at_once(hook, flow)
        if not is_over:
            if flow.intercepted:
                asyncio.get_running_loop().call_soon(flow.resume)
            await handler.hook_task(hook)
        return is_over, handler.told

    proxy = Proxyserver()
    with taddons.context(proxy, *addons, loadcore=False):
        return asyncio.run(told())


@sped_up
def test_a_hook_that_nobody_waits_in_is_over_at_once() -> None:
    heard: Heard = []

    class Quick(Addon):
        async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]  # as hooks may
            super().request(flow)

    result = told_at_once(tflow.tflow(), Addon("a", heard), Quick("b", heard), Watching(heard))
    assert result == (True, [])
    assert heard == ["a", "b", "update of 1"]


@sped_up
def test_a_hook_that_an_addon_waits_in_is_ended_by_the_task() -> None:
    heard: Heard = []
    addons = (Addon("a", heard), Slow("b", heard), Addon("c", heard), Watching(heard))
    is_over, told = told_at_once(tflow.tflow(), *addons)
    assert not is_over
    assert heard == ["a", "b", "c", "update of 1"], "each of them once, in their order"
    assert [type(event) for event in told] == [events.HookCompleted]


@sped_up
def test_an_intercepted_flow_is_waited_for() -> None:

    class Intercepting:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.intercept()

    flow = tflow.tflow()
    is_over, told = told_at_once(flow, Intercepting())
    assert not is_over
    assert not flow.intercepted
    assert len(told) == 1


@sped_up
def test_whoever_handles_a_connection_in_another_way_is_left_to_it() -> None:
    heard: Heard = []
    flow, proxy = tflow.tflow(), Proxyserver()

    class Replaying(Handler):
        async def handle_hook(self, hook: Any) -> None:
            """Do as a client replay does, which closes its connection after the answer."""

    with taddons.context(proxy, Addon("a", heard), loadcore=False):
        assert not hooks_of_streams.told_at_once(HttpRequestHook(flow), flow)
        proxy.connections[flow.client_conn.id] = object.__new__(Replaying)
        assert not hooks_of_streams.told_at_once(HttpRequestHook(flow), flow)
    assert heard == []


@sped_up
def test_a_replayed_flow_is_left_to_its_replay_though_its_first_client_is_still_connected() -> None:
    heard: Heard = []
    flow, proxy = tflow.tflow(), Proxyserver()
    with taddons.context(proxy, Addon("a", heard), loadcore=False):
        proxy.connections[flow.client_conn.id] = object.__new__(Handler)
        flow.is_replay = "request"
        assert not hooks_of_streams.told_at_once(HttpRequestHook(flow), flow)
        assert heard == []
        flow.is_replay = None
        assert hooks_of_streams.told_at_once(HttpRequestHook(flow), flow)


class Writer:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)


def test_what_is_sent_arrives_in_its_order_whatever_stands_between(speed: Speed) -> None:
    big = b"x" * 70_000

    class Sending(Handler):
        def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
            yield commands.SendData(a, b"head ")
            yield commands.SendData(a, b"body")
            yield commands.SendData(b, b"other")
            yield commands.SendData(a, b"1")
            yield commands.Log("between")
            yield commands.SendData(a, big)
            yield commands.SendData(a, b"2")
            yield commands.SendData(tflow.tserver_conn(), b"to one that is closed")
            yield commands.SendData(a, b"last")
            raise ValueError("what was sent before stays sent")

    a, b = tflow.tclient_conn(), tflow.tserver_conn()
    a.state = b.state = ConnectionState.OPEN
    to_a, to_b = Writer(), Writer()

    async def sent() -> None:
        handler = Sending()
        handler.transports = {
            a: ConnectionIO(writer=cast("Any", to_a)),
            b: ConnectionIO(writer=cast("Any", to_b)),
        }
        await handler.server_event(events.Start())

    asyncio.run(sent())
    assert b"".join(to_a.written) == b"head body1" + big + b"2last"
    assert to_b.written == [b"other"]
    if speed is Speed.ALL:
        assert to_a.written[0] == b"head body"


@sped_up
def test_nothing_is_sent_on_a_connection_that_was_to_be_closed_before() -> None:
    """Where a hook is over at once, what mitmproxy sends after it comes before the closing does."""
    client, to_client = tflow.tclient_conn(), Writer()
    client.state = ConnectionState.OPEN

    class Sending(Handler):
        def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
            yield commands.SendData(client, b"an answer")
            yield commands.CloseConnection(client)
            yield commands.SendData(client, b"another")

    async def sent() -> None:
        handler = Sending()
        writer, waits = cast("Any", to_client), asyncio.create_task(asyncio.sleep(60))
        handler.transports = {client: ConnectionIO(writer=writer, handler=waits)}
        await handler.server_event(events.Start())

    asyncio.run(sent())
    assert to_client.written == [b"an answer"]


# The switch itself.


def test_all_of_them_fit_the_mitmproxy_that_is_pinned_and_each_can_be_taken_back(
    speed: Speed, caplog: pytest.LogCaptureFixture
) -> None:
    fast.switch(Speed.NONE)
    before = [vars(each.owner).get(each.attribute) for each in fast.SPEED_UPS]
    fast.switch(Speed.ALL)
    placed = [vars(each.owner)[each.attribute] for each in fast.SPEED_UPS]
    assert placed == [each.quick for each in fast.SPEED_UPS]
    fast.switch(Speed.ALL)
    assert caplog.text == ""
    fast.switch(Speed.UNSEEN)
    found = [vars(each.owner).get(each.attribute) for each in fast.SPEED_UPS]
    others = [
        e.attribute
        for e, now, then in zip(fast.SPEED_UPS, found, before, strict=True)
        if now is not then
    ]
    quick = ["safecall", "__post_init__", "current", "handle_event", "read_body", "fork"]
    assert others == quick
    fast.switch(Speed.NONE)
    assert [vars(each.owner).get(each.attribute) for each in fast.SPEED_UPS] == before


def test_a_method_with_another_source_stays_and_the_log_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fast.switch(Speed.NONE)

    def args(self: hooks.Hook) -> list[Any]:
        """The method of another release."""
        return []

    async def handle_lifecycle(self: Any, event: hooks.Hook) -> None:
        """Another one."""

    monkeypatch.setattr(hooks.Hook, "args", args)
    monkeypatch.setattr(addonmanager.AddonManager, "handle_lifecycle", handle_lifecycle)
    fast.switch(Speed.ALL)
    assert hooks.Hook.args is args
    assert addonmanager.AddonManager.handle_lifecycle is handle_lifecycle
    assert http.Headers.get_all in {each.quick for each in fast.SPEED_UPS}
    (record,) = caplog.records
    told = record.getMessage()
    assert "AddonManager.handle_lifecycle, ConnectionHandler.hook_task, Hook.args" in told


def test_a_source_is_what_inspect_takes_for_it() -> None:
    fast.switch(Speed.NONE)
    names = [*(each.relies_on for each in fast.SPEED_UPS), *(each.functions for each in IDLE)]
    for name in chain.from_iterable(names):
        found = resolve_name(name)
        if not dataclasses.is_dataclass(found):
            expected = inspect.getsource(getattr(found, "fget", found))
            assert source_of(found) == expected, name

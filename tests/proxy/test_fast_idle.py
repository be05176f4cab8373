"""Addons of mitmproxy's that are idle are not asked, and are as soon as they are not idle."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from mitmproxy import addonmanager, exceptions, http
from mitmproxy.addons import (
    anticomp,
    default_addons,
    intercept,
    maplocal,
    save,
    serverplayback,
    tlsconfig,
)
from mitmproxy.hooks import Hook
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.test import taddons, tflow

from foxora_addon.proxy import fast
from foxora_addon.proxy.fast import hooks, idle
from foxora_addon.speed import Speed

HOOKS: dict[str, Callable[[http.HTTPFlow], Hook]] = {
    "requestheaders": http_hooks.HttpRequestHeadersHook,
    "request": http_hooks.HttpRequestHook,
    "responseheaders": http_hooks.HttpResponseHeadersHook,
    "response": http_hooks.HttpResponseHook,
}


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # filters are read anew


@pytest.fixture(params=[False, True], ids=["as it is", "sped up"], autouse=True)
def speed(request: pytest.FixtureRequest) -> Iterator[bool]:
    fast.switch(Speed.ALL if request.param else Speed.NONE)
    yield request.param
    fast.switch(Speed.NONE)


sped_up = pytest.mark.parametrize("speed", [True], indirect=True)


@pytest.fixture(scope="module")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the certificate authority is made."""
    return str(tmp_path_factory.mktemp("confdir"))


@pytest.fixture
def context(confdir: str) -> Iterator[taddons.context]:
    """A program with all of mitmproxy's own addons, and one for intercepting."""
    with taddons.context(*default_addons(), intercept.Intercept(), loadcore=False) as context:
        context.options.update(confdir=confdir)
        yield context


def a_flow(hook: str = "request") -> http.HTTPFlow:
    """A flow as it is at a hook."""
    flow = tflow.tflow(resp=hook.startswith("response"))
    flow.live = True
    flow.request.headers["accept-encoding"] = "gzip"
    flow.request.headers["if-none-match"] = "x"
    if flow.response:
        flow.response.headers["alt-svc"] = 'h3="host.example:443"'
        flow.response.headers["set-cookie"] = "a=b"
    return flow


def told(context: Any, flow: http.HTTPFlow, hook: str = "request") -> http.HTTPFlow:
    """A flow after all addons have heard of it."""
    asyncio.run(context.master.addons.handle_lifecycle(HOOKS[hook](flow)))
    return flow


@dataclass(frozen=True)
class Busy:
    """An option that gives an addon something to do at a hook, and how that shows."""

    option: str
    value: Any
    is_seen: Callable[[http.HTTPFlow], bool]
    hook: str = "request"
    mode: str = "regular"


def has_status(status: int) -> Callable[[http.HTTPFlow], bool]:
    return lambda flow: flow.response is not None and flow.response.status_code == status


BUSY = (
    Busy("proxyauth", "user:word", has_status(407), hook="requestheaders"),
    Busy(
        "modify_headers",
        ["/x-new/1"],
        lambda flow: "x-new" in flow.request.headers,
        hook="requestheaders",
    ),
    Busy(
        "upstream_auth",
        "user:word",
        lambda flow: "authorization" in flow.request.headers,
        hook="requestheaders",
        mode="reverse:http://host.example",
    ),
    Busy("block_list", ["/~all/418"], has_status(418)),
    Busy("anticache", True, lambda flow: "if-none-match" not in flow.request.headers),
    Busy("anticomp", True, lambda flow: flow.request.headers["accept-encoding"] == "identity"),
    Busy("onboarding_host", "address", has_status(404)),
    Busy("map_remote", ["|address|elsewhere"], lambda flow: flow.request.host == "elsewhere"),
    Busy("map_local", [f"|address|{__file__}"], has_status(200)),
    Busy("modify_body", ["/content/changed"], lambda flow: flow.request.content == b"changed"),
    Busy("intercept", "~all", lambda flow: flow.intercepted),
    Busy(
        "modify_headers",
        ["/x-new/1"],
        lambda flow: flow.response is not None and "x-new" in flow.response.headers,
        hook="responseheaders",
    ),
    Busy(
        "modify_body",
        ["/message/changed"],
        lambda flow: flow.response is not None and flow.response.content == b"changed",
        hook="response",
    ),
    Busy("intercept", "~all", lambda flow: flow.intercepted, hook="response"),
)


@pytest.mark.parametrize("busy", BUSY, ids=lambda busy: f"{busy.option} {busy.hook}")
def test_an_option_that_is_set_and_taken_back_is_heeded_from_the_next_flow_on(
    busy: Busy, context: taddons.context
) -> None:

    def is_seen() -> bool:
        flow = a_flow(busy.hook)
        flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse(busy.mode)
        return busy.is_seen(told(context, flow, busy.hook))

    usual = getattr(context.options, busy.option)
    assert not is_seen()
    for _ in range(2):
        context.options.update(**{busy.option: busy.value})
        assert is_seen()
        context.options.update(**{busy.option: usual})
        assert not is_seen()


def test_a_sticky_header_is_put_on_while_that_is_wanted(context: taddons.context) -> None:

    def is_put_on() -> bool:
        flow = a_flow()
        flow.request.headers["authorization"] = "Basic eA=="
        told(context, flow)
        return "authorization" in told(context, a_flow()).request.headers

    assert not is_put_on()
    context.options.update(stickyauth=".*")
    assert is_put_on()
    context.options.update(stickyauth=None)
    assert not is_put_on()
    context.options.update(stickyauth=".*")
    assert "authorization" in told(context, a_flow()).request.headers, "it was remembered"


def test_a_cookie_is_kept_and_given_while_that_is_wanted(context: taddons.context) -> None:

    def is_given() -> bool:
        told(context, a_flow("response"), "response")
        return "cookie" in told(context, a_flow()).request.headers

    assert not is_given()
    context.options.update(stickycookie=".*")
    assert is_given()
    context.options.update(stickycookie=None)
    assert not is_given()


def test_flows_are_saved_while_that_is_wanted(context: taddons.context, tmp_path: Path) -> None:
    saver = context.master.addons.get("save")
    assert isinstance(saver, save.Save)
    first, second = a_flow(), a_flow()
    told(context, first)
    context.options.update(save_stream_file=str(tmp_path / "flows"))
    told(context, second)
    assert saver.active_flows == {second}
    second.response = a_flow("response").response
    told(context, second, "response")
    assert saver.active_flows == set()
    context.options.update(save_stream_file=None)
    size = (tmp_path / "flows").stat().st_size
    assert size > 0
    told(context, a_flow("response"), "response")
    assert (tmp_path / "flows").stat().st_size == size


def test_flows_are_kept_for_a_har_file_while_that_is_wanted(
    context: taddons.context, tmp_path: Path
) -> None:
    kept = context.master.addons.get("savehar")
    for option, count in (("", 0), (str(tmp_path / "flows.har"), 1), ("", 0)):
        context.options.update(hardump=option)
        told(context, a_flow("response"), "response")
        assert len(kept.flows) == count
    context.options.update(hardump="")


def test_a_command_gives_an_addon_something_to_do_and_takes_it_back(
    context: taddons.context,
) -> None:
    playback = context.master.addons.get("serverplayback")
    assert isinstance(playback, serverplayback.ServerPlayback)
    kept = tflow.tflow(resp=True)
    assert told(context, a_flow()).response is None
    playback.load_flows([kept])
    assert told(context, a_flow()).response is not None
    assert told(context, a_flow()).response is None, "each is played once"
    playback.add_flows([kept])
    assert told(context, a_flow()).response is not None
    playback.add_flows([kept, kept])
    playback.clear()
    assert told(context, a_flow()).response is None


def test_what_an_addon_looks_for_in_a_flow_is_found(
    context: taddons.context, caplog: pytest.LogCaptureFixture
) -> None:
    upgrading = a_flow()
    upgrading.request.headers["UPGRADE"] = "h2c"
    assert "upgrade" not in told(context, upgrading).request.headers
    other = a_flow()
    other.request.headers["upgrade"] = "websocket"
    assert "upgrade" in told(context, other).request.headers
    prior = a_flow()
    prior.request.method, prior.request.path, prior.request.http_version = "PRI", "*", "HTTP/2.0"
    assert told(context, prior).error is not None
    asking = a_flow()
    asking.request.path = "/other.crl"
    assert told(context, asking).response is None
    asking.request.path = context.master.addons.get("tlsconfig").crl_path()
    assert has_status(200)(told(context, asking))
    assert "Addon error" not in caplog.text


@pytest.mark.parametrize("mode", ["regular", "reverse:http://host.example"])
def test_an_alternative_service_is_named_as_ever(mode: str, context: taddons.context) -> None:
    flow = a_flow("responseheaders")
    flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse(mode)
    told(context, flow, "responseheaders")
    assert flow.response is not None
    is_changed = flow.response.headers["alt-svc"] != 'h3="host.example:443"'
    assert is_changed == (mode != "regular")


@pytest.mark.parametrize("hook", ["responseheaders", "response"])
def test_an_answer_that_is_missing_is_an_error_as_ever(
    hook: str, context: taddons.context, caplog: pytest.LogCaptureFixture
) -> None:
    flow = a_flow()
    told(context, a_flow(hook), hook)
    told(context, flow, hook)
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == {"responseheaders": 2, "response": 1}[hook]


def test_what_is_not_ready_is_an_error_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    with taddons.context(tlsconfig.TlsConfig(), loadcore=False) as program:
        told(program, a_flow())
    assert "Addon error" in caplog.text


# In the midst of a hook.


class Hears:
    """Hears of requests, and does something then."""

    def __init__(self, name: str, heard: list[str], does: Callable[[], Any] = list) -> None:
        self.name = name
        self._heard = heard
        self._does = does

    def request(self, flow: http.HTTPFlow) -> None:
        self._heard.append(self.name)
        self._does()


class Waits(Hears):
    async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]  # as hooks may
        await asyncio.sleep(0)
        super().request(flow)


def fails() -> None:
    raise ValueError("spilled")


@pytest.mark.parametrize("kind", [Hears, Waits])
@pytest.mark.parametrize("is_bad", [False, True])
@pytest.mark.parametrize("option", ["map_local", "anticomp"])
def test_an_addon_may_give_others_something_to_do_at_the_same_hook(
    option: str, kind: type[Hears], is_bad: bool
) -> None:
    heard: list[str] = []
    busy = next(each for each in BUSY if each.option == option)

    def change() -> None:
        heard.append("changes")
        program.options.update(**{option: busy.value})
        if is_bad:
            fails()

    changes, last = kind("a", heard, change), Hears("b", heard)
    with taddons.context(
        changes, maplocal.MapLocal(), anticomp.AntiComp(), last, loadcore=False
    ) as program:
        assert busy.is_seen(told(program, a_flow()))
        assert heard == ["a", "changes", "b"]


@pytest.mark.parametrize("kind", [Hears, Waits])
def test_a_command_may_give_others_something_to_do_at_the_same_hook(kind: type[Hears]) -> None:
    heard: list[str] = []
    playback = serverplayback.ServerPlayback()
    change = kind("a", heard, lambda: playback.load_flows([tflow.tflow(resp=True)]))
    with taddons.context(change, playback, Hears("b", heard), loadcore=False) as context:
        assert told(context, a_flow()).response is not None
        assert heard == ["a", "b"]


def test_what_is_asked_as_options_change_heeds_them(context: taddons.context) -> None:
    flows: list[http.HTTPFlow] = []

    class Asks:
        def configure(self, updated: set[str]) -> None:
            flows.append(a_flow())
            telling = context.master.addons.handle_lifecycle(HOOKS["request"](flows[-1]))
            with pytest.raises(StopIteration):
                telling.send(None)

    context.master.addons.remove(context.master.addons.get("onboarding"))  # it may have to wait
    context.master.addons.add(Asks())
    told(context, a_flow())
    context.options.update(anticomp=True, map_remote=["|address|elsewhere"])
    assert flows[-1].request.headers["accept-encoding"] == "identity"
    assert flows[-1].request.host == "elsewhere"
    context.options.update(anticomp=False, map_remote=[])
    assert flows[-1].request.headers["accept-encoding"] == "gzip"
    assert flows[-1].request.host == "address"


def test_options_that_an_addon_refuses_leave_all_as_it_was(context: taddons.context) -> None:

    class Refuses:
        def configure(self, updated: set[str]) -> None:
            told_of_it.append(context.options.anticomp)
            if context.options.anticomp:
                raise exceptions.OptionsError("no")

    told_of_it: list[bool] = []
    context.master.addons.add(Refuses())
    told(context, a_flow())
    with pytest.raises(exceptions.OptionsError):
        context.options.update(anticomp=True, map_remote=["|address|elsewhere"])
    flow = told(context, a_flow())
    assert told_of_it == [True, False]
    assert (flow.request.host, flow.request.headers["accept-encoding"]) == ("address", "gzip")


# Who is left out.


def test_order_and_halt_are_as_ever_between_idle_ones() -> None:
    heard: list[str] = []

    def halt() -> None:
        raise exceptions.AddonHalt

    addons = (
        *(Hears("a", heard), maplocal.MapLocal(), Hears("b", heard, fails), save.Save()),
        *(Waits("c", heard), serverplayback.ServerPlayback(), Hears("d", heard, halt)),
        *(intercept.Intercept(), Hears("e", heard)),
    )
    with taddons.context(*addons, loadcore=False) as context:
        for _ in range(2):
            heard.clear()
            told(context, a_flow())
            assert heard == ["a", "b", "c", "d"]


def test_an_addon_of_another_class_is_asked(context: taddons.context) -> None:
    heard: list[str] = []

    class Mine(maplocal.MapLocal):
        def request(self, flow: http.HTTPFlow) -> None:
            heard.append("mine")

    context.master.addons.add(Mine())
    told(context, a_flow())
    assert heard == ["mine"]


@pytest.mark.parametrize("is_before", [False, True])
def test_an_addon_with_a_method_of_its_own_is_asked(
    is_before: bool, context: taddons.context
) -> None:
    heard: list[str] = []
    own: Any = context.master.addons.get("maplocal")
    helped: Any = context.master.addons.get("disableh2c")
    usual: Any = context.master.addons.get("anticache")
    if not is_before:
        told(context, a_flow())
    own.request = lambda _: heard.append("own")
    helped.process_flow = lambda _: heard.append("helped")
    usual.request = "none"
    told(context, a_flow())
    del own.request
    told(context, a_flow())
    assert heard == ["helped", "own", "helped"]


@sped_up
def test_an_addon_whose_own_method_has_no_part_in_the_hook_is_not_asked(
    context: taddons.context,
) -> None:
    own: Any = context.master.addons.get("tlsconfig")
    own.configure = lambda _: None  # as `CaReading` has it
    plan = hooks._plan_of(context.master.addons.chain, "request")
    (spares,) = (spares for _, addon, spares, _ in plan.asked if addon is own)
    assert spares is not None


@pytest.mark.parametrize("option", ["emudhra", "emudhra_old"])
def test_an_addon_that_may_kill_a_flow_is_asked(option: str, context: taddons.context) -> None:
    flow = a_flow()
    flow.request.host = "ocsp.comodoca.com"
    context.options.update(**{option: True})
    told(context, flow)
    assert flow.error is not None


def test_a_class_whose_method_a_script_replaces_as_it_loads_is_asked(
    context: taddons.context, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Script:
        def load(self, _: addonmanager.Loader) -> None:
            monkeypatch.setattr(maplocal.MapLocal, "request", lambda *_: heard.append("replaced"))

    told(context, a_flow())
    context.master.addons.add(Script())
    told(context, a_flow())
    assert heard == ["replaced"]


@sped_up
def test_none_of_those_that_are_idle_is_asked(context: taddons.context) -> None:
    asked = {
        name: [type(addon).__name__ for _, addon, _, _ in hooks._plan_of(chain, name).asked]
        for name in HOOKS
        if (chain := context.master.addons.chain)
    }
    assert asked == {
        "requestheaders": [],
        "request": ["DisableH2C", "Onboarding", "TlsConfig"],
        "responseheaders": ["ModifyHeaders", "UpdateAltSvc"],
        "response": ["StickyCookie"],
    }
    for each in idle.IDLE:
        kind = resolve_name(each.hook.rpartition(".")[0])
        assert any(type(addon) is kind for addon in context.master.addons.chain)


def test_a_hook_with_another_source_is_asked_and_the_log_says_so(
    context: taddons.context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fast.switch(Speed.NONE)
    heard: list[str] = []

    def request(self: Any, flow: http.HTTPFlow) -> None:
        """Do as another release does."""
        heard.append("asked")

    gone = idle.IDLE[0]._replace(hook="mitmproxy.addons.proxyauth:ProxyAuth.no_more")
    monkeypatch.setattr(maplocal.MapLocal, "request", request)
    monkeypatch.setattr(idle, "IDLE", (gone, *idle.IDLE[1:]))
    fast.switch(Speed.ALL)
    told(context, a_flow())
    assert heard == ["asked"]
    (record,) = caplog.records
    assert record.getMessage().endswith("as ever in: ProxyAuth.no_more, MapLocal.request")

"""A hook comes to its end whatever an addon raises at it, with and without the speed-ups."""

import asyncio
from collections.abc import Iterator

import pytest
from mitmproxy import exceptions
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import taddons, tflow

from foxora_addon.proxy import fast, host_hooks
from foxora_addon.proxy.fast.hooks import told_at_once
from foxora_addon.speed import Speed
from tests.proxy.test_fast import Addon


class Waiting(Addon):
    """Waits for a task that somebody else has cancelled."""

    async def request(self, flow: HTTPFlow) -> None:  # type: ignore[override]  # as hooks may
        super().request(flow)
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task


@pytest.fixture(params=Speed, autouse=True)
def speed(request: pytest.FixtureRequest) -> Iterator[Speed]:
    with taddons.context(loadcore=False):
        fast.switch(request.param)
        yield request.param
        fast.switch(Speed.NONE)


def option_error() -> Addon:
    return Addon("a", [], exceptions.OptionsError("no such option"))


async def told(*addons: Addon) -> None:
    with taddons.context(*addons, loadcore=False) as context:
        host_hooks.see_to_their_end(context.master.addons)
        await context.master.addons.handle_lifecycle(HttpRequestHook(tflow.tflow()))


@pytest.mark.parametrize("failing", [option_error, lambda: Waiting("a", [])])
def test_what_mitmproxy_lets_through_is_logged_and_ends_the_hook(
    caplog: pytest.LogCaptureFixture, failing: type[Addon]
) -> None:
    first, behind = failing(), Addon("behind", [])  # type: ignore[call-arg]
    asyncio.run(told(first, behind))
    assert (first.heard, behind.heard) == (["a"], [])
    (line,) = [each for each in caplog.records if each.name == "mitmproxy.addonmanager"]
    assert line.getMessage() in {"Addon error: no such option", "Addon error: CancelledError"}
    trace = line.exc_info[2] if line.exc_info else None
    assert trace is not None
    assert trace.tb_frame.f_code.co_name == "request", "no frame of ours is shown"


def test_who_tells_of_a_hook_can_still_be_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Addon):
        async def request(self, flow: HTTPFlow) -> None:  # type: ignore[override]  # as hooks may
            await asyncio.sleep(60)

    async def cancelled() -> None:
        telling = asyncio.ensure_future(told(Slow("a", [])))
        await asyncio.sleep(0)
        telling.cancel()
        await telling

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert caplog.text == ""


def test_an_option_that_is_set_wrongly_is_still_told_to_who_sets_it() -> None:
    class Choosy:
        def configure(self, updated: set[str]) -> None:
            if updated:
                raise exceptions.OptionsError("not that")

    with taddons.context(loadcore=False) as context:
        host_hooks.see_to_their_end(context.master.addons)
        context.master.addons.add(Choosy())
        with pytest.raises(exceptions.OptionsError, match="not that"):
            context.options.update(ssl_insecure=True)


def test_a_stream_that_is_told_at_once_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foxora_addon.proxy.fast.hooks._is_plain", lambda *_: True)

    async def goes_on(addon: Addon) -> bool:
        with taddons.context(addon, loadcore=False):
            return told_at_once(HttpRequestHook(flow := tflow.tflow()), flow)

    assert asyncio.run(goes_on(option_error()))

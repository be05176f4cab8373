"""Hooks: those addons alone are asked that answer, and at once, without a task for each hook.

mitmproxy hands each hook of a stream up through all its layers, starts a task for it, and hands the
news of its end down again. Where no addon has to be waited for, as a rule, it is over before any of
that begins (`told_at_once`); where one has, what is left goes the usual way.
"""

import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any, Final

from mitmproxy import addonmanager, ctx, exceptions, flow, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy.fast.originals import before

type Rest = Coroutine[Any, Any, None]
"""What is left of a hook once an addon has to be waited for."""

_RARE: Final = frozenset({"running", "done", "load", "configure"})
"""Hooks in which addons come and go as a rule: those are left to mitmproxy."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who is asked at one hook, for as long as the addons are those that they were.

    `folders` are the addons that have others below them, and which those were. `asked` has each
    addon that answers, with the place in the chain of the one that it is or stands below.
    """

    chain: list[Any]
    folders: list[tuple[Any, list[Any]]]
    asked: list[tuple[int, Any]]

    def holds_for(self, chain: list[Any]) -> bool:
        if self.chain != chain:  # by identity first: three dozen pointers
            return False
        return all(getattr(folder, "addons", ()) == below for folder, below in self.folders)


_plans: dict[str, _Plan] = {}


def forget_plans(updated: object = None) -> None:  # noqa: ARG001  # the signal tells which changed
    """Addons may take hooks on or off as options change."""
    _plans.clear()


def _plan_of(chain: list[Any], name: str) -> _Plan:
    plan = _plans.get(name)
    if plan is None or not plan.holds_for(chain):
        plan = _plans[name] = _made(list(chain), name)
    return plan


def _made(chain: list[Any], name: str) -> _Plan:
    walked = [(at, addon) for at, top in enumerate(chain) for addon in addonmanager.traverse([top])]
    folders = [(addon, list(addon.addons)) for _, addon in walked if hasattr(addon, "addons")]
    return _Plan(
        chain, folders, [(at, addon) for at, addon in walked if getattr(addon, name, None)]
    )


def _begun(manager: AddonManager, event: hooks.Hook) -> Rest | None:
    """Ask addons until one has to be waited for; None: all are done."""
    chain = manager.chain
    asked = _plan_of(chain, event.name).asked
    return _Asking(manager, event, len(chain), iter(asked)).go_on() if asked else None


@dataclass(slots=True)
class _Asking:
    """One hook on its way through the addons. `failed` is the place of one that has raised.

    What stands below an addon is not asked any more once something below it has raised, as in
    `AddonManager.invoke_addon`.
    """

    manager: AddonManager
    event: hooks.Hook
    size: int
    left: Iterator[tuple[int, Any]]
    failed: int = -1

    def go_on(self) -> Rest | None:
        name, arguments = self.event.name, self.event.args()
        for place, addon in self.left:
            hook = getattr(addon, name, None)
            if place == self.failed or not hook:
                continue
            try:
                if callable(hook):
                    result = hook(*arguments)
                    if result is not None and (left := _left_of(result)) is not None:
                        return self._after(left, place)
                elif not isinstance(hook, ModuleType):
                    _refuse(name, addon)
            except exceptions.AddonHalt:
                return None
            except exceptions.OptionsError:
                raise
            except Exception as error:  # noqa: BLE001  # as `safecall` has it
                self._failed(error, place)
        if len(self.manager.chain) > self.size:
            return self._latecomers()
        return None

    async def _after(self, result: Awaitable[Any], place: int) -> None:
        try:
            await result
        except exceptions.AddonHalt:
            return
        except exceptions.OptionsError:
            raise
        except Exception as error:  # noqa: BLE001  # as `safecall` has it
            self._failed(error, place)
        rest = self.go_on()
        if rest is not None:
            await rest

    async def _latecomers(self) -> None:
        """Those that were added while the others were asked."""
        for addon in islice(self.manager.chain, self.size, None):
            try:
                with addonmanager.safecall():
                    await self.manager.invoke_addon(addon, self.event)
            except exceptions.AddonHalt:
                return

    def _failed(self, error: Exception, place: int) -> None:
        """Log what a hook raised in `safecall`'s words, without a frame of ours."""
        self.failed = place
        trace = error.__traceback__
        below = trace.tb_next if trace else None
        addonmanager.logger.error(
            "Addon error: %s", error, exc_info=(type(error), error, below or trace)
        )


def _left_of(result: Any) -> Awaitable[Any] | None:
    """What is left to wait for of what a hook gave back, once it has gone as far as it goes.

    Most hooks that may wait do not. Raises what the hook raises.
    """
    if inspect.iscoroutine(result):
        task = asyncio.eager_task_factory(asyncio.get_running_loop(), result)
        if not task.done():
            return task
        task.result()
        return None
    return result if inspect.isawaitable(result) else None


def _refuse(name: str, addon: Any) -> None:
    raise exceptions.AddonManagerError(f"Addon handler {name} ({addon}) not callable")


async def trigger_event(self: AddonManager, event: hooks.Hook) -> None:
    """`AddonManager.trigger_event`, which asks those alone that answer."""
    if event.name in _RARE:
        forget_plans()
        await before[trigger_event](self, event)
        return
    rest = _begun(self, event)
    if rest is not None:
        await rest


async def handle_lifecycle(self: AddonManager, event: hooks.Hook) -> None:
    """`AddonManager.handle_lifecycle`, which makes no update that nobody hears of."""
    rest = _lived(self, event)
    if rest is not None:
        await rest


def _lived(manager: AddonManager, event: hooks.Hook) -> Rest | None:
    """A hook and the update that follows it; None: both are over."""
    if event.name in _RARE:
        return manager.trigger_event(event)
    message = event.args()[0]
    if not isinstance(message, flow.Flow):
        return _begun(manager, event)
    return _lived_with(manager, event, message)


def _lived_with(manager: AddonManager, event: hooks.Hook, message: flow.Flow) -> Rest | None:
    """The same where it is known that it is about a flow."""
    rest = _begun(manager, event)
    if rest is not None:
        return _with_update(manager, rest, message)
    return _updated(manager, message)


def _updated(manager: AddonManager, message: flow.Flow) -> Rest | None:
    if not _plan_of(manager.chain, hooks.UpdateHook.name).asked:
        return None
    return _begun(manager, hooks.UpdateHook([message]))


async def _with_update(manager: AddonManager, rest: Rest, message: flow.Flow) -> None:
    await rest
    update = _updated(manager, message)
    if update is not None:
        await update


_names: dict[type, tuple[str, ...]] = {}


def args(self: hooks.Hook) -> list[Any]:
    """`Hook.args`, whose names are looked up once for each kind of hook."""
    kind = type(self)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]  # each is one
    return [getattr(self, name) for name in names]


# Hooks of streams.

_REST: Final = "foxora_rest"


def told_at_once(hook: commands.StartHook, message: flow.Flow) -> bool:
    """Tell the addons of a stream's hook; False: `hook_task` has to, or has to wait for one."""
    if not _is_plain(message):
        return False
    rest = _lived_with(ctx.master.addons, hook, message)
    if rest is None and not message.intercepted:
        return True
    vars(hook)[_REST] = _until_resumed(rest, message)
    return False


def _is_plain(message: flow.Flow) -> bool:
    """Whether whoever runs the flow's connection does at hooks what the usual handler does.

    A flow that is replayed has the client of its first time, which may still be connected.
    """
    if message.is_replay == "request":
        return False
    proxy = ctx.master.addons.get("proxyserver")
    handler = proxy.connections.get(message.client_conn.id) if proxy else None
    return getattr(type(handler), "handle_hook", None) is ProxyConnectionHandler.handle_hook


async def _until_resumed(rest: Rest | None, message: flow.Flow) -> None:
    if rest is not None:
        await rest
    await message.wait_for_resume()


async def hook_task(self: ConnectionHandler, hook: commands.StartHook) -> None:
    """`ConnectionHandler.hook_task`, which only waits for the rest of a hook that has begun."""
    rest = vars(hook).pop(_REST, None)
    if rest is None:
        await before[hook_task](self, hook)
        return
    with self.timeout_watchdog.disarm():
        await rest
    if hook.blocking:
        await self.server_event(events.HookCompleted(hook))

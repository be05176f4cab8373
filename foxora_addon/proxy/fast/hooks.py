"""Hooks: those addons alone are asked that answer, and at once, without a task for each hook.

mitmproxy hands each hook of a stream up through all its layers, starts a task for it, and hands the
news of its end down again. Where no addon has to be waited for, as a rule, it is over before any of
that begins (`told_at_once`); where one has, what is left goes the usual way.
"""

import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType, TracebackType
from typing import Any, Final

from mitmproxy import addonmanager, ctx, exceptions, flow, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy import host_hooks
from foxora_addon.proxy.fast import idle
from foxora_addon.proxy.fast.originals import before

type Rest = Coroutine[Any, Any, None]
"""What is left of a hook once an addon has to be waited for."""

_RARE: Final = frozenset({"running", "done", "load", "configure"})
"""Hooks in which addons come and go as a rule: those are left to mitmproxy."""


type _Asked = tuple[int, Any, idle.Spares | None, int]
"""An addon that answers a hook: the place in the chain of the one that it is or stands below, it,
what spares it the flows for which it does nothing, and where those begin in `_Plan.all` that come
after it; 0 if none of those is idle.
"""


class _Guard:
    """What `safecall` gives, for as long as nothing is raised; what is, mitmproxy's own deals with.

    One for all: it knows nothing.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if kind is None:
            return False
        usual = before[safecall]()
        usual.__enter__()
        is_dealt_with: bool = usual.__exit__(kind, error, trace)
        return is_dealt_with


_GUARD: Final = _Guard()


def safecall() -> _Guard:
    """`addonmanager.safecall`, with nothing to make and to end where an addon does as it should.

    It is around each of three dozen addons at each hook: with the generator that mitmproxy makes
    for it, a sixth of bare mitmdump's time.
    """
    return _GUARD


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who is asked at one hook, for as long as the addons are those that they were.

    `folders` are the addons that have others below them, and which those were. `all` has each that
    answers, and `asked` those alone that are not idle, for as long as the `states` of all others
    are as `idle` has them. `hears_updates`: one of them hears of flows that were changed.
    """

    chain: list[Any]
    folders: list[tuple[Any, list[Any]]]
    all: list[_Asked]
    asked: list[_Asked]
    states: list[dict[str, Any]]
    idle: list[dict[str, Any]]
    hears_updates: bool

    def holds_for(self, chain: list[Any]) -> bool:
        return self.states == self.idle and self.knows(chain)

    def knows(self, chain: list[Any]) -> bool:
        """Whether the addons are still those that they were."""
        if self.chain != chain:  # by identity first: it is quick
            return False
        for folder, below in self.folders:  # noqa: SIM110  # without a generator
            if getattr(folder, "addons", ()) != below:
                return False
        return True

    def is_out_of_date(self, name: str) -> bool:
        """Whether options or what idle addons know have changed since it was made."""
        return _plans.get(name) is not self or self.states != self.idle


_plans: dict[str, _Plan] = {}


def forget_plans() -> None:
    """Addons may take hooks on or off, or have something to do at them, as options change."""
    _plans.clear()


def _plan_of(chain: list[Any], name: str) -> _Plan:
    plan = _plans.get(name)
    if plan is None or not plan.holds_for(chain):
        plan = _plans[name] = _made(list(chain), name)
    return plan


def _made(chain: list[Any], name: str) -> _Plan:
    walked = [(at, addon) for at, top in enumerate(chain) for addon in addonmanager.traverse([top])]
    folders = [(addon, list(addon.addons)) for _, addon in walked if hasattr(addon, "addons")]
    answering = [(at, addon) for at, addon in walked if getattr(addon, name, None)]
    left_out = [idle.left_out(addon, name) for _, addon in answering]
    last = max((at for at, left in enumerate(left_out) if left is not None), default=-1)
    hears_updates = any(getattr(addon, hooks.UpdateHook.name, None) for _, addon in walked)
    everyone: list[_Asked] = [(at, addon, None, 0) for at, addon in answering]
    plan = _Plan(chain, folders, everyone, [], [], [], hears_updates)
    for after, ((place, addon), left) in enumerate(zip(answering, left_out, strict=True), 1):
        if left is not None:
            plan.states.append(left.state)
            plan.idle.append(left.idle)
        if left is None or left.spares is not None:
            spares = left.spares if left else None
            plan.asked.append((place, addon, spares, after if after <= last else 0))
    return plan


type _Asking = tuple[AddonManager, hooks.Hook, Sequence[Any], _Plan, int]
"""A hook on its way through the addons: with what, by which plan, and how long the chain was."""


def _begun(manager: AddonManager, event: hooks.Hook) -> Rest | None:
    """Ask addons until one has to be waited for; None: all are done."""
    chain = manager.chain
    plan = _plan_of(chain, event.name)
    if not plan.asked:
        return None
    return _ask((manager, event, event.args(), plan, len(chain)), iter(plan.asked))


def _ask(  # noqa: C901  # every hook goes through it: a call for each step would cost as much
    asking: _Asking, left: Iterator[_Asked], failed: int = -1
) -> Rest | None:
    """Ask the addons that are left; `failed` is the place of one that has raised.

    What stands below an addon is not asked any more once something below it has raised, as in
    `AddonManager.invoke_addon`. One that is asked may give those something to do that were idle.
    """
    manager, event, arguments, plan, size = asking
    name = event.name
    for place, addon, spares, after in left:
        if place == failed:
            continue
        try:
            if spares is not None and spares(addon, *arguments):
                continue
            hook = getattr(addon, name, None)
            if callable(hook):
                result = hook(*arguments)
                if result is not None and (awaited := _left_of(result)) is not None:
                    rest = iter(plan.all[after:]) if after else left
                    return _waited(awaited, asking, rest, place)
            elif hook:
                _refuse(name, addon, hook)
        except exceptions.AddonHalt:
            return None
        except exceptions.OptionsError:
            raise
        except Exception as error:  # noqa: BLE001  # as `safecall` has it
            _log_error(error)
            failed = place
        if after and plan.is_out_of_date(name):
            return _ask(asking, iter(plan.all[after:]), failed)
    return _latecomers(manager, event, size) if len(manager.chain) > size else None


async def _waited(
    awaited: Awaitable[Any], asking: _Asking, left: Iterator[_Asked], place: int
) -> None:
    """Wait for the addon at a place in the chain, and ask those that are left then."""
    failed = -1
    try:
        await awaited
    except exceptions.AddonHalt:
        return
    except exceptions.OptionsError:
        raise
    except Exception as error:  # noqa: BLE001  # as `safecall` has it
        _log_error(error)
        failed = place
    rest = _ask(asking, left, failed)
    if rest is not None:
        await rest


async def _latecomers(manager: AddonManager, event: hooks.Hook, size: int) -> None:
    """Those that were added while the others were asked."""
    for addon in islice(manager.chain, size, None):
        try:
            with addonmanager.safecall():
                await manager.invoke_addon(addon, event)
        except exceptions.AddonHalt:
            return


def _log_error(error: Exception) -> None:
    """Log what a hook raised in `safecall`'s words, without a frame of ours."""
    below = error.__traceback__
    while below is not None and below.tb_frame.f_globals is globals():
        below = below.tb_next
    trace = below or error.__traceback__
    addonmanager.logger.error("Addon error: %s", error, exc_info=(type(error), error, trace))


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


def _refuse(name: str, addon: Any, hook: object) -> None:
    if not isinstance(hook, ModuleType):
        raise exceptions.AddonManagerError(f"Addon handler {name} ({addon}) not callable")


async def trigger_event(self: AddonManager, event: hooks.Hook) -> None:
    """`AddonManager.trigger_event`, which asks those alone that answer."""
    if event.name in _RARE:
        forget_plans()
        try:
            await before[trigger_event](self, event)
        finally:
            forget_plans()
        return
    rest = _begun(self, event)
    if rest is not None:
        await rest


def trigger(self: AddonManager, event: hooks.Hook) -> None:
    """`AddonManager.trigger`, which also tells addons of options that have changed.

    Some may ask others at a hook while these have not heard of it yet, and after that.
    """
    if event.name not in _RARE:
        before[trigger](self, event)
        return
    forget_plans()
    try:
        before[trigger](self, event)
    finally:
        forget_plans()


async def handle_lifecycle(self: AddonManager, event: hooks.Hook) -> None:
    """`AddonManager.handle_lifecycle`, which makes no update that nobody hears of."""
    rest = _lived(self, event)
    if rest is not None:
        await rest


def _lived(manager: AddonManager, event: hooks.Hook) -> Rest | None:
    """A hook and the update that follows it; None: both are over."""
    if event.name in _RARE:
        return manager.trigger_event(event)
    arguments = event.args()
    if not isinstance(arguments[0], flow.Flow):
        return _begun(manager, event)
    return _lived_with(manager, event, arguments)


def _lived_with(manager: AddonManager, event: hooks.Hook, about: Sequence[Any]) -> Rest | None:
    """The same where it is known that it is about a flow, and about nothing else before that."""
    chain, name = manager.chain, event.name
    plan = _plan_of(chain, name)
    if plan.asked:
        rest = _ask((manager, event, about, plan, len(chain)), iter(plan.asked))
        if rest is not None:
            return _with_update(manager, rest, about[0])
        if _plans.get(name) is not plan or not plan.knows(manager.chain):
            return _updated(manager, about[0])
    return _updated(manager, about[0]) if plan.hears_updates else None


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


_plain_kinds: set[type] = set()


def _new(cls: type[commands.StartHook], *args: Any, **kwargs: Any) -> commands.StartHook:
    """`StartHook.__new__`, which looks once at each kind of hook whether it is one."""
    if cls in _plain_kinds:
        return object.__new__(cls)
    made: commands.StartHook = before[new](cls, *args, **kwargs)
    theirs = {kind for kind in cls.__mro__ if "__new__" in vars(kind)}
    if theirs == {commands.StartHook, hooks.Hook, object}:
        _plain_kinds.add(cls)
    return made


new: Final = staticmethod(_new)


# Hooks of streams.

_REST: Final = "foxora_rest"


def told_at_once(hook: commands.StartHook, message: flow.Flow) -> bool:
    """Tell the addons of a stream's hook; False: `hook_task` has to, or has to wait for one."""
    manager = ctx.master.addons
    if not _is_plain(manager, message):
        return False
    try:
        rest = _lived_with(manager, hook, (message,))
    except host_hooks.ENDS as error:
        if not host_hooks.is_logged(error):
            raise
        rest = None
    if rest is None and not message.intercepted:
        return True
    vars(hook)[_REST] = _until_resumed(rest, message)
    return False


def _is_plain(manager: AddonManager, message: flow.Flow) -> bool:
    """Whether whoever runs the flow's connection does at hooks what the usual handler does.

    A flow that is replayed has the client of its first time, which may still be connected.
    """
    if message.is_replay == "request":
        return False
    proxy = manager.lookup.get("proxyserver")
    handler = proxy.connections.get(message.client_conn.id) if proxy else None
    return getattr(type(handler), "handle_hook", None) is ProxyConnectionHandler.handle_hook


async def _until_resumed(rest: Rest | None, message: flow.Flow) -> None:
    if rest is not None:
        try:
            await rest
        except host_hooks.ENDS as error:
            if not host_hooks.is_logged(error):
                raise
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

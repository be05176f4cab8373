"""Speed-ups of mitmproxy itself, each of which does what it replaces, only sooner.

Half of bare mitmdump's time goes into asking three dozen addons at each hook whether they answer
it, and a tenth each into copies of options, type checks of messages and look-ups in headers. Each
function that is replaced is known by its source: where a release has another one, that stays, and
the log says so. Nothing of what an addon can see changes: the order of addons, `AddonHalt`, errors
and their words, scripts that come, go and are read anew.

This module knows nothing of exchanges, and no speed-up may decide anything.
"""

import dataclasses
import hashlib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pkgutil import resolve_name
from types import NoneType
from typing import Any, Final

from mitmproxy import addonmanager, ctx, exceptions, flow, hooks, http, optmanager
from mitmproxy.addonmanager import AddonManager
from mitmproxy.http import Headers
from mitmproxy.utils.strutils import always_bytes

_log = logging.getLogger(__name__)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


def wanted(option: str, variable: str, *, default: bool) -> bool:
    """Whether speed-ups are wanted: the option over the environment variable over the default.

    Raises ValueError, with one line for the operator.
    """
    for value, what in ((option, "option foxora_fast"), (variable, "FOXORA_FAST")):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        if word:
            raise ValueError(f"{what}: '{value}' is neither true nor false")
    return default


# Hooks: which addons answer which.

_RARE: Final = frozenset({"running", "done", "load", "configure"})
"""Hooks in which addons come and go as a rule: those are left to mitmproxy."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who is asked at one hook, for as long as the chain of addons is what it was.

    `asked` has the addons that answer, in the chain's order, and all that have addons of their own
    (True): which those are is looked at each time, for scripts come and go in them.
    """

    chain: list[Any]
    asked: list[tuple[Any, bool]]


_plans: dict[str, _Plan] = {}


def _plan_of(chain: list[Any], name: str) -> _Plan:
    plan = _plans.get(name)
    if plan is None or plan.chain != chain:  # by identity first: three dozen pointers
        asked = [
            (addon, has_others)
            for addon in chain
            if (has_others := hasattr(addon, "addons")) or getattr(addon, name, None)
        ]
        plan = _plans[name] = _Plan(list(chain), asked)
    return plan


def _forget_plans(updated: object = None) -> None:  # noqa: ARG001  # the signal tells which changed
    """Addons may take hooks on or off as options change."""
    _plans.clear()


async def _trigger_event(self: AddonManager, event: hooks.Hook) -> None:  # noqa: C901  # one loop: a call at each hook costs
    """`AddonManager.trigger_event`, which asks those alone that answer."""
    name = event.name
    if name in _RARE:
        _forget_plans()
        await _before[_trigger_event](self, event)
        return
    chain = self.chain
    size = len(chain)
    arguments = event.args()
    for addon, has_others in _plan_of(chain, name).asked:
        if has_others:
            if not await _goes_on(self, addon, event):
                return
            continue
        hook = getattr(addon, name, None)
        if not callable(hook):
            if hook and not await _goes_on(self, addon, event):
                return
            continue
        try:
            result = hook(*arguments)
            if result is not None and inspect.isawaitable(result):
                await result
        except exceptions.AddonHalt:
            return
        except exceptions.OptionsError:
            raise
        except Exception as error:  # noqa: BLE001  # as `safecall` has it
            _say_as_safecall(error)
    for addon in islice(chain, size, None):  # came while the others were asked
        if not await _goes_on(self, addon, event):
            return


async def _goes_on(self: AddonManager, addon: Any, event: hooks.Hook) -> bool:
    """Ask one addon and those below it as mitmproxy does; False: no other is to be asked."""
    if not getattr(addon, "addons", True) and getattr(addon, event.name, None) is None:
        return True  # the loader of scripts, where there is no script
    try:
        with addonmanager.safecall():
            await self.invoke_addon(addon, event)
    except exceptions.AddonHalt:
        return False
    return True


def _say_as_safecall(error: Exception) -> None:
    """Log what a hook raised in `safecall`'s words, without our own frame."""
    trace = error.__traceback__
    below = trace.tb_next if trace else None
    addonmanager.logger.error(
        "Addon error: %s", error, exc_info=(type(error), error, below or trace)
    )


async def _handle_lifecycle(self: AddonManager, event: hooks.Hook) -> None:
    """`AddonManager.handle_lifecycle`, which makes no update that nobody hears of."""
    message = event.args()[0]
    await self.trigger_event(event)
    if isinstance(message, flow.Flow) and _are_updates_heard(self):
        await self.trigger_event(hooks.UpdateHook([message]))


def _are_updates_heard(self: AddonManager) -> bool:
    asked = _plan_of(self.chain, hooks.UpdateHook.name).asked
    return any(
        not has_others or addon.addons or hasattr(addon, hooks.UpdateHook.name)
        for addon, has_others in asked
    )


_names: dict[type, tuple[str, ...]] = {}


def _args(self: hooks.Hook) -> list[Any]:
    """`Hook.args`, whose names are looked up once for each kind of hook."""
    kind = type(self)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]  # each is one
    return [getattr(self, name) for name in names]


# Messages, headers and options.

_BYTES_OR_NONE: Final = frozenset({bytes, NoneType})
_HEADERS_OR_NONE: Final = frozenset({Headers, NoneType})
_FLOAT_OR_NONE: Final = frozenset({float, NoneType})
_NEVER_CHANGED: Final = frozenset({str, int, bool, float, NoneType})


def _post_init(self: Any) -> None:
    """`MessageData.__post_init__`: what is plainly of the right types is not looked at again."""
    if (
        type(self.http_version) is bytes
        and type(self.headers) is Headers
        and type(self.content) in _BYTES_OR_NONE
        and type(self.trailers) in _HEADERS_OR_NONE
        and type(self.timestamp_start) is float
        and type(self.timestamp_end) in _FLOAT_OR_NONE
        and _has_plain_head(self)
    ):
        return
    _before[_post_init](self)


def _has_plain_head(self: Any) -> bool:
    if type(self) is http.ResponseData:
        return type(self.status_code) is int and type(self.reason) is bytes
    return (
        type(self) is http.RequestData
        and type(self.host) is str
        and type(self.port) is int
        and type(self.method) is bytes
        and type(self.scheme) is bytes
        and type(self.authority) is bytes
        and type(self.path) is bytes
    )


def _get_all(self: Headers, name: str | bytes) -> list[str]:
    """`Headers.get_all`, without a call for each field."""
    if type(self) is not Headers:
        found: list[str] = _before[_get_all](self, name)
        return found
    key = always_bytes(name, "utf-8", "surrogateescape").lower()
    size = len(key)
    return [
        value.decode("utf-8", "surrogateescape")
        for known, value in self.fields
        if len(known) == size and known.lower() == key
    ]


def _get(self: Headers, key: str | bytes, default: Any = None) -> Any:
    """`Headers.get`, without an exception for each header that is not there."""
    if type(self) is not Headers:
        return Mapping.get(self, key, default)
    values = self.get_all(key)
    return ", ".join(values) if values else default


def _contains(self: Headers, key: object) -> bool:
    """`key in headers`, likewise."""
    if type(self) is not Headers:
        return Mapping.__contains__(self, key)
    return bool(self.get_all(key))  # type: ignore[arg-type]  # as mitmproxy has it


def _current(self: Any) -> Any:
    """`_Option.current`, which copies nothing that can't be changed."""
    value = self._default if self.value is optmanager.unset else self.value
    return value if type(value) in _NEVER_CHANGED else deepcopy(value)


# Putting them in place.


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """A method of mitmproxy's that is replaced, or one that its class inherits from Python's own.

    `replaces` and `relies_on` are names as `pkgutil.resolve_name` has them. `sources` is the
    beginning of the SHA-256 of their sources: if it is another one, the method stays as it is.
    """

    replaces: str
    quick: Callable[..., Any]
    relies_on: tuple[str, ...]
    sources: str

    @property
    def owner(self) -> Any:
        """The class whose method it is."""
        return resolve_name(self.replaces.rpartition(".")[0])

    @property
    def attribute(self) -> str:
        """The name of the method."""
        return self.replaces.rpartition(".")[2]


_MANAGER: Final = "mitmproxy.addonmanager:AddonManager"
_HEADERS: Final = "mitmproxy.http:Headers"
_MULTI: Final = "mitmproxy.coretypes.multidict:_MultiDict"
_READING: Final = (f"{_HEADERS}.get_all", f"{_HEADERS}._kconv", f"{_MULTI}.get_all")
SPEED_UPS: Final = (
    SpeedUp(
        f"{_MANAGER}.trigger_event",
        _trigger_event,
        (
            *(f"{_MANAGER}.{name}" for name in ("trigger_event", "invoke_addon", "_iter_hooks")),
            *(f"mitmproxy.addonmanager:{name}" for name in ("traverse", "safecall")),
        ),
        "304ee5490aad0304",
    ),
    SpeedUp(
        f"{_MANAGER}.handle_lifecycle",
        _handle_lifecycle,
        (f"{_MANAGER}.handle_lifecycle", f"{_MANAGER}.trigger_event"),
        "991174cd7a284540",
    ),
    SpeedUp("mitmproxy.hooks:Hook.args", _args, ("mitmproxy.hooks:Hook.args",), "5bab95f7aa358e18"),
    SpeedUp(
        "mitmproxy.http:MessageData.__post_init__",
        _post_init,
        (
            "mitmproxy.http:MessageData.__post_init__",
            "mitmproxy.http:RequestData",
            "mitmproxy.http:ResponseData",
            "mitmproxy.utils.typecheck:check_option_type",
        ),
        "de47a71388d65d5f",
    ),
    SpeedUp(f"{_HEADERS}.get_all", _get_all, _READING, "b066760ad8e44ebc"),
    SpeedUp(
        f"{_HEADERS}.get",
        _get,
        (*_READING, f"{_HEADERS}._reduce_values", f"{_MULTI}.__getitem__"),
        "9b148e11eb52d433",
    ),
    SpeedUp(
        f"{_HEADERS}.__contains__",
        _contains,
        (*_READING, f"{_HEADERS}._reduce_values", f"{_MULTI}.__getitem__"),
        "9b148e11eb52d433",
    ),
    SpeedUp(
        "mitmproxy.optmanager:_Option.current",
        _current,
        ("mitmproxy.optmanager:_Option.current", "mitmproxy.optmanager:_Option.default"),
        "1553daf3b118b3b3",
    ),
)
_before: dict[Callable[..., Any], Any] = {}
"""What stood in the place of a speed-up that is in place; None if it was inherited."""


def switch(*, on: bool) -> None:
    """Put all speed-ups in place that fit this mitmproxy, or put back what was there before.

    The log has one line with those that do not fit.
    """
    if not on:
        _put_back()
    elif not _before:
        fitting = [each for each in SPEED_UPS if _fits(each)]  # all, before any source is another
        for each in fitting:
            _put(each)
        _say_what_is_missing([each for each in SPEED_UPS if each not in fitting])


def _say_what_is_missing(unfit: list[SpeedUp]) -> None:
    if unfit:
        names = ", ".join(each.replaces.partition(":")[2] for each in unfit)
        _log.warning("foxora: this mitmproxy is another one, and as slow as ever in: %s", names)


def sources_of(names: Iterable[str]) -> str:
    """The beginning of the SHA-256 of what these names stand for.

    Raises AttributeError or ImportError where one is not there, OSError where there is no source.
    """
    text = "".join(_source_of(resolve_name(name)) for name in names)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _source_of(found: Any) -> str:
    """A function's source; of a data class its fields, which is what is relied on."""
    if dataclasses.is_dataclass(found):
        return "".join(f"{field.name}: {field.type}\n" for field in dataclasses.fields(found))
    return inspect.getsource(getattr(found, "fget", found))


def _fits(each: SpeedUp) -> bool:
    if each.attribute == "__post_init__" and not __debug__:
        return True  # python -O has no type checks, nor anything to replace: see `_put`
    try:
        inherited = each.attribute not in vars(each.owner)
        if inherited and getattr(each.owner, each.attribute) is not getattr(
            Mapping, each.attribute
        ):
            return False
        return sources_of(each.relies_on) == each.sources
    except (AttributeError, ImportError, OSError):
        return False


def _put(each: SpeedUp) -> None:
    if each.attribute == "__post_init__" and not __debug__:
        return
    _before[each.quick] = vars(each.owner).get(each.attribute)
    setattr(each.owner, each.attribute, each.quick)
    if each.quick is _trigger_event:
        ctx.options.changed.connect(_forget_plans)


def _put_back() -> None:
    for each in SPEED_UPS:
        if each.quick not in _before:
            continue
        before = _before.pop(each.quick)
        if before is None:
            delattr(each.owner, each.attribute)
        else:
            setattr(each.owner, each.attribute, before)
    _forget_plans()

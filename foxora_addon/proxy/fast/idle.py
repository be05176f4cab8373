"""Idle addons: which of mitmproxy's own surely do nothing at a hook, as things are.

mitmproxy has three dozen addons of its own. Most of those that hear of a request look at an option
or at a list of theirs, find nothing there, and are done. Each of these is known here by the source
of its hook and of what the hook calls; one that has another source, is of another class, or has
something of its own in place of one of these, is asked as ever.
"""

from collections.abc import Callable
from copy import copy
from pkgutil import resolve_name
from typing import Any, Final, NamedTuple

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow

from foxora_addon.proxy.fast.sources import sources_of

type Spares = Callable[[Any, HTTPFlow], bool]
"""Whether an addon's hook does nothing for a flow."""


class Idle(NamedTuple):
    """A hook of an addon of mitmproxy's, and when it does nothing.

    That is while the attribute `empty` is empty, while the options `off` are off (or not there, in
    a release that has none), and for those flows that `spares` says: whatever of it is given.
    `hook` and `relies_on` are names as `pkgutil.resolve_name` has them; `sources` has the
    beginnings of the SHA-256 of their sources, one for each wording that is known to do the same.
    """

    hook: str
    sources: str
    relies_on: tuple[str, ...] = ()
    empty: str = ""
    off: tuple[str, ...] = ()
    spares: Spares | None = None

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the hook and of what it calls."""
        return self.hook, *self.relies_on


class Left(NamedTuple):
    """An addon that is not asked at a hook as long as its `state` equals `idle`.

    `state` is all that it knows, and changes with it. For a flow that `spares` does not say, it is
    asked all the same.
    """

    state: dict[str, Any]
    idle: dict[str, Any]
    spares: Spares | None


# A hook may raise for want of an answer. It then has to.
def _has_answer(_: Any, flow: HTTPFlow) -> bool:
    return flow.response is not None


def _has_direct_answer(_: Any, flow: HTTPFlow) -> bool:
    is_reverse = flow.client_conn.proxy_mode.type_name == "reverse"
    return flow.response is not None and not is_reverse


def _is_for_others(addon: Any, flow: HTTPFlow) -> bool:
    return not addon.should_serve(flow)


def _upgrades_nothing(_: Any, flow: HTTPFlow) -> bool:
    data = flow.request.data
    return data.path != b"*" and "upgrade" not in data.headers


def _asks_for_no_crl(addon: Any, flow: HTTPFlow) -> bool:
    return addon.certstore is not None and not flow.request.data.path.endswith(b".crl")


_ADDONS: Final = "mitmproxy.addons"
_BODY: Final = f"{_ADDONS}.modifybody:ModifyBody"
_HEADERS: Final = f"{_ADDONS}.modifyheaders:ModifyHeaders"
_INTERCEPT: Final = f"{_ADDONS}.intercept:Intercept"
_SAVE: Final = f"{_ADDONS}.save:Save"
_HAR: Final = f"{_ADDONS}.savehar:SaveHar"
_TLS: Final = f"{_ADDONS}.tlsconfig:TlsConfig"
_INTERCEPTING: Final = (f"{_INTERCEPT}.process_flow", f"{_INTERCEPT}.should_intercept")
IDLE: Final = (
    Idle(f"{_ADDONS}.proxyauth:ProxyAuth.requestheaders", "27acaafec84601a1", empty="validator"),
    Idle(
        f"{_HEADERS}.requestheaders", "8df7875ccc14f414", (f"{_HEADERS}.run",), empty="replacements"
    ),
    Idle(f"{_ADDONS}.upstream_auth:UpstreamAuth.requestheaders", "9222268024657614", empty="auth"),
    Idle(f"{_ADDONS}.blocklist:BlockList.request", "b57fd28ef2853c16", empty="items"),
    Idle(f"{_ADDONS}.anticache:AntiCache.request", "b48d2e8a6a567262", off=("anticache",)),
    Idle(f"{_ADDONS}.anticomp:AntiComp.request", "b0d9e97431cee67e", off=("anticomp",)),
    Idle(
        f"{_ADDONS}.disable_h2c:DisableH2C.request",
        "4d61074af383be58",
        (f"{_ADDONS}.disable_h2c:DisableH2C.process_flow",),
        spares=_upgrades_nothing,
    ),
    Idle(
        f"{_ADDONS}.onboarding:Onboarding.request",
        "74383a24b426b1d3",
        (f"{_ADDONS}.asgiapp:WSGIApp.request", f"{_ADDONS}.onboarding:Onboarding.should_serve"),
        spares=_is_for_others,
    ),
    Idle(f"{_ADDONS}.serverplayback:ServerPlayback.request", "e39ec867c40b012a", empty="flowmap"),
    Idle(f"{_ADDONS}.mapremote:MapRemote.request", "e7caae41db682e44", empty="replacements"),
    Idle(f"{_ADDONS}.maplocal:MapLocal.request", "4c6bf038aa472f3e", empty="replacements"),
    Idle(
        f"{_BODY}.request",
        "dc0bb0c289ac081c cd91979c09502d3f",
        (f"{_BODY}.run",),
        empty="replacements",
    ),
    Idle(f"{_ADDONS}.stickyauth:StickyAuth.request", "76b0bbaeb50614fa", empty="flt"),
    Idle(f"{_ADDONS}.stickycookie:StickyCookie.request", "d57c78803120ae99", empty="flt"),
    Idle(f"{_SAVE}.request", "5b91fa00461227c1", empty="stream"),
    Idle(
        f"{_TLS}.request",
        "6c28a1d79af5fcf2 aa9468853aaa3a2e",
        (f"{_TLS}.crl_path",),
        off=("emudhra", "emudhra_old"),  # it kills flows to some hosts then
        spares=_asks_for_no_crl,
    ),
    Idle(f"{_INTERCEPT}.request", "51c5bfd19f32cf0c", _INTERCEPTING, empty="filt"),
    Idle(
        f"{_HEADERS}.responseheaders",
        "664dd7d0ce178033",
        (f"{_HEADERS}.run",),
        empty="replacements",
        spares=_has_answer,
    ),
    Idle(
        f"{_ADDONS}.update_alt_svc:UpdateAltSvc.responseheaders",
        "25ce1b89275c1ea2",
        spares=_has_direct_answer,
    ),
    Idle(
        f"{_BODY}.response",
        "4016c9f5fd78fd0e 3545d69bf8ff3fd8",
        (f"{_BODY}.run",),
        empty="replacements",
    ),
    Idle(
        f"{_ADDONS}.stickycookie:StickyCookie.response",
        "2cd0720d69afba13",
        empty="flt",
        spares=_has_answer,
    ),
    Idle(f"{_SAVE}.response", "def0c08122a3adc9", (f"{_SAVE}.save_flow",), empty="stream"),
    Idle(f"{_HAR}.response", "11da00ffafb99d7a", (f"{_HAR}._save_flow",), off=("hardump",)),
    Idle(f"{_INTERCEPT}.response", "554e574f5d0fac9d", _INTERCEPTING, empty="filt"),
)


_taken: Final[dict[tuple[type, str], tuple[Idle, list[Any]]]] = {}
"""By the addon's class and the hook's name; and the functions that were found to fit."""


def take_up() -> list[str]:
    """Leave out from now on whatever is idle; returns the names of the hooks that do not fit."""
    unfit = []
    for each in IDLE:
        owner, _, name = each.hook.rpartition(".")
        try:
            kind, functions = resolve_name(owner), _functions_of(each)
            if sources_of(each.functions) in each.sources.split():
                _taken[kind, name] = each, functions
                continue
        except (AttributeError, ImportError, OSError):
            pass
        unfit.append(each.hook)
    return unfit


def give_up() -> None:
    """Have all addons asked again."""
    _taken.clear()


def left_out(addon: Any, name: str) -> Left | None:
    """How an addon is left out at a hook as things are; None: it has to be asked.

    That holds until its class, the functions of that or an option are changed.
    """
    each, functions = _taken.get((type(addon), name), (None, []))
    if each is None or functions != _functions_of(each):
        return None
    state = vars(addon)
    if not state.keys().isdisjoint(name.rpartition(".")[2] for name in each.functions):
        return None  # what it calls at the hook is another than its class's
    if any(getattr(ctx.options, option, False) for option in each.off):
        return None
    if each.empty and getattr(addon, each.empty, True):
        return None
    idle = {key: copy(value) if key == each.empty else value for key, value in state.items()}
    return Left(state, idle, each.spares)


def _functions_of(each: Idle) -> list[Any]:
    return [resolve_name(name) for name in each.functions]

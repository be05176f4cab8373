"""The switch: which functions of mitmproxy's are replaced, by what, and whether they still fit."""

import logging
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, Final, NamedTuple

from foxora_addon.proxy import hold
from foxora_addon.proxy.fast import (
    entry,
    heads,
    hooks,
    http1,
    idle,
    layers,
    messages,
    reading,
    server,
    straight,
    streams,
    whole,
)
from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.fast.sources import sources_of
from foxora_addon.speed import Speed

_log = logging.getLogger(__name__)


class SpeedUp(NamedTuple):
    """A method of mitmproxy's that is replaced, or one that its class inherits from Python's own.

    `replaces` and `relies_on` are names as `pkgutil.resolve_name` has them. `sources` has the
    beginnings of the SHA-256 of their sources, one for each wording of them that is known to do the
    same: if it is another one, the method stays as it is. `is_unseen`: whatever comes, no addon
    and no log can tell it from what was there before.
    """

    replaces: str
    quick: Callable[..., Any]
    relies_on: tuple[str, ...]
    sources: str
    is_unseen: bool = False

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
_ASKING: Final = (
    *(f"{_MANAGER}.{name}" for name in ("trigger_event", "invoke_addon", "_iter_hooks")),
    *(f"{_MANAGER}.{name}" for name in ("trigger", "_configure_all")),
    *(f"mitmproxy.addonmanager:{name}" for name in ("traverse", "safecall")),
)
_LAYER: Final = "mitmproxy.proxy.layers.http:HttpLayer"
_STREAM: Final = "mitmproxy.proxy.layers.http:HttpStream"
_HTTP1: Final = "mitmproxy.proxy.layers.http._http1"
# Where the originals of what is replaced in any case are kept, here and below.
_HTTP1_HEADS: Final = tuple(
    f"foxora_addon.proxy.host_reading:{name}" for name in ("_read_head", "_read_headers")
)
_HANDLER: Final = "mitmproxy.proxy.server:ConnectionHandler"
SPEED_UPS: Final = (
    SpeedUp(
        "mitmproxy.addonmanager.safecall",
        hooks.safecall,
        ("mitmproxy.addonmanager.safecall", "mitmproxy.addonmanager.cut_traceback"),
        "e7e96b09772208e4",
        is_unseen=True,
    ),
    SpeedUp(
        f"{_MANAGER}.trigger_event",
        hooks.trigger_event,
        _ASKING,
        "b4b4af906f49c702",
    ),
    SpeedUp(f"{_MANAGER}.trigger", hooks.trigger, _ASKING, "b4b4af906f49c702"),
    SpeedUp(
        f"{_MANAGER}.handle_lifecycle",
        hooks.handle_lifecycle,
        (*_ASKING, f"{_MANAGER}.handle_lifecycle"),
        "ff30b264eddef02a",
    ),
    SpeedUp(
        f"{_HANDLER}.hook_task",
        hooks.hook_task,
        (
            *_ASKING,
            f"{_MANAGER}.handle_lifecycle",
            f"{_HANDLER}.hook_task",
            "mitmproxy.proxy.mode_servers:ProxyConnectionHandler.handle_hook",
            "mitmproxy.flow:Flow.wait_for_resume",
        ),
        "3090188a4929d2cd",
    ),
    SpeedUp(
        f"{_HANDLER}.server_event",
        server.server_event,
        (f"{_HANDLER}.server_event", f"{_HANDLER}.hook_task", f"{_HANDLER}.close_connection"),
        "0093bd651e403879",
    ),
    SpeedUp(
        f"{_HANDLER}.handle_connection",
        reading.handle_connection,
        tuple(f"{_HANDLER}.{n}" for n in ("handle_connection", "drain_writers", "server_event")),
        "cba6ed093eef5a2d",
    ),
    SpeedUp(
        f"{_HANDLER}.drain_writers",
        server.drain_writers,
        (f"{_HANDLER}.drain_writers",),
        "6b57434604561e3e",
    ),
    SpeedUp(
        "mitmproxy.hooks:Hook.args", hooks.args, ("mitmproxy.hooks:Hook.args",), "5bab95f7aa358e18"
    ),
    SpeedUp(
        "mitmproxy.proxy.commands:StartHook.__new__",
        hooks.new,
        ("mitmproxy.proxy.commands:StartHook.__new__", "mitmproxy.hooks:Hook.__new__"),
        "795eee6a848fd0fd",
    ),
    SpeedUp(
        "mitmproxy.http:MessageData.__post_init__",
        messages.post_init,
        (
            "mitmproxy.http:MessageData.__post_init__",
            "mitmproxy.http:RequestData",
            "mitmproxy.http:ResponseData",
            "mitmproxy.utils.typecheck:check_option_type",
        ),
        "de47a71388d65d5f",
        is_unseen=True,
    ),
    SpeedUp(f"{_HEADERS}.get_all", messages.get_all, _READING, "b066760ad8e44ebc"),
    SpeedUp(
        f"{_HEADERS}.get",
        messages.get,
        (*_READING, f"{_HEADERS}._reduce_values", f"{_MULTI}.__getitem__"),
        "9b148e11eb52d433",
    ),
    SpeedUp(
        f"{_HEADERS}.__contains__",
        messages.contains,
        (*_READING, f"{_HEADERS}._reduce_values", f"{_MULTI}.__getitem__"),
        "9b148e11eb52d433",
    ),
    SpeedUp(
        f"{_HEADERS}.__init__",
        http1.headers_init,
        (f"{_HEADERS}.__init__", "mitmproxy.coretypes.multidict:MultiDict.__init__"),
        "f1d16eb686af3fbe",
    ),
    SpeedUp(
        f"{_HEADERS}.__bytes__", http1.headers_bytes, (f"{_HEADERS}.__bytes__",), "afea97a00d3d61dd"
    ),
    SpeedUp(
        "mitmproxy.net.http.http1.expected_http_body_size",
        http1.expected_http_body_size,
        (
            "mitmproxy.net.http.http1.read.expected_http_body_size",
            "mitmproxy.net.http.validate.parse_content_length",
            "mitmproxy.net.http.validate.parse_transfer_encoding",
        ),
        "d8f5435471d03439",
    ),
    SpeedUp(
        "mitmproxy.net.http.http1.connection_close",
        http1.connection_close,
        (
            "mitmproxy.net.http.http1.read.connection_close",
            "mitmproxy.net.http.http1.read.get_header_tokens",
        ),
        "286dc2039f25dbbc 68973d4501ac7717",
    ),
    SpeedUp(
        "mitmproxy.net.http.http1.read.raise_if_http_version_unknown",
        http1.raise_if_http_version_unknown,
        ("mitmproxy.net.http.http1.read.raise_if_http_version_unknown",),
        "e1159a2812bbb30c",
    ),
    SpeedUp(
        "mitmproxy.proxy.layers.http.validate_headers",
        http1.validate_headers,
        (
            "mitmproxy.net.http.validate.validate_headers",
            "mitmproxy.net.http.validate.parse_content_length",
            "mitmproxy.net.http.validate.parse_transfer_encoding",
        ),
        "8772365c7f5e1350",
    ),
    SpeedUp(
        f"{_HTTP1}:Http1Connection.mark_done",
        http1.mark_done,
        (
            f"{_HTTP1}:Http1Connection.mark_done",
            f"{_HTTP1}:Http1Server.mark_done",
            "foxora_addon.proxy.host_reading:_should_make_pipe",
            "mitmproxy.net.http.http1.read.expected_http_body_size",
            "mitmproxy.net.http.http1.read.connection_close",
        ),
        "df9a4f649d312394",
    ),
    SpeedUp(
        "mitmproxy.flow:Flow.__init__",
        messages.flow_init,
        ("mitmproxy.flow:Flow.__init__",),
        "7c7b602cfb75bf18",
    ),
    SpeedUp(
        "mitmproxy.optmanager:_Option.current",
        messages.current,
        ("mitmproxy.optmanager:_Option.current", "mitmproxy.optmanager:_Option.default"),
        "1553daf3b118b3b3",
        is_unseen=True,
    ),
    SpeedUp(
        "mitmproxy.net.http.url.parse_authority",
        messages.parse_authority,
        ("mitmproxy.net.http.url.parse_authority", "mitmproxy.net.check.is_valid_host"),
        "6669f850750b8a75",
    ),
    SpeedUp(
        f"{_LAYER}.event_to_child",
        layers.event_to_child,
        (
            f"{_LAYER}.event_to_child",
            f"{_LAYER}.make_stream",
            "mitmproxy.proxy.layer:Layer.handle_event",
            "mitmproxy.proxy.layers.http:HttpClient._handle_event",
            *(
                f"mitmproxy.proxy.layers.http:HttpStream.{name}"
                for name in ("__init__", "state_wait_for_request_headers")
            ),
            *(
                f"{_HTTP1}:Http1Connection.{name}"
                for name in ("_handle_event", "read_body", "wait")
            ),
            *(
                f"{_HTTP1}:Http1Connection.{name}"
                for name in ("make_pipe", "passthrough", "mark_done")
            ),
            *(f"{_HTTP1}:Http1Server.{name}" for name in ("send", "mark_done")),
            f"{_HTTP1}:Http1Client.send",
            *_HTTP1_HEADS,
        ),
        "15d4e8e169972c8a",
    ),
    SpeedUp(
        f"{_LAYER}.handle_event",
        layers.handle_event,
        (
            "mitmproxy.proxy.layer:Layer.handle_event",
            f"{_LAYER}._handle_event",
            f"{_LAYER}.event_to_child",
            f"{_LAYER}.make_stream",
            "mitmproxy.proxy.layers.http:HttpClient._handle_event",
        ),
        "59353ba304fe2486",
        is_unseen=True,
    ),
    SpeedUp(
        "mitmproxy.proxy.layers.modes:HttpProxy.handle_event",
        entry.handle_event,
        (
            "mitmproxy.proxy.layer:Layer.handle_event",
            *(f"mitmproxy.proxy.layer:NextLayer.{name}" for name in ("handle_event", "_ask")),
            "mitmproxy.proxy.layers.modes:HttpProxy._handle_event",
        ),
        "e18fb87b2095e90f",
    ),
    SpeedUp(
        f"{_HTTP1}:Http1Connection.read_body",
        streams.read_body,
        (
            *(f"{_HTTP1}:Http1Connection.{name}" for name in ("_handle_event", "read_body")),
            f"{_HTTP1}:Http1Server.send",
            "mitmproxy.proxy.layers.http:HttpStream.state_stream_response_body",
            "h11._readers:ChunkedReader",
            "h11._receivebuffer:ReceiveBuffer",
        ),
        "5f10f403438d08de",
        is_unseen=True,
    ),
    SpeedUp(
        f"{_HTTP1}:Http1Connection._handle_event",
        whole.handle_event,
        (
            f"{_LAYER}.get_connection",
            *(f"{_HTTP1}:Http1Connection.{name}" for name in ("_handle_event", "read_body")),
            *(f"{_HTTP1}:Http1Connection.{name}" for name in ("mark_done", "__init__", "wait")),
            *(f"{_HTTP1}:Http1Server.{name}" for name in ("send", "mark_done")),
            f"{_HTTP1}:Http1Client.send",
            *_HTTP1_HEADS,
            *(f"{_STREAM}.{name}" for name in ("check_body_size", "send_response", "flow_done")),
            *(f"{_STREAM}.{name}" for name in ("check_invalid", "check_killed")),
            *(f"{_STREAM}.{name}" for name in ("make_server_connection", "start_response_stream")),
            *(f"{_STREAM}.state_consume_{name}_body" for name in ("request", "response")),
            *(f"{_STREAM}.state_wait_for_{name}_headers" for name in ("request", "response")),
            "mitmproxy.proxy.layers.http:validate_request",
            *(
                f"mitmproxy.net.http.http1.read.{name}"
                for name in ("read_request_head", "_read_request_line", "_read_headers")
            ),
            "mitmproxy.net.http.validate.validate_headers",
            "mitmproxy.http:RequestData",
            *(f"h11._readers:{name}" for name in ("ContentLengthReader", "ChunkedReader")),
            "h11._receivebuffer:ReceiveBuffer",
        ),
        "1a0d953c31015e7b 57930a17f38f59ae",
    ),
    SpeedUp(
        "mitmproxy.proxy.context:Context.fork",
        messages.fork,
        ("mitmproxy.proxy.context:Context.fork", "mitmproxy.proxy.context:Context.__init__"),
        "d596ef8129c90bb9",
        is_unseen=True,
    ),
)


_in_place: Final[list[SpeedUp]] = []


def switch(speed: Speed) -> None:
    """Put those speed-ups in place that are wanted and fit this mitmproxy, and no others.

    The log has one line with those that do not fit.
    """
    _put_back()  # for each is known by the sources of what was there before
    if speed is Speed.NONE:
        return
    chosen = [each for each in SPEED_UPS if each.is_unseen or speed is Speed.ALL]
    fitting = [each for each in chosen if _fits(each)]  # all, before any source is another
    unfit = [each.replaces for each in chosen if each not in fitting]
    if speed is Speed.ALL:
        unfit += idle.take_up()
    for each in fitting:
        _put(each)
    _say_what_is_missing(unfit)


def _say_what_is_missing(unfit: list[str]) -> None:
    if unfit:
        names = ", ".join(name.rpartition(":")[2] for name in unfit)
        _log.warning("foxora: this mitmproxy is another one, and as slow as ever in: %s", names)


def _fits(each: SpeedUp) -> bool:
    if each.attribute == "__post_init__" and not __debug__:
        return True  # python -O has no type checks, nor anything to replace: see `_put`
    try:
        found = getattr(each.owner, each.attribute)
        is_inherited = each.attribute not in vars(each.owner)
        if is_inherited and found is not getattr(Mapping, each.attribute, None):
            return any(resolve_name(name) is found for name in each.relies_on) and _is_same(each)
        return _is_same(each)
    except (AttributeError, ImportError, OSError):
        return False


def _is_same(each: SpeedUp) -> bool:
    return sources_of(each.relies_on) in each.sources.split()


def _put(each: SpeedUp) -> None:
    if each.attribute == "__post_init__" and not __debug__:
        return
    _in_place.append(each)
    before[each.quick] = vars(each.owner).get(each.attribute)
    setattr(each.owner, each.attribute, each.quick)
    if each.quick is hooks.hook_task:
        hold.tell_at_once(hooks.told_at_once)
    elif each.quick is whole.handle_event:
        hold.send_at_once(straight.steps, whole.ready_connection)


def _put_back() -> None:
    while _in_place:
        each = _in_place.pop()
        original = before[each.quick]
        if original is None:
            delattr(each.owner, each.attribute)
        else:
            setattr(each.owner, each.attribute, original)
    hold.tell_at_once(None)
    hold.send_at_once(None, None)
    idle.give_up()
    heads.forget()
    hooks.forget_plans()

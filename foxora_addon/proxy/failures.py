"""Words mitmproxy's failures: what each means for the client, and for the record.

The only place that reads mitmproxy's error texts. None of them is passed on: some quote raw bytes
of the peer (mitmproxy-facts.md row 19).
"""

import re
from dataclasses import replace
from typing import Final, NamedTuple

from foxora_addon.api.errors import (
    ApiError,
    bad_gateway_answer,
    changed_after_record,
    client_disconnected,
    gateway_timeout,
    gateway_unreachable,
    internal_error,
    invalid_request,
    never_decided_on,
    request_too_large,
    unavailable,
)
from foxora_addon.exchange import Outcome
from foxora_addon.proxy.hold import ErrorCode, Failure

INTERNAL: Final = internal_error()
"""What a client is told where our own code failed."""

LEFT: Final = client_disconnected()
"""What stands on record of a call whose client left before it was decided on."""

UNDECODABLE: Final = bad_gateway_answer(
    "The gateway's answer is not encoded as it says. Try again."
)
"""What ends a stream whose content encoding can't be undone, or that is a bomb."""

BROKEN_SOCKET: Final = gateway_unreachable("The connection to the gateway is lost. Try again.")
"""What ends a WebSocket whose gateway has left without closing it."""

BROKEN_FRAMES: Final = bad_gateway_answer(
    "The gateway broke the WebSocket protocol (RFC 6455). Try again."
)
"""What ends a WebSocket whose gateway breaks the protocol."""

LONG_MESSAGE: Final = bad_gateway_answer(
    "A message of the gateway is over 128 MiB, or a bomb as it is decoded. Try again."
)
"""What ends a WebSocket whose gateway says more at once than is held of a message."""

_SHUT_DOWN = "The proxy was shut down before the answer was complete. Try again."


class Worded(NamedTuple):
    """A failure in our terms.

    `error` None: nobody is there to be told. `is_late`: a deadline of ours has passed.
    `is_unbegun`: the gateway has said that it has not begun the call.
    """

    outcome: Outcome
    error: ApiError | None
    is_late: bool = False
    is_unbegun: bool = False


ABORTED: Final = Worded("aborted", unavailable(_SHUT_DOWN))
"""It is us who end the exchange."""

CHANGED: Final = Worded("internal_error", changed_after_record())
"""An addon of the host, or its user, has changed a call that was on record by then."""

UNDECIDED: Final = Worded("internal_error", never_decided_on())
"""An addon before ours has raised, so that nobody called our `request`."""

EXPOSED: Final = Worded(
    "refused",
    replace(
        gateway_unreachable(
            "The gateway is an http:// one behind another proxy, which would see the key, so "
            "nothing was sent. Whoever runs this proxy can give it an https:// gateway, or leave "
            "out its mode upstream.",
            should_retry=False,
        ),
        source="addon",
    ),
)
"""An upstream proxy of mitmproxy's would read the call, for there is no TLS to the gateway."""

SLOW_READER: Final = Worded(
    "client_disconnected",
    unavailable("The client reads its stream too slowly for the proxy to keep the rest of it."),
)
"""A client whose unread answer can't be held back without holding back others."""


class Peer(NamedTuple):
    """To whom a connection could not be made: its host and port, and the setting that names it."""

    name: str
    where: str
    setting: str


# The first pattern that fits mitmproxy's or the operating system's words; the message may use what
# a `Peer` has. `should_retry` False: trying again can't help until somebody changes something.
_CONNECT_FAILURES: tuple[tuple[re.Pattern[str], str, bool | None], ...] = (
    (
        re.compile(
            r"name or service not known|nodename nor|name resolution|getaddrinfo|No address",
            re.IGNORECASE,
        ),
        "The {name}'s name {where} can't be resolved. Check the network and {setting}.",
        None,
    ),
    (
        re.compile(r"certificate|verify failed|hostname mismatch", re.IGNORECASE),
        "The TLS certificate of {where} can't be trusted. Nothing was sent. Check {setting} and "
        "the trusted certificates.",
        False,
    ),
    (
        re.compile(r"refused|errno 111|errno 61\b|connect call failed", re.IGNORECASE),
        "The {name} {where} refused the connection. Check {setting}, or try again later.",
        None,
    ),
    (
        re.compile(r"timed? ?out|errno 110", re.IGNORECASE),
        "The {name} {where} can't be reached: connecting timed out. Try again later.",
        None,
    ),
    (
        re.compile(r"too many open files", re.IGNORECASE),
        "The proxy's machine has no open file left for a connection to {where}. Try again later.",
        None,
    ),
    (
        re.compile(r"TLS|SSL|handshake", re.IGNORECASE),
        "The TLS handshake with {where} failed. Nothing was sent. Check {setting}.",
        None,
    ),
)


_REFUSED_CONNECT: Final = re.compile(r"refused HTTP CONNECT request: (\d{3})")


def worded(
    failure: Failure, gateway: str, *, proxy: str | None = None, is_streaming: bool = False
) -> Worded:
    """Word a failure. `gateway` is the gateway's host and port, as it may be shown.

    `proxy` is likewise the upstream proxy, where no connection came about because of that.
    `is_streaming`: the client has the beginning of an answer already.
    """
    code = failure.code
    if code is ErrorCode.KILL:
        return Worded("aborted", None)
    if failure.by_client:
        return _of_the_client(failure)
    if is_streaming:
        return _BROKEN_STREAM
    if code is None or code is ErrorCode.CONNECT_FAILED:
        return _connect_failure(failure.message, gateway, proxy)
    if code in _BY_CODE:
        return _BY_CODE[code]
    return _UNBEGUN if failure.is_unbegun else _broken_answer(failure.message)


_BAD_REQUEST = Worded("refused", invalid_request("The request is not valid HTTP."))
_BAD_ANSWER = Worded("gateway_error", bad_gateway_answer("The gateway's answer is not valid HTTP."))
_BROKEN_STREAM = Worded(
    "stream_broken",
    gateway_unreachable(
        "The connection to the gateway broke in the middle of its answer, which is not complete. "
        "Try again."
    ),
)
_UNBEGUN = Worded(
    "gateway_unreachable",
    gateway_unreachable(
        "The gateway takes no more calls on its connection, and has not begun this one. Try again."
    ),
    is_unbegun=True,
)
_BY_CODE = {
    ErrorCode.CLIENT_DISCONNECTED: Worded("client_disconnected", None),
    ErrorCode.REQUEST_TOO_LARGE: Worded(
        "refused", request_too_large("The request's body is over mitmproxy's body_size_limit.")
    ),
    ErrorCode.GENERIC_CLIENT_ERROR: _BAD_REQUEST,
    ErrorCode.REQUEST_VALIDATION_FAILED: _BAD_REQUEST,
    ErrorCode.DESTINATION_UNKNOWN: _BAD_REQUEST,
    ErrorCode.RESPONSE_VALIDATION_FAILED: _BAD_ANSWER,
    ErrorCode.RESPONSE_TOO_LARGE: Worded(
        "gateway_error",
        bad_gateway_answer(
            "The gateway's answer is over mitmproxy's body_size_limit.", should_retry=False
        ),
    ),
}


_SAYS_GONE = ("without sending complete", "closed", "reset by client")
"""What mitmproxy says where a client goes, also in the midst of what it sends."""


def timed_out(phase: str, seconds: float, proxy: str | None = None) -> Worded:
    """A deadline that passed: `phase` names what was waited for, `proxy` an upstream proxy."""
    who = "gateway" if proxy is None else f"upstream proxy {proxy}"
    message = f"The {who} took longer than {seconds:g} s {phase}. Try again later."
    return Worded("timeout", gateway_timeout(message), is_late=True)


def internal() -> Worded:
    """An exception in our own code."""
    return Worded("internal_error", INTERNAL)


def _of_the_client(failure: Failure) -> Worded:
    """What the client's own side did: it left, or what it sent is no HTTP."""
    is_gone = any(words in failure.message for words in _SAYS_GONE)
    if is_gone or failure.code not in _BY_CODE:
        return _BY_CODE[ErrorCode.CLIENT_DISCONNECTED]
    return _BY_CODE[failure.code]


def _connect_failure(message: str, gateway: str, proxy: str | None) -> Worded:
    peer = Peer("gateway", gateway, "gateway.base_url")
    if proxy is not None:
        if said := _REFUSED_CONNECT.search(message):
            return _refused_by(proxy, said[1])
        peer = Peer("upstream proxy", proxy, "mitmproxy's mode")
    for pattern, text, should_retry in _CONNECT_FAILURES:
        if pattern.search(message):
            told = text.format(**peer._asdict())
            error = gateway_unreachable(told, should_retry=should_retry)
            return Worded("gateway_unreachable", error)
    text = f"The {peer.name} {peer.where} can't be reached. Try again later."
    return Worded("gateway_unreachable", gateway_unreachable(text))


def _refused_by(proxy: str, status: str) -> Worded:
    """An upstream proxy makes no tunnel to the gateway; it will for none before a 4xx is mended."""
    remedy = "mitmproxy's upstream_auth" if status == "407" else "mitmproxy's mode"
    text = f"The upstream proxy {proxy} answered {status} to CONNECT. Check {remedy}."
    should_retry = None if status >= "500" else False
    return Worded("gateway_unreachable", gateway_unreachable(text, should_retry=should_retry))


def _broken_answer(message: str) -> Worded:
    """The connection was there, and the answer did not come, or not whole."""
    if "closed" in message or "reset by" in message:
        text = "The gateway ended the connection before it had answered. Try again."
        return Worded("gateway_unreachable", gateway_unreachable(text))
    return _BAD_ANSWER

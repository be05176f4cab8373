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

_SHUT_DOWN = "The proxy was shut down before the answer was complete. Try again."


class Worded(NamedTuple):
    """A failure in our terms.

    `error` None: nobody is there to be told. `is_late`: a deadline of ours has passed.
    """

    outcome: Outcome
    error: ApiError | None
    is_late: bool = False


ABORTED: Final = Worded("aborted", unavailable(_SHUT_DOWN))
"""It is us who end the exchange."""

CHANGED: Final = Worded("internal_error", changed_after_record())
"""An addon of the host, or its user, has changed a call that was on record by then."""

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

# The first pattern that fits mitmproxy's or the operating system's words; the message may use
# {gateway}. `should_retry` False: trying again can't help until somebody changes something.
_CONNECT_FAILURES: tuple[tuple[re.Pattern[str], str, bool | None], ...] = (
    (
        re.compile(
            r"name or service not known|nodename nor|name resolution|getaddrinfo|No address",
            re.IGNORECASE,
        ),
        "The gateway's name {gateway} can't be resolved. Check the network and gateway.base_url.",
        None,
    ),
    (
        re.compile(r"certificate|verify failed|hostname mismatch", re.IGNORECASE),
        "The TLS certificate of {gateway} can't be trusted. Nothing was sent. Check "
        "gateway.base_url and the trusted certificates.",
        False,
    ),
    (
        re.compile(r"refused|errno 111|errno 61\b|connect call failed", re.IGNORECASE),
        "The gateway {gateway} refused the connection. Check gateway.base_url, or try again later.",
        None,
    ),
    (
        re.compile(r"timed? ?out|errno 110", re.IGNORECASE),
        "The gateway {gateway} can't be reached: connecting timed out. Try again later.",
        None,
    ),
    (
        re.compile(r"too many open files", re.IGNORECASE),
        "The proxy's machine has no open file left for a connection to {gateway}. Try again later.",
        None,
    ),
    (
        re.compile(r"TLS|SSL|handshake", re.IGNORECASE),
        "The TLS handshake with {gateway} failed. Nothing was sent. Check gateway.base_url.",
        None,
    ),
)


def worded(failure: Failure, gateway: str, *, is_streaming: bool = False) -> Worded:
    """Word a failure. `gateway` is the gateway's host and port, as it may be shown.

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
        return _connect_failure(failure.message, gateway)
    if code in _BY_CODE:
        return _BY_CODE[code]
    return _broken_answer(failure.message)


_BAD_REQUEST = Worded("refused", invalid_request("The request is not valid HTTP."))
_BAD_ANSWER = Worded("gateway_error", bad_gateway_answer("The gateway's answer is not valid HTTP."))
_BROKEN_STREAM = Worded(
    "stream_broken",
    gateway_unreachable(
        "The connection to the gateway broke in the middle of its answer, which is not complete. "
        "Try again."
    ),
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


def timed_out(phase: str, seconds: float) -> Worded:
    """A deadline that passed: `phase` names what was waited for."""
    message = f"The gateway took longer than {seconds:g} s {phase}. Try again later."
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


def _connect_failure(message: str, gateway: str) -> Worded:
    for pattern, text, should_retry in _CONNECT_FAILURES:
        if pattern.search(message):
            error = gateway_unreachable(text.format(gateway=gateway), should_retry=should_retry)
            return Worded("gateway_unreachable", error)
    text = f"The gateway {gateway} can't be reached. Try again later."
    return Worded("gateway_unreachable", gateway_unreachable(text))


def _broken_answer(message: str) -> Worded:
    """The connection was there, and the answer did not come, or not whole."""
    if "closed" in message or "reset by" in message:
        text = "The gateway ended the connection before it had answered. Try again."
        return Worded("gateway_unreachable", gateway_unreachable(text))
    return _BAD_ANSWER

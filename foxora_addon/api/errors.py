"""The one shape in which every failure reaches a client, whoever failed.

An `ApiError` is a value: status, code, message and what its headers must say. This module lists
the codes and refuses to know how a failure was noticed or how an answer is put on the wire; how a
foreign error body is read is `error_bodies`' business, how long to wait `retry_after`'s.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from foxora_addon.api import error_bodies, retry_after

type Source = Literal["addon", "gateway", "network"]
"""Who failed: this program, the gateway, or the way between the two."""


class Code(NamedTuple):
    """A row of `CODES`."""

    status: int
    meaning: str


CODES: Final[dict[str, Code]] = {
    # Only `invalid_request` is documented (foxora-api.md, Errors); the others are our choice,
    # and OpenAI's own name where it has one that applications look for.
    "invalid_request": Code(400, "A field of the request is missing or wrong."),
    "invalid_json": Code(400, "The request's body is not a JSON object."),
    "request_rejected": Code(400, "The gateway refused it with a 4xx status that has no row."),
    "missing_api_key": Code(401, "The call carries no key."),
    "invalid_api_key": Code(401, "The call's key is not accepted."),
    "spend_limit_reached": Code(402, "The account's spend cap leaves no room for the call."),
    "payment_required": Code(402, "The gateway wants a payment method, or a cap is reached."),
    "forbidden": Code(403, "The key is valid but may not do this."),
    "forbidden_origin": Code(403, "The web page that made the call is not allowed to."),
    "not_found": Code(404, "There is nothing at this path, or no such resource."),
    "request_too_large": Code(413, "The request's body is over the accepted size."),
    "rate_limit_exceeded": Code(429, "The account's ceiling leaves no room for the call."),
    "client_disconnected": Code(499, "The client left before its call was sent; on record only."),
    "internal_error": Code(500, "The proxy itself failed."),
    "answered_by_addon": Code(500, "Another addon answered in the gateway's place."),
    "gateway_error": Code(500, "The gateway, or the provider behind it, failed."),
    "gateway_unreachable": Code(502, "No connection to the gateway could be made or kept."),
    "bad_gateway_answer": Code(502, "No client could use the gateway's answer."),
    "unavailable": Code(503, "The call cannot be taken at this moment."),
    "gateway_timeout": Code(504, "The gateway took too long."),
}

# What our own errors say about trying again; for other statuses the client's own rules hold. The
# 4xx here depend on the call alone. A 500 of ours is a bug, which a retry meets again, and the
# call may already have reached the gateway: it would be paid for twice.
_SHOULD_RETRY: Final = dict.fromkeys((400, 401, 402, 403, 404, 413, 500), False) | {503: True}


@dataclass(frozen=True, slots=True)
class ApiError:
    """A failure as the client is told of it; never an exception (DESIGN.md, The shape of the code).

    `retry_after_seconds` is finite and not negative; None says nothing about when to try again.
    `should_retry` None leaves it to the client's own rules (SDKs retry 408, 409, 429 and 5xx).
    `is_quoted`: message and param are the gateway's, and may quote what the client wrote.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_seconds: float | None = None
    should_retry: bool | None = None
    source: Source = "addon"
    is_quoted: bool = False

    def body(self) -> bytes:
        """Return the documented JSON body (foxora-api.md, Errors), compact, in UTF-8."""
        return json_of({"error": self.told()})

    def told(self) -> dict[str, str | None]:
        """Return what stands below `error` in `body()`."""
        return {"code": self.code, "message": self.message, "param": self.param}

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that go with `body()`, except its length.

        SDKs prefer `retry-after-ms`; `retry-after` is whole seconds rounded up (RFC 9110, 10.2.3),
        for everybody else.
        """
        headers = [("content-type", "application/json"), ("x-foxora-source", self.source)]
        if self.retry_after_seconds is not None:
            headers.append(("retry-after", str(math.ceil(self.retry_after_seconds))))
            headers.append(("retry-after-ms", str(math.ceil(self.retry_after_seconds * 1000))))
        if self.should_retry is not None:
            headers.append(("x-should-retry", "true" if self.should_retry else "false"))
        return headers


def json_of(value: dict[str, Any]) -> bytes:
    """Return compact JSON in UTF-8 of what quotes a message."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate, which a JSON request can smuggle into a message, has no UTF-8; written as a
    # backslash escape it is JSON again.
    return text.encode("utf-8", "backslashreplace")


def invalid_request(message: str, param: str | None = None) -> ApiError:
    """Return 400 for a well-formed body that lacks a field or has a wrong one, named by `param`."""
    return _own("invalid_request", message, param=param)


def invalid_json(message: str) -> ApiError:
    """Return 400 for a body that should be a JSON object and is not."""
    return _own("invalid_json", message)


def missing_key() -> ApiError:
    """Return 401 for a call without any key."""
    return _own("missing_api_key", "No API key was given. Send one as 'Authorization: Bearer KEY'.")


def invalid_key(message: str) -> ApiError:
    """Return 401 for a key that no account claims; `message` must not quote it."""
    return _own("invalid_api_key", message)


def spend_limit_reached(message: str) -> ApiError:
    """Return 402 for a call that would push its account past its monthly cap."""
    return _own("spend_limit_reached", message)


def forbidden_origin(message: str) -> ApiError:
    """Return 403 for a call that a web page of a foreign origin, or under a foreign name, made."""
    return _own("forbidden_origin", message)


def not_found(message: str) -> ApiError:
    """Return 404 for a path that is not the API's; `message` names what would be accepted."""
    return _own("not_found", message)


def request_too_large(message: str) -> ApiError:
    """Return 413 for a body over the configured size."""
    return _own("request_too_large", message)


def rate_limit_exceeded(message: str, retry_after_seconds: float | None) -> ApiError:
    """Return 429; `retry_after_seconds` None means that the call can never fit its ceiling."""
    should_retry = False if retry_after_seconds is None else None
    return _own(
        "rate_limit_exceeded",
        message,
        retry_after_seconds=retry_after_seconds,
        should_retry=should_retry,
    )


def client_disconnected() -> ApiError:
    """Return what a record says of a call whose client left first: nobody is there to be told."""
    return _own("client_disconnected", "The client left before the call was sent.")


def internal_error() -> ApiError:
    """Return 500 for an exception in our own code; the log has the details, the client has none."""
    return _own("internal_error", "The proxy failed on this call. Its log says why.")


def changed_after_record() -> ApiError:
    """Return 500 for a call that is not sent, for it is no longer the one that is on record."""
    message = (
        "The call was changed inside the proxy after it was recorded, so it was not sent. An addon "
        "that changes bodies must be loaded before foxora_addon, and none may change method, path "
        "or host; by hand, let the call go, then edit and replay it."
    )
    return _own("internal_error", message, should_retry=False)


def never_decided_on() -> ApiError:
    """Return 500 for a call that is not sent: another addon kept ours from hearing of it."""
    message = (
        "Another addon failed on the call, or held it back, before foxora_addon had decided on it, "
        "so it was not sent. The proxy's log says what failed."
    )
    return _own("internal_error", message)


def answered_by_addon(status: int) -> ApiError:
    """Return what a record says of another addon's error, whose own words the client has.

    What is no answer is 500.
    """
    message = f"Another addon, or an option of mitmproxy's, answered {status} inside the proxy."
    error = _own("answered_by_addon", message)
    return replace(error, status=status) if status >= 400 else error


def gateway_unreachable(message: str, *, should_retry: bool | None = None) -> ApiError:
    """Return 502 for a connection that failed; `should_retry` False where it always will."""
    return _own("gateway_unreachable", message, should_retry=should_retry, source="network")


def bad_gateway_answer(message: str, *, should_retry: bool | None = None) -> ApiError:
    """Return 502 for an answer of the gateway that no client could use.

    `should_retry` False where another would be the same, and cost as much.
    """
    return _own("bad_gateway_answer", message, should_retry=should_retry, source="gateway")


def unavailable(message: str, retry_after_seconds: float | None = None) -> ApiError:
    """Return 503 for a call that could be taken later: shutting down, trail not writable, full."""
    return _own("unavailable", message, retry_after_seconds=retry_after_seconds)


def full(most: int) -> ApiError:
    """Return 503 for a call beyond the number that may be open at once."""
    return unavailable(f"The proxy has its {most} calls open already. Try again in a moment.", 1.0)


def overdue(most_seconds: float) -> ApiError:
    """Return 503 for a call that was not sent within the time that the whole of it may take."""
    return unavailable(
        f"The call could not be sent within {most_seconds:g} s, which is as long as all of it may "
        "take (the proxy's gateway.exchange_timeout_seconds). Nothing was sent. Try again later."
    )


def gateway_timeout(message: str) -> ApiError:
    """Return 504 for a deadline that passed; `message` names the phase."""
    return _own("gateway_timeout", message, source="network")


def _own(
    code: str,
    message: str,
    *,
    param: str | None = None,
    retry_after_seconds: float | None = None,
    should_retry: bool | None = None,
    source: Source = "addon",
) -> ApiError:
    row = CODES[code]
    return ApiError(
        status=row.status,
        code=code,
        message=message,
        param=param,
        retry_after_seconds=retry_after_seconds,
        should_retry=_SHOULD_RETRY.get(row.status, should_retry),
        source=source,
    )


def normalise(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> ApiError:
    """Return the documented shape of any answer of the gateway whose status is 400 or above.

    Total: any `body`, already freed of its content encoding, gives an error with the same status;
    a second pass over the result changes nothing. `headers` say how long to wait (`retry_after`)
    and whether to retry (`x-should-retry`).
    """
    code, message, param = error_bodies.read(status, body)
    return ApiError(
        status=status,
        code=code or _code_of_status(status),
        message=message,
        param=param,
        retry_after_seconds=retry_after.seconds_of(headers),
        should_retry=retry_after.should_retry_of(headers),
        source="gateway",
        is_quoted=True,
    )


_CODES_OF_STATUSES: Final[dict[int, str]] = {
    400: "invalid_request",
    401: "invalid_api_key",
    402: "payment_required",
    403: "forbidden",
    404: "not_found",
    413: "request_too_large",
    422: "invalid_request",
    429: "rate_limit_exceeded",
    503: "unavailable",
    504: "gateway_timeout",
}


def _code_of_status(status: int) -> str:
    """Return the code for an answer whose body names none."""
    default = "gateway_error" if status >= 500 else "request_rejected"
    return _CODES_OF_STATUSES.get(status, default)

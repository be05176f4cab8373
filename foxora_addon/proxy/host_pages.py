"""Words the error pages that mitmproxy writes by itself, past the hold.

What is no request, a head that can't be parsed, never becomes a flow: mitmproxy answers it with a
page of HTML, made by one function on HTTP/1 and another on HTTP/2. Both are replaced. They are also
what is left where this mitmproxy can't be held: nothing is sent then, and every answer is a page.
"""

import uuid
from collections.abc import Callable
from typing import Any

from mitmproxy.http import Headers, Response
from mitmproxy.net.http import http1
from mitmproxy.proxy.layers.http import _base, _http1, _http2

from foxora_addon.api.errors import (
    ApiError,
    gateway_unreachable,
    invalid_request,
    request_too_large,
)

_BAD_REQUEST = invalid_request("The request is not valid HTTP.")
_OF_CLIENTS = {
    400: _BAD_REQUEST,
    413: request_too_large("The request's body is over mitmproxy's body_size_limit."),
}
_UNREACHABLE = gateway_unreachable("The proxy could not pass the request on. Its log says why.")

_head_page: Callable[..., bytes] = _http1.make_error_response
_body_page: Callable[..., bytes] = _base.format_error


def replace(*, all_of_them: bool) -> None:
    """Put our words in the pages' place.

    `all_of_them`: not those alone that are the client's own mistake. Those of a server belong to
    traffic that is not ours, as long as the hold is there to answer for ours.
    """

    def error_of(status: int) -> ApiError | None:
        return _OF_CLIENTS.get(status, _UNREACHABLE if all_of_them else None)

    def make_error_response(status_code: int, message: str = "") -> bytes:
        error = error_of(status_code)
        return _head_page(status_code, message) if error is None else _whole(error)

    def format_error(status_code: int, message: str) -> bytes:
        error = error_of(status_code)
        return _body_page(status_code, message) if error is None else error.body()

    _put(_http1, "make_error_response", make_error_response)
    _put(_http2, "format_error", format_error)


def _put(module: Any, name: str, function: Callable[..., bytes]) -> None:
    setattr(module, name, function)


def _whole(error: ApiError) -> bytes:
    """An answer of which the peer reads nothing further: the connection is closed after it."""
    headers = [(name.encode(), value.encode()) for name, value in error.headers()]
    headers += [
        (b"x-request-id", f"ex_{uuid.uuid4().hex}".encode()),
        (b"connection", b"close"),
    ]
    response = Response.make(error.status, error.body(), Headers(headers))
    page: bytes = http1.assemble_response(response)
    return page

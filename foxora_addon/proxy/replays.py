"""Calls that are sent again through this proxy, on the command of a person at a console.

It stands apart, for tornado's client is a tenth of a proxy's start, and replays are rare.
"""

import logging
from typing import Final

from mitmproxy import http
from mitmproxy.log import ALERT
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

_log = logging.getLogger(__name__)

_REPLAY_SECONDS: Final = 600.0
_KEY: Final = "replayed-by-foxora-addon"


def call_of(request: http.Request, url: str) -> HTTPRequest:
    """A call as its client sent it here, with another key: its own is gone."""
    headers = {"Authorization": f"Bearer {_KEY}"}
    for name in ("content-type", "content-encoding"):
        if name in request.headers:
            headers[name] = request.headers[name]
    return HTTPRequest(
        url,
        method=request.method,
        headers=headers,
        body=request.raw_content or None,
        allow_nonstandard_methods=True,
        request_timeout=_REPLAY_SECONDS,
        follow_redirects=False,
        streaming_callback=lambda _: None,  # the flow that it becomes has the answer
    )


async def send(call: HTTPRequest) -> None:
    """Send it, and say which exchange it has become."""
    client: AsyncHTTPClient = SimpleAsyncHTTPClient(force_instance=True)
    try:
        answer = await client.fetch(call, raise_error=False)
    except (OSError, HTTPClientError) as error:
        _log.log(ALERT, "foxora: a replay got no answer: %s", error)
    else:
        exchange = answer.headers.get("x-foxora-exchange", "unknown")
        _log.log(ALERT, "foxora: replayed as exchange %s: status %d", exchange, answer.code)
    finally:
        client.close()

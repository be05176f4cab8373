"""Which answers pass as they come, and as what: told by the call and by their own head."""

import pytest
from mitmproxy import http

from foxora_addon.api.endpoints import find_operation
from foxora_addon.policy.recognise import Recognised
from foxora_addon.proxy.answers import observation_of
from tests.builders import an_exchange


@pytest.mark.parametrize(
    ("path", "content_type", "is_stream"),
    [
        ("/audio/transcriptions", "text/event-stream", True),
        ("/audio/transcriptions", "", True),
        ("/audio/transcriptions", "application/octet-stream", True),
        ("/audio/transcriptions", "text/plain; charset=utf-8", False),
        ("/audio/transcriptions", "text/vtt", False),
        ("/chat/completions", "text/plain", True),
    ],
)
def test_an_answer_to_who_asked_for_a_stream_is_one_unless_it_says_otherwise(
    path: str, content_type: str, is_stream: bool
) -> None:
    call = Recognised(find_operation("POST", path), path, "")
    exchange = an_exchange(call=call, stream=True)
    response = http.Response.make(200, b"", {"content-type": content_type})
    seen = observation_of(exchange, response, content_type, 1_000)
    assert seen is not None
    assert (seen.transcript is not None) is is_stream


@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_json_and_pages_are_no_streams(content_type: str) -> None:
    call = Recognised(find_operation("POST", "/chat/completions"), "/chat/completions", "")
    response = http.Response.make(200, b"", {"content-type": content_type})
    exchange = an_exchange(call=call, stream=True)
    assert observation_of(exchange, response, content_type, 1_000) is None

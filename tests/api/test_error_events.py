"""The event that ends a broken stream: one shape for most operations, OpenAI's for Responses."""

import json
from typing import Any

import pytest

from foxora_addon.api.endpoints import OPERATIONS, OTHER
from foxora_addon.api.error_events import error_event
from foxora_addon.api.errors import ApiError, gateway_timeout, gateway_unreachable, invalid_request
from foxora_addon.api.sse import Decoder
from foxora_addon.api.transcript import Transcript

BROKE = gateway_unreachable("It broke.")
RESPONSES = ("responses", "stored_responses")
OTHERS = sorted({row.name for row in (*OPERATIONS, OTHER)} - set(RESPONSES))


def read(event: bytes) -> tuple[str, Any]:
    """The name and the value of what is one whole event."""
    (one,) = Decoder().feed(event)
    return one.event, json.loads(one.data)


@pytest.mark.parametrize("operation", OTHERS)
def test_it_is_the_documented_body_and_nothing_else(operation: str) -> None:
    assert error_event(BROKE, operation, 7) == (
        b'data: {"error":{"code":"gateway_unreachable","message":"It broke.","param":null}}\n\n'
    )


@pytest.mark.parametrize("operation", RESPONSES)
def test_for_responses_it_is_the_typed_event_and_has_the_documented_error(operation: str) -> None:
    assert error_event(BROKE, operation, 7) == (
        b"event: error\n"
        b'data: {"type":"error","code":"gateway_unreachable","message":"It broke.","param":null,'
        b'"sequence_number":7,"error":{"type":"server_error","code":"gateway_unreachable",'
        b'"message":"It broke.","param":null}}\n\n'
    )


def test_the_type_of_the_error_tells_whose_fault_it_is() -> None:
    for error, kind in (
        (gateway_timeout("Late."), "server_error"),
        (invalid_request("The request is not valid HTTP."), "invalid_request_error"),
    ):
        _, value = read(error_event(error, "responses", 0))
        assert value["error"]["type"] == kind


@pytest.mark.parametrize("operation", ["chat", "responses"])
@pytest.mark.parametrize("message", ["two\r\n\nlines", "Zu groß\u2028.", "half \ud83d a character"])
def test_whatever_the_message_is_the_event_is_one(operation: str, message: str) -> None:
    error = ApiError(502, "bad_gateway_answer", message, param="in\nput")
    _, value = read(error_event(error, operation, 0))
    assert value["error"]["message"] == message
    assert value["error"]["param"] == "in\nput"


@pytest.mark.parametrize("operation", ["chat", "responses"])
def test_whoever_folds_it_finds_the_error(operation: str) -> None:
    transcript = Transcript()
    for event in Decoder().feed(error_event(BROKE, operation, 0)):
        transcript.add(event)
    assert transcript.error is not None
    assert transcript.error["error"]["code"] == "gateway_unreachable"

"""Responses that are kept: told, gone on from, in the background, compacted."""

from typing import Any

import pytest

from foxora_addon.mock import shelf
from foxora_addon.mock.gateway import Gateway
from tests.mock.builders import WEATHER, a_gateway
from tests.mock.test_conversations import ALL, texts_of, told
from tests.mock.test_responses import FLAT, Json, a_response

RESPONSES = "/v1/responses"


def made(gateway: Gateway, value: Any = "Hello, mock.", **more: Any) -> Any:
    return told(gateway, RESPONSES, a_response(value, **more))


def at(response: Json) -> str:
    return f"{RESPONSES}/{response['id']}"


def items_of(gateway: Gateway, response: Json) -> Any:
    return told(gateway, f"{at(response)}/input_items?order=asc")["data"]


def test_a_response_is_told_again_and_removed() -> None:
    gateway = a_gateway()
    response = made(gateway)
    assert told(gateway, at(response)) == response
    assert texts_of(items_of(gateway, response)) == ["Hello, mock."]
    assert told(gateway, at(response), method="DELETE")["deleted"] is True
    assert told(gateway, at(response))["error"]["code"] == "not_found"
    assert items_of_error(gateway, response) == "not_found"


def items_of_error(gateway: Gateway, response: Json) -> Any:
    return told(gateway, f"{at(response)}/input_items")["error"]["code"]


def test_a_response_that_is_not_to_be_stored_is_not() -> None:
    gateway = a_gateway()
    response = made(gateway, store=False)
    assert told(gateway, at(response))["error"]["code"] == "not_found"
    error = made(gateway, previous_response_id=response["id"])["error"]
    assert (error["code"], error["param"]) == (
        "previous_response_not_found",
        "previous_response_id",
    )


def test_a_response_goes_on_from_an_earlier_one() -> None:
    gateway = a_gateway()
    first = made(gateway, "What is the sea?")
    second = made(gateway, "And the sky?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    asked, answered_then, asked_next = items_of(gateway, second)
    assert texts_of([asked, asked_next]) == ["What is the sea?", "And the sky?"]
    assert answered_then == first["output"][0]
    used = first["usage"]["total_tokens"] + made(gateway, "And the sky?")["usage"]["input_tokens"]
    assert second["usage"]["input_tokens"] == used


def test_a_function_that_was_called_earlier_is_not_demanded_again() -> None:
    gateway = a_gateway()
    tools = {"tools": [FLAT], "tool_choice": "required"}
    first = made(gateway, "use get_weather", **tools)
    output = {"type": "function_call_output", "output": "21 degrees"}
    output["call_id"] = first["output"][0]["call_id"]
    second = made(gateway, [output], previous_response_id=first["id"], **tools)
    assert "21 degrees" in texts_of(second["output"])[0]
    again = made(gateway, "use get_weather", previous_response_id=second["id"], **tools)
    assert again["output"][0]["name"] == WEATHER["function"]["name"]


def test_a_response_in_the_background_is_queued_until_it_is_asked_for() -> None:
    gateway = a_gateway()
    queued = made(gateway, background=True)
    assert (queued["status"], queued["output"], queued["usage"]) == ("queued", [], None)
    response = told(gateway, at(queued))
    assert response["status"] == "completed"
    assert texts_of(response["output"])
    assert told(gateway, f"{at(queued)}/cancel", {}) == response


def test_a_response_in_the_background_is_cancelled_before_that() -> None:
    gateway = a_gateway()
    queued = made(gateway, background=True)
    cancelled = told(gateway, f"{at(queued)}/cancel", {})
    assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
    assert told(gateway, at(queued)) == told(gateway, f"{at(queued)}/cancel", {}) == cancelled


def test_a_response_that_is_cancelled_leaves_no_answer_in_its_conversation() -> None:
    gateway = a_gateway()
    conversation = told(gateway, ALL, {})["id"]
    queued = made(gateway, background=True, conversation=conversation)
    told(gateway, f"{at(queued)}/cancel", {})
    (item,) = told(gateway, f"{ALL}/{conversation}/items")["data"]
    assert item["role"] == "user"
    queued = made(gateway, background=True, conversation=conversation)
    told(gateway, f"{ALL}/{conversation}", method="DELETE")
    assert told(gateway, f"{at(queued)}/cancel", {})["status"] == "cancelled"


def test_what_cannot_be_in_the_background_is_refused() -> None:
    gateway = a_gateway()
    assert "synchronous" in told(gateway, f"{at(made(gateway))}/cancel", {})["error"]["message"]
    assert made(gateway, background=True, store=False)["error"]["param"] == "background"
    queued = made(gateway, background=True)
    assert told(gateway, f"{at(queued)}?stream=true")["error"]["param"] == "stream"


def test_a_compaction_keeps_the_users_words_and_one_item_for_the_rest() -> None:
    gateway = a_gateway()
    first = made(gateway, "What is the sea?")
    asked = {"model": "gpt-4o-mini", "previous_response_id": first["id"]}
    compacted = told(gateway, f"{RESPONSES}/compact", asked)
    words, rest = compacted["output"]
    assert (compacted["object"], words["role"]) == ("response.compaction", "user")
    assert texts_of([words]) == ["What is the sea?"]
    assert (rest["type"], bool(rest["encrypted_content"])) == ("compaction", True)
    assert compacted["usage"]["input_tokens"] == first["usage"]["total_tokens"]
    spent = told(gateway, "/v1/me")["usage"]["tokens_this_month"]
    both = (first["usage"]["total_tokens"], compacted["usage"]["total_tokens"])
    assert spent == sum(both)
    again = made(gateway, [*compacted["output"], {"role": "user", "content": "And the sky?"}])
    assert [item["type"] for item in items_of(gateway, again)] == [
        "message",
        "compaction",
        "message",
    ]
    assert told(gateway, f"{RESPONSES}/compact", {"input": "a"})["error"]["param"] == "model"


def test_the_tokens_of_an_input_are_counted_and_not_charged() -> None:
    gateway = a_gateway()
    route = f"{RESPONSES}/input_tokens"
    counted = told(gateway, route, a_response("What is the sea?", instructions="Be kind."))
    assert counted == {"object": "response.input_tokens", "input_tokens": 6}
    assert told(gateway, route, {})["input_tokens"] == 0
    assert told(gateway, route, {"model": None, "input": "What is the sea?"})["input_tokens"] == 4
    assert told(gateway, route, {"model": "gpt-0"})["error"]["code"] == "model_not_found"
    assert told(gateway, "/v1/me")["usage"]["tokens_this_month"] == 0


def test_the_oldest_responses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_MOST_KEPT", 2)
    gateway = a_gateway()
    first, second, third = (made(gateway) for _ in range(3))
    assert told(gateway, at(first))["error"]["code"] == "not_found"
    assert told(gateway, at(second)) == second
    monkeypatch.setattr(shelf, "_MOST_KEPT_OCTETS", 10_000)
    long = made(gateway, "a" * 8_000)
    assert told(gateway, at(third))["error"]["code"] == "not_found"
    assert told(gateway, at(long)) == long


def test_what_a_response_shares_with_an_earlier_one_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shelf, "_MOST_KEPT_OCTETS", 20_000)
    gateway = a_gateway()
    other, last = made(gateway), made(gateway, "a" * 4_000)
    for _ in range(6):
        last = made(gateway, previous_response_id=last["id"])
    assert told(gateway, at(other)) == other
    assert len(items_of(gateway, last)) == 13


def test_a_reset_forgets_responses_and_conversations() -> None:
    gateway = a_gateway()
    response, conversation = made(gateway), told(gateway, ALL, {})
    gateway.reset()
    for target in (at(response), f"{ALL}/{conversation['id']}"):
        assert told(gateway, target)["error"]["code"] == "not_found"

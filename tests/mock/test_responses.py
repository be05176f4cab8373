"""The Responses API: words, JSON and calls of functions, whole and as typed events."""

import json
from typing import Any

import pytest

from tests.mock.builders import WEATHER, a_gateway, a_request, answered, body_of

Json = dict[str, Any]

FLAT = {"type": "function", **WEATHER["function"]}
ARGUMENTS = '{"city":"Paris","unit":"celsius"}'


def answer_to(request: Json) -> Any:
    exchange = answered(a_gateway(), a_request("POST", "/v1/responses", request))
    assert exchange.answer.status == 200, body_of(exchange)
    return body_of(exchange)


def events_of_stream(request: Json) -> list[Json]:
    """The events of the streamed answer, each under its name and numbered."""
    streamed = {**request, "stream": True}
    exchange = answered(a_gateway(), a_request("POST", "/v1/responses", streamed))
    heads = [piece.split(b"\n", 1)[0].decode() for piece in exchange.answer.pieces]
    events = [json.loads(piece.split(b"data: ", 1)[1]) for piece in exchange.answer.pieces]
    assert heads == [f"event: {event['type']}" for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def a_response(value: Any = "Hello, mock.", **more: Any) -> Json:
    return {"model": "gpt-4o-mini", "input": value, **more}


def test_a_response_has_openais_shape() -> None:
    response = answer_to(a_response("Why is the sky blue?"))
    content = response["output"][0]["content"][0]
    assert (response["object"], response["status"]) == ("response", "completed")
    assert content["type"] == "output_text"
    assert "Why is the sky blue?" in content["text"]
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_a_response_cut_by_its_limit_says_so() -> None:
    response = answer_to(a_response(max_output_tokens=3))
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"]["output_tokens"] == 3


def test_a_response_reads_items_and_fits_a_schema() -> None:
    items = [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    form = {"type": "json_schema", "name": "x", "schema": {"properties": {"a": {"const": 1}}}}
    response = answer_to(a_response(items, text={"format": form}))
    assert json.loads(response["output"][0]["content"][0]["text"]) == {"a": 1}


def test_a_streamed_response_is_typed_and_numbered_events() -> None:
    events = events_of_stream(a_response())
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    whole = events[-1]["response"]["output"][0]["content"][0]["text"]
    assert "".join(deltas) == whole


def test_a_response_repeats_what_was_asked_for() -> None:
    response = answer_to(a_response(tools=[FLAT], temperature=0.5, metadata={"a": "b"}))
    told = {name: response[name] for name in ("tools", "temperature", "metadata", "top_p")}
    assert told == {"tools": [FLAT], "temperature": 0.5, "metadata": {"a": "b"}, "top_p": 1.0}


@pytest.mark.parametrize(
    "more", [{}, {"tool_choice": "required"}, {"tool_choice": {**FLAT, "parameters": None}}]
)
def test_a_function_is_called(more: Json) -> None:
    text = "hello" if more else "use get_weather"
    response = answer_to(a_response(text, tools=[FLAT], **more))
    (item,) = response["output"]
    assert (item["type"], item["name"]) == ("function_call", "get_weather")
    assert (item["arguments"], item["status"]) == (ARGUMENTS, "completed")
    assert item["call_id"].startswith("call_")
    assert item["id"].startswith("fc_")


def test_streamed_calls_come_one_after_another_in_fragments() -> None:
    other = {"type": "function", "name": "get_time", "parameters": {}}
    events = events_of_stream(a_response("get_weather, get_time", tools=[FLAT, other]))
    added = [e for e in events if e["type"] == "response.output_item.added"]
    assert [(e["output_index"], e["item"]["arguments"]) for e in added] == [(0, ""), (1, "")]
    deltas = [e for e in events if e["type"] == "response.function_call_arguments.delta"]
    first = [e["delta"] for e in deltas if e["output_index"] == 0]
    assert len(first) > 1
    assert "".join(first) == ARGUMENTS
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    assert [item["id"] for item in done] == [e["item"]["id"] for e in added]


def test_after_a_functions_output_comes_an_answer_in_words() -> None:
    (call,) = answer_to(a_response("use get_weather", tools=[FLAT]))["output"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "21 degrees"}
    items = [{"role": "user", "content": "use get_weather"}, call, output]
    for asked in (a_response(items, tools=[FLAT]), a_response([output], tools=[FLAT])):
        (item,) = answer_to({**asked, "tool_choice": "required"})["output"]
        assert "21 degrees" in item["content"][0]["text"]


def test_a_limit_of_tokens_cuts_a_calls_arguments() -> None:
    asked = a_response("use get_weather", tools=[FLAT], max_output_tokens=5)
    response = answer_to(asked)
    assert response["status"] == response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["arguments"] == ARGUMENTS[:8]
    assert events_of_stream(asked)[-1]["type"] == "response.incomplete"


@pytest.mark.parametrize("value", [None, 7, ["text"]])
def test_a_wrong_input_of_a_response_is_refused(value: Any) -> None:
    exchange = answered(a_gateway(), a_request("POST", "/v1/responses", a_response(value)))
    assert exchange.answer.status == 400
    assert body_of(exchange)["error"]["param"] == "input"

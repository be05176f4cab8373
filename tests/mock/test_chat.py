"""What the mock's assistant says: words, tool calls, JSON, whole and streamed."""

import json
from typing import Any

import pytest

from tests.mock.builders import (
    WEATHER,
    a_chat,
    a_gateway,
    a_request,
    answered,
    body_of,
    events_of,
)

Json = dict[str, Any]


def completion_of(request: Json) -> Json:
    exchange = answered(a_gateway(), a_request(body=request))
    completion: Json = body_of(exchange)
    assert exchange.answer.status == 200, completion
    return completion


def chunks_of(request: Json) -> list[Json]:
    exchange = answered(a_gateway(), a_request(body={**request, "stream": True}))
    return events_of(exchange.answer.pieces)


def choice_of(request: Json) -> Json:
    choice: Json = completion_of(request)["choices"][0]
    return choice


def joined_text(chunks: list[Json], index: int = 0) -> str:
    parts = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(part["delta"].get("content") or "" for part in parts)


def test_a_completion_has_openais_shape_and_refers_to_the_question() -> None:
    completion = completion_of(a_chat("Why is the sky blue?"))
    choice = completion["choices"][0]
    assert completion["id"].startswith("cmpl_")
    assert (completion["object"], completion["model"]) == ("chat.completion", "gpt-4o-mini")
    assert completion["created"] == 1_795_435_200
    assert "Why is the sky blue?" in choice["message"]["content"]
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")


def test_usage_counts_four_bytes_a_token_and_four_tokens_a_message() -> None:
    usage = completion_of(a_chat("12345678"))["usage"]
    assert usage["prompt_tokens"] == 4 + 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_same_question_gets_the_same_answer() -> None:
    assert choice_of(a_chat("again")) == choice_of(a_chat("again"))


def test_several_choices_differ() -> None:
    choices = completion_of(a_chat(n=3))["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens_cuts_the_answer(name: str) -> None:
    completion = completion_of({**a_chat(), name: 3})
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["usage"]["completion_tokens"] == 3


def test_a_limit_of_tokens_cuts_the_arguments_of_a_tool_call() -> None:
    choice = choice_of(a_chat("get_weather", tools=[WEATHER], max_tokens=5))
    arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
    assert choice["finish_reason"] == "length"
    assert len(arguments) == 8


def test_text_parts_are_read_and_an_image_counts() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "What is this?"}, image]
    completion = completion_of(a_chat(messages=[{"role": "user", "content": parts}]))
    assert "What is this?" in completion["choices"][0]["message"]["content"]
    assert completion["usage"]["prompt_tokens"] == 4 + 4 + 85


def test_a_stream_says_in_words_what_the_plain_answer_says() -> None:
    chunks = chunks_of(a_chat())
    assert joined_text(chunks) == choice_of(a_chat())["message"]["content"]
    assert len(chunks) > 10
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_a_stream_tells_no_usage_unless_asked() -> None:
    assert not any("usage" in chunk for chunk in chunks_of(a_chat()))


def test_a_stream_that_is_asked_tells_its_usage_last() -> None:
    *chunks, last = chunks_of(a_chat(stream_options={"include_usage": True}))
    assert last["choices"] == []
    assert last["usage"] == completion_of(a_chat())["usage"]
    assert all(chunk["usage"] is None for chunk in chunks)


def test_several_streamed_choices_take_turns() -> None:
    chunks = chunks_of(a_chat(n=2))
    assert [chunk["choices"][0]["index"] for chunk in chunks[:4]] == [0, 1, 0, 1]
    assert joined_text(chunks, 0) != joined_text(chunks, 1)


@pytest.mark.parametrize(
    "request_of_tool",
    [
        a_chat("use get_weather", tools=[WEATHER]),
        a_chat("now Get Weather, please", tools=[WEATHER]),
        a_chat("hello", tools=[WEATHER], tool_choice="required"),
        a_chat(
            "hello",
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
        ),
    ],
)
def test_a_tool_that_is_mentioned_or_demanded_is_called(request_of_tool: Json) -> None:
    choice = choice_of(request_of_tool)
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    arguments = json.loads(call["function"]["arguments"])
    assert arguments == {"city": "Paris", "unit": "celsius"}


@pytest.mark.parametrize(
    "more", [{}, {"tools": [WEATHER]}, {"tools": [WEATHER], "tool_choice": "none"}]
)
def test_without_cause_no_tool_is_called(more: Json) -> None:
    text = "get_weather" if "tool_choice" in more else "hello"
    assert "tool_calls" not in choice_of(a_chat(text, **more))["message"]


def test_several_tools_are_called_at_once_unless_that_is_declined() -> None:
    other = {"type": "function", "function": {"name": "get_time"}}
    request = a_chat("get_weather and get_time", tools=[WEATHER, other])
    calls = choice_of(request)["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"]
    assert len({call["id"] for call in calls}) == 2
    single = choice_of({**request, "parallel_tool_calls": False})["message"]["tool_calls"]
    assert len(single) == 1


def test_after_a_tools_answer_comes_an_answer_in_words() -> None:
    messages = [
        {"role": "user", "content": "use get_weather"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    choice = choice_of(a_chat(messages=messages, tools=[WEATHER], tool_choice="required"))
    assert "21 degrees" in choice["message"]["content"]


def test_a_tool_that_is_demanded_and_was_not_called_is_called_after_an_answer_too() -> None:
    final = {"type": "function", "function": {"name": "final_answer"}}
    called = {"id": "call_1", "type": "function", "function": {"name": "get_weather"}}
    messages: list[Json] = [
        {"role": "user", "content": "use get_weather"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    asked = a_chat(messages=messages, tools=[WEATHER, final])
    calls = choice_of({**asked, "tool_choice": "required"})["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["final_answer"]
    assert choice_of({**asked, "tool_choice": "auto"})["finish_reason"] == "stop"
    called["function"] = {"name": "final_answer"}
    demanded = {**asked, "tool_choice": {"type": "function", "function": {"name": "final_answer"}}}
    assert choice_of(demanded)["finish_reason"] == "stop"


def an_older_chat(**more: Any) -> Json:
    return a_chat("use get_weather", functions=[WEATHER["function"]], **more)


def test_an_older_client_is_told_a_function_call() -> None:
    choice = choice_of(an_older_chat())
    assert choice["finish_reason"] == "function_call"
    assert "tool_calls" not in choice["message"]
    call = choice["message"]["function_call"]
    assert call == {"name": "get_weather", "arguments": '{"city":"Paris","unit":"celsius"}'}
    deltas = [chunk["choices"][0] for chunk in chunks_of(an_older_chat())]
    parts = [d["delta"]["function_call"] for d in deltas if "function_call" in d["delta"]]
    assert parts[0]["name"] == "get_weather"
    assert "".join(part["arguments"] for part in parts) == call["arguments"]
    assert deltas[-1]["finish_reason"] == "function_call"


def test_an_older_client_can_demand_a_function_and_forbid_all() -> None:
    demanded = a_chat(functions=[WEATHER["function"]], function_call={"name": "get_weather"})
    assert choice_of(demanded)["message"]["function_call"]["name"] == "get_weather"
    assert choice_of(an_older_chat(function_call="none"))["finish_reason"] == "stop"
    told: Json = {"role": "function", "name": "get_weather", "content": "21 degrees"}
    asked = an_older_chat()
    assert choice_of({**asked, "messages": [*asked["messages"], told]})["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}},
        {"type": "allowed_tools", "mode": "required", "tools": []},
    ],
)
def test_tools_that_are_allowed_can_be_demanded(choice: Json) -> None:
    asked = a_chat(tools=[WEATHER], tool_choice=choice)
    assert choice_of(asked)["finish_reason"] == "tool_calls"


def test_a_streamed_tool_call_comes_in_fragments() -> None:
    chunks = chunks_of(a_chat("use get_weather", tools=[WEATHER]))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    parts = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert parts[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert parts[0]["id"].startswith("call_")
    assert len(parts) > 2
    arguments = "".join(part["function"]["arguments"] for part in parts)
    assert json.loads(arguments) == {"city": "Paris", "unit": "celsius"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_json_mode_answers_with_an_object() -> None:
    choice = choice_of(a_chat("Say it in JSON", response_format={"type": "json_object"}))
    assert "Say it in JSON" in json.loads(choice["message"]["content"])["answer"]


def test_an_answer_fits_the_schema_that_was_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good"]}, "days": {"type": "array", "items": {}}},
        "required": ["mood", "days"],
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": schema}}
    choice = choice_of(a_chat(response_format=asked))
    assert json.loads(choice["message"]["content"]) == {"mood": "good", "days": [None]}


def test_text_that_utf8_cannot_say_does_not_break_the_answer() -> None:
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"a\\ud800b"}]}'
    exchange = answered(a_gateway(), a_request(body=body))
    assert "a?b" in body_of(exchange)["choices"][0]["message"]["content"]

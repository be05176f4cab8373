"""The Responses API's events: the whole object at the end, or what was seen until the cut."""

import json
from typing import Any

import pytest

from foxora_addon.api.sse import Event
from foxora_addon.api.transcript import Transcript

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello"}],
}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def a_response(**fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "object": "response", "model": "gpt-4o", "status": "in_progress"}
    return response | {"output": []} | fields


def an_event(kind: str, **fields: Any) -> Event:
    return Event(json.dumps({"type": kind} | fields), kind)


STARTED = [
    an_event("response.created", response=a_response()),
    an_event("response.in_progress", response=a_response()),
    an_event("response.output_item.added", output_index=0, item=MESSAGE | {"content": []}),
    an_event("response.output_text.delta", output_index=0, content_index=0, delta="Hel"),
    an_event("response.output_text.delta", output_index=0, content_index=0, delta="lo"),
]


def transcript_of(events: list[Event], max_bytes: int = 100_000) -> Transcript:
    transcript = Transcript(max_bytes)
    for event in events:
        transcript.add(event)
    return transcript


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        ("completed", None, "completed"),
        ("failed", None, "failed"),
        ("incomplete", {"reason": "max_output_tokens"}, "max_output_tokens"),
    ],
)
def test_the_last_event_holds_the_response(status: str, details: object, reason: str) -> None:
    response = a_response(
        status=status, output=[CALL, MESSAGE], usage=USAGE, incomplete_details=details
    )
    transcript = transcript_of([*STARTED, an_event(f"response.{status}", response=response)])
    assert transcript.completion() == response
    assert transcript.message() == MESSAGE | {"tool_calls": [CALLED]}
    assert not transcript.says_more
    assert transcript.finish_reasons() == [reason]
    assert transcript.usage == USAGE
    assert (transcript.id, transcript.model) == ("resp_1", "gpt-4o")
    assert (transcript.done, transcript.truncated, transcript.chunks) == (True, False, 6)


def test_a_cut_stream_says_what_was_seen() -> None:
    transcript = transcript_of(
        [
            *STARTED,
            an_event("response.output_item.done", output_index=1, item=CALL),
            an_event("response.output_item.added", output_index=2, item=CALL | {"arguments": ""}),
            an_event("response.function_call_arguments.delta", output_index=2, delta='{"a'),
            an_event("response.refusal.delta", output_index=3, delta="No"),
        ]
    )
    refusal = {"type": "refusal", "refusal": "No"}
    assert transcript.completion() == a_response(
        output=[
            MESSAGE,
            CALL,
            CALL | {"arguments": '{"a'},
            {"type": "message", "role": "assistant", "content": [refusal]},
        ]
    )
    under_way = CALLED | {"function": {"name": "f", "arguments": '{"a'}}
    assert transcript.message() == MESSAGE | {"tool_calls": [CALLED, under_way]}
    assert transcript.says_more
    assert transcript.finish_reasons() == []
    assert not transcript.done


def test_a_finished_item_takes_the_place_of_its_deltas() -> None:
    done = MESSAGE | {"content": [{"type": "output_text", "text": "Hello."}]}
    events = [*STARTED, an_event("response.output_item.done", output_index=0, item=done)]
    assert transcript_of(events).message() == done


def test_text_without_any_frame_is_a_message() -> None:
    transcript = transcript_of([an_event("response.output_text.delta", output_index=0, delta="x")])
    assert transcript.message() == {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "x"}],
    }


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (
            "response.reasoning_summary_text",
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hello"}]},
        ),
        (
            "response.reasoning_text",
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hello"}]},
        ),
        ("response.function_call_arguments", {"type": "function_call", "arguments": "Hello"}),
        ("response.custom_tool_call_input", {"type": "custom_tool_call", "input": "Hello"}),
    ],
)
def test_what_deltas_say_is_the_item_that_they_are_of(kind: str, item: dict[str, Any]) -> None:
    deltas = [an_event(f"{kind}.delta", output_index=0, delta=text) for text in ("Hel", "lo")]
    assert transcript_of(deltas).completion() == {"object": "response", "output": [item]}


def test_a_response_that_is_too_large_leaves_its_name_and_its_usage() -> None:
    response = a_response(status="completed", output=[MESSAGE] * 1_000, usage=USAGE)
    transcript = transcript_of([an_event("response.completed", response=response)], 10_000)
    assert transcript.truncated
    assert transcript.completion() == {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-4o",
    }
    assert transcript.usage == USAGE
    assert transcript.done


def test_what_was_truncated_on_the_way_is_whole_at_the_end() -> None:
    deltas = [
        an_event("response.output_text.delta", output_index=0, delta="x" * 1_000) for _ in range(20)
    ]
    last = an_event("response.completed", response=a_response(output=[MESSAGE]))
    assert transcript_of(deltas, 10_000).truncated
    transcript = transcript_of([*deltas, last], 10_000)
    assert not transcript.truncated
    assert transcript.message() == MESSAGE


def numbered(*numbers: Any) -> Transcript:
    return transcript_of([an_event("response.x", sequence_number=number) for number in numbers])


def test_what_follows_is_numbered_on_from_the_last_event() -> None:
    assert numbered(0, 1).next_number == 2
    assert numbered(40, 41, 42).next_number == 43  # a stream that is taken up again begins late
    ended = transcript_of([an_event("response.completed", sequence_number=9, response={})])
    assert ended.next_number == 10


@pytest.mark.parametrize("number", [None, True, -1, 1.5, "2", 10**400], ids=str)
def test_without_a_number_to_go_on_from_the_events_are_counted(number: Any) -> None:
    assert numbered().next_number == 0
    assert numbered(0, 1, number).next_number == 3


def test_an_event_that_is_no_json_is_counted_as_well() -> None:
    assert transcript_of([*STARTED[:2], Event("{", "response.x")]).next_number == 3


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete"])
def test_what_was_seen_stands_in_for_a_last_event_without_output(status: str) -> None:
    last = an_event(f"response.{status}", response=a_response(status=status, usage=None))
    transcript = transcript_of([*STARTED, last])
    message = transcript.message()
    assert message is not None
    assert message["content"] == [{"type": "output_text", "text": "Hello"}]
    assert transcript.finish_reasons() == [status]
    completion = transcript.completion()
    assert completion is not None
    assert completion["output"] == [message]
    assert transcript.done


def test_the_text_that_is_not_kept_is_counted() -> None:
    pieces = ["é" * 40] * 100
    deltas = [
        an_event("response.output_text.delta", output_index=0, content_index=0, delta=piece)
        for piece in pieces
    ]
    transcript = transcript_of([*STARTED, *deltas], max_bytes=2_000)
    message = transcript.message()
    assert transcript.truncated
    assert message is not None
    kept = len(message["content"][0]["text"].removeprefix("Hello").encode())
    assert kept + transcript.unkept_bytes == 80 * 100
    assert transcript.content_bytes >= 80 * 100

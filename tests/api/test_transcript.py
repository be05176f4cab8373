"""A stream's events fold into the completion that openai-python makes of them."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from foxora_addon.api import quick_json
from foxora_addon.api.sse import Decoder, Event
from foxora_addon.api.transcript import Transcript

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora"
RECORDED = sorted(CORPUS.glob("sse_streams/*"))
# Recorded tool calls over which the SDK stumbles: without an index, and with indexes from 1.
SDK_RAISES = {"d8ecd6e07561a8a9", "ecd02bc3b680402f"}


def a_chunk(delta: object = None, /, index: int = 0, **fields: Any) -> Event:
    choice = {"index": index, "delta": delta, **fields.pop("choice", {})}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini",
        "choices": [] if delta is None else [choice],
    }
    return Event(json.dumps(chunk | fields))


def an_end(reason: str = "stop", index: int = 0) -> Event:
    return a_chunk({}, index=index, choice={"finish_reason": reason})


DONE = Event("[DONE]")


def transcript_of(events: Iterable[Event], **limits: int) -> Transcript:
    transcript = Transcript(**limits)
    for event in events:
        transcript.add(event)
    return transcript


def sdk_completion(events: Iterable[Event]) -> Any:
    """What openai-python's own accumulation makes of the events."""
    state: Any = ChatCompletionStreamState()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its models meet fields of other providers
        for event in events:
            if event.data.startswith("[DONE]"):
                break
            chunk = json.loads(event.data)
            if chunk["object"] == "chat.completion.chunk":
                state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=chunk))
        return state.current_completion_snapshot.to_dict()


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    """What a message says: without nulls, and without the SDK's own additions and indexes."""
    message = message | {"role": "assistant"}  # which the SDK repeats as often as the stream does
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return {name: value for name, value in message.items() if value is not None}


@pytest.mark.parametrize(
    "recorded",
    [path for path in RECORDED if path.stem not in SDK_RAISES],
    ids=lambda path: path.stem,
)
def test_a_recorded_stream_gives_what_the_sdk_makes_of_it(recorded: Path) -> None:
    events = Decoder().feed(recorded.read_bytes())
    transcript, theirs = transcript_of(events), sdk_completion(events)
    ours = transcript.completion()
    assert ours is not None
    assert ours["object"] == theirs["object"]
    assert ours["id"] == theirs["id"]
    assert ours["model"] == theirs["model"]
    assert [comparable(choice["message"]) for choice in ours["choices"]] == [
        comparable(choice["message"]) for choice in theirs["choices"]
    ]
    assert [choice["finish_reason"] for choice in ours["choices"]] == [
        choice.get("finish_reason") for choice in theirs["choices"]
    ]
    # The SDK has the last chunk's usage, even if that is null and another's was not.
    reported = [json.loads(event.data).get("usage") for event in events if event != DONE]
    assert transcript.usage == next((usage for usage in reversed(reported) if usage), None)
    assert theirs.get("usage") in (None, transcript.usage)
    assert transcript.message() == ours["choices"][0]["message"]
    assert (transcript.truncated, transcript.error) == (False, None)


@pytest.mark.parametrize(
    ("stem", "calls"),
    [
        ("d8ecd6e07561a8a9", [("gSIMJiOkT", "weather", {"location": "San Francisco"})]),
        ("ecd02bc3b680402f", [("toolu_sanitized", "read_file", {"path": "a.txt"})]),
    ],
)
def test_recorded_tool_calls_that_stop_the_sdk_are_read(
    stem: str, calls: list[tuple[str, str, object]]
) -> None:
    stream = CORPUS / "sse_streams" / f"{stem}.sse"
    if not stream.exists():
        pytest.skip("the recorded streams are not here")
    message = transcript_of(Decoder().feed(stream.read_bytes())).message() or {}
    assert [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message["tool_calls"]
    ] == calls


def test_a_stream_becomes_a_completion() -> None:
    transcript = transcript_of(
        [
            a_chunk({"role": "assistant", "content": ""}, service_tier="auto"),
            a_chunk({"content": "Hel"}, obfuscation="x9", system_fingerprint="fp_1"),
            a_chunk({"content": "lo"}, service_tier="default"),
            an_end(),
            a_chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
            DONE,
        ]
    )
    assert transcript.completion() == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    assert transcript.message() == {"role": "assistant", "content": "Hello"}
    assert transcript.finish_reasons() == ["stop"]
    assert (transcript.id, transcript.model) == ("chatcmpl-1", "gpt-4o-mini")
    assert (transcript.chunks, transcript.done) == (5, True)


def test_choices_come_in_any_order_and_end_by_themselves() -> None:
    transcript = transcript_of(
        [
            a_chunk({"content": "b"}, index=1),
            a_chunk({"content": "a"}),
            an_end("length", index=1),
            a_chunk({"content": "A"}),
        ]
    )
    completion = transcript.completion()
    assert completion is not None
    assert [choice["message"]["content"] for choice in completion["choices"]] == ["aA", "b"]
    assert transcript.finish_reasons() == ["length"]
    assert transcript.message() == {"role": "assistant", "content": "aA"}
    assert transcript.says_more


def test_tool_calls_have_no_index_in_the_message() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    events = [
        a_chunk({"tool_calls": [call]}),
        a_chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
    ]
    assert transcript_of(events).message() == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }


def test_other_fields_of_a_message_are_kept() -> None:
    deltas = [
        {"refusal": "No", "reasoning": "be", "reasoning_content": "x", "new": "n"},
        {"refusal": ".", "reasoning": "cause", "annotations": [{"type": "url_citation"}]},
        {"function_call": {"name": "f", "arguments": "{"}, "audio": {"id": "a", "data": "AA"}},
        {"function_call": {"arguments": "}"}, "audio": {"id": "a", "data": "BB", "expires_at": 5}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "be", "index": 0}]},
        {
            "reasoning_details": [{"type": "reasoning.text", "text": "cause", "index": 0}],
            "new": "m",
        },
    ]
    assert transcript_of(map(a_chunk, deltas)).message() == {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
        "reasoning": "because",
        "reasoning_content": "x",
        "reasoning_details": [{"type": "reasoning.text", "text": "because", "index": 0}],
        "function_call": {"name": "f", "arguments": "{}"},
        "audio": {"id": "a", "data": "AABB", "expires_at": 5},
        "annotations": [{"type": "url_citation"}],
        "new": "nm",
    }


def test_logprobs_are_joined_and_other_fields_of_a_choice_are_the_last() -> None:
    first = {"logprobs": {"content": [{"token": "a"}], "refusal": None}, "native": None}
    second = {"logprobs": {"content": [{"token": "b"}], "refusal": [{"token": "r"}]}, "native": "s"}
    third = {"logprobs": None, "native": None}
    completion = transcript_of(a_chunk({}, choice=choice) for choice in (first, second, third))
    (choice,) = (completion.completion() or {})["choices"]
    assert choice["logprobs"] == {
        "content": [{"token": "a"}, {"token": "b"}],
        "refusal": [{"token": "r"}],
    }
    assert choice["native"] == "s"


def test_empty_names_of_a_first_chunk_give_way() -> None:
    filters = a_chunk(id="", model="", object="", created=0, prompt_filter_results=[{"a": 1}])
    completion = transcript_of([filters, a_chunk({"content": "x"}, model="gpt-4o")]).completion()
    assert completion is not None
    assert (completion["id"], completion["model"]) == ("chatcmpl-1", "gpt-4o")
    assert (completion["object"], completion["created"]) == ("chat.completion", 1_700_000_000)
    assert completion["prompt_filter_results"] == [{"a": 1}]


def test_a_legacy_completion_is_folded_too() -> None:
    choices = [{"index": 0, "text": text, "logprobs": {"tokens": [text]}} for text in ("a", "b")]
    events = [
        Event(json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [choice]}))
        for choice in choices
    ]
    transcript = transcript_of(events)
    assert transcript.completion() == {
        "id": "cmpl-1",
        "object": "text_completion",
        "choices": [
            {"index": 0, "finish_reason": None, "logprobs": {"tokens": ["a", "b"]}, "text": "ab"}
        ],
    }
    assert transcript.message() == {"role": "assistant", "content": "ab"}
    assert transcript.says_more


TOKENS = [{"token": "a", "logprob": -0.1}]


@pytest.mark.parametrize(
    ("logprobs", "says_more"),
    [
        ({"content": TOKENS, "refusal": None}, True),
        ({"content": None, "refusal": TOKENS}, True),
        (TOKENS, True),
        ({"content": [], "refusal": None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_logprobs_are_more_than_a_message_holds(logprobs: object, says_more: bool) -> None:
    said = [a_chunk({"content": "a"}, choice={"logprobs": logprobs}), an_end(), DONE]
    transcript = transcript_of(said)
    assert transcript.message() == {"role": "assistant", "content": "a"}
    assert transcript.says_more is says_more


def test_nothing_follows_done() -> None:
    transcript = transcript_of([a_chunk({"content": "x"}), DONE, a_chunk({"content": "y"})])
    assert transcript.chunks == 1
    assert transcript.message() == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize(
    "kind",
    [
        "image_generation.completed",
        "image_edit.completed",
        "speech.audio.done",
        "transcript.text.done",
    ],
)
def test_streams_of_pictures_and_sounds_end_without_done(kind: str) -> None:
    usage = {"input_tokens": 5, "output_tokens": 50, "total_tokens": 55}
    first = Event(json.dumps({"type": f"{kind}.delta"}))
    last = Event(json.dumps({"type": kind, "usage": usage}), kind)
    assert not transcript_of([first]).done
    transcript = transcript_of([first, last])
    assert (transcript.done, transcript.usage, transcript.chunks) == (True, usage, 2)


def test_another_picture_may_follow_one_that_is_complete() -> None:
    last = Event('{"type":"image_generation.completed","usage":{"total_tokens":7}}')
    partial = Event('{"type":"image_generation.partial_image"}')
    assert not transcript_of([last, partial]).done
    transcript = transcript_of([last, partial, last, Event("[DONE]"), last])
    assert (transcript.done, transcript.chunks) == (True, 3)
    assert transcript.has_said_all(lambda: 2)
    assert not transcript.has_said_all(lambda: 3)


@pytest.mark.parametrize(
    ("value", "tells_end"),
    [
        ({"choices": [{"index": 0, "delta": {}}]}, True),
        ({"id": "c1", "choices": []}, True),
        ({"type": "response.created", "response": {}}, True),
        ({"type": "image_edit.partial_image"}, True),
        ({"type": "speech.audio.delta"}, True),
        ({"type": "transcript.text.segment"}, True),
        ({"object": "thread.run"}, True),
        ({"error": {"code": "c"}}, True),
        ({"type": "of.any"}, False),
        ({"object": "list"}, False),
        ({"object": ["thread."]}, False),
    ],
)
def test_streams_that_tell_their_end_are_known_by_their_events(
    value: dict[str, Any], tells_end: bool
) -> None:
    transcript = transcript_of([Event(json.dumps(value))])
    assert transcript.tells_end is tells_end
    assert not transcript.has_said_all(lambda: 1)


def test_nothing_folded_is_none() -> None:
    transcript = transcript_of([Event("{}"), Event('{"usage": {"input_tokens": 1}}')])
    assert transcript.completion() is None
    assert transcript.message() is None
    assert transcript.finish_reasons() == []
    assert (transcript.id, transcript.model) == (None, None)
    assert transcript.usage == {"input_tokens": 1}
    assert transcript.chunks == 2


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (Event('{"error": {"code": "x", "message": "m"}}'), {"code": "x", "message": "m"}),
        (Event('{"error": "text"}'), "text"),
        (a_chunk({"content": ""}, error={"code": 502}), {"code": 502}),
        (Event('{"message": "m"}', "error"), {"message": "m"}),
        (Event('{"type": "error", "code": "c"}'), {"type": "error", "code": "c"}),
        (
            Event('{"type": "response.failed", "response": {"error": {"code": "c"}}}'),
            {"code": "c"},
        ),
    ],
)
def test_the_first_error_in_a_stream_is_kept(event: Event, error: object) -> None:
    transcript = transcript_of([a_chunk({"content": "x"}), event, Event('{"error": "later"}')])
    assert transcript.error == {"error": error}
    completion = transcript.completion()
    assert completion is not None
    assert "error" not in completion or completion["error"] == error


@pytest.mark.parametrize("error", ["null", '""', "{}", "false"])
def test_an_empty_error_is_none(error: str) -> None:
    assert transcript_of([Event(f'{{"error": {error}}}')]).error is None


@pytest.mark.parametrize(
    "data",
    [
        *("", "{", "null", "[]", '"x"', "1", "[DON", "9" * 5_000, "[" * 100_000),
        *('{"a":' * 100_000, '{"a":' * 65 + "1" + "}" * 65, "[" * 65 + "]" * 65),
    ],
)
def test_what_is_no_json_object_is_counted(data: str) -> None:
    transcript = transcript_of([a_chunk({"content": "x"}), Event(data)])
    assert transcript.chunks == 2
    assert transcript.message() == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize("data", ["", "x", " 1", "[1]", '"{}"'])
def test_what_begins_no_object_is_not_read_as_json(
    monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    transcript, read = Transcript(), list[str]()
    monkeypatch.setattr(quick_json, "read", read.append)
    transcript.add(Event(data))
    assert (transcript.chunks, read) == (1, [])


def test_wide_json_is_not_deep() -> None:
    logprobs = {"content": [{"token": "a", "top_logprobs": [{"bytes": [1]}] * 20}]}
    transcript = transcript_of([a_chunk({"content": "a"}, choice={"logprobs": logprobs})])
    assert transcript.message() == {"role": "assistant", "content": "a"}


def test_logprobs_take_memory_and_are_no_content() -> None:
    logprobs = {"content": [{"token": "a", "top_logprobs": [{"bytes": [1]}] * 20}]}
    said = [a_chunk({"content": "a"}, choice={"logprobs": logprobs}) for _ in range(50)]
    bare = transcript_of([a_chunk({"content": "a"}) for _ in said])
    assert transcript_of(said).content_bytes == bare.content_bytes
    assert transcript_of(said, max_bytes=20_000).truncated
    assert not bare.truncated


def test_content_is_kept_up_to_a_bound_and_the_end_is_seen_all_the_same() -> None:
    events = [
        *(a_chunk({"content": "x" * 100}) for _ in range(100)),
        an_end("length"),
        a_chunk(usage={"prompt_tokens": 1}),
        Event('{"error": "late"}'),
        DONE,
    ]
    transcript = transcript_of(events, max_bytes=5_000)
    message = transcript.message()
    assert message is not None
    assert 2_000 < len(message["content"]) < 5_000
    assert transcript.truncated
    assert transcript.finish_reasons() == ["length"]
    assert transcript.usage == {"prompt_tokens": 1}
    assert transcript.error == {"error": "late"}
    assert (transcript.done, transcript.chunks) == (True, 103)
    assert not transcript_of(events).truncated


SOUND = "AAAA" * 1_000
PICTURE = f"data:image/png;base64,{SOUND}"


@pytest.mark.parametrize(
    "delta",
    [
        {"audio": {"id": "a", "data": SOUND}},
        {"images": [{"type": "image_url", "image_url": {"url": PICTURE}}]},
        {"images": [{"index": 0, "image_url": {"url": PICTURE}}]},
    ],
)
def test_text_is_kept_behind_sounds_and_pictures_for_which_there_is_no_room(delta: object) -> None:
    said = [{"content": "before, "}, *[delta] * 10, {"content": "after"}]
    transcript = transcript_of(map(a_chunk, said), max_bytes=20_000)
    message = transcript.message()
    assert message is not None
    assert message["content"] == "before, after"
    assert 5_000 < len(json.dumps(message)) < 12_000
    assert transcript.truncated
    assert transcript.unkept_bytes == 0
    assert not transcript_of(map(a_chunk, said)).truncated


def test_what_is_not_kept_of_a_stream_counts_by_its_words() -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    said = [
        {"content": "x" * 4_000},
        {"content": "four", "audio": {"data": SOUND, "transcript": "said", "expires_at": 1}},
        {"images": [{"image_url": {"url": PICTURE}}], "reasoning": "why", "tool_calls": [call]},
    ]
    transcript = transcript_of(map(a_chunk, said), max_bytes=2_000)
    assert transcript.unkept_bytes == 4_000 + len("four") + len("said") + len("why") + len("f{}")


@pytest.mark.parametrize(
    "event",
    [
        lambda at: a_chunk({"audio": {"id": "a", "data": f"{at:09}"}}),
        lambda at: a_chunk({"images": [{"image_url": {"url": f"data:,{at:09}"}}]}),
        lambda at: a_chunk({"images": [{"image_url": {"url": f"https://{at:09}"}}]}),
        lambda at: a_chunk({"content": f"{at:09}"}),
        lambda at: a_chunk({f"field_{at}": 1}),
        lambda at: a_chunk({}, index=at),
        lambda at: a_chunk({"tool_calls": [{"index": at}]}),
        lambda at: a_chunk({"tool_calls": [{"id": f"call_{at}"}]}),
        lambda at: a_chunk(
            {"tool_calls": [{"index": 0, "id": f"call_{at}", "function": {"name": "f"}}]}
        ),
        lambda at: a_chunk({"a": ["x"] if at % 2 else "x"}),
        lambda at: a_chunk(**{f"field_{at}": 1}),
        lambda at: a_chunk({}, choice={f"field_{at}": 1}),
        lambda at: Event(
            json.dumps(
                {"type": "response.output_item.done", "output_index": at, "item": {"id": at}}
            )
        ),
        lambda at: Event(
            json.dumps(
                {"type": "response.output_text.delta", "output_index": at % 9, "delta": "x" * 9}
            )
        ),
    ],
)
def test_no_stream_grows_a_transcript_without_bound(event: Any) -> None:
    transcript = Transcript(max_bytes=50_000)
    for at in range(5_000):
        transcript.add(event(at))
    assert len(json.dumps(transcript.completion())) < 60_000


def test_no_event_grows_a_transcript_without_bound() -> None:
    transcript = transcript_of([Event(json.dumps({"choices": [{}] * 5_000}))], max_bytes=50_000)
    assert transcript.truncated
    assert len(json.dumps(transcript.completion())) < 60_000


def test_what_is_first_said_of_a_choice_is_kept_whatever_the_bound() -> None:
    assert transcript_of([an_end("length")], max_bytes=500).finish_reasons() == ["length"]


def test_a_long_stream_costs_each_chunk_the_same() -> None:
    transcript = transcript_of(
        (a_chunk({"content": "x" * 50}) for _ in range(10_000)), max_bytes=2**30
    )
    text = transcript._choices[0]["message"]["content"]
    assert len(text._pieces) + len(text._joined) < 1_100
    assert len((transcript.message() or {})["content"]) == 500_000


TEXT = st.text(max_size=12)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXT},
    optional={
        "refusal": TEXT,
        "reasoning_content": TEXT,
        "new_field": TEXT,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.uuids().map(str),
                    "type": st.just("function"),
                    "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT}),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    },
)


def pieces_of(text: str) -> st.SearchStrategy[list[str]]:
    cuts = st.lists(st.integers(0, len(text)), max_size=4).map(sorted)
    return cuts.map(lambda at: [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)])


@st.composite
def deltas_of(draw: st.DrawFn, message: dict[str, Any]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in message.keys() - {"role", "tool_calls"}:
        deltas.append({name: ""})
        deltas.extend({name: piece} for piece in draw(pieces_of(message[name])))
    for place, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        start = call | {"index": place, "function": function | {"arguments": ""}}
        deltas.append({"tool_calls": [start]})
        deltas.extend(
            {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
            for piece in draw(pieces_of(function["arguments"]))
        )
    return deltas


@st.composite
def streamed(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[Event]]:
    """Messages, and a stream that carries them in pieces of any size, one choice amid another."""
    messages = draw(st.lists(MESSAGES, min_size=1, max_size=3))
    queues = [list(draw(deltas_of(message))) for message in messages]
    events = []
    while any(queues):
        index = draw(st.sampled_from([place for place, queue in enumerate(queues) if queue]))
        events.append(a_chunk(queues[index].pop(0), index=index))
    return messages, events


@given(streamed())
def test_a_stream_folds_back_into_the_messages_that_it_carries(
    case: tuple[list[dict[str, Any]], list[Event]],
) -> None:
    messages, events = case
    completion = transcript_of(events).completion()
    assert completion is not None
    assert [choice["message"] for choice in completion["choices"]] == messages


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "delta", "index", "message", "text", "usage", "error", "type"),
                    *("tool_calls", "finish_reason", "object", "response", "item", "output_index"),
                    *("id", "model"),
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(
    ["response.completed", "response.output_item.done", "response.output_text.delta", "error"]
)
PARTS = st.dictionaries(st.sampled_from(["response", "item", "delta", "output_index"]), JSON)
EVENTS = st.builds(
    Event,
    st.text()
    | JSON.map(json.dumps)
    | st.lists(JSON, max_size=2).map(lambda choices: json.dumps({"choices": choices}))
    | st.builds(lambda kind, parts: json.dumps(parts | {"type": kind}), KINDS, PARTS),
    st.sampled_from(["message", "error", ""]),
)


@given(st.lists(EVENTS, max_size=5), st.sampled_from([0, 200, 2**20]))
def test_no_event_raises_and_what_is_folded_can_be_written(
    events: list[Event], max_bytes: int
) -> None:
    transcript = transcript_of(events, max_bytes=max_bytes)
    known = (
        *(transcript.completion(), transcript.message(), transcript.finish_reasons()),
        *(transcript.usage, transcript.error, transcript.id, transcript.model),
        transcript.says_more,
    )
    json.dumps(known, allow_nan=False, ensure_ascii=False).encode("utf-8")


def test_tool_calls_that_are_no_list_are_folded_like_anything_else() -> None:
    transcript = transcript_of([a_chunk({"tool_calls": 1})])

    assert transcript.message() == {"role": "assistant", "content": None, "tool_calls": 1}


def test_a_run_of_an_assistant_tells_its_id_its_model_and_its_usage() -> None:
    run = {"id": "run_1", "object": "thread.run", "model": "gpt-4o", "usage": None}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    step = {"id": "step_1", "object": "thread.run.step", "usage": usage}
    events = [Event(json.dumps(each)) for each in (run, step, run | {"usage": usage})]
    transcript = transcript_of([*events, DONE])
    assert (transcript.id, transcript.model, transcript.usage) == ("run_1", "gpt-4o", usage)
    assert transcript.completion() is None

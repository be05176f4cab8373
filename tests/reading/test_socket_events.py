"""What a person reads of a WebSocket's messages."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.conversation import answered
from foxora_addon.reading.flow_page import can_read_event, event_page
from foxora_addon.reading.page import page_of, text_of_line
from foxora_addon.reading.socket_events import event_of, turns_of
from tests.reading.builders import a_request, a_response, recorded

SOUND = base64.b64encode(b"x" * 4_800).decode()
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
SAID = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "Good day."}],
}


def page(**event: Any) -> str:
    text = event_page(json.dumps(event).encode())
    assert text is not None
    return text


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            {"type": "response.output_text.delta", "item_id": "item_1", "delta": " sea"},
            'response.output_text.delta  " sea"',
        ),
        (
            {"type": "response.output_audio.delta", "delta": SOUND},
            "response.output_audio.delta  [audio, 4.8 kB]",
        ),
        (
            {"type": "input_audio_buffer.append", "audio": SOUND},
            "input_audio_buffer.append  [audio, 4.8 kB]",
        ),
        (
            {"type": "response.output_text.done", "text": "The sea."},
            "response.output_text.done  The sea.",
        ),
        (
            {"type": "conversation.item.create", "item": HELLO},
            "conversation.item.create\nuser: Hello?",
        ),
        (
            {"type": "response.done", "response": {"status": "completed", "output": [SAID]}},
            "response.done  completed\n[audio: Good day.]",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    "modalities": ["text", "audio"],
                    "voice": "alloy",
                    "tools": [{"type": "function", "name": "weather", "parameters": {}}],
                    "instructions": "Be kind.",
                },
            },
            "session.update  modalities text+audio, voice alloy, tools weather\nsystem: Be kind.",
        ),
        ({"type": "input_audio_buffer.commit", "event_id": "e"}, "input_audio_buffer.commit"),
        ({"type": "new.kind", "what": 1}, 'new.kind  {"what": 1}'),
    ],
)
def test_an_event_is_told_in_few_words(event: dict[str, Any], shown: str) -> None:
    assert page(**event) == shown


def test_an_answers_end_has_its_tokens_and_calls() -> None:
    call = {"type": "function_call", "name": "get_weather", "arguments": "{}"}
    usage = {"input_tokens": 12, "output_tokens": 34}
    shown = page(
        type="response.done", response={"status": "completed", "usage": usage, "output": [call]}
    )
    assert shown == "response.done  completed, 12+34 tokens\ncalls get_weather: {}"


def test_an_error_says_what_to_do() -> None:
    shown = page(type="error", error={"code": "invalid_request", "message": "No such voice."})
    assert shown.startswith("error  invalid_request: No such voice.; to do: Change the field")


def test_pieces_of_a_text_that_follow_each_other_are_one() -> None:
    def piece(text: str) -> tuple[str, str]:
        return "gateway", json.dumps({"type": "response.output_text.delta", "delta": text})

    messages = [
        ("client", json.dumps({"type": "conversation.item.create", "item": HELLO})),
        *(piece(text) for text in ("The", " sea", ".")),
        ("gateway", "no JSON"),
    ]
    turns = list(turns_of(messages))
    assert [turn.role for turn in turns] == ["client", "gateway", "gateway"]
    assert [part.text for part in turns[1].parts] == [
        "response.output_text.delta, 3 events",
        "The sea.",
    ]
    assert turns[2].parts[0].text == "no JSON"


def test_the_page_of_an_exchange_has_its_events() -> None:
    messages = [
        {"sender": "gateway", "text": json.dumps({"type": "response.text.delta", "delta": text})}
        for text in ("Good", " day.")
    ]
    socket = {"count": 2, "bytes": 8, "messages": messages}
    found = recorded(a_request(), a_response(websocket=socket))
    assert len(answered(found)) == 1
    text = "\n".join(text_of_line(line) for line in page_of(found))
    assert "response.text.delta, 2 events" in text
    assert "Good day." in text


def test_what_is_no_event_has_no_page() -> None:
    assert event_page(b"[1]") is None
    assert event_of("{") is None
    assert not can_read_event(b"ping")
    assert can_read_event(b' {"type": "x"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("type", "delta", "audio", "session", "item", "response", "error", "text"),
                    *("output", "content", "usage", "tools", "status", "instructions"),
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(("type", "item", "session", "response", "error")), JSON))
def test_whatever_an_event_is_it_has_a_page(event: dict[str, Any]) -> None:
    assert isinstance(event_page(json.dumps(event).encode()), str)

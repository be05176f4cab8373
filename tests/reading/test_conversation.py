"""What a person reads of each dialect."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.transcript import DEFAULT_MAX_BYTES
from foxora_addon.audit.record import body_fields
from foxora_addon.reading.conversation import answered, asked
from foxora_addon.reading.items import Turn
from foxora_addon.reading.page import page_of
from foxora_addon.reading.parts import Part
from tests.reading.builders import a_refusal, a_request, a_response, recorded

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"
NAMES = (
    *("messages", "role", "content", "tool_calls", "function", "name", "arguments", "input"),
    *("type", "image_url", "url", "output", "choices", "message", "text", "summary"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def a_chat(*messages: Any) -> Any:
    return a_request(body={"model": "m", "messages": list(messages)})


def test_a_chat_is_read_turn_by_turn() -> None:
    turns = asked(
        recorded(
            a_chat(
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "weather", "arguments": '{"in":"Rome"}'}}],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            )
        )
    )
    assert turns == [
        Turn("system", (Part("text", "Be brief."),)),
        Turn("user", (Part("text", "Weather?"),)),
        Turn("assistant", (Part("call", '{"in":"Rome"}', "weather"),)),
        Turn("tool", (Part("result", "sunny", "call_1"),)),
    ]


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}},
            "image png, 3.0 kB",
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
            "image at https://x.test/a.png",
        ),
        (
            {"type": "input_image", "image_url": "data:image/jpeg;base64,AAAA"},
            "image jpeg, 3 bytes",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            "audio wav, 3 bytes",
        ),
        (
            {"type": "input_audio", "audio": "AAAA", "transcript": "Hi."},
            "audio, 3 bytes: Hi.",
        ),
        (
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            },
            "file a.pdf, application pdf, 3 bytes",
        ),
    ],
)
def test_media_are_shown_by_kind_and_size(item: Any, shown: str) -> None:
    (turn,) = asked(recorded(a_chat({"role": "user", "content": [item]})))
    assert [(part.kind, part.text) for part in turn.parts] == [("media", shown)]


def test_the_responses_api_is_read() -> None:
    body = {
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
    }
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Yo"}],
        },
    ]
    pair = recorded(a_request(body=body), a_response(body={"output": output}))
    assert [turn.role for turn in asked(pair)] == ["system", "user", "assistant", "tool"]
    assert [part.text for turn in answered(pair) for part in turn.parts] == ["reasons: hm", "Yo"]


@pytest.mark.parametrize(
    ("audio", "shown"),
    [
        ({"data": "AAAA", "transcript": "Take\none."}, "audio, 3 bytes: Take\none."),
        ({"id": "audio_1", "transcript": "Take one."}, "audio audio_1: Take one."),
        ({"id": "audio_1"}, "audio audio_1"),
    ],
)
def test_what_was_spoken_is_shown_by_its_transcript(audio: Any, shown: str) -> None:
    message = {"role": "assistant", "content": None, "audio": audio}
    whole = recorded(a_chat(message), a_response(body={"choices": [{"message": message}]}))
    streamed = recorded(a_request(), a_response(body=b"", message=message, chunks=3))
    for turns in (asked(whole), answered(whole), answered(streamed)):
        (turn,) = turns
        assert [(part.kind, part.text) for part in turn.parts] == [("media", shown)]


def reasoning(**more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], **more}


def test_reasoning_is_shown_in_the_clear_as_well_as_by_its_summary() -> None:
    clear = [{"type": "reasoning_text", "text": "hm"}]
    summary = [{"type": "summary_text", "text": "in short"}]
    items = [reasoning(content=clear), reasoning(content=clear, summary=summary)]
    pair = recorded(a_request(body={"input": items}), a_response(body={"output": items}))
    texts = [["reasons: hm"], ["reasons: in short", "reasons: hm"]]
    for turns in (asked(pair), answered(pair)):
        assert [[part.text for part in turn.parts] for turn in turns] == texts


def test_reasoning_without_words_is_no_turn() -> None:
    items = [reasoning(encrypted_content="gAAA"), {"type": "message", "content": "Yo"}]
    pair = recorded(a_request(body={"input": items}), a_response(body={"output": items}))
    for turns in (asked(pair), answered(pair)):
        assert [part.text for turn in turns for part in turn.parts] == ["Yo"]
        assert len(turns) == 1


PROMPT = {"id": "pmpt_1", "version": "2", "variables": {"verdict": "hire"}}


@pytest.mark.parametrize("more", [{"input": "Well?"}, {"instructions": "Be brief."}])
def test_a_stored_prompt_beside_an_input_is_a_parameter(more: dict[str, Any]) -> None:
    lines = list(page_of(recorded(a_request(body={"model": "m", "prompt": PROMPT, **more}))))
    facts = {line.label: line.text for line in lines}
    assert json.loads(facts["prompt"]) == PROMPT
    assert "instructions" not in facts
    assert "input" not in facts


def test_a_stored_prompt_alone_is_what_was_asked() -> None:
    lines = list(page_of(recorded(a_request(body={"model": "m", "prompt": PROMPT}))))
    assert any("pmpt_1" in line.text for line in lines if line.style == "text")
    assert "prompt" not in {line.label for line in lines}


def test_older_completions_and_embeddings_are_read() -> None:
    completion = recorded(
        a_request(body={"prompt": "Once"}), a_response(body={"choices": [{"text": " upon"}]})
    )
    assert asked(completion)[0].parts == (Part("text", "Once"),)
    assert answered(completion)[0].parts == (Part("text", " upon"),)
    vectors = {"data": [{"embedding": [0.1]}, {"embedding": [0.2]}]}
    embedding = recorded(a_request(body={"input": ["a", "b"]}), a_response(body=vectors))
    assert answered(embedding)[0].parts == (Part("note", "2 embeddings of 1 dimensions"),)


def test_a_streamed_answer_is_the_message_that_it_was_folded_into() -> None:
    message = {"role": "assistant", "content": "Hello."}
    pair = recorded(a_request(), a_response(body=b"data: {}", message=message, chunks=3))
    assert answered(pair) == [Turn("assistant", (Part("text", "Hello."),))]


def a_stream(*events: Any, **more: Any) -> Any:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    message = {"role": "assistant", "content": "Yes."}
    return a_response(body=body, message=message, chunks=len(events), **more)


def test_of_a_stream_that_is_kept_beside_its_message_all_is_read() -> None:
    choices = [{"index": at, "delta": {"content": text}} for at, text in enumerate(("Yes.", "No."))]
    stream = a_stream(*({"id": "c1", "choices": [choice]} for choice in choices))
    assert answered(recorded(a_request(), stream)) == [
        Turn("assistant", (Part("text", "Yes."),)),
        Turn("assistant", (Part("text", "No."),)),
    ]
    cut = answered(recorded(a_request(), stream | {"body_truncated": True, "body_bytes": 9_000}))
    assert cut[0] == Turn("assistant", (Part("text", "Yes."),))
    assert "of 9.0 kB" in cut[1].parts[0].text


def test_of_a_message_that_was_cut_it_is_said() -> None:
    message = {"role": "assistant", "content": "Once upon"}
    response = a_response(body=b"", message=message, chunks=3, body_bytes=30_000)
    said, note = answered(recorded(a_request(), response | {"body_truncated": True}))
    assert said.parts == (Part("text", "Once upon"),)
    words = "only the beginning of the answer was kept, of a stream of 30.0 kB"
    assert note.parts == (Part("note", words),)


@pytest.mark.parametrize("message", [None, {"role": "assistant", "content": "Yes."}])
def test_of_a_stream_that_is_folded_all_is_read(message: dict[str, Any] | None) -> None:
    items = [{"type": "message", "role": "assistant", "content": text} for text in "ab"]
    response = a_response(body=b"", message=message, folded={"output": items}, chunks=3)
    assert answered(recorded(a_request(), response)) == [
        Turn("assistant", (Part("text", "a"),)),
        Turn("assistant", (Part("text", "b"),)),
    ]


def test_of_a_stream_that_is_kept_beside_its_message_all_is_read_however_much_it_is() -> None:
    texts = ["Yes.", "x" * DEFAULT_MAX_BYTES, "No."]
    choices = [{"index": at, "delta": {"content": text}} for at, text in enumerate(texts)]
    body = "".join(f'data: {{"choices": [{json.dumps(choice)}]}}\n\n' for choice in choices)
    stream = a_stream({}) | body_fields(body.encode(), 2 * DEFAULT_MAX_BYTES)
    said = [turn.parts[0].text for turn in answered(recorded(a_request(), stream))]
    assert said == texts


def test_calls_and_reasoning_of_a_streamed_response_are_read_as_a_chats() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    custom = {"id": "d", "type": "custom", "custom": {"name": "g", "input": "ls"}}
    message = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Yo"}],
        "reasoning_content": "hm",
        "tool_calls": [call, custom],
    }
    pair = recorded(a_request(), a_response(body=b"", message=message, chunks=3))
    assert answered(pair) == [
        Turn(
            "assistant",
            (
                Part("note", "reasons: hm"),
                Part("text", "Yo"),
                Part("call", "{}", "f"),
                Part("call", "ls", "g"),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"body": None, "body_bytes": 70, "level": "metadata"}, "70 bytes, not kept: the trail's"),
        ({"body": None, "body_bytes": 70}, "70 bytes, not kept: they could not be decoded"),
        ({"body": '{"messages"', "body_truncated": True, "body_bytes": 9_000}, "of 9.0 kB"),
        ({"body": "AAEC", "body_encoding": "base64", "body_bytes": 3}, "3 bytes that are no text"),
    ],
)
def test_a_body_that_is_not_there_is_told(changes: Any, words: str) -> None:
    (turn,) = asked(recorded(a_request() | changes))
    assert words in turn.parts[-1].text


def test_the_messages_of_a_websocket_are_turns_of_both_sides() -> None:
    messages = [{"sender": "client", "text": "ping"}, {"sender": "gateway", "text": "pong"}]
    socket = {"count": 3, "bytes": 8, "messages": messages}
    assert answered(recorded(a_request(), a_response(websocket=socket))) == [
        Turn("client", (Part("text", "ping"),)),
        Turn("gateway", (Part("text", "pong"),)),
        Turn("socket", (Part("note", "3 messages in all"),)),
    ]


def test_tries_and_files_are_facts_of_the_page() -> None:
    tries = [{"status": 503, "code": "gateway_error", "source": "gateway", "after_ms": 12.0}]
    files = [{"field": "file", "filename": "a.wav", "content_type": None, "bytes": 2_000}]
    lines = page_of(recorded(a_request(files=files), a_response(tries=tries)))
    facts = {line.label: line.text for line in lines}
    assert facts["tries"] == "503 (gateway_error) after 12ms"
    assert facts["files"] == "a.wav (2.0 kB)"


def test_an_error_is_no_turn_and_stands_at_the_end_of_the_page() -> None:
    pair = recorded(*a_refusal())
    assert answered(pair) == []
    assert [line.label for line in page_of(pair)][-2:] == ["error", "to do"]


@given(JSON, JSON)
def test_every_body_makes_a_page(body: Any, answer: Any) -> None:
    pair = recorded(
        a_request(body=json.dumps(body).encode()), a_response(body=json.dumps(answer).encode())
    )
    assert [line.text for line in page_of(pair) if line.style == "heading"] == ["ex_1"]


@given(st.text(alphabet=st.characters(max_codepoint=0x2100)))
def test_nothing_on_a_page_commands_the_terminal(text: str) -> None:
    pair = recorded(
        a_request(model=text, body={"messages": [{"role": text, "content": text}]}),
        a_response(error={"code": text, "message": text, "param": text}),
    )
    shown = "".join(line.text + line.label for line in page_of(pair))
    assert not [c for c in shown if (ord(c) < 0x20 and c != "\t") or 0x7F <= ord(c) < 0xA0]


@pytest.mark.skipif(not CORPORA.is_dir(), reason="recorded traffic is not here")
def test_recorded_traffic_makes_pages() -> None:
    bodies = sorted(CORPORA.glob("request_bodies/*"))
    answers = sorted(CORPORA.glob("json_bodies/*"))
    for body, answer in zip(bodies, (answers * 2)[: len(bodies)], strict=True):
        pair = recorded(a_request(body=body.read_bytes()), a_response(body=answer.read_bytes()))
        assert any(line.style == "role" for line in page_of(pair))

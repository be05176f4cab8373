"""What of a WebSocket's messages costs tokens."""

import json
from typing import Any

import pytest

from foxora_addon.api.errors import rate_limit_exceeded, spend_limit_reached
from foxora_addon.api.socket_messages import asked_in, error_message, told_in
from foxora_addon.api.usage import Usage

USED = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_request_for_an_answer_is_read_in_both_protocols() -> None:
    realtime = {"type": "response.create", "event_id": "e1", "response": {"model": "m", "input": 1}}
    responses = {"type": "response.create", "stream_id": "s1", "model": "m", "input": "Hi"}
    one, other = asked_in(encoded(realtime)), asked_in(encoded(responses))
    assert one is not None
    assert other is not None
    assert (one.wish, one.model, one.names) == ("answer", "m", {"event_id": "e1"})
    assert (other.wish, other.model, other.names) == ("answer", "m", {"stream_id": "s1"})
    assert other.body["input"] == "Hi"


@pytest.mark.parametrize(
    ("fields", "has_context"),
    [({}, True), ({"input": "Hi"}, False), ({"input": "Hi", "previous_response_id": "r"}, True)],
)
def test_an_answer_builds_on_what_was_said_unless_the_request_has_all(
    fields: dict[str, str], has_context: bool
) -> None:
    asked = asked_in(encoded({"type": "response.create", **fields}))
    assert asked is not None
    assert asked.has_context is has_context


def test_a_request_is_seen_however_its_name_is_written() -> None:
    assert asked_in(b'{ "t\\u0079pe" :"response\\u002ecreate"}') is not None
    assert asked_in(b"\xef\xbb\xbf" + encoded({"type": "response.create"})) is not None


@pytest.mark.parametrize(
    ("kind", "wish"),
    [
        ("response.steer", "answer"),
        ("input_audio_buffer.append", "sound"),
        ("input_audio_buffer.commit", "sound"),
        ("conversation.item.create", "item"),
        ("session.update", "session"),
        ("transcription_session.update", "session"),
        ("response.cancel", None),
    ],
)
def test_messages_are_told_apart_by_what_they_are_for(kind: str, wish: str | None) -> None:
    asked = asked_in(encoded({"type": kind}))
    assert (asked.wish if asked else None) == wish


@pytest.mark.parametrize(
    "more", [b'"x": ' + b"9" * 5_000, b'"x": ' + b"[" * 200_000 + b"]" * 200_000, b'"x": "\xff"']
)
def test_a_request_that_only_the_gateway_may_read_is_one(more: bytes) -> None:
    asked = asked_in(b'{"type": "response.create", ' + more + b"}")
    assert asked is not None
    assert asked.wish == "answer"


def test_an_error_of_a_realtime_session_ends_no_answer_that_has_begun() -> None:
    error = {"type": "error", "error": {"code": "no"}}
    told, of_realtime = told_in(encoded(error)), told_in(encoded(error | {"event_id": "e1"}))
    assert told is not None
    assert of_realtime is not None
    assert (told.news, of_realtime.news) == ("broken", "failed")


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'"response.create"', b'{"type":1}'])
def test_what_is_no_message_of_the_protocols_asks_and_tells_nothing(content: bytes) -> None:
    assert asked_in(content) is None
    assert told_in(content) is None
    assert told_in(content + b'"response.done"') is None


@pytest.mark.parametrize(
    "kind", ["response.done", "response.completed", "response.incomplete", "response.failed"]
)
def test_the_end_of_an_answer_says_what_it_used(kind: str) -> None:
    told = told_in(encoded({"type": kind, "response": {"id": "r1", "model": "m", "usage": USED}}))
    assert told == ("over", "m", Usage(3, 4, 7), False, "r1", None)


def test_an_answer_that_failed_may_have_used_nothing() -> None:
    told = told_in(encoded({"type": "response.done", "response": {"status": "failed"}}))
    assert told == ("over", None, None, True, None, None)


def test_a_transcript_has_its_usage_beside_the_answers() -> None:
    kind = "conversation.item.input_audio_transcription.completed"
    told = told_in(encoded({"type": kind, "usage": {"type": "tokens", **USED}}))
    assert told == ("aside", None, Usage(3, 4, 7), False, None, None)
    by_time = {"type": "duration", "seconds": 3.0}
    told = told_in(encoded({"type": kind, "usage": by_time}))
    assert told == ("aside", None, None, False, None, None)


HEARD = {"audio": {"input": {"transcription": {"model": "t"}}}}
BETA = {"input_audio_transcription": {"model": "t"}}


@pytest.mark.parametrize(
    ("kind", "session", "model"),
    [
        ("session.created", HEARD | {"model": "m"}, "m"),
        ("session.updated", HEARD, None),
        ("session.updated", BETA | {"model": "m"}, "m"),
        ("transcription_session.created", BETA, None),
        ("transcription_session.updated", BETA, None),
    ],
)
def test_a_session_tells_which_model_writes_its_transcripts(
    kind: str, session: dict[str, Any], model: str | None
) -> None:
    told = told_in(encoded({"type": kind, "session": session}))
    assert told == ("session", model, None, False, None, "t")


@pytest.mark.parametrize("session", [HEARD, BETA])
def test_a_client_asks_for_the_model_that_writes_transcripts(session: dict[str, Any]) -> None:
    asked = asked_in(encoded({"type": "session.update", "session": session | {"model": "m"}}))
    assert asked is not None
    assert (asked.wish, asked.model) == ("session", "t")


@pytest.mark.parametrize("session", [None, {}, {"audio": []}, {"audio": {"input": {"x": 1}}}])
def test_a_session_that_writes_no_transcripts_tells_of_no_model_for_them(session: Any) -> None:
    message = {"session": session}
    told = told_in(encoded(message | {"type": "session.created"}))
    asked = asked_in(encoded(message | {"type": "session.update"}))
    assert told is not None
    assert asked is not None
    assert (told.transcription_model, asked.model) == (None, None)


def test_the_text_of_an_answer_tells_nothing() -> None:
    delta = {"type": "response.output_text.delta", "delta": '"response.done"', "usage": USED}
    assert told_in(encoded(delta)) is None


def test_an_error_of_a_realtime_session_names_the_message_that_it_is_about() -> None:
    error = rate_limit_exceeded("Full.", 1.5)
    told = json.loads(error_message(error, "realtime", {"event_id": "e1"}, 2))
    assert told == {
        "type": "error",
        "event_id": "event_foxora_2",
        "error": {
            "type": "rate_limit_error",
            "code": "rate_limit_exceeded",
            "message": "Full.",
            "param": None,
            "event_id": "e1",
        },
    }


def test_an_error_of_responses_has_the_status_and_headers_of_an_answer() -> None:
    error = rate_limit_exceeded("Full.", 1.5)
    told = json.loads(error_message(error, "stored_responses", {"stream_id": "s1"}, 1))
    assert (told["type"], told["status"], told["stream_id"]) == ("error", 429, "s1")
    assert told["error"]["code"] == "rate_limit_exceeded"
    assert told["error"]["headers"] == {
        "x-foxora-source": "addon",
        "retry-after": "2",
        "retry-after-ms": "1500",
    }
    told = json.loads(error_message(spend_limit_reached("No."), "stored_responses", {}, 1))
    assert (told["status"], told["error"]["type"]) == (402, "insufficient_quota")

import json
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading import finetuning, har, otlp, rows
from foxora_addon.reading.page import page_of
from tests.builders import NOON
from tests.reading.builders import ANSWER, CHAT, a_refusal, a_request, a_response, recorded

MS = st.none() | st.floats(min_value=0, max_value=1e7)


def archive_of(*entries: Any) -> Any:
    return json.loads(har.archive_head("1") + ",".join(map(json.dumps, entries)) + har.ARCHIVE_TAIL)


def test_an_archive_is_har_1_2_and_says_that_headers_are_left_out() -> None:
    log = archive_of(har.entry_of(recorded()))["log"]
    assert log["version"] == "1.2"
    assert "no headers" in log["comment"]
    (entry,) = log["entries"]
    assert entry["request"]["method"] == "POST"
    assert json.loads(entry["request"]["postData"]["text"]) == CHAT
    assert json.loads(entry["response"]["content"]["text"]) == ANSWER
    assert entry["response"]["statusText"] == "OK"
    for side in ("request", "response"):
        assert {"headers", "cookies", "headersSize", "bodySize", "httpVersion"} <= set(entry[side])
    assert datetime.fromisoformat(entry["startedDateTime"]).timestamp() == NOON


@given(MS, MS, MS)
def test_an_entrys_timings_add_up_to_its_time(
    duration: float | None, first: float | None, waited: float | None
) -> None:
    entry = har.entry_of(
        recorded(
            a_request(decision={"waited_ms": waited}),
            a_response(duration_ms=duration, first_byte_ms=first),
        )
    )
    timings = [ms for ms in entry["timings"].values() if ms >= 0]
    assert sum(timings) == pytest.approx(entry["time"], abs=0.01)
    assert {"send", "wait", "receive"} <= {k for k, ms in entry["timings"].items() if ms >= 0}


def test_an_open_exchange_is_an_entry_with_status_0() -> None:
    assert har.entry_of(recorded(a_request()))["response"]["status"] == 0


def test_a_binary_body_keeps_its_encoding() -> None:
    entry = har.entry_of(recorded(a_request(), a_response(body=b"\xff\x00")))
    content = entry["response"]["content"]
    assert (content["encoding"], content["mimeType"]) == ("base64", "application/octet-stream")


def attributes_of(span: Any) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def test_a_span_has_the_names_of_the_conventions() -> None:
    span = otlp.span_of(recorded(a_request(), a_response(model="gpt-4o-mini-2024", cost_usd=0.5)))
    assert span["name"] == "chat gpt-4o-mini"
    assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
    assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 1_000_000_000
    found = attributes_of(span)
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.response.model"] == "gpt-4o-mini-2024"
    assert found["gen_ai.usage.input_tokens"] == "5"
    assert found["http.response.status_code"] == "200"
    assert found["foxora.cost_usd"] == 0.5
    assert span["status"] == {}


def test_a_span_that_a_crash_cut_off_begins_with_its_call() -> None:
    cut_off: dict[str, Any] = {
        "outcome": "aborted",
        "duration_ms": None,
        "sent_ms": None,
        "first_byte_ms": None,
    }
    span = otlp.span_of(recorded(a_request(), a_response(at=90, **cut_off)))
    assert int(span["startTimeUnixNano"]) == NOON * 10**9
    assert int(span["endTimeUnixNano"]) == (NOON + 90) * 10**9
    alone = otlp.span_of(recorded(None, a_response(at=90, **cut_off)))
    assert alone["startTimeUnixNano"] == alone["endTimeUnixNano"] == span["endTimeUnixNano"]


def test_a_refused_call_is_a_span_in_error() -> None:
    span = otlp.span_of(recorded(*a_refusal()))
    assert span["status"]["code"] == 2
    assert attributes_of(span)["error.type"] == "rate_limit_exceeded"


def test_a_stream_is_an_entry_with_its_message_or_with_all_that_it_said() -> None:
    message = {"role": "assistant", "content": "Hi."}
    alone = a_response(body=b"", message=message, chunks=2)
    content = har.entry_of(recorded(a_request(), alone))["response"]["content"]
    assert json.loads(content["text"]) == {"message": message}
    folded = {"choices": [{"index": at, "message": message} for at in range(2)]}
    whole = a_response(body=b"", message=message, folded=folded, chunks=2)
    content = har.entry_of(recorded(a_request(), whole))["response"]["content"]
    assert json.loads(content["text"]) == folded
    choices = [{"index": at, "delta": {"content": "Hi."}} for at in range(2)]
    body = "".join(f'data: {{"choices": [{json.dumps(choice)}]}}\n\n' for choice in choices)
    more = a_response(body=body.encode(), message=message, chunks=2)
    content = har.entry_of(recorded(a_request(), more))["response"]["content"]
    assert [c["message"] for c in json.loads(content["text"])["choices"]] == [message] * 2


def test_a_traced_call_goes_on_in_its_clients_trace() -> None:
    trace, parent = "ab" * 16, "cd" * 8
    span = otlp.span_of(recorded(a_request(traceparent=f"00-{trace}-{parent}-01"), a_response()))
    assert (span["traceId"], span["parentSpanId"]) == (trace, parent)
    bad = otlp.span_of(recorded(a_request(traceparent=f"00-{'0' * 32}-{parent}-01"), a_response()))
    assert "parentSpanId" not in bad


def test_spans_are_sent_as_one_request() -> None:
    spans = [otlp.span_of(recorded())]
    (resource,) = otlp.request_of(spans, "1")["resourceSpans"]
    assert resource["scopeSpans"][0]["spans"] == spans


def test_a_row_has_a_cell_for_each_column() -> None:
    row = dict(zip(rows.COLUMNS, rows.row_of(recorded()), strict=True))
    assert (row["account"], row["total_tokens"], row["stream"]) == ("acme", 12, "false")


def test_a_client_is_told_by_its_name_in_rows_and_on_pages() -> None:
    client = {"name": "batch-jobs", "address": "10.0.0.7", "key": None, "user_agent": "x/1"}
    exchange = recorded(a_request(client=client), a_response())
    row = dict(zip(rows.COLUMNS, rows.row_of(exchange), strict=True))
    assert (row["client_name"], row["client_address"]) == ("batch-jobs", "10.0.0.7")
    lines = {line.label: line.text for line in page_of(exchange)}
    assert lines["client"] == "batch-jobs, 10.0.0.7, x/1"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("\x1b]0;pwned\x07", "\\x1b]0;pwned\\x07"),
        ("a\x9bb", "a\\x9bb"),
        ("a\u202eb", "a\\u202eb"),
        ("\r\x1b", "\\x0d\\x1b"),
        ("two\nlines\t", "two\nlines\t"),
        ("\ud800", "\\ud800"),
    ],
)
def test_no_cell_commands_a_terminal(text: str, cell: str) -> None:
    assert rows.safe_cell(text) == cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    row = dict(zip(rows.COLUMNS, rows.row_of(recorded(a_request(model=text))), strict=True))
    assert row["model"] == f"'{text}"


def test_a_completed_chat_is_a_line_for_fine_tuning() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    line = finetuning.line_of(recorded(a_request(body=CHAT | {"tools": tools}), a_response()))
    assert line == {
        "messages": [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Good day."},
        ],
        "tools": tools,
    }


def test_a_streamed_chat_is_one_as_well() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    line = finetuning.line_of(recorded(a_request(), a_response(body=b"", message=message)))
    assert isinstance(line, dict)
    assert line["messages"][-1] == {"role": "assistant", "tool_calls": [{"id": "c"}]}


SPOKEN = {"id": "audio_1", "data": "AAAA", "transcript": "Take one."}
NO_WORDS = "with an answer that has no words"


def an_answer(**said: Any) -> Any:
    message = {"role": "assistant", "content": None, **said}
    return a_response(body={"choices": [{"message": message}]})


@pytest.mark.parametrize(
    "said", [{"refusal": "No."}, {"function_call": {"name": "f"}}, {"content": [{"text": "Hi."}]}]
)
def test_an_answer_that_says_anything_in_writing_is_an_example(said: dict[str, Any]) -> None:
    line = finetuning.line_of(recorded(a_request(), an_answer(**said)))
    assert isinstance(line, dict)
    assert said.items() <= line["messages"][-1].items()


@pytest.mark.parametrize("said", [{"audio": {"id": "audio_1"}}, {"content": ""}, {"content": None}])
def test_a_chat_with_a_wordless_turn_in_its_history_is_no_example(said: dict[str, Any]) -> None:
    history = [{"role": "user", "content": "Say it."}, {"role": "assistant", **said}]
    request = a_request(body={"messages": [*history, {"role": "user", "content": "Again."}]})
    assert finetuning.line_of(recorded(request, a_response())) == NO_WORDS


CUT = {"body": None, "body_truncated": True, "body_bytes": 30_000}
STUMP = {"role": "assistant", "content": "Once upon"}


def test_a_streamed_chat_whose_first_choice_is_whole_is_one_beside_others() -> None:
    folded = {"choices": [{"index": at, "message": STUMP | {"content": f"{at}"}} for at in (0, 1)]}
    response = a_response(body=b"", message=STUMP | {"content": "0"}, folded=folded, chunks=3)
    line = finetuning.line_of(recorded(a_request(), response))
    assert isinstance(line, dict)
    assert line["messages"][-1] == {"role": "assistant", "content": "0"}


@pytest.mark.parametrize("body", [None, 'data: {"choices": [{"del'])
def test_a_stream_of_which_only_the_beginning_was_kept_is_no_example_and_says_so(
    body: str | None,
) -> None:
    response = a_response(message=STUMP, chunks=3) | CUT | {"body": body}
    assert finetuning.line_of(recorded(a_request(), response)) == "without whole bodies"
    content = har.entry_of(recorded(a_request(), response))["response"]["content"]
    assert content["comment"].endswith("into one message; only the beginning of the body was kept")


def test_a_stream_that_was_kept_whole_has_no_such_remark() -> None:
    response = a_response(body=b"", message=STUMP, chunks=3)
    content = har.entry_of(recorded(a_request(), response))["response"]["content"]
    assert content["comment"] == "3 events of a stream, folded into one message"


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (a_refusal(), "not completed"),
        ((a_request(), None), "not completed"),
        ((a_request(operation="embeddings"), a_response()), "no chat"),
        ((a_request(body_truncated=True), a_response()), "without whole bodies"),
        ((a_request(), a_response(body=b"no json")), "without whole bodies"),
        ((a_request(), an_answer(content="")), NO_WORDS),
        ((a_request(), an_answer(audio=SPOKEN)), NO_WORDS),
        ((a_request(), a_response(body=b"", message={"audio": SPOKEN})), NO_WORDS),
        ((a_request(body={"messages": ["x"]}), a_response()), "with messages that are none"),
    ],
)
def test_what_is_no_such_line_says_why(pair: Any, reason: str) -> None:
    assert finetuning.line_of(recorded(*pair)) == reason

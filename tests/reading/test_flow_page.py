"""The pages of live traffic: what they say, and that no bytes can break them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.flow_page import answer_page, can_read, request_page
from tests.reading.test_conversation import CORPORA, JSON


def page_of_request(**body: Any) -> str:
    page = request_page(json.dumps(body).encode())
    assert page is not None
    return page


def page_of_answer(body: dict[str, Any], **facts: Any) -> str:
    page = answer_page(json.dumps(body).encode(), json.dumps(facts))
    assert page is not None
    return page


def test_parameters_stand_first_the_model_before_all_others_and_none_has_two_lines() -> None:
    lines = page_of_request(
        stream_options={"include_usage": True},
        model="gpt-4o",
        stop=["a\nb"],
        messages=[{"role": "user", "content": "Hello."}],
    ).split("\n")
    assert lines == [
        "model           gpt-4o",
        'stream_options  {"include_usage": true}',
        'stop            ["a\\nb"]',
        " ",
        "user",
        "  Hello.",
    ]


def test_an_answers_figures_stand_before_its_words() -> None:
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "source": "reported"}
    page = page_of_answer(
        {"choices": [{"message": {"role": "assistant", "content": "Good day."}}]},
        request={"account": "acme", "model": "gpt-4o"},
        response={
            "outcome": "completed",
            "status": 200,
            "usage": usage,
            "cost_usd": 0.5,
            "duration_ms": 1200.0,
            "first_byte_ms": 400.0,
            "finish_reasons": ["stop"],
        },
    )
    assert page.index("5 in, 7 out, 12 in all (reported)") < page.index("Good day.")
    for told in (
        "ended by        stop",
        "first byte after 400ms, whole 1.20s",
        "$0.500000",
        "gpt-4o",
    ):
        assert told in page


def test_an_error_that_no_record_tells_of_is_read_off_the_body() -> None:
    page = page_of_answer({"error": {"code": "invalid_api_key", "message": "No.", "param": None}})
    assert "invalid_api_key: No." in page
    assert "to do           Name the client's key" in page


def test_what_is_no_json_object_has_no_page() -> None:
    assert request_page(b"[1]") is None
    assert answer_page(b'{"cut', "{}") is None


@pytest.mark.parametrize(
    ("body", "operation", "is_answer", "readable"),
    [
        (b'{"messages": []}', "chat", False, True),
        (b' \n{"object": "list"}', "models", True, True),
        (b'{"files": []}', "files", True, False),
        (b'{"error": {"code": "x"}}', "files", True, True),
        (b"<html>", "chat", True, False),
        (b"", "chat", False, False),
    ],
)
def test_what_is_read_is_told_by_the_operation_and_the_first_bytes(
    body: bytes, operation: str, is_answer: bool, readable: bool
) -> None:
    assert can_read(body, operation, is_answer=is_answer) is readable


@given(st.binary(max_size=200), st.text(max_size=50))
def test_no_bytes_break_a_page(body: bytes, facts: str) -> None:
    request_page(body)
    answer_page(body, facts)
    can_read(body, "chat", is_answer=True)


FACT_NAMES = (
    *("usage", "tries", "finish_reasons", "error", "status", "outcome", "chunks", "duration_ms"),
    *("first_byte_ms", "cost_usd", "decision", "model", "websocket", "message", "account"),
)
FACTS = st.dictionaries(
    st.sampled_from(["request", "response"]), st.dictionaries(st.sampled_from(FACT_NAMES), JSON)
)
TOOL_NAMES = ("tools", "functions", "function", "parameters", "properties", "enum", "type")
MEMBERS = (*TOOL_NAMES, "required", "model", "messages", "data", "embedding", "error", "supports")
BODIES = st.dictionaries(
    st.sampled_from(MEMBERS),
    JSON | st.lists(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4), max_size=3),
    max_size=5,
)


@given(BODIES, FACTS)
def test_no_json_breaks_a_page(body: dict[str, Any], facts: dict[str, Any]) -> None:
    page_of_request(**body)
    page_of_answer(body, **facts)


def test_long_lines_go_on_below_at_their_own_indent_and_words_stay_whole() -> None:
    words = [f"word{number}" for number in range(60)]
    content = " ".join(words) + "\n" + "x" * 300
    page = page_of_request(model="m", messages=[{"role": "user", "content": content}])
    lines = page.split("\n")[3:]
    assert all(line.startswith("  ") and not line.startswith("   ") for line in lines)
    assert all(len(line) <= 100 for line in lines[:-1])
    assert " ".join(lines[:-1]).split() == words
    assert lines[-1].strip() == "x" * 300


@pytest.mark.parametrize(
    "said", ["x" * 40_000, "x" * 2_500 + " and  so  on  and  on" * 900, " " * 20 + "x" * 2_000]
)
def test_what_is_too_long_for_a_word_is_broken_so_that_no_window_stands_still_over_it(
    said: str,
) -> None:
    for page in (
        page_of_request(model="m", messages=[{"role": "user", "content": said}]),
        page_of_answer({"choices": [{"message": {"role": "assistant", "content": said}}]}),
    ):
        assert max(map(len, page.splitlines())) <= 68
        assert page.count("x") == said.count("x")


def test_a_word_that_is_too_long_is_broken_wherever_it_begins() -> None:
    page = page_of_request(
        model="m", messages=[{"role": "user", "content": " " * 99 + "x" * 2_000}]
    )
    assert page.count("x") == 2_000


def test_no_window_stands_still_over_a_wide_indent_either() -> None:
    said = " " * 40_000 + "and so on"
    page = page_of_request(model="m", messages=[{"role": "user", "content": said}])
    assert max(map(len, page.splitlines())) < 1_100
    assert page.split()[-3:] == ["and", "so", "on"]


def test_deep_and_long_bodies_have_a_page_or_none() -> None:
    deep = b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert request_page(deep) is None
    long = page_of_request(model="m", messages=[{"role": "user", "content": "word\n" * 600_000}])
    assert len(long) < 4_000_000
    assert long.endswith("the JSON view has all of it")


@pytest.mark.skipif(not CORPORA.exists(), reason="recorded traffic is not here")
@pytest.mark.parametrize("path", sorted(CORPORA.rglob("*.json")), ids=lambda path: path.name)
def test_recorded_bodies_have_a_page(path: Path) -> None:
    body = path.read_bytes()
    if isinstance(json.loads(body), dict):
        assert request_page(body)
        assert answer_page(body, "{}")


def test_long_lines_fit_into_half_a_window_and_rows_of_a_table_stay_whole() -> None:
    error = {"error": {"code": "not_found", "message": "There is no such model. " * 20}}
    page = answer_page(json.dumps(error).encode(), "{}")
    assert page is not None
    assert max(map(len, page.splitlines())) <= 68
    model = {"id": "a-model-with-a-name", "object": "model", "supports": ["chat"] * 9}
    table = answer_page(json.dumps({"data": [model]}).encode(), "{}")
    assert table is not None
    assert ", ".join(["chat"] * 9) in table


def test_an_answer_that_is_still_coming_says_so() -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Good day"}}]}
    facts = {"request": {"account": "acme"}, "response": {"outcome": "open", "chunks": 3}}
    page = answer_page(json.dumps(answer).encode(), json.dumps(facts))
    assert page is not None
    assert "open: the answer is still coming" in page
    assert "3 events so far" in page
    assert page.endswith("Good day")


@pytest.mark.parametrize("text", ["word " * 200_000, "word\n" * 200_000, "x" * 1_000_000])
def test_of_a_text_that_is_too_long_there_is_the_beginning(text: str) -> None:
    page = page_of_request(model="m", messages=[{"role": "user", "content": text}])
    assert 400_000 < len(page) < 800_000
    assert page.endswith("… cut here: the JSON view has all of it")


def test_an_answer_whose_text_is_withheld_says_so() -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}}]}
    facts = {"response": {"outcome": "open", "chunks": 3, "is_withheld": True}}
    page = answer_page(json.dumps(answer).encode(), json.dumps(facts))
    assert "its text is shown once all is there that may have to be redacted" in " ".join(
        (page or "").split()
    )

"""What is shown of an exchange is what its level keeps, without secrets."""

import json
from typing import Any

import pytest

from foxora_addon.api.errors import rate_limit_exceeded
from foxora_addon.audit.record import Facts, body_fields, response_fields
from foxora_addon.audit.redaction import Redactor, Scrub
from foxora_addon.config.accounts import Level
from foxora_addon.exchange import Client, Exchange, RequestLine
from foxora_addon.observation import Observation
from foxora_addon.shown import Shown, shown_of, shown_so_far

KEY = "foxora_sk_live_fake7Hq2Zr9Lm4Xw"


def scrub(text: str) -> str:
    return text.replace(KEY, "[redacted]")


def a_stream(*texts: str) -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def an_exchange(stream: bytes | None, level: Level = "full") -> Exchange:
    client, line = Client(None, None, None, None), RequestLine("POST", "http://x/v1", "HTTP/1.1")
    exchange = Exchange("ex_1", 0.0, client, line, level=level, model="m", account_name="acme")
    if stream is not None:
        exchange.observation = Observation(
            content_encoding=None, is_event_stream=True, is_json=False, max_head_bytes=10_000
        )
        exchange.observation.feed(stream)
    return exchange


def a_record(exchange: Exchange, facts: Facts | None = None) -> dict[str, Any]:
    body = body_fields(b"Hi", 10)
    return response_fields(exchange, body, facts or {}, 200, "completed", "gateway", 1.0)


def test_a_stream_is_shown_as_the_answer_that_it_adds_up_to() -> None:
    exchange = an_exchange(a_stream("Good ", "day."))
    shown = shown_of(exchange, a_record(exchange), scrub)
    assert json.loads(shown.answer or b"")["choices"][0]["message"]["content"] == "Good day."


def test_a_secret_that_came_in_pieces_is_found() -> None:
    exchange = an_exchange(a_stream("It is ", KEY[:12], KEY[12:], "."))
    shown = shown_of(exchange, a_record(exchange), scrub)
    assert b"It is [redacted]." in (shown.answer or b"")


def test_the_half_of_a_secret_is_not_shown_where_its_stream_broke_off() -> None:
    exchange = an_exchange(a_stream("It is ", KEY[:12]))
    record = a_record(exchange)
    half = shown_of(exchange, record | {"outcome": "stream_broken"}, Scrub(Redactor([KEY]), ()))
    said = json.loads(half.answer or b"")["choices"][0]["message"]["content"]
    assert said == "It is [redacted]"


@pytest.mark.parametrize("level", ["minimal", "metadata", "request"])
def test_an_answer_that_is_not_on_record_is_not_shown(level: Level) -> None:
    exchange = an_exchange(a_stream("Good day."), level)
    assert shown_of(exchange, a_record(exchange), scrub).answer is None


def test_at_the_least_level_no_message_is_shown_that_may_name_the_client() -> None:
    exchange = an_exchange(None, "minimal")
    exchange.shadow = error = rate_limit_exceeded("Client 'carol' is at its limit.", 1.0)
    for shown in (
        shown_of(exchange, a_record(exchange, {"error": error}), scrub),
        shown_so_far(exchange, scrub, has_whole_words=True),
    ):
        assert json.loads(shown.facts)["request"]["decision"]["shadow"]["code"] == error.code
        assert "carol" not in shown.facts


def test_an_empty_stream_and_a_whole_answer_have_nothing_of_that_kind() -> None:
    for exchange in (an_exchange(b""), an_exchange(None)):
        assert shown_of(exchange, a_record(exchange), scrub).answer is None


def test_a_lone_surrogate_makes_no_broken_text() -> None:
    exchange = an_exchange(b'data: {"choices":[{"delta":{"\\ud800":"\\ud800"}}]}\n\n')
    answer = shown_of(exchange, a_record(exchange), scrub).answer or b""
    assert json.loads(answer.decode("utf-8"))["choices"]


def test_facts_are_the_records_without_contents_and_secrets() -> None:
    exchange = an_exchange(None)
    record = a_record(exchange, {"model": f"m {KEY}", "finish_reasons": ["stop"]})
    facts = json.loads(shown_of(exchange, record, scrub).facts)
    assert facts["request"]["account"] == "acme"
    assert facts["response"]["model"] == "m [redacted]"
    assert facts["response"]["finish_reasons"] == ["stop"]
    assert "body" not in facts["response"]
    assert "client" not in facts["request"]


def so_far_of(exchange: Exchange, *, has_whole_words: bool = True) -> Shown:
    return shown_so_far(exchange, scrub, has_whole_words=has_whole_words)


def said_so_far(*texts: str, has_whole_words: bool = True) -> str:
    shown = so_far_of(an_exchange(a_stream(*texts)), has_whole_words=has_whole_words)
    content: str = json.loads(shown.answer or b"{}")["choices"][0]["message"]["content"]
    return content


def test_an_open_stream_is_shown_in_whole_words() -> None:
    assert said_so_far("Good ", "day, wor") == "Good day, "
    assert said_so_far("日本", "語") == "日本語"


@pytest.mark.parametrize("size", range(1, len(KEY) + 1))
def test_no_part_of_a_secret_is_shown_while_it_comes(size: int) -> None:
    assert said_so_far("It is ", KEY[:size]) == "It is "


def test_an_open_stream_says_that_it_is_open_and_what_was_decided() -> None:
    facts = json.loads(so_far_of(an_exchange(a_stream("Good ", "day."))).facts)
    assert facts["request"]["account"] == "acme"
    assert facts["response"] == {"outcome": "open", "chunks": 2, "is_withheld": False}


def test_what_was_so_far_is_never_the_end_so_that_windows_draw_that() -> None:
    exchange = an_exchange(a_stream("Good day. "))
    so_far, end = so_far_of(exchange), shown_of(exchange, a_record(exchange), scrub)
    assert json.loads(so_far.answer or b"") == json.loads(end.answer or b"")
    assert so_far.answer != end.answer


def test_an_open_stream_that_is_not_on_record_is_not_shown() -> None:
    assert so_far_of(an_exchange(a_stream("Good day."), "metadata")).answer is None


def test_no_text_is_shown_while_what_is_redacted_may_have_spaces() -> None:
    assert said_so_far("Card ", "4111 1111\n", "1111 ", has_whole_words=False) == ""
    exchange = an_exchange(a_stream("4111 1111 "))
    assert "4111" not in str(so_far_of(exchange, has_whole_words=False))
    facts = json.loads(so_far_of(exchange, has_whole_words=False).facts)
    assert facts["response"]["is_withheld"] is True

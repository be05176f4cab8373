"""What `--grep` finds, and that no pattern can make it take for ever."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.grep import Grep, parse_grep, texts_of
from foxora_addon.reading.records import record_of
from tests.reading.builders import a_refusal, a_request, a_response, line_of


def saying(text: str) -> dict[str, Any]:
    record: dict[str, Any] = a_request(body={"messages": [{"role": "user", "content": text}]})
    return record


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", r"(?<=a)b", r"(a)\1", "a{1000}{1000}"])
def test_what_is_no_regular_expression_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match="no regular expression of RE2's: "):
        parse_grep(pattern)


def test_texts_are_found_as_they_read_and_not_as_json_writes_them() -> None:
    record = saying('He said "no"\nand left: ∑')
    for pattern in (r'said "no"', r"no.\nand", "∑", "gpt-4o-mini", "^user$", "(?i)HE SAID"):
        assert Grep(parse_grep(pattern)).finds(record), pattern
    assert not Grep(parse_grep("yes")).finds(record)


MESSAGE = {"sender": "client", "at_ms": 1.0, "text": '{"say":"caf\\u00e9"}', "encoding": "utf-8"}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (a_response(body=b"", message={"role": "assistant", "content": "a\nb"}), "^a.b$"),
        (a_response(body=b"", folded={"choices": [{"text": "a"}, {"text": "b"}]}), "^b$"),
        (a_response(websocket={"count": 1, "bytes": 9, "messages": [MESSAGE]}), "^café$"),
        (a_refusal()[1] | {"body": None}, "^Account 'acme' is at its limit"),
        (a_refusal()[1] | {"body": None}, "^rate_limit_exceeded$"),
        (a_request(tags=["nightly"]), "^nightly$"),
        (a_request(files=[{"field": "file", "filename": "a.wav", "bytes": 1}]), r"^a\.wav$"),
        (a_request(http={"method": "GET", "url": "http://x/v1/models?q=1"}), r"models\?q=1"),
    ],
)
def test_all_that_was_asked_and_answered_is_looked_at(record: dict[str, Any], text: str) -> None:
    assert Grep(parse_grep(f"(?s){text}")).finds(record)


@pytest.mark.parametrize(
    "text",
    ["full", "ex_1", "2026-11-23", "forward", "completed", "10.0.0.7", "utf-8", "client", "acme"],
)
def test_what_the_proxy_noted_down_is_not(text: str) -> None:
    session = a_response(websocket={"count": 1, "bytes": 9, "messages": [MESSAGE]})
    assert not any(Grep(parse_grep(text)).finds(record) for record in (saying("a"), session))
    digests = saying("a")["body_sha256"], session["hash"]
    assert not any(Grep(parse_grep(digest)).finds(session | saying("a")) for digest in digests)


@given(st.text(max_size=30), st.text(alphabet="abc \u00e9", min_size=1, max_size=3))
def test_a_line_that_is_passed_over_has_no_match(text: str, pattern: str) -> None:
    grep = Grep(parse_grep(pattern))
    line = line_of(saying(text))
    record = record_of(line)
    assert record is not None
    assert grep.may_find(line) or not grep.finds(record)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)+$", "a*a*a*a*a*a*b", "^(([a-z])+.)+[A-Z]$"])
def test_a_pattern_that_backtracks_for_ever_elsewhere_does_not(pattern: str) -> None:
    assert not Grep(parse_grep(pattern)).finds({"body": "a" * 50_000 + "!"})


def test_lone_surrogates_are_no_hindrance() -> None:
    assert Grep(parse_grep("b$")).finds(saying("a\ud800b"))
    assert Grep(parse_grep("b")).finds(saying("a\ud800b"))


@given(st.text(min_size=1, max_size=10), st.text(max_size=20))
def test_an_escaped_text_is_that_text(needle: str, text: str) -> None:
    pattern = parse_grep(re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", needle))
    assert pattern.plain == needle
    assert Grep(pattern).finds({"body": text + needle})


LINE = json.dumps({"messages": [{"content": 'Kündige Herrn "Müller"\nnow'}]})
LINES = {
    "jsonl": f"{LINE}\n{LINE}\n",
    "after what is none": f'{{"a": 1}}\nno JSON \\\n{{"b": \\\n{LINE}',
    "form": f'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n{LINE}\r\n--b--\r\n',
    "events": f"event: x\ndata: {LINE}\n\ndata:{LINE}\n\ndata: [DONE]\n\n",
    "events by returns": f"event: x\rdata:  {LINE}\r\r",
    "list": f"1\n[{LINE}]\n",
}


@pytest.mark.parametrize("kind", LINES)
def test_what_stands_in_lines_of_json_is_found_as_it_reads(kind: str) -> None:
    record = a_response(body=LINES[kind].encode())
    for text in ("Müller", 'Herrn "Mü', r'Müller"\n', "^Kündige"):
        grep = Grep(parse_grep(text))
        assert grep.may_find(line_of(record)), text
        assert grep.finds(record), text
    assert not Grep(parse_grep("Meier")).finds(record)


def test_lines_of_json_are_looked_at_where_they_hide_something_alone() -> None:
    looked = list(texts_of(f'{{"a": "plain"}}\n{LINE}'))
    assert "plain" not in looked
    assert 'Kündige Herrn "Müller"\nnow' in looked

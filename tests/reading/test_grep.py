"""What `--grep` finds, and that no pattern can make it take for ever."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.grep import Grep, parse_grep
from foxora_addon.reading.records import record_of
from tests.reading.builders import a_request, line_of


def saying(text: str) -> dict[str, Any]:
    record: dict[str, Any] = a_request(body={"messages": [{"role": "user", "content": text}]})
    return record


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", r"(?<=a)b", r"(a)\1", "a{1000}{1000}"])
def test_what_is_no_regular_expression_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match="no regular expression of RE2's: "):
        parse_grep(pattern)


def test_texts_are_found_as_they_read_and_not_as_json_writes_them() -> None:
    record = saying('He said "no"\nand left: ∑')
    for pattern in (r'said "no"', r"no.\nand", "∑", "gpt-4o-mini", "^acme$", "(?i)HE SAID"):
        assert Grep(parse_grep(pattern)).finds(record), pattern
    assert not Grep(parse_grep("yes")).finds(record)


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

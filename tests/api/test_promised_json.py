import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.promised_json import flaw_of_json
from tests.builders import encoded


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty body"),
        (b" \r\n", "empty body"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b'{"choices": [{"mess', "cut short"),
        (b"[1, 2", "cut short"),
        (b'{"a": 1} {"b": 2}', "not valid"),
        (b"OK", "text where"),
        (b"\xff\xfe\x00", "text where"),
        (b'"OK"', "bare value"),
        (b"null", "bare value"),
        (b"[" * 100_000, "cut short"),
    ],
)
def test_it_says_what_stands_in_an_answers_place(body: bytes, words: str) -> None:
    assert words in str(flaw_of_json(body, may_be_empty=False))


@given(st.one_of(st.dictionaries(st.text(), st.integers()), st.lists(st.text())))
def test_objects_and_lists_are_answers(value: object) -> None:
    assert flaw_of_json(encoded(value), may_be_empty=False) is None


def test_nothing_is_an_answer_where_the_status_says_so() -> None:
    assert flaw_of_json(b"", may_be_empty=True) is None


@given(st.binary())
def test_any_bytes_are_told_about(body: bytes) -> None:
    flaw = flaw_of_json(body, may_be_empty=False)
    assert flaw is None or flaw.isascii()


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}"])
def test_what_python_can_not_read_is_an_answer_all_the_same(body: bytes) -> None:
    assert flaw_of_json(body, may_be_empty=False) is None

"""A line of the trail is strict JSON in strict UTF-8, whatever clients and gateways send."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.audit.chain import GENESIS, hash_of_line
from foxora_addon.audit.line import line_of
from foxora_addon.audit.redaction import Redactor, Scrub
from tests.builders import NOON, a_request_of, as_it_is

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXT, below, max_size=4),
    max_leaves=12,
)


def written(fields: dict[str, Any], scrub: Any = as_it_is) -> bytes:
    line, digest = line_of(fields, scrub, seq=1, unix_seconds=NOON, recovered=0, prev=GENESIS)
    assert hash_of_line(line.rstrip(b"\n")) == digest
    return line


@given(ANY, TEXT)
def test_each_line_is_one_that_strict_readers_take(value: Any, text: str) -> None:
    for scrub in (as_it_is, Scrub(Redactor(["foxora_sk_test_0"]), ())):
        line = written({**a_request_of("x1"), "message": {"any": value}, "model": text}, scrub)
        assert orjson.loads(line)["seq"] == 1
        assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\udcffb", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("\udc00\ud800x", "\ufffd\ufffdx"),
        ("\ud83d" + "\ude00", "\U0001f600"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_a_lone_surrogate_is_a_replacement_character_and_a_pair_what_it_means(
    text: str, kept: str
) -> None:
    line = written({**a_request_of("x1"), "model": text, "body": "after it"})
    assert orjson.loads(line)["model"] == kept
    assert orjson.loads(line)["body"] == "after it"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_null(number: float) -> None:
    line = written({**a_request_of("x1"), "message": {"a": [number, 1.5], "b": {"c": (number,)}}})
    assert json.loads(line)["message"] == {"a": [None, 1.5], "b": {"c": [None]}}

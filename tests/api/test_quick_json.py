"""The quick reader and writer take all that Python's own take, and say the same."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api import quick_json

_texts = st.text(st.characters(codec=None), max_size=8)
_small = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _texts
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_values: st.SearchStrategy[Any] = st.recursive(
    _small | _numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@given(value=_values)
def test_what_is_written_reads_as_it_was(value: Any) -> None:
    assert json.loads(quick_json.text_of(value)) == value


@given(value=_values)
def test_what_python_writes_is_read_as_python_reads_it(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        data = text.encode("utf-8", "surrogatepass")
        assert quick_json.read(data) == value


@given(data=st.binary(max_size=12) | st.sampled_from([b"[1", b"{}x", b"\xef\xbb\xbf{}", b""]))
def test_what_is_no_json_to_python_is_none_here(data: bytes) -> None:
    try:
        expected = json.loads(data)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            quick_json.read(data)
    else:
        assert quick_json.read(data) == expected


def test_what_only_python_takes_is_taken() -> None:
    assert math.isnan(quick_json.read(b"[NaN]")[0])
    assert quick_json.read('{"a": "é"}'.encode("utf-16")) == {"a": "é"}
    assert quick_json.read(b'"\\ud83d"') == "\ud83d"
    assert quick_json.read(b'{"a": ' + b"9" * 5_000 + b', "b": 2}') == {"a": math.inf, "b": 2}
    assert quick_json.text_of({"a": "\ud83d", "b": [1, {"c": None}]}) == (
        '{"a":"\ud83d","b":[1,{"c":null}]}'
    )
    assert quick_json.text_of({1: 2**70}) == f'{{"1":{2**70}}}'
    with pytest.raises(TypeError):
        quick_json.text_of({"a": object()})


def test_text_beyond_ascii_stands_as_it_is() -> None:
    assert quick_json.text_of({"é": "日本"}) == '{"é":"日本"}'

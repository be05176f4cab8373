"""A member is replaced, and every other byte stays as it was."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.json_splice import (
    find_members,
    removal_of,
    replace_inner_member,
    replace_member,
)


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        ('{"model":"a"}', '{"model":"NEW"}'),
        (' {\n "n" : 1.0e0 ,\t"model" : null , "x":[ ]\r\n}\n', None),
        ('{"m\\u006fdel": {"model": "inner"}, "z": "\\/"}', '{"m\\u006fdel": "NEW", "z": "\\/"}'),
        ('{"model":"a","b":1,"model":"c"}', '{"model":"NEW","b":1,"model":"NEW"}'),
        ("{}", '{"model":"NEW"}'),
        (" { } ", ' {"model":"NEW" } '),
        ('{ "a": 1}', '{"model":"NEW", "a": 1}'),
        ('{"a": {"model": "inner"}}', '{"model":"NEW","a": {"model": "inner"}}'),
        ('{"model": 9007199254740993, "big": 1e400}', '{"model": "NEW", "big": 1e400}'),
        ('{"model": "é", "x": "日本"}', '{"model": "NEW", "x": "日本"}'),
        ('{"x": NaN, "model": -Infinity}', '{"x": NaN, "model": "NEW"}'),
    ],
)
def test_only_the_value_changes(body: str, spliced: str | None) -> None:
    expected = spliced or body.replace("null", '"NEW"')
    assert replace_member(body.encode(), "model", "NEW") == expected.encode()


@pytest.mark.parametrize(
    "body",
    [
        *("", " ", "[]", '"model"', "null", "1", "{", '{"a"}', '{"a":}', '{"a":1,}', "{,}"),
        *('{"a":1} x', '{"a":1}{"b":2}', "{'a':1}", "{a:1}", '{"a":1 "b":2}', '{"a\n":1}'),
        *('{"a":01}', '{"a":"\\x"}', '{"a":tru}', "{1:2}", '\u00a0{"a":1}', '{"a":1}\0'),
    ],
)
def test_what_is_no_json_object_is_refused(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what json.loads raises is a ValueError too
        replace_member(body.encode(), "model", "NEW")


def test_nesting_beyond_the_scanner_s_depth_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        replace_member(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "model", "NEW")


def test_invalid_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="can't decode"):
        replace_member(b'{"model": "\xff"}', "model", "NEW")


def test_a_utf_8_byte_order_mark_stays() -> None:
    assert (
        replace_member(b'\xef\xbb\xbf{"model":"a"}', "model", "b") == b'\xef\xbb\xbf{"model":"b"}'
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encodings_come_back_in_utf_8(encoding: str) -> None:
    body = '{"x": "é", "model": "a"}'.encode(encoding)
    assert replace_member(body, "model", "b") == '{"x": "é", "model": "b"}'.encode()


def test_encoded_surrogates_stay_as_they_are() -> None:
    body = b'{"x": "\xed\xa0\x80", "model": "a"}'
    assert replace_member(body, "model", "b") == b'{"x": "\xed\xa0\x80", "model": "b"}'


def test_a_value_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace_member(b"{}", "model", float("nan"))


def test_members_come_in_order_with_the_span_of_their_value() -> None:
    text = ' {"a": [1, 2] , "b":"x","a" : {} } '
    found = [(name, text[start:end]) for name, start, end in find_members(text)]
    assert found == [("a", "[1, 2]"), ("b", '"x"'), ("a", "{}")]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["model", "", "a", "modél", 'quo"te', "back\\slash"])
OBJECTS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


def written(members: list[tuple[str, Any]], space: str, *, ascii_only: bool) -> str:
    """The members as JSON, duplicates and all, with `space` wherever it may stand."""
    parts = (
        space.join((json.dumps(name, ensure_ascii=ascii_only), ":", json.dumps(value)))
        for name, value in members
    )
    return space + "{" + space + f"{space},{space}".join(parts) + space + "}" + space


@given(OBJECTS, NAMES, VALUES, st.text(" \t\n\r", max_size=2), st.booleans())
def test_a_spliced_object_reads_as_one_that_was_changed(
    members: list[tuple[str, Any]], name: str, value: Any, space: str, ascii_only: bool
) -> None:
    body = written(members, space, ascii_only=ascii_only).encode()
    spliced = replace_member(body, name, value)
    assert json.loads(spliced) == json.loads(body) | {name: value}
    assert [pair[0] for pair in json.loads(spliced, object_pairs_hook=list)] == (
        [key for key, _ in members] if name in dict(members) else [name, *(k for k, _ in members)]
    )


@given(OBJECTS, st.text(" \t\n\r", max_size=2), st.booleans())
def test_putting_the_same_text_back_changes_no_byte(
    members: list[tuple[str, Any]], space: str, ascii_only: bool
) -> None:
    body = written([*members, ("model", "a")], space, ascii_only=ascii_only).encode()
    last = {**dict(members), "model": "a"}["model"]
    once = replace_member(body, "model", last)
    assert replace_member(once, "model", last) == once
    if "model" not in dict(members):
        assert once == body


@given(st.binary() | st.text(st.sampled_from('{}[]",:\\ 1atrue')).map(str.encode))
def test_any_bytes_are_an_object_or_a_value_error(body: bytes) -> None:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        assert json.loads(replace_member(body, "model", 1)) == parsed | {"model": 1}
    else:
        with pytest.raises(ValueError):  # noqa: PT011  # what json.loads raises is a ValueError too
            replace_member(body, "model", 1)


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        ('{"a":1}', '{"o":{"m":true},"a":1}'),
        ("{ }", '{"o":{"m":true} }'),
        ('{"a":1, "o" : null }', '{"a":1, "o" : {"m":true} }'),
        ('{"o": { }}', '{"o": {"m":true }}'),
        ('{"o":{"m" : false , "b":\t[1 ]}}', '{"o":{"m" : true , "b":\t[1 ]}}'),
        ('{"o":{"b":{"m":1}, "m":null,"m":0}}', '{"o":{"b":{"m":1}, "m":true,"m":true}}'),
        ('{"o":null,"o":{"b":1},"p":{}}', '{"o":{"m":true},"o":{"m":true,"b":1},"p":{}}'),
        ('\ufeff{"o":{"é":"\\u00e9"}}', '\ufeff{"o":{"m":true,"é":"\\u00e9"}}'),
    ],
)
def test_only_the_member_of_the_member_changes(body: str, spliced: str) -> None:
    assert replace_inner_member(body.encode(), "o", "m", value=True) == spliced.encode()


@pytest.mark.parametrize("body", ['{"o":[]}', '{"o":1}', '{"o":{},"o":"x"}', "[]", '{"o":{}'])
def test_a_member_that_is_no_object_has_no_member(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what json.loads raises is a ValueError too
        replace_inner_member(body.encode(), "o", "m", value=True)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"a":1,"m":null,"b":2}', '{"a":1,"b":2}'),
        (' { "m" : 1 , "b" : 2 } ', ' { "b" : 2 } '),
        ('{ "a": 1 , "m": {"m": 2} }', '{ "a": 1 }'),
        (' { "m" : null } ', " {  } "),
        ('{\n  "a": 1,\n  "m": 2\n}', '{\n  "a": 1\n}'),
        ('{"a":"\\"m\\"","\\u006d":null}', '{"a":"\\"m\\""}'),
    ],
)
def test_a_member_is_found_with_one_comma(text: str, left: str) -> None:
    start, end = removal_of(text, "m") or (0, 0)
    assert text[:start] + text[end:] == left


@pytest.mark.parametrize("text", ["{}", '{"a": {"m": 1}}', '{"m": 1, "m": 1}'])
def test_a_member_that_is_absent_or_not_alone_is_not_found(text: str) -> None:
    assert removal_of(text, "m") is None


@given(OBJECTS, st.integers(0, 6), VALUES, st.text(" \t\n\r", max_size=2), st.booleans())
def test_an_object_without_a_found_member_reads_as_if_it_never_had_it(
    members: list[tuple[str, Any]], at: int, value: Any, space: str, ascii_only: bool
) -> None:
    text = written([*members[:at], ("mine", value), *members[at:]], space, ascii_only=ascii_only)
    start, end = removal_of(text, "mine") or (0, 0)
    without = text[:start] + text[end:]
    assert json.loads(without, object_pairs_hook=list) == json.loads(
        written(members, space, ascii_only=ascii_only), object_pairs_hook=list
    )

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxora_addon.api import quick_json
from foxora_addon.api.large_json import read_slowly

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=9), inner, max_size=6)
    ),
    max_leaves=40,
)


def read(body: bytes, window: int = 65_536) -> tuple[Any, int]:
    """The value, and the number of steps."""
    steps, count = read_slowly(body, window), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def by_json(body: bytes) -> Any:
    try:
        return repr(quick_json.read_slower(body))
    except (ValueError, RecursionError):
        return "refused"


def by_steps(body: bytes, window: int) -> Any:
    try:
        return repr(read(body, window)[0])
    except (ValueError, RecursionError):
        return "refused"


@given(VALUES, st.booleans(), st.sampled_from([None, 1]), st.integers(40, 200))
def test_it_reads_what_json_reads(
    value: Any, is_ascii: bool, indent: int | None, window: int
) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    body = text.encode("utf-8", "surrogatepass")
    assert by_steps(body, window) == by_json(body)


@given(VALUES, st.data(), st.integers(40, 100))
def test_it_refuses_what_json_refuses(value: Any, data: st.DataObject, window: int) -> None:
    body = bytearray(json.dumps(value).encode())
    place = data.draw(st.integers(0, len(body)))
    match data.draw(st.sampled_from(["cut", "change", "insert"])):
        case "cut":
            del body[place:]
        case "change":
            body[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
        case _:
            body[place:place] = data.draw(st.sampled_from([b",", b"]", b"}", b'"', b"\\", b"\n"]))
    assert by_steps(bytes(body), window) == by_json(bytes(body))


@given(
    st.lists(
        st.sampled_from(["\\ud83d", "\\ude00", "\\n", "\\u00e9", "a", '\\"', "\\\\", "é", "ud83d"])
    )
)
@example(["\\ud83d", "\\ude00"] * 400)
@example(["a"] * 631 + ["\\ud83d", "\\ude00"])
@example(["\\\\ud83d"] * 40)
@example(["a", "\\\\", "\\ud83d", "\\ude00"] * 40)
def test_a_string_may_be_cut_anywhere(parts: list[str]) -> None:
    body = f'["{"".join(parts * 5)}"]'.encode()
    assert by_steps(body, 40) == by_json(body)


@given(st.text('a"\\\n\x00é😀\ud83d', max_size=60), st.integers(1, 3), st.integers(40, 60))
@example("😀" * 60, 2, 40)
def test_json_in_json_is_read_alike_by_every_reader(text: str, depth: int, window: int) -> None:
    value: Any = text
    for _ in range(depth):
        value = {"a": json.dumps(value)}
    body = json.dumps(value).encode()
    assert repr(json.loads(body)) == repr(quick_json.read(body)) == by_steps(body, window)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"[1,]",
        b"[1 2]",
        b'{"a":1,}',
        b'{"a" 1}',
        b"{1:2}",
        b'{"a":1}x',
        b'{"a":1} ',
        b"\xef\xbb\xbf[1]",
        b'"a\x01"',
        b"nul",
        b"NaN",
        b"[1.5e3, -Infinity, 12345678901234567890123456789012345678901234567890]",
        b'{"a":1,"a":2}',
        b'"\xff"',
        '["é"]'.encode("utf-16"),
        b"[" * 50 + b"]" * 50,
        b"[" * 500_000 + b"]" * 500_000,
        b"[" + b"9" * 5_000 + b"]",
    ],
)
def test_odd_texts_are_read_as_json_reads_them(body: bytes) -> None:
    assert by_steps(body, 40) == by_json(body)


def test_large_values_lie_only_so_deep() -> None:
    with pytest.raises(RecursionError):
        read(b"[" * 1_000 + b"]" * 1_000, 40)


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"role": "user", "content": "word " * 9}] * 30_000},
        {"input": [[1, 2, 3, 4]] * 100_000},
        {"input": list(range(400_000))},
        {"content": "a" * 5_000_000},
        {"content": 'Some "words".\n' * 300_000},
    ],
)
def test_no_step_is_large(value: Any) -> None:
    body = json.dumps(value).encode()
    found, steps = read(body)
    assert found == value
    assert len(body) / (16 * 65_536) <= steps <= len(body) / 1_000

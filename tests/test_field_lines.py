"""What a field says that comes on several lines, or whose line is broken."""

import pytest

from foxora_addon.field_lines import lines_of, listed, may_break, on_one_line, single, unbroken


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"1\r\n Authorization: Bearer x", b"1 Authorization: Bearer x"),
        (b"1\rContent-Length: 5", b"1 Content-Length: 5"),
        (b"1\nContent-Length: 5", b"1 Content-Length: 5"),
        (b"a\0b", b"a b"),
        (b"a\x0bb\x0c\x01c\x1b[0m \x7f", b"a b c [0m"),
        (b"a \r\n \r\n\t b", b"a  b"),
        (b"\r\n application/json", b"application/json"),
    ],
)
def test_what_breaks_a_line_is_a_space(value: bytes, line: bytes) -> None:
    assert may_break(value)
    assert on_one_line(value) == line
    assert unbroken([(b"X-A", value), (b"x-b", b" \xff")]) == ((b"X-A", line), (b"x-b", b"\xff"))


def test_fields_on_lines_of_their_own_stay_what_they_are() -> None:
    fields = ((b"X-A", b"1"), (b"x-a", b"\t2 \t\x85\xff"))
    assert unbroken(fields) is fields
    assert not may_break(b"".join(part for field in fields for part in field))


def test_a_million_spaces_are_read_in_one_go() -> None:
    assert unbroken([(b"x-a", b" " * 1_000_000 + b"\r\n a")]) == ((b"x-a", b"a"),)


@pytest.mark.parametrize(
    ("lines", "as_list", "as_one"),
    [
        ([], None, None),
        (["1"], "1", "1"),
        (["1", "1"], "1, 1", "1"),
        (["1", "2", "1"], "1, 2, 1", "1, 2, 1"),
        (["", "1"], ", 1", ", 1"),
        (["a, b", "c"], "a, b, c", "a, b, c"),
    ],
)
def test_lines_are_a_list_and_one_value_where_they_say_the_same(
    lines: list[str], as_list: str | None, as_one: str | None
) -> None:
    headers = [
        ("other", "x"),
        *(("X-A" if at % 2 else "x-a", line) for at, line in enumerate(lines)),
    ]
    assert lines_of(headers, "x-a") == lines
    assert (listed(lines), single(lines)) == (as_list, as_one)

"""What a field says whose line is broken."""

import pytest

from foxora_addon.field_lines import unbroken


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"1\r\n Authorization: Bearer x", b"1 Authorization: Bearer x"),
        (b"1\rContent-Length: 5", b"1 Content-Length: 5"),
        (b"1\nContent-Length: 5", b"1 Content-Length: 5"),
        (b"a\0b", b"a b"),
        (b"a \r\n \r\n\t b", b"a  b"),
        (b"\r\n application/json", b"application/json"),
    ],
)
def test_what_breaks_a_line_is_a_space(value: bytes, line: bytes) -> None:
    assert unbroken([(b"X-A", value), (b"x-b", b" \xff")]) == ((b"X-A", line), (b"x-b", b"\xff"))


def test_fields_on_lines_of_their_own_stay_what_they_are() -> None:
    fields = ((b"X-A", b"1"), (b"x-a", b"\t2 \x7f\xff"))
    assert unbroken(fields) is fields


def test_a_million_spaces_are_read_in_one_go() -> None:
    assert unbroken([(b"x-a", b" " * 1_000_000 + b"\r\n a")]) == ((b"x-a", b"a"),)

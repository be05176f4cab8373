"""Headers that are looked up sooner find what mitmproxy's find, and are the same in all else."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.http import Headers, Response

from foxora_addon.proxy.quick_headers import QuickHeaders

_NAMES = [b"Content-Type", b"content-type", b"CONTENT-LENGTH", b"x", b"X", b"x-\xff", b"\xc3\xa9"]
_VALUES = st.sampled_from([b"", b"1", b"a, b", b"\xff", b"\xc3\xa9"])
FIELDS = st.lists(st.tuples(st.sampled_from(_NAMES), _VALUES), max_size=6)
ASKED = ["content-type", "Content-Length", "X", b"x", "y", "", "x-\udcff", "\xe9", b"\xc3\xa9"]


@given(FIELDS, st.sampled_from(ASKED))
def test_a_look_up_gives_what_mitmproxys_gives(
    fields: list[tuple[bytes, bytes]], name: str | bytes
) -> None:
    theirs, ours = Headers(fields), QuickHeaders.of(fields)
    assert ours.get_all(name) == theirs.get_all(name)
    assert ours.get(name) == theirs.get(name)
    assert ours.get(name, "none") == theirs.get(name, "none")
    assert (name in ours) == (name in theirs)
    assert ours.fields == theirs.fields
    assert ours == theirs
    assert theirs == ours
    assert repr(ours) == repr(theirs)
    assert bytes(ours) == bytes(theirs)
    assert bytes(ours) == bytes(theirs)


@pytest.mark.parametrize("name", [1, None, ("x",)])
def test_what_is_no_name_is_refused_in_the_same_words(name: object) -> None:
    told = []
    for headers in (Headers([(b"x", b"1")]), QuickHeaders.of([(b"x", b"1")])):
        with pytest.raises((TypeError, AttributeError)) as refused:
            headers.get_all(name)  # type: ignore[arg-type]
        told.append(str(refused.value))
    assert told[0] == told[1]


def test_what_an_addon_puts_in_is_found() -> None:
    headers = QuickHeaders.of([(b"A", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers["a"] = "4"
    headers.add("c", "5")
    del headers["B"]
    assert headers.fields == ((b"A", b"4"), (b"c", b"5"))
    assert (headers["a"], headers.get("b"), headers["C"]) == ("4", None, "5")
    with pytest.raises(KeyError):
        headers["b"]


def test_they_are_written_anew_as_they_change() -> None:
    headers = QuickHeaders.of([(b"a", b"1")])
    assert bytes(headers) == b"a: 1\r\n"
    headers["a"] = "2"
    assert bytes(headers) == b"a: 2\r\n"
    changing: list[tuple[bytes, bytes]] = []
    headers.fields = changing  # type: ignore[assignment]  # an addon may
    assert bytes(headers) == b""
    changing.append((b"b", b"3"))
    assert bytes(headers) == b"b: 3\r\n"


def test_a_message_with_them_is_copied_and_saved_as_any() -> None:
    response = Response.make(200, b"1")
    plain = response.headers.fields
    response.headers = QuickHeaders.of(plain)
    copies = (response.copy(), copy.deepcopy(response), pickle.loads(pickle.dumps(response)))
    for each in (*copies, Response.from_state(response.get_state())):
        assert each.headers.fields == plain
        assert each.headers.get("content-length") == "1"
        each.headers["content-length"] = "2"
    assert response.headers["Content-Length"] == "1"

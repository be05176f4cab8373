from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.records import light_record_of, record_of
from tests.reading.builders import a_request, a_response, line_of

TRICKY = st.text() | st.sampled_from(
    [',"body":"', '","body_encoding":"', '\\","body":"', ',"chunks":', ',"message":{', '"}', "\\"]
)
MESSAGES = st.recursive(
    st.none() | st.booleans() | TRICKY,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["body", "chunks", "message", "body_encoding"]), inner)
    ),
    max_leaves=8,
)


def without_content(record: Any) -> Any:
    return {name: record[name] for name in record if name != "body"}


@given(st.lists(TRICKY).map("".join), MESSAGES)
def test_a_light_record_is_the_record_but_for_its_content(text: str, inner: Any) -> None:
    message = {"role": "assistant", "content": inner}
    body = text.encode("utf-8", "surrogatepass")
    for record in (
        a_request(body=body),
        a_response(body=body),
        a_response(body=body, message=message, chunks=3),
        a_response(body=None, message=None, folded=message, chunks=3),
        a_response(
            body=None, message=message, error={"code": text, "message": text, "param": None}
        ),
    ):
        light = light_record_of(line_of(record))
        assert light is not None
        assert without_content(light) == without_content(record)


@given(st.integers(min_value=0, max_value=10_000))
def test_a_torn_line_is_no_record(length: int) -> None:
    line = line_of(a_response(body=b"x" * 300)).rstrip()
    torn = line[: length % len(line)]
    assert record_of(torn) is None
    assert light_record_of(torn) is None


def test_what_is_no_record_is_none() -> None:
    for line in (
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"event":1,"exchange":"x"}',
        b"\xff\xfe",
        b"[" * 9999,
    ):
        assert record_of(line) is None
        assert light_record_of(line) is None


def test_a_lone_surrogate_is_read() -> None:
    record = record_of(line_of(a_request(model="\ud800")))
    assert record is not None
    assert record["model"] == "\ud800"

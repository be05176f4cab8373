"""`normalise` over golden files: each error shape that is known, and what becomes of it.

A new shape is a file beside the others and NAME.expected.json with its status and meaning.
"""

import json
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.errors import ApiError, normalise

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = sorted(GOLDEN.glob("*.expected.json"))
CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora"
RECORDED = sorted(CORPUS.glob("error_bodies/*"))

STATUSES = st.integers(400, 599)


def shape_of(error: ApiError) -> Any:
    """The parsed body, asserted to be of exactly the documented shape."""
    parsed = json.loads(error.body().decode("utf-8"))
    assert parsed.keys() == {"error"}
    assert parsed["error"].keys() == {"code", "message", "param"}
    assert isinstance(parsed["error"]["code"], str)
    assert parsed["error"]["code"]
    assert isinstance(parsed["error"]["message"], str)
    assert parsed["error"]["message"]
    assert isinstance(parsed["error"]["param"], str | None)
    return parsed


def a_body(error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name.split(".")[0])
def test_a_known_shape_means_what_its_golden_file_says(expected: Path) -> None:
    (given_file,) = (
        path
        for path in GOLDEN.glob(f"{expected.name.split('.')[0]}.*")
        if not path.name.endswith(".expected.json")
    )
    wanted = json.loads(expected.read_text("utf-8"))
    error = normalise(wanted["status"], [], given_file.read_bytes())
    assert {"status": error.status, **shape_of(error)} == wanted
    assert error.source == "gateway"


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_error_keeps_its_message(recorded: Path) -> None:
    body = recorded.read_bytes()
    error = normalise(400, [], body)
    given_error = json.loads(body)
    given_error = given_error.get("error", given_error)
    assert shape_of(error)["error"]["message"] == given_error["message"]
    if isinstance(code := given_error.get("code"), str) and not code.isdigit():
        assert error.code == code
    if isinstance(param := given_error.get("param"), str):
        assert error.param == param


def test_the_headers_say_how_long_to_wait_and_whether_to_retry() -> None:
    headers = [("Retry-After", "7"), ("X-Should-Retry", "false"), ("Content-Type", "text/html")]
    error = normalise(429, headers, b"slow down")
    assert error == ApiError(
        status=429,
        code="rate_limit_exceeded",
        message="slow down",
        retry_after_seconds=7,
        should_retry=False,
        source="gateway",
        is_quoted=True,
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "invalid_api_key"),
        (402, "payment_required"),
        (405, "request_rejected"),
        (422, "invalid_request"),
        (500, "gateway_error"),
        (503, "unavailable"),
        (599, "gateway_error"),
        (999, "gateway_error"),
    ],
)
def test_a_body_without_a_code_gets_the_status_s(status: int, code: str) -> None:
    assert normalise(status, [], b"").code == code


def test_the_documented_shape_with_more_around_it_is_read_and_not_kept() -> None:
    error = normalise(400, [], b'{"error": {"code": "x", "message": "m", "param": null}, "a": 1}')
    assert shape_of(error) == {"error": {"code": "x", "message": "m", "param": None}}


@pytest.mark.parametrize("depth", [5, 500, 5_000, 200_000])
@pytest.mark.parametrize("pair", ["[]", '{"error": ;}', '{"detail": [;]}'])
def test_deep_nesting_is_survived(depth: int, pair: str) -> None:
    start, end = pair.split(";") if ";" in pair else (pair[0], pair[1])
    error = normalise(500, [], (start * depth + '"deep"' + end * depth).encode())
    shape_of(error)


def test_json_text_within_json_text_is_opened_so_far_and_no_further() -> None:
    text = "innermost"
    for _ in range(12):
        text = json.dumps({"message": text})
    assert "innermost" in normalise(500, [], text.encode()).message


def test_wide_and_nested_lists_are_read_in_part() -> None:
    value: object = "x"
    for _ in range(5):
        value = [value] * 8
    assert normalise(500, [], json.dumps(value).encode()).message == "; ".join("x" * 3**5)


@pytest.mark.parametrize("size", [2_001, 100_000, 500_000])
def test_a_message_is_bounded(size: int) -> None:
    for body in (a_body({"message": "m" * size}), b"m" * size, a_body("m " * size)):
        error = normalise(500, [], body)
        assert 1_900 < len(error.message) <= 2_000
        assert error.message.endswith("…")


def test_a_body_that_is_too_long_is_described_and_not_read() -> None:
    error = normalise(500, [], a_body("m" * 1_100_000))
    assert error.message == (
        "The gateway answered 500 with a body of 1100013 bytes, too long for an error message."
    )


def test_a_code_is_bounded_and_a_token() -> None:
    assert normalise(400, [], a_body({"code": "c" * 64, "message": "m"})).code == "c" * 64
    for code in ("c" * 65, "a b", "<script>", "née", "a\nb", "", "https://example.com/x"):
        assert normalise(400, [], a_body({"code": code, "message": "m"})).code == "invalid_request"


def test_a_param_is_bounded() -> None:
    param = normalise(400, [], a_body({"param": "p" * 1_000, "message": "m"})).param
    assert param is not None
    assert len(param) == 256


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errors", "detail", "message", "code", "type", "status", "param", "loc"]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
BODIES = (
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"error": json.dumps(value)}).encode())
    | st.sampled_from([b"<html>", b"<title>", b"data: ", b"{", b"[", b"\xff\xfe"]).flatmap(
        lambda start: st.binary().map(lambda rest: start + rest)
    )
)


@given(STATUSES, BODIES)
def test_any_bytes_give_the_documented_shape_and_keep_the_status(status: int, body: bytes) -> None:
    error = normalise(status, [], body)
    assert error.status == status
    shape_of(error)
    assert len(error.message) <= 2_000
    assert {category(character) for character in error.message}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})


@given(STATUSES, BODIES)
def test_a_second_pass_changes_nothing(status: int, body: bytes) -> None:
    once = normalise(status, [], body)
    assert normalise(status, [], once.body()) == once

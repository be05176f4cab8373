"""The codes, the documented body and the headers that the SDKs act on."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api import errors
from foxora_addon.api.errors import CODES, ApiError

OWN = [
    errors.invalid_request("The 'model' field is required.", "model"),
    errors.invalid_json("The request's body is not a JSON object."),
    errors.missing_key(),
    errors.invalid_key("This key belongs to no account."),
    errors.spend_limit_reached("The cap of $1 is reached."),
    errors.forbidden_origin("This origin is not listed."),
    errors.not_found("Nothing is at /v2; the API is at /v1."),
    errors.request_too_large("The body is over 100 MiB."),
    errors.rate_limit_exceeded("Please try again in 1.234s.", 1.234),
    errors.rate_limit_exceeded("This call can never fit.", None),
    errors.internal_error(),
    errors.answered_by_addon(500),
    errors.changed_after_record(),
    errors.never_decided_on(),
    errors.gateway_unreachable("The gateway refused the connection."),
    errors.bad_gateway_answer("The gateway's answer is not valid HTTP."),
    errors.unavailable("The proxy is shutting down.", 2),
    errors.gateway_timeout("The gateway took longer than 10 s to connect."),
]


def an_error(**changes: object) -> ApiError:
    values: dict[str, object] = {"status": 400, "code": "invalid_request", "message": "No."}
    return ApiError(**(values | changes))  # type: ignore[arg-type]  # the changes are the test's


def headers_of(error: ApiError) -> Mapping[str, str]:
    headers = dict(error.headers())
    assert len(headers) == len(error.headers())
    return headers


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.code)
def test_our_own_errors_stand_in_the_table(error: ApiError) -> None:
    assert CODES[error.code].status == error.status


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.code)
def test_the_body_is_the_documented_shape(error: ApiError) -> None:
    assert json.loads(error.body()) == {
        "error": {"code": error.code, "message": error.message, "param": error.param}
    }


def test_the_body_is_compact_utf_8() -> None:
    assert an_error(message="Zu groß.").body() == (
        '{"error":{"code":"invalid_request","message":"Zu groß.","param":null}}'.encode()
    )


@given(st.text(st.characters(codec=None)), st.none() | st.text(st.characters(codec=None)))
def test_any_text_makes_a_body(message: str, param: str | None) -> None:
    error = json.loads(an_error(message=message, param=param).body().decode("utf-8"))["error"]
    assert (error["message"], error["param"]) == (message, param)


def test_headers_name_the_source_and_the_type_and_no_length() -> None:
    assert headers_of(an_error(source="network")) == {
        "content-type": "application/json",
        "x-foxora-source": "network",
    }


@pytest.mark.parametrize(
    ("seconds", "whole", "milliseconds"),
    [
        (0, "0", "0"),
        (0.0001, "1", "1"),
        (1.234, "2", "1234"),
        (7, "7", "7000"),
        (60.5, "61", "60500"),
    ],
)
def test_waits_are_rounded_up(seconds: float, whole: str, milliseconds: str) -> None:
    headers = headers_of(an_error(retry_after_seconds=seconds))
    assert headers["retry-after"] == whole
    assert headers["retry-after-ms"] == milliseconds


@pytest.mark.parametrize(
    ("should_retry", "header"), [(True, "true"), (False, "false"), (None, None)]
)
def test_the_advice_on_retries_is_given_if_there_is_one(
    should_retry: bool | None, header: str | None
) -> None:
    assert headers_of(an_error(should_retry=should_retry)).get("x-should-retry") == header


# openai-python's own logic, which has no public name; Any, for its types are no part of the test.
SDK: Any = openai.OpenAI(api_key="sk-obviously-fake", base_url="http://127.0.0.1:1/v1")


def retries(error: ApiError) -> bool:
    """Whether openai-python would try again."""
    decision = SDK._should_retry(httpx.Response(error.status, headers=error.headers()))
    assert isinstance(decision, bool)
    return decision


@pytest.mark.parametrize("error", OWN, ids=lambda error: f"{error.code}_{error.should_retry}")
def test_the_sdk_retries_what_a_retry_can_help_and_nothing_else(error: ApiError) -> None:
    hopeful = {"gateway_unreachable", "bad_gateway_answer", "unavailable", "gateway_timeout"}
    can_fit_later = error.code == "rate_limit_exceeded" and error.retry_after_seconds is not None
    assert retries(error) is (error.code in hopeful or can_fit_later)


def test_a_hopeless_connection_is_not_retried() -> None:
    assert not retries(errors.gateway_unreachable("Not trusted.", should_retry=False))


def test_the_sdk_waits_to_the_millisecond() -> None:
    headers = errors.rate_limit_exceeded("Wait.", 1.234).headers()
    assert SDK._parse_retry_after_header(httpx.Headers(headers)) == 1.234

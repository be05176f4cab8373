"""The summary of a run: what the calls came to, or why there were none."""

from typing import Any

import pytest

from foxora_addon.app.run_words import summary_of
from foxora_addon.tally import Tally

URL = "http://127.0.0.1:9000"


def summary(*, is_shared: bool = False, takes_tunnels: bool = True, **changes: Any) -> list[str]:
    totals = Tally().totals(0) | changes
    return list(summary_of(totals, URL, is_shared=is_shared, takes_tunnels=takes_tunnels))


def test_calls_tokens_and_cost_are_told() -> None:
    figures: dict[str, Any] = {"input_tokens": 1_200, "output_tokens": 34, "total_tokens": 1_234}
    (line,) = summary(calls=3, cost_usd=0.01234, **figures)
    assert line == "3 calls, 1,234 tokens (1,200 in, 34 out), $0.01234"


def test_a_small_cost_is_not_rounded_to_nothing() -> None:
    (line,) = summary(calls=2, cost_usd=4.365e-05, total_tokens=84)
    assert line.endswith(", $0.000044")


def test_a_cost_that_is_not_known_is_not_told() -> None:
    (line,) = summary(calls=1)
    assert line == "1 call, no tokens"


def test_answers_that_told_no_usage_are_told() -> None:
    (line,) = summary(calls=2, total_tokens=31, calls_without_usage=1)
    assert line.endswith("not counting 1 whose answer told no usage")


def test_errors_are_listed_the_most_frequent_first() -> None:
    errors = {f"50{number} gateway_error": 1 for number in range(6)} | {"429 limit": 4}
    line = summary(calls=10, errors=errors)[1]
    assert line.startswith("10 errors: 429 limit (4 times), 500 gateway_error, ")
    assert line.endswith("and 2 more")


def test_calls_that_are_still_open_are_told_where_the_proxy_ends_with_the_command() -> None:
    assert any("still open" in line for line in summary(calls=1, open=1))
    assert not any("still open" in line for line in summary(calls=1, open=1, is_shared=True))
    (line,) = summary(open=1)
    assert line.startswith("1 call still open")


@pytest.mark.parametrize(
    ("totals", "reason"),
    [
        ({"distrusted": {"api.openai.com": 2}, "tunnels": {"a": 1}}, "api.openai.com (2 times)"),
        ({"tunnels": {"api.corp.example": 1}}, "api.corp.example, which is not OpenAI's"),
        ({}, "neither OPENAI_BASE_URL"),
    ],
)
def test_no_calls_come_with_the_likely_reason(totals: dict[str, Any], reason: str) -> None:
    (line,) = summary(**totals)
    assert line.startswith("0 calls seen: ")
    assert reason in line
    assert f"{URL}/v1" in line


def test_no_calls_of_a_reverse_proxy_are_not_put_down_to_a_variable_that_was_not_set() -> None:
    (line,) = summary(takes_tunnels=False)
    assert line.startswith("0 calls seen: CMD made none, or it does not heed OPENAI_BASE_URL (")
    assert f"{URL}/v1" in line
    assert line.endswith("In reverse mode no HTTPS_PROXY is set")


def test_figures_of_a_shared_proxy_are_said_to_be_everybodys() -> None:
    (line,) = summary(calls=1, is_shared=True)
    assert "of all clients" in line

import itertools

import pytest

from foxora_addon.policy.limit_refusal import Denied, LimitName
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Refusal, Scope, error_of, lowest_tokens

ACME = Scope("acme", "Account 'acme'", UNLIMITED)
MINI = Scope("acme model mini", "Model 'mini' of account 'acme'", UNLIMITED)


def a_refusal(
    limit: LimitName,
    figures: tuple[int | None, int | None, int],
    wait: float | None,
    scope: Scope = ACME,
) -> Refusal:
    opens_at = None if wait is None else 100.0 + wait
    return Refusal(scope, Denied(limit, *figures, opens_at, wait, awaits_end=False))


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            a_refusal("requests", (30, 30, 1), 1.2341),
            "Account 'acme' is at its limit of requests per minute: limit 30, used 30, "
            "requested 1. Please try again in 1.234s.",
        ),
        (
            a_refusal("tokens", (1000, 900, 101), 90.0, MINI),
            "Model 'mini' of account 'acme' is at its limit of tokens per minute: limit 1000, "
            "used 900, requested 101. Please try again in 90.000s.",
        ),
        (
            a_refusal("gateway", (None, None, 1), 20.0),
            "Account 'acme' is at its limit, as the gateway said. Please try again in 20.000s.",
        ),
        (
            a_refusal("waiting", (100, 100, 1), 3.0),
            "Account 'acme' is at its limit of waiting requests: limit 100, used 100, "
            "requested 1. Please try again in 3.000s.",
        ),
        (
            a_refusal("turn", (None, None, 1), 0.5),
            "Account 'acme' is busy, and the call's turn did not come while it could wait. "
            "Please try again in 0.500s.",
        ),
        (
            a_refusal("tokens", (1000, 0, 1001), None, MINI),
            "The call needs 1001 tokens, and model 'mini' of account 'acme' has a ceiling of 1000 "
            "tokens per minute, so it can never fit. Lower max_tokens or shorten the prompt, or "
            "have the ceiling raised.",
        ),
        (
            a_refusal("requests", (0, 0, 1), None),
            "Account 'acme' has a ceiling of 0 requests per minute, so no such call can ever be "
            "sent. Have the ceiling raised.",
        ),
        (
            a_refusal("concurrent", (0, 0, 1), None),
            "Account 'acme' has a ceiling of 0 concurrent requests, so no such call can ever be "
            "sent. Have the ceiling raised.",
        ),
        (
            a_refusal("tokens", (0, 0, 5), None),
            "Account 'acme' has a ceiling of 0 tokens per minute, so no such call can ever be "
            "sent. Have the ceiling raised.",
        ),
    ],
)
def test_a_refusal_says_who_is_at_which_limit_and_what_to_do(
    refusal: Refusal, message: str
) -> None:
    error = error_of(refusal)
    assert error.message == message
    assert (error.status, error.code) == (429, "rate_limit_exceeded")


def test_a_wait_is_told_as_it_is_however_long() -> None:
    headers = dict(error_of(a_refusal("gateway", (None, None, 1), 1_800.0002)).headers())
    assert headers["retry-after"] == "1801"
    assert headers["retry-after-ms"] == "1800001"
    assert "x-should-retry" not in headers


def test_what_can_never_fit_is_not_to_be_tried_again() -> None:
    headers = dict(error_of(a_refusal("tokens", (10, 0, 11), None)).headers())
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers


def test_the_lowest_ceiling_of_tokens_is_found_wherever_it_stands() -> None:
    for ceilings in itertools.permutations((None, 400, 90, 200)):
        scopes = [Scope("acme", "", Ceilings(1, tokens)) for tokens in ceilings]
        assert lowest_tokens(scopes) == 90
    assert lowest_tokens([Scope("acme", "", Ceilings(1, None))]) is None

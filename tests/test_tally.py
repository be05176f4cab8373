"""The counts: what is counted, what is bounded, and the figures of a time."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.ending import Ending
from foxora_addon.tally import Tally, since


def an_ending(**changes: Any) -> Ending:
    """A completed chat with 5 tokens in and 26 out."""
    values: dict[str, Any] = {
        "exchange": "ex_0123456789abcdef",
        "account": "acme",
        "operation": "chat",
        "model": "gpt-4o-mini",
        "status": 200,
        "outcome": "completed",
        "source": "gateway",
        "error_code": None,
        "input_tokens": 5,
        "output_tokens": 26,
        "total_tokens": 31,
        "cost_usd": None,
        "first_byte_ms": 12.0,
        "duration_ms": 34.0,
    }
    return Ending(**values | changes)


def test_calls_and_their_tokens_are_added_up() -> None:
    tally = Tally()
    tally.take(an_ending())
    tally.take(an_ending(input_tokens=1, output_tokens=2, total_tokens=3))
    totals = tally.totals(open_exchanges=4)
    assert totals["calls"] == 2
    assert (totals["input_tokens"], totals["output_tokens"], totals["total_tokens"]) == (6, 28, 34)
    assert totals["open"] == 4
    assert totals["errors"] == {}


def test_no_price_is_no_cost_and_not_zero() -> None:
    tally = Tally()
    tally.take(an_ending())
    assert tally.totals(0)["cost_usd"] is None
    tally.take(an_ending(cost_usd=0.25))
    assert tally.totals(0)["cost_usd"] == 0.25


def test_errors_are_counted_by_status_and_code_or_by_what_became_of_them() -> None:
    tally = Tally()
    limited = an_ending(status=429, outcome="refused", error_code="rate_limit_exceeded")
    for ending in (limited, limited, an_ending(status=None, outcome="client_disconnected")):
        tally.take(ending)
    errors = {"429 rate_limit_exceeded": 2, "client_disconnected": 1}
    assert tally.totals(0)["errors"] == errors


def test_a_failure_that_has_a_status_and_no_code_is_named_by_what_became_of_the_call() -> None:
    tally = Tally()
    tally.take(an_ending(outcome="client_disconnected"))
    tally.take(an_ending(status=101, outcome="client_disconnected", operation="responses"))
    tally.take(an_ending(outcome="stream_broken"))
    errors = {"200 client_disconnected": 1, "101 client_disconnected": 1, "200 stream_broken": 1}
    assert tally.totals(0)["errors"] == errors


def test_only_a_completed_call_of_a_model_that_costs_something_owes_its_usage() -> None:
    tally = Tally()
    tally.take(an_ending(total_tokens=None))
    tally.take(an_ending(total_tokens=None, model=None, operation="models"))
    tally.take(an_ending(total_tokens=None, status=500, outcome="gateway_error"))
    tally.take(an_ending(total_tokens=None, source="addon"))
    tally.take(an_ending(total_tokens=None, cost_usd=0.0))
    assert tally.totals(0)["calls_without_usage"] == 1


def test_names_are_bounded() -> None:
    tally = Tally()
    for number in range(1_000):
        tally.tunnelled(f"host{number}.example")
    tunnels = tally.totals(0)["tunnels"]
    assert len(tunnels) <= 201
    assert sum(tunnels.values()) == 1_000


_ENDINGS = st.lists(
    st.builds(
        an_ending,
        total_tokens=st.none() | st.integers(0, 10**6),
        cost_usd=st.none() | st.just(0.5),
        outcome=st.sampled_from(["completed", "refused", "timeout"]),
    ),
    max_size=8,
)


@given(_ENDINGS, _ENDINGS)
def test_what_happened_since_a_moment_is_what_a_tally_begun_then_has(
    before: list[Ending], after: list[Ending]
) -> None:
    whole, fresh = Tally(), Tally()
    for ending in before:
        whole.take(ending)
    start = whole.totals(3)
    for ending in after:
        whole.take(ending)
        fresh.take(ending)
    difference = since(start, whole.totals(1))
    expected = fresh.totals(1)
    if expected["cost_usd"] is None:  # nothing more was spent
        expected["cost_usd"] = difference["cost_usd"] or None
        difference["cost_usd"] = difference["cost_usd"] or None
    assert difference == expected


def test_what_was_unrecorded_before_and_is_on_record_since_is_not_missing() -> None:
    start, end = {"unrecorded": {"full": 3, "gone": 1}}, {"unrecorded": {"full": 2, "gone": 2}}
    assert since(start, end) == {"unrecorded": {"gone": 1}}

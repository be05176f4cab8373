"""What other ceilings would have done, and why a call was decided as it was."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.payers import AccountRules, LimitRules, Payers
from foxora_addon.policy.plans import Ceilings, Me
from foxora_addon.reading import cells
from foxora_addon.reading.decision import Decision, Rebuilding, json_of, lines_of
from foxora_addon.reading.exchanges import shadow_text
from foxora_addon.reading.page import page_of
from foxora_addon.reading.rows import COLUMNS, row_of
from foxora_addon.reading.simulation import Played, Simulation
from foxora_addon.reading.times import iso_of
from tests.builders import NOON
from tests.reading.builders import a_refusal, a_request, a_response, recorded

GUARD = 0.25
MINI = "gpt-4o-mini"


def calls(*moments: float, lasts: float = 0.5) -> list[Any]:
    """Records of calls that begin at these seconds after noon, in the trail's order."""
    timed = []
    for number, at in enumerate(moments):
        timed.append((at, a_request(f"x{number}", at=at)))
        timed.append((at + lasts, a_response(f"x{number}", at=at + lasts)))
    return [record for _, record in sorted(timed, key=lambda item: item[0])]


def played(records: Iterable[Any], ceilings: Ceilings, longest_wait: float = 30.0) -> Played:
    simulation = Simulation(ceilings, longest_wait)
    for record in records:
        simulation.take(record)
    simulation.finish()
    return simulation.accounts["acme"]


def test_under_high_ceilings_all_pass() -> None:
    result = played(calls(0, 1, 2), Ceilings(100, 100_000))
    assert result.at_once.passed == result.waiting.passed == 3
    assert result.waiting.waited == result.at_once.refused.total() == 0


def test_what_is_over_the_ceiling_would_be_refused() -> None:
    result = played(calls(0, 1, 2, 61), Ceilings(2, None))
    assert dict(result.at_once.refused) == {"requests": 1}
    assert result.at_once.passed == 3


def test_or_it_would_wait_until_there_is_room() -> None:
    result = played(calls(0, 1, 55), Ceilings(2, None))
    assert result.waiting.waited == 1
    assert result.waiting.longest == pytest.approx(60 + GUARD - 55, abs=1e-3)
    assert result.waiting.refused.total() == 0


def test_a_call_that_would_wait_too_long_is_refused() -> None:
    result = played(calls(0, 1, 2), Ceilings(2, None), longest_wait=30)
    assert dict(result.waiting.refused) == {"requests": 1}


def test_tokens_count_as_they_were_used() -> None:
    trail = [a_request("a", at=0), a_response("a", at=1), a_request("b", at=2)]
    assert played(trail, Ceilings(None, 32)).at_once.refused.total() == 0
    assert dict(played(trail, Ceilings(None, 31)).at_once.refused) == {"tokens": 1}


REFUSED = {"status": 400, "outcome": "gateway_error", "usage": None}
NEVER_SENT = {"outcome": "gateway_unreachable", "source": "network", "usage": None, "sent_ms": None}
CUT_OFF = {"outcome": "aborted", "usage": None, "duration_ms": None, "sent_ms": None}


@pytest.mark.parametrize(
    ("ending", "requests", "tokens", "actual", "actual_tokens"),
    [
        (REFUSED, 1, 0, "0 tokens, 20 less than estimated", 0),
        (NEVER_SENT, 0, 0, "nothing reached the gateway; all was given back", None),
        (CUT_OFF, 1, 20, "not known; the estimate stands", None),
    ],
    ids=["refused by the gateway", "never sent", "cut off by a crash"],
)
def test_an_ended_call_counts_as_the_proxy_charged_it(
    ending: dict[str, Any], requests: int, tokens: int, actual: str, actual_tokens: int | None
) -> None:
    first = [a_request("a", at=0), a_response("a", at=1, **ending)]
    refusal = a_refusal("r", at=2)
    decision = decided([*first, *refusal], recorded(*refusal), Ceilings(5, 100))
    used = decision.balances[0].used
    assert used is not None
    assert (used.requests, used.tokens) == (requests, tokens)
    of_first = decided(first, recorded(*first), Ceilings(5, 100))
    assert dict(lines_of(of_first))["actual"] == actual
    assert json_of(of_first)["actual_tokens"] == actual_tokens


@pytest.mark.parametrize(
    ("ending", "ceilings", "passes"),
    [
        (REFUSED, Ceilings(None, 39), True),
        (REFUSED, Ceilings(1, None), False),
        (NEVER_SENT, Ceilings(1, 39), True),
        (CUT_OFF, Ceilings(None, 39), False),
    ],
)
def test_a_simulation_charges_an_ended_call_as_the_proxy_did(
    ending: dict[str, Any], ceilings: Ceilings, passes: bool
) -> None:
    trail = [a_request("a", at=0), a_response("a", at=1, **ending), a_request("b", at=2)]
    assert played(trail, ceilings).at_once.refused.total() == (0 if passes else 1)


def test_a_call_that_a_crash_cut_off_counts_from_the_start_after_it() -> None:
    refusal = a_refusal("r", at=70)
    trail = [a_request("a", at=0), a_response("a", at=40, **CUT_OFF), *refusal]
    decision = decided(trail, recorded(*refusal), Ceilings(1))
    assert decision.limit == "requests"
    assert decision.opens_at == pytest.approx(NOON + 100 + GUARD)
    later = [a_request("b", at=70), a_response("b", at=71)]
    assert dict(played([*trail[:2], *later], Ceilings(1)).at_once.refused) == {"requests": 1}


def test_what_is_still_open_has_no_actual_figure() -> None:
    request = a_request("a")
    decision = decided([request], recorded(request), Ceilings(5, 100))
    assert dict(lines_of(decision))["actual"] == "not known yet; the estimate stands"


def test_what_the_trail_has_as_refused_may_pass() -> None:
    result = played([*calls(0), *a_refusal("r", at=1)], Ceilings(2, None))
    assert (result.was_refused, result.at_once.passed) == (1, 2)


def test_refusals_that_are_not_of_limits_are_no_demand() -> None:
    bad = a_request("b", at=1, decision={"verdict": "refuse", "reason": "invalid_request"})
    assert played([*calls(0), bad], Ceilings(1, None)).calls == 1


def test_the_busiest_minute_is_told() -> None:
    result = played(calls(0, 10, 20, 100), Ceilings(100, None))
    assert (result.most_requests, result.most_tokens) == (3, 12 + 12 + 20)


@given(
    st.lists(st.floats(0, 300), min_size=1, max_size=40).map(sorted),
    st.integers(1, 10),
    st.floats(0, 60),
)
def test_every_call_passes_or_is_refused_once_and_no_minute_is_over(
    moments: list[float], ceiling: int, longest_wait: float
) -> None:
    result = played(calls(*moments), Ceilings(ceiling, None), longest_wait)
    for lane in (result.at_once, result.waiting):
        assert lane.passed + lane.refused.total() == len(moments)
        assert not lane._calls
    assert result.waiting.longest <= longest_wait + 1e-6
    waits = [seconds or 0 for seconds in result.waiting.wait_seconds.values()]
    assert waits == sorted(waits)
    assert result.waiting.passed >= 1


def decided(
    records: list[Any],
    exchange: Any,
    ceilings: Ceilings,
    models: Mapping[str, Ceilings] | None = None,
    clients: Mapping[str, Ceilings] | None = None,
) -> Decision:
    rules = AccountRules(ceilings, models=models or {}, clients=clients or {})
    rebuilding = Rebuilding(exchange, Payers(LimitRules({"acme": rules})).scopes_of)
    for record in records:
        rebuilding.take(record)
    rebuilding.finish()
    return rebuilding.decision


def test_balances_are_those_right_before_the_decision() -> None:
    request, response = a_refusal("r", at=2)
    trail = [*calls(0, 1, lasts=0.5), request, response]
    decision = decided(trail, recorded(request, response), Ceilings(2, 1_000))
    used = decision.balances[0].used
    assert used is not None
    assert (used.requests, used.tokens, used.open_exchanges) == (2, 24, 0)
    assert decision.limit == "requests"
    assert decision.opens_at == pytest.approx(NOON + 60 + GUARD)
    told = dict(lines_of(decision))
    assert told["requests"] == "2 of 2 used, 1 more asked <- over"
    assert "<-" not in told["tokens"]
    assert told["would pass"].startswith("after 58.25s")


def test_other_accounts_do_not_count() -> None:
    request, response = a_refusal("r", at=2)
    trail = [a_request("o", at=1, account="globex"), request, response]
    decision = decided(trail, recorded(request, response), Ceilings(1, None))
    used = decision.balances[0].used
    assert used is not None
    assert used.requests == 0
    assert "at once" in dict(lines_of(decision))["would pass"]


def test_of_a_call_that_the_account_had_room_for_no_moment_is_claimed() -> None:
    request, response = a_refusal("r", at=2)
    trail = [a_request("a", at=1), request, response, a_response("a", at=90)]
    found = json_of(decided(trail, recorded(request, response), Ceilings(9, None)))
    assert (found["limit"], found["would_pass_at"], found["passes_at"]) == (None, None, None)


def test_when_it_would_have_passed_as_things_went_is_later() -> None:
    request, response = a_refusal("r", at=2)
    trail = [a_request("a", at=1), request, response, a_response("a", at=90), *calls(3)]
    decision = decided(trail, recorded(request, response), Ceilings(1, None))
    assert decision.opens_at == pytest.approx(NOON + 61 + GUARD)
    assert decision.passes_at is not None
    assert decision.opens_at is not None
    assert decision.passes_at >= decision.opens_at


def test_only_the_end_of_an_open_exchange_may_help() -> None:
    request, response = a_refusal("r", at=2)
    trail = [a_request("a", at=1), request, response, a_response("a", at=90)]
    decision = decided(trail, recorded(request, response), Ceilings(None, 30))
    assert (decision.limit, decision.opens_at) == ("tokens", None)
    assert decision.passes_at is not None
    assert iso_of(decision.passes_at) >= iso_of(NOON + 90)


def test_a_forwarded_call_tells_estimate_and_actual() -> None:
    pair = recorded(*calls(0))
    told = dict(lines_of(decided(calls(0), pair, Ceilings(10, 100))))
    assert told["decision"] == "forwarded"
    assert told["requests"] == "0 of 10 used, 1 more asked"
    assert told["actual"] == "12 tokens, 8 less than estimated"


def test_without_ceilings_the_balances_are_told_all_the_same() -> None:
    request, response = a_refusal("r", at=2)
    decision = decided([*calls(0), request, response], recorded(request, response), Ceilings())
    told = dict(lines_of(decision))
    assert told["requests"] == "1 used, 1 more asked"
    assert told["would pass"].startswith("unknown without ceilings")
    assert json_of(decision)["used"] == {"requests": 1, "tokens": 12, "concurrent": 0}


def test_a_call_that_the_limits_had_no_part_in_says_so() -> None:
    request = a_request(decision={"verdict": "refuse", "reason": "invalid_request"})
    told = dict(lines_of(decided([request], recorded(request, a_response()), Ceilings(1, 1))))
    assert told["decision"] == "refused: invalid_request"
    assert told["limits"] == "had no part in it"


@pytest.mark.parametrize("reason", ["client_disconnected", "unavailable"])
def test_of_a_call_that_left_while_it_waited_is_told_what_it_waited_for(reason: str) -> None:
    waiting = {"verdict": "refuse", "reason": reason, "waited_ms": 4_000.0}
    request = a_request("w", at=9, decision=waiting)
    pair = recorded(request, a_response("w", at=9, outcome=reason, usage=None, sent_ms=None))
    told = dict(lines_of(decided([*calls(0), request], pair, Ceilings(1))))
    assert told["requests"] == "1 of 1 used, 1 more asked <- over"
    assert told["actual"] == "nothing was sent"
    assert told["waited"] == "4.00s"
    assert told["would pass"].startswith("after 51.25s")
    assert played([*calls(0), request], Ceilings(1)).calls == 2


def test_a_call_that_could_never_fit_is_not_said_to_pass_at_once() -> None:
    decision = {"verdict": "refuse", "reason": "rate_limit_exceeded", "estimated_tokens": 100}
    error = {"code": "rate_limit_exceeded", "message": "m", "param": None, "retry_after_ms": None}
    request = a_request("n", decision=decision)
    pair = recorded(request, a_response("n", status=429, outcome="refused", error=error))
    found = decided([request], pair, Ceilings(9, 300), {MINI: Ceilings(None, 100)})
    told = dict(lines_of(found))
    assert told["tokens"] == "0 of 300 used, more than 100 asked"
    assert told["model"] == f"'{MINI}': tokens 0 of 100 used, more than 100 asked <- over"
    assert told["estimate"] == "more than 100 tokens"
    assert told["would pass"].startswith("never under the ceilings that were in force")
    assert json_of(found)["can_fit"] is False
    of_another = decided([request], pair, Ceilings(9, 10**9))
    assert dict(lines_of(of_another))["would pass"] == told["would pass"]


def a_429(exchange: str, *, at: float, wait_ms: float | None, **more: Any) -> Any:
    """The record of an answer of the gateway's that closes the account."""
    error = {"code": "rate_limit_exceeded", "message": "m", "param": None}
    told = {**error, "retry_after_ms": wait_ms}
    ending = {"status": 429, "outcome": "gateway_error", "source": "gateway", "error": told}
    return a_response(exchange, at=at, **ending, **more)


@pytest.mark.parametrize(("wait_ms", "seconds"), [(20_000.0, 20.0), (None, 1.0)])
def test_a_pause_that_the_gateway_set_is_why(wait_ms: float | None, seconds: float) -> None:
    request, response = a_refusal("r", at=1.4)
    trail = [a_request("a"), a_429("a", at=1, wait_ms=wait_ms), request, response]
    for ceilings in (Ceilings(10, 1_000), Ceilings()):
        decision = decided(trail, recorded(request, response), ceilings)
        assert (decision.limit, decision.opens_at) == ("gateway", NOON + 1 + seconds)
        told = dict(lines_of(decision))
        assert told["paused"].startswith(
            f"by the gateway's own 429, until {iso_of(NOON + 1 + seconds)}"
        )
        assert told["would pass"].startswith(
            f"after {seconds - 0.4:.2f}s" if seconds > 1 else "after 600ms"
        )
        assert json_of(decision)["paused_until"] == iso_of(NOON + 1 + seconds)


def test_a_try_that_the_gateway_refused_pauses_as_well() -> None:
    request, response = a_refusal("r", at=2)
    one = {"status": 429, "code": "x", "source": "gateway", "after_ms": 250.0}
    trail = [
        a_request("a"),
        a_response("a", at=1, duration_ms=1000.0, tries=[one | {"retry_after_ms": 5_000.0}]),
        *(request, response),
    ]
    assert decided(trail, recorded(request, response), Ceilings()).opens_at == NOON + 5.25


def test_a_call_that_was_given_up_pauses_no_longer_than_its_last_try_did() -> None:
    refusal = a_refusal("r", at=6)
    one = {"status": 429, "code": "x", "source": "gateway", "after_ms": 250.0, "sent_ms": 10.0}
    tries = [one | {"retry_after_ms": 5_000.0}]
    times = {"at": 5.5, "duration_ms": 5_500.0, "sent_ms": 10.0}
    trail = [a_request("a"), a_429("a", wait_ms=5_000.0, tries=tries, **times)]
    assert decided([*trail, *refusal], recorded(*refusal), Ceilings(9)).paused_until is None
    result = played([*trail, a_request("b", at=6), a_response("b", at=7)], Ceilings(9))
    assert result.at_once.refused.total() == 0
    trail[1]["time"] = iso_of(NOON + 5.2)
    trail[1]["duration_ms"] = 5_200.0
    refusal = a_refusal("r", at=5.22)
    assert decided([*trail, *refusal], recorded(*refusal), Ceilings(9)).paused_until == NOON + 5.25


def tried(*moments: float, **last: Any) -> list[Any]:
    """A call of noon's that was sent at these seconds, each time for 100 ms and 8 tokens."""
    *before, sent = moments
    ended = sent + 0.1
    tries = [
        {"status": 503, "source": "gateway", "sent_ms": at * 1e3, "after_ms": at * 1e3 + 100}
        for at in before
    ]
    usage = {"input_tokens": 8, "output_tokens": 0, "total_tokens": 8, "source": "estimated"}
    figures = {"duration_ms": ended * 1e3, "sent_ms": sent * 1e3, "usage": usage}
    each = [tried | {"tokens": 8} for tried in tries]
    return [a_request("a"), a_response("a", at=ended, tries=each, **(figures | last))]


def test_each_try_of_a_call_counts_from_its_own_moment() -> None:
    request, response = a_refusal("r", at=20)
    trail = [*tried(0, 5, 10), request, response]
    decision = decided(trail, recorded(request, response), Ceilings(3, None))
    used = decision.balances[0].used
    assert used is not None
    assert (used.requests, used.tokens, used.open_exchanges) == (3, 24, 0)
    assert decision.opens_at == pytest.approx(NOON + 60 + GUARD)
    request, response = a_refusal("r", at=63)
    trail = [*tried(0, 5, 10), request, response]
    decision = decided(trail, recorded(request, response), Ceilings(2, None))
    assert decision.opens_at == pytest.approx(NOON + 65 + GUARD)


def test_each_try_of_a_call_counts_as_much_longer_as_the_guard_is() -> None:
    guard = {"guard_seconds": 7.5}
    request, response = a_refusal("r", at=20)
    request["decision"] |= guard
    began, ended = tried(0, 5, 10)
    began["decision"] |= guard
    decision = decided([began, ended, request, response], recorded(request, response), Ceilings(3))
    assert decision.opens_at == pytest.approx(NOON + 67.5)
    later = [a_request("b", at=62, decision=guard), a_response("b", at=63)]
    assert played([began, ended, *later], Ceilings(3)).at_once.refused.total() == 1


def test_a_further_try_that_was_never_sent_counts_for_nothing() -> None:
    request, response = a_refusal("r", at=20)
    began, ended = tried(0, 5, 5, usage=None)
    decision = decided([began, ended, request, response], recorded(request, response), Ceilings())
    used = decision.balances[0].used
    assert used is not None
    assert (used.requests, used.tokens) == (2, 16)


def test_a_simulation_counts_each_try_as_much_later_as_its_call_came() -> None:
    later = [a_request("b", at=20), a_response("b", at=21)]
    result = played([*tried(0, 5, 10), *later], Ceilings(3, None))
    assert dict(result.at_once.refused) == {"requests": 1}
    assert result.most_requests == 4
    first = [a_request("f", at=-40), a_response("f", at=-39)]
    result = played([*first, *tried(0, 5, 10), *later], Ceilings(1, None), longest_wait=120)
    assert result.waiting.longest == pytest.approx(20 + GUARD + 0.01 + 10 + 60 + GUARD - 20)


@pytest.mark.parametrize(
    "answer",
    [
        a_429("a", at=1, wait_ms=0.0),
        a_429("a", at=1, wait_ms=9_000.0) | {"source": "addon"},
        a_429("a", at=1, wait_ms=9_000.0) | {"status": 503},
        a_429("a", at=1, wait_ms=9_000.0) | {"error": {"code": "x", "message": "m", "param": None}},
    ],
    ids=["no time to wait", "our own", "another status", "an older record"],
)
def test_what_is_no_pause_is_none(answer: Any) -> None:
    request, response = a_refusal("r", at=2)
    trail = [a_request("a"), answer, request, response]
    assert decided(trail, recorded(request, response), Ceilings(9, None)).paused_until is None


def test_a_pause_that_the_gateway_set_holds_in_a_simulation_too() -> None:
    trail = [a_request("a"), a_429("a", at=1, wait_ms=20_000.0)]
    trail += [a_request("b", at=5), a_response("b", at=6)]
    result = played(trail, Ceilings(100, 100_000))
    assert dict(result.at_once.refused) == {"gateway": 1}
    assert result.waiting.passed == 2
    assert result.waiting.longest == pytest.approx(16.0)


def test_what_shadow_mode_would_have_said_is_shown() -> None:
    shadow = {"code": "rate_limit_exceeded", "message": "at its limit", "retry_after_ms": 5.0}
    exchange = recorded(a_request(decision={"shadow": shadow}), a_response())
    words = "would have kept it back: rate_limit_exceeded: at its limit"
    told = decided([exchange.request], exchange, Ceilings(1, 1))
    assert dict(lines_of(told))["shadow"] == words
    assert json_of(told)["shadow"] == shadow
    assert ("shadow", words) in [(line.label, line.text) for line in page_of(exchange)]
    assert dict(zip(COLUMNS, row_of(exchange), strict=True))["shadow_code"] == shadow["code"]
    assert cells.json_of(exchange)["shadow_code"] == shadow["code"]
    wordless = recorded(a_request(decision={"shadow": shadow | {"message": None}}), a_response())
    assert shadow_text(wordless) == "would have kept it back: rate_limit_exceeded"


def of(client: str | None) -> dict[str, Any]:
    """A request's member for the client of that name."""
    facts = {"address": "10.0.0.7", "key": None, "user_agent": None, "retry": None}
    return {"client": {"name": client, **facts}}


BEFORE = [
    *(a_request("a", at=0, model="gpt-4o"), a_response("a", at=0.5)),
    *(a_request("b", at=1, **of("batch")), a_response("b", at=1.5)),
    *(a_request("c", at=2, model="gpt-4o", **of("batch")), a_response("c", at=2.5)),
    *(a_request("o", at=3, account="globex", **of("batch")), a_response("o", account="globex")),
]


def test_what_a_calls_model_and_client_had_used_of_their_own_ceilings_is_rebuilt() -> None:
    refusal = a_refusal("r", at=5, **of("batch"))
    models = {MINI: Ceilings(None, 7_000), "gpt-4o": Ceilings(1)}
    clients = {"batch": Ceilings(2), "other": Ceilings(1)}
    decision = decided([*BEFORE, *refusal], recorded(*refusal), Ceilings(100), models, clients)
    told = dict(lines_of(decision))
    assert told["requests"] == "3 of 100 used, 1 more asked"
    assert told["model"] == f"'{MINI}': tokens 12 of 7,000 used, 20 more asked"
    assert told["client"] == "'batch': requests 2 of 2 used, 1 more asked <- over"
    assert told["would pass"].startswith("after 56.25s, if no other call had come; as things")
    found = json_of(decision)
    assert found["limit_of"] == {"kind": "client", "name": "batch"}
    assert found["below"][0]["used"] == {"requests": 1, "tokens": 12, "concurrent": 0}
    assert (found["below"][1]["requests_per_minute"], found["below"][1]["kind"]) == (2, "client")
    assert found["would_pass_at"] == iso_of(NOON + 61 + GUARD)


def test_a_call_passes_once_there_is_room_in_all_that_it_is_held_to() -> None:
    request, response = a_refusal("r", at=5, **of("batch"))
    open_call = [a_request("x", at=4, **of("batch")), request, response]
    trail = [*BEFORE, *open_call, a_response("x", at=63)]
    for ceilings, passes in ((Ceilings(1), 64 + GUARD), (Ceilings(100), 63)):
        decision = decided(
            trail, recorded(request, response), ceilings, {}, {"batch": Ceilings(None, None, 1)}
        )
        assert decision.opens_at is None
        assert decision.passes_at == pytest.approx(NOON + passes)
        assert decision.limit_of is not None
        assert decision.limit_of.kind == ("account" if ceilings == Ceilings(1) else "client")


def test_accounts_that_turned_out_to_be_one_are_counted_together() -> None:
    rules = AccountRules(Ceilings(9), models={MINI: Ceilings(9)})
    payers = Payers(LimitRules({"acme": rules, "globex": rules}))
    for name in ("acme", "globex"):
        payers.standings.take(name, Me("usr_1", None, Ceilings()), is_configured=True)
    refusal = a_refusal("r", at=5)
    rebuilding = Rebuilding(recorded(*refusal), payers.scopes_of)
    for record in [*BEFORE, *refusal]:
        rebuilding.take(record)
    used = [balance.used and balance.used.requests for balance in rebuilding.decision.balances]
    assert used == [4, 1], "the account's, and its own model's"


def test_of_each_try_of_a_call_a_models_ceiling_counts_one() -> None:
    refusal = a_refusal("r", at=20)
    trail = [*tried(0, 5, 10), *refusal]
    decision = decided(trail, recorded(*refusal), Ceilings(), {MINI: Ceilings(3)})
    assert decision.balances[1].used == (3, 24, 0)
    assert decision.opens_at == pytest.approx(NOON + 60 + GUARD)


def test_what_asks_for_more_than_the_lowest_ceiling_has_asks_for_that_much() -> None:
    refusal = a_refusal("r", at=5)
    decision = decided(
        [*BEFORE, *refusal], recorded(*refusal), Ceilings(9), {MINI: Ceilings(9, 15)}
    )
    assert decision.tokens == 15
    assert dict(lines_of(decision))["model"].endswith("tokens 12 of 15 used, 15 more asked <- over")


def test_a_pause_of_the_gateways_is_its_accounts() -> None:
    refusal = a_refusal("r", at=2)
    trail = [a_request("a", model="gpt-4o"), a_429("a", at=1, wait_ms=20_000.0), *refusal]
    decision = decided(trail, recorded(*refusal), Ceilings(9), {MINI: Ceilings(9)})
    assert (decision.limit, decision.opens_at) == ("gateway", NOON + 21)
    assert decision.limit_of is not None
    assert decision.limit_of.kind == "account"


def test_ceilings_below_an_account_whose_own_are_not_known_may_tell_why() -> None:
    refusal = a_refusal("r", at=5, **of("batch"))
    trail = [*BEFORE, *refusal]
    shown = {
        ceiling: dict(
            lines_of(
                decided(trail, recorded(*refusal), Ceilings(), {}, {"batch": Ceilings(ceiling)})
            )
        )["would pass"]
        for ceiling in (2, 3)
    }
    assert shown[2].startswith("after 56.25s")
    assert shown[3].startswith("unknown without ceilings")

"""The comment of an exchange, and which flows are let go."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection, http

from foxora_addon.ending import Open
from foxora_addon.proxy import flows
from foxora_addon.proxy.flow_list import (
    Kept,
    changed_of,
    comment_of,
    comment_of_open,
    comment_on,
    mark_of_open,
    superfluous,
    tell_in,
    untell,
)
from tests.test_tally import an_ending


def test_a_comment_says_cost_tokens_model_and_account() -> None:
    assert comment_of(an_ending(cost_usd=0.00025)) == "$0.00025 5+26 tok · gpt-4o-mini · acme"


def test_large_figures_fit_into_the_column() -> None:
    ending = an_ending(input_tokens=120_345, output_tokens=2_666, cost_usd=0.0312)
    assert comment_of(ending).startswith("$0.031 120k+2666 tok")


def test_what_was_unusual_comes_first() -> None:
    refused = an_ending(outcome="refused", error_code="rate_limit_exceeded", input_tokens=None)
    assert comment_of(refused) == "rate_limit_exceeded (refused) · 31 tok · gpt-4o-mini · acme"
    assert comment_of(an_ending(waited_ms=1240.0)).startswith("waited 1.24s · 5+26 tok · ")
    failed = an_ending(outcome="gateway_error", error_code="gateway_error")
    assert comment_of(failed).startswith("gateway_error · ")
    lost = an_ending(
        outcome="client_disconnected",
        model=None,
        account=None,
        input_tokens=None,
        total_tokens=None,
    )
    assert comment_of(lost).startswith("client_disconnected · chat · ")


def test_foreign_text_can_neither_steer_a_window_nor_fill_it() -> None:
    comment = comment_of(an_ending(model="\x1b[2J\n\u202e" + "m" * 500))
    assert comment.isprintable()
    assert len(comment) < 100


def a_flow() -> http.HTTPFlow:
    return http.HTTPFlow(
        connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2)),
        connection.Server(address=None),
    )


def test_a_replay_is_told_in_place_of_what_it_repeats() -> None:
    flow = a_flow()
    tell_in(flow, an_ending(outcome="refused", error_code="rate_limit_exceeded"))
    assert flow.marked == ":warning:"
    tell_in(flow, an_ending())
    assert flow.comment == comment_of(an_ending())
    assert flow.marked == ""


def test_what_the_user_wrote_and_marked_stays() -> None:
    flow = a_flow()
    flow.comment, flow.marked = "look here", ":star:"
    for ending in (an_ending(), an_ending(outcome="timeout")):
        tell_in(flow, ending)
        assert flow.comment == f"look here · {comment_of(ending)}"
        assert flow.marked == ":star:"


def test_nothing_but_the_users_words_stay_in_what_is_no_exchange_any_more() -> None:
    flow = a_flow()
    flow.comment, flow.metadata["theirs"] = "look here", "stays"
    tell_in(flow, an_ending(outcome="timeout"))
    flow.metadata[flows.EXCHANGE] = "ex_1"
    untell(flow)
    assert (flow.comment, flow.marked, flow.metadata) == ("look here", "", {"theirs": "stays"})


def an_open_call(**facts: Any) -> Open:
    return Open(**{"account": "acme", "operation": "chat", "model": "gpt-4o-mini", **facts})


def test_an_open_calls_comment_says_how_it_stands() -> None:
    assert comment_of_open(an_open_call()) == "open · gpt-4o-mini · acme"
    assert comment_of_open(an_open_call(tries=1)) == "open, try 2 · gpt-4o-mini · acme"
    waiting = comment_of_open(an_open_call(waiting_seconds=3.2, model=None, account=None))
    assert waiting == "waiting 3.20s · chat · no account"


def test_what_became_of_a_call_is_told_in_place_of_how_it_stood() -> None:
    flow = a_flow()
    flow.comment = "look here"
    for call in (an_open_call(waiting_seconds=1.0), an_open_call(waiting_seconds=2.0)):
        comment_on(flow, comment_of_open(call), mark_of_open(call))
        assert flow.comment == f"look here · {comment_of_open(call)}"
        assert flow.marked == ":hourglass:"
    tell_in(flow, an_ending())
    assert flow.comment == f"look here · {comment_of(an_ending())}"
    assert flow.marked == ""


def test_of_many_open_calls_a_few_are_told_at_once_and_the_untold_first() -> None:
    calls = [(a_flow(), an_open_call(waiting_seconds=9.0)) for _ in range(40)]
    told = an_open_call(waiting_seconds=8.0)
    for flow, _ in calls[:20]:
        comment_on(flow, comment_of_open(told), "")
    comment_on(calls[39][0], comment_of_open(calls[39][1]), "")
    changed = changed_of(calls)
    assert changed[:19] == calls[20:39]
    assert changed[19:] == calls[:13]


def kept(*sizes: int, staying: tuple[int, ...] = ()) -> list[Kept]:
    return [Kept(size, index in staying) for index, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("flows", "most", "most_bytes", "gone"),
    [
        (kept(1, 1, 1), 2, 0, [0]),
        (kept(1, 1, 1), 0, 2, [0]),
        (kept(1, 1, 1), 0, 0, []),
        (kept(5, 1, 1), 3, 2, [0]),
        (kept(5, 1, 1, staying=(0,)), 1, 0, [1, 2]),
        (kept(5, 1, 1, staying=(0, 1, 2)), 1, 1, []),
        ([], 1, 1, []),
    ],
)
def test_the_oldest_go_until_both_bounds_hold(
    flows: list[Kept], most: int, most_bytes: int, gone: list[int]
) -> None:
    assert list(superfluous(flows, most, most_bytes)) == gone


@given(
    st.lists(st.builds(Kept, st.integers(0, 50), st.booleans()), max_size=20),
    st.integers(0, 20),
    st.integers(0, 500),
)
def test_no_more_go_than_have_to_and_none_that_must_stay(
    flows: list[Kept], most: int, most_bytes: int
) -> None:
    gone = list(superfluous(flows, most, most_bytes))
    left = [each for index, each in enumerate(flows) if index not in gone]
    assert not any(flows[index].must_stay for index in gone)
    fits = (not most or len(left) <= most) and (
        not most_bytes or sum(each.size for each in left) <= most_bytes
    )
    assert fits or all(each.must_stay for each in left)
    if gone:
        one_more = [*left, flows[gone[-1]]]
        size = sum(each.size for each in one_more)
        assert 0 < most < len(one_more) or 0 < most_bytes < size

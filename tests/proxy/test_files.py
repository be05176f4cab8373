"""The book of open files: who has one, and who is turned away."""

import pytest

from foxora_addon.proxy.failures import worded
from foxora_addon.proxy.files import (
    OWN_FILES,
    FileBook,
    Shares,
    limit_for,
    raised,
    shares_of,
    shortage,
)
from foxora_addon.proxy.hold_desk import ErrorCode, Failure


def a_book(clients: int = 3, gateways: int = 2) -> FileBook:
    book = FileBook()
    book.share(64, Shares(clients, gateways))
    return book


@pytest.mark.parametrize("limit", [0, 20, 40, 64, 256, 1_024, 65_536])
@pytest.mark.parametrize("each", [1, 2])
def test_shares_leave_files_for_the_process_itself(limit: int, each: int) -> None:
    clients, gateways = shares_of(limit, 12, each)
    assert clients > gateways > 0, "those beyond the gateway's share can be told so"
    most = clients + each * gateways + 12 + OWN_FILES
    assert most <= max(limit, 12 + OWN_FILES + 2 + each)


@pytest.mark.parametrize("calls", [1, 10, 100, 2_000, 30_000])
@pytest.mark.parametrize("each", [1, 2])
def test_the_limit_that_is_advised_suffices(calls: int, each: int) -> None:
    wanted = limit_for(calls, 12, each)
    assert shares_of(wanted, 12, each).gateways >= calls


@pytest.mark.parametrize("is_mock", [True, False])
def test_a_limit_is_too_low_until_it_is_the_advised_one(*, is_mock: bool) -> None:
    short = shortage(256, 12, 2_000, is_mock=is_mock)
    assert short is not None
    advised = limit_for(2_000, 12, 2 if is_mock else 1)
    assert short[0].startswith("256 open files are enough for ")
    assert short[1].startswith(f"raise the limit (ulimit -n {advised}, ")
    assert shortage(advised, 12, 2_000, is_mock=is_mock) is None
    assert shortage(-1, 12, 2_000, is_mock=is_mock) is None, "there is no limit"


def test_a_limit_is_raised_as_far_as_it_may_be_and_never_lowered() -> None:
    assert raised(64, 256, 4_000) == 256
    assert raised(64, -1, 4_000) == 65_536
    assert raised(64, 1 << 20, 90_000) == 90_000
    assert raised(1 << 18, 1 << 20, 4_000) == 1 << 18
    assert raised(-1, -1, 4_000) == -1


def test_nobody_is_turned_away_before_there_are_shares() -> None:
    book = FileBook()
    assert all(book.client_came(str(number)) for number in range(1_000))
    assert all(book.gateway_wanted("c", str(number)) for number in range(1_000))
    assert book.takes_call("x")
    assert book.held == 2_000
    assert book.news(0.0) is None


def test_a_client_beyond_its_share_has_no_room_until_one_leaves() -> None:
    book = a_book(clients=2)
    assert [book.client_came(client) for client in "abc"] == [True, True, False]
    assert book.room_for_clients == 0
    book.client_left("c")  # it is told of as well, and had nothing
    assert not book.client_came("d")
    book.client_left("a")
    assert book.room_for_clients == 1
    assert book.client_came("e")


def test_a_call_is_taken_where_its_client_has_a_connection_or_can_have_one() -> None:
    book = a_book(gateways=2)
    assert book.gateway_wanted("a", "1")
    assert book.takes_call("b")
    assert book.gateway_wanted("b", "2")
    assert book.is_full
    assert book.takes_call("a"), "it has one already"
    assert not book.takes_call("c")
    assert not book.gateway_wanted("a", "3"), "each call of an HTTP/2 client may want one"
    book.gateway_left("a", "3")  # what had no room is told of as failed
    assert not book.takes_call("c")
    book.gateway_left("b", "2")
    assert book.takes_call("c")
    assert book.gateway_wanted("c", "4")


def test_connections_that_a_client_leaves_behind_are_forgotten_at_the_second_sweep() -> None:
    book = a_book(gateways=1)
    book.client_came("a")
    book.gateway_wanted("a", "1")
    book.client_left("a")
    book.sweep()
    assert book.is_full, "mitmproxy may be about to close it"
    book.sweep()
    assert book.held == 0
    book.gateway_left("a", "1")
    assert book.held == 0
    assert book.takes_call("b")


def test_connections_that_end_after_their_client_count_once() -> None:
    book = a_book(gateways=2)
    book.client_came("a")
    book.gateway_wanted("a", "1")
    book.gateway_wanted("a", "2")
    book.client_left("a")
    book.gateway_left("a", "1")
    book.gateway_left("a", "1")
    assert book.held == 1
    book.sweep()
    book.sweep()
    assert book.held == 0


def test_a_book_that_errs_is_put_right_by_what_is_there() -> None:
    book = a_book(clients=2, gateways=2)
    for client in "ab":
        book.client_came(client)
        book.gateway_wanted(client, f"{client}1")
    assert book.is_full
    assert not book.client_came("c")
    book.keep_only({"a", "a1", "x"})
    assert book.held == 2
    assert book.takes_call("d")
    assert book.client_came("d")
    book.gateway_left("a", "a1")
    assert book.held == 2


def test_who_was_turned_away_is_told_once_a_minute_and_at_the_end() -> None:
    book = a_book(clients=1, gateways=1)
    assert book.news(0.0) is None
    for client in "abc":
        book.client_came(client)
    book.gateway_wanted("a", "1")
    book.takes_call("b")
    words = "too few open files (the limit is 64): 2 connections closed, 1 calls refused"
    assert book.news(1.0) == words
    assert book.news(100.0) is None
    book.ran_out("Too many open files in system", 3)
    assert book.news(101.0) == (
        "too few open files (the limit is 64): 3 connections closed, "
        "the system had none left (Too many open files in system)"
    )
    book.client_came("d")
    assert book.news(120.0) is None, "it was told less than a minute ago"
    assert book.news(120.0, is_last=True) is not None
    assert book.news(999.0) is None


def test_a_failure_to_connect_for_want_of_files_is_worded_as_ours() -> None:
    failure = Failure("[Errno 24] Too many open files", ErrorCode.CONNECT_FAILED)
    error = worded(failure, "gateway.test:443").error
    assert error is not None
    assert "no open file left" in error.message

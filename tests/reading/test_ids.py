import json

import pytest

from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.grep import parse_grep
from foxora_addon.reading.ids import Search, Unknown
from tests.reading.builders import a_request, a_response, line_of

IDS = ("ex_abc", "ex_abd", "ex_x", "ex_xy", 'odd"\\id')
LINES = [line for i in IDS for line in (line_of(a_request(i)), line_of(a_response(i)))]


def found(prefix: str, filters: Filters | None = None) -> Recorded:
    search = Search(prefix, filters or Filters())
    for line in LINES:
        search.take(line)
    return search.found("trail.jsonl")


@pytest.mark.parametrize(
    ("prefix", "exchange"), [("ex_abc", "ex_abc"), ("ex_xy", "ex_xy"), ('odd"', 'odd"\\id')]
)
def test_a_unique_prefix_is_enough(prefix: str, exchange: str) -> None:
    recorded = found(prefix)
    assert recorded.id == exchange
    assert recorded.request is not None
    assert recorded.response is not None


def test_a_line_that_another_program_wrote_is_found() -> None:
    search = Search("ex_abc", Filters())
    search.take(json.dumps(json.loads(LINES[0])).encode())
    assert search.found("trail.jsonl").id == "ex_abc"


def test_a_whole_id_wins_over_those_that_it_begins() -> None:
    assert found("ex_x").id == "ex_x"


def test_a_prefix_of_several_names_some_of_them() -> None:
    with pytest.raises(Unknown, match="ex_abc, ex_abd; give more of one"):
        found("ex_ab")


def test_a_prefix_of_none_says_what_would_be_accepted() -> None:
    with pytest.raises(
        Unknown, match=r"no exchange of trail\.jsonl begins with 'nope': give an id"
    ):
        found("nope")


def test_filters_narrow_what_a_prefix_may_mean() -> None:
    with pytest.raises(Unknown, match="filters: without them it is there"):
        found("ex_abc", Filters(accounts=["globex"]))


def test_the_one_that_is_wanted_is_found_behind_any_number_that_are_not() -> None:
    many = [(a_request(f"ex_{n}"), a_response(f"ex_{n}")) for n in range(100)]
    last = a_request("ex_z", body={"input": "a needle"}), a_response("ex_z", status=503)
    for filters in (Filters(statuses=[range(503, 504)]), Filters(grep=parse_grep("needle"))):
        search = Search("ex_", filters)
        for record in (*(record for pair in many for record in pair), *last):
            search.take(line_of(record))
        assert search.found("trail.jsonl").id == "ex_z"


def test_an_open_one_may_be_wanted() -> None:
    search = Search("ex_", Filters(outcomes=["open"]))
    for record in (a_request("ex_1"), a_request("ex_2"), a_response("ex_1")):
        search.take(line_of(record))
    assert search.found("trail.jsonl").id == "ex_2"


def test_an_id_that_is_only_quoted_is_not_found() -> None:
    search = Search("ex_q", Filters())
    search.take(line_of(a_request("ex_1", body=b'{"exchange":"ex_q"}')))
    with pytest.raises(Unknown):
        search.found("trail.jsonl")


def test_a_prefix_that_all_ids_share_keeps_few_records() -> None:
    search = Search("ex_", Filters())
    for number in range(1_000):
        search.take(line_of(a_request(f"ex_{number}")))
        search.take(line_of(a_response(f"ex_{number}")))
    assert len(search._wanted) < 10

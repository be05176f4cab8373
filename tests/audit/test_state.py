import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.api.money import json_number_of
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.state import (
    State,
    StateNotSaved,
    Written,
    load,
    path_beside,
    rebuilt,
    save,
)
from foxora_addon.policy.reckoning import Saved
from foxora_addon.policy.spend_month import MonthSpend, calendar_month
from tests.builders import NOON, a_request_of, a_response_of, as_it_is, records_of

DAY = 86_400.0
RENEWAL = NOON + 5 * DAY
AMOUNTS = st.decimals(min_value=0, max_value=1_000, places=9)
MONTH = MonthSpend(RENEWAL, Decimal("12.41"), Decimal("0.00000075"), Decimal("0.1"))
CAPPED = replace(MONTH, told_cap_usd=Decimal(100))
SHORT = replace(MONTH, anchor=RENEWAL - 3 * DAY)
ENTERED = SHORT.at(RENEWAL)
STATE = State({"acme": Written(MONTH, NOON + 0.25, 17)})


def a_record(seq: int, cost: object, time: object = "2026-11-23T12:00:01.5Z", **more: Any) -> Any:
    return {
        "event": "response",
        "seq": seq,
        "time": time,
        "account": "acme",
        "cost_usd": cost,
        "usage": {"source": "reported"},
        **more,
    }


def since_of(state: State) -> Decimal:
    return state.accounts["acme"].month.since_usd


def test_it_lies_beside_the_trail() -> None:
    assert path_beside(Path("/x/foxora-audit.jsonl")) == Path("/x/foxora-audit.jsonl.state.json")


@pytest.mark.parametrize("month", [MONTH, CAPPED, SHORT, ENTERED])
def test_what_is_saved_is_loaded_again(tmp_path: Path, month: MonthSpend) -> None:
    saved = Saved("e3f63d66", 36_000.25, 18)
    state = replace(STATE, saved=saved).with_months({"other": month}, NOON + 1, 18)
    save(tmp_path / "s", state)
    assert load(tmp_path / "s") == state


def test_the_gateways_cap_outlives_a_restart_and_a_renewal() -> None:
    state = State().with_months({"acme": CAPPED}, NOON, 17)
    later = rebuilt(state, [a_record(18, 0.5, "2026-11-29T00:00:00Z")])
    assert later.accounts["acme"].month.told_cap_usd == 100


@given(AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, 2**53))
@settings(max_examples=20, deadline=None)  # each one waits for the disk
def test_no_sum_is_changed_by_the_file(
    tmp_path_factory: pytest.TempPathFactory, told: Decimal, since: Decimal, sure: Decimal, seq: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "state"
    state = State({"a": Written(MonthSpend(RENEWAL, told, since, sure), NOON, seq)})
    save(path, state)
    assert load(path) == state


def test_money_is_text_in_the_file(tmp_path: Path) -> None:
    save(tmp_path / "s", STATE)
    text = (tmp_path / "s").read_text()
    assert '"v": 1' in text
    assert '"told_usd": "12.41"' in text
    assert '"renews_at": "2026-11-28T12:00:00Z"' in text
    assert '"seq": 17' in text


@pytest.mark.parametrize("later", ["anchor", "before"])
def test_a_month_is_read_that_was_written_without(tmp_path: Path, later: str) -> None:
    save(tmp_path / "s", STATE)
    text = (tmp_path / "s").read_text()
    (tmp_path / "s").write_text(text.replace(f',\n   "{later}": null', ""))
    assert later not in (tmp_path / "s").read_text()
    assert load(tmp_path / "s") == STATE


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        save(tmp_path / "s", STATE)
    finally:
        os.umask(old)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    save(tmp_path / "s", State())
    (tmp_path / "s.tmp").write_bytes(b'{"v": 1, "acc')
    (tmp_path / "s.tmp").chmod(0o666)
    assert load(tmp_path / "s") == State()
    save(tmp_path / "s", STATE)
    assert load(tmp_path / "s") == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_the_old_one(tmp_path: Path) -> None:
    save(tmp_path / "s", STATE)
    (tmp_path / "s.tmp").mkdir()
    with pytest.raises(StateNotSaved, match=r"^the state file .*/s can't be written: [A-Z].*$"):
        save(tmp_path / "s", State())
    assert load(tmp_path / "s") == STATE
    with pytest.raises(StateNotSaved, match="No such file or directory"):
        save(tmp_path / "gone" / "s", STATE)


def test_a_file_that_is_not_there_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(tmp_path / "s") == State()
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "Invalid JSON"),
        (b'{"v": 1, "accounts": {"acme"', "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b'{"v": 2, "accounts": {}}', "v: Input should be 1"),
        (b'{"v": 1}', "accounts: Field required"),
        (b'{"v": 1, "accounts": {"a": {"seq": -1}}}', "accounts.a."),
        (b" " * (16 * 1024 * 1024 + 1), "it is too large"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_broken_file_is_one_warning_and_as_good_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes, why: str
) -> None:
    (tmp_path / "s").write_bytes(text)
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path / "s") == State()
    (record,) = caplog.records
    assert why in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("odd", ['"-1"', '"NaN"', '"much"', "null", '"Infinity"'])
def test_a_sum_that_is_none_makes_the_file_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    save(tmp_path / "s", STATE)
    text = (tmp_path / "s").read_text().replace('"0.1"', odd)
    (tmp_path / "s").write_text(text)
    assert load(tmp_path / "s") == State()
    assert len(caplog.records) == 1


def test_a_folder_in_its_place_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(tmp_path) == State()
    assert "Is a directory" in caplog.text


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "s", STATE)
    text = (tmp_path / "s").read_text().replace('"v": 1,', '"v": 1, "balances": {},')
    (tmp_path / "s").write_text(text)
    assert load(tmp_path / "s") == STATE


# Rebuilding from the trail.


def test_records_after_it_are_added_and_those_before_it_are_not() -> None:
    earlier = "2026-11-23T11:59:59Z"
    records = [a_record(16, 5.0, earlier), a_record(17, 5.0, earlier), a_record(18, 0.25)]
    after = rebuilt(STATE, records).accounts["acme"]
    assert after.month == MonthSpend(
        RENEWAL, Decimal("12.41"), Decimal("0.25000075"), Decimal("0.35")
    )
    assert (after.seq, after.time) == (18, NOON + 1.5)


@pytest.mark.parametrize(
    ("facts", "certain_usd"),
    [
        ({"cost_source": "reported"}, "0.35"),
        ({"cost_source": "estimated"}, "0.1"),
        ({"cost_source": "reported", "tries": [{"tokens": 7}], "usage": None}, "0.35"),
        ({"usage": {"source": "counted"}}, "0.1"),
        ({"usage": None}, "0.1"),
        ({"tries": []}, "0.35"),
        ({"tries": [{"tokens": 0}]}, "0.1"),
    ],
)
def test_a_cost_is_certain_if_its_record_says_so_an_earlier_one_by_its_usage(
    facts: dict[str, Any], certain_usd: str
) -> None:
    month = rebuilt(STATE, [a_record(18, 0.25, **facts)]).accounts["acme"].month
    assert (str(month.since_usd), str(month.certain_usd)) == ("0.25000075", certain_usd)


@pytest.mark.parametrize(
    "record",
    [
        {},
        a_record(18, None),
        a_record(18, 0.0),
        a_record(18, -1.0),
        a_record(18, "much"),
        a_record(18, float("nan")),
        a_record(18, 1.0, event="request"),
        a_record(18, 1.0, account=None),
        a_record(18, 1.0, account=[]),
        a_record(18, 1.0, time="noon"),
        a_record(18, 1.0, time=None),
        {**a_record(18, 1.0), "seq": "18"},
    ],
)
def test_what_is_no_cost_of_an_account_changes_nothing(record: dict[str, Any]) -> None:
    assert rebuilt(STATE, [record]) == STATE


def test_a_trail_that_was_begun_anew_counts_though_its_numbers_are_low() -> None:
    assert since_of(rebuilt(STATE, [a_record(2, 0.25)])) == Decimal("0.25000075")


def test_a_clock_that_was_set_back_makes_no_later_record_old() -> None:
    set_back = a_record(18, 0.25, "2026-10-23T12:00:00Z")
    assert since_of(rebuilt(STATE, [set_back])) == Decimal("0.25000075")


def test_records_beyond_the_renewal_are_of_the_new_month() -> None:
    records = [a_record(18, 0.25), a_record(19, 0.5, "2026-11-29T00:00:00Z"), a_record(20, 1.0)]
    month = rebuilt(STATE, records).accounts["acme"].month
    assert (month.renews_at > RENEWAL, str(month.spent_usd)) == (True, "1.5")


def test_records_from_before_the_renewal_are_of_the_month_before_too() -> None:
    state = State({"acme": Written(MONTH.at(RENEWAL + DAY), RENEWAL + DAY, 17)})
    month = rebuilt(state, [a_record(18, 0.25)]).accounts["acme"].month
    assert month.before == MONTH.plus(Decimal("0.25"), is_certain=True)
    assert month.spent_usd == Decimal("0.25")


def test_without_a_state_the_trail_alone_says_what_was_spent_in_the_calendars_month() -> None:
    records = [
        a_record(1, 5.0, "2026-10-31T23:59:59Z"),
        a_record(2, 0.25, "2026-11-01T00:00:00Z"),
        a_record(4, 0.5),
        a_record(6, 2.0, account="other"),
    ]
    state = rebuilt(State(), records)
    assert since_of(state) == Decimal("0.75")
    assert state.accounts["acme"].month.renews_at == calendar_month(NOON).renews_at
    assert state.accounts["other"].month.since_usd == 2


def test_accounts_that_are_not_there_for_a_while_keep_what_is_known_of_them() -> None:
    other = MonthSpend(RENEWAL, Decimal(1))
    state = STATE.with_months({"other": other}, NOON + 5, 30)
    assert state.accounts["acme"] == STATE.accounts["acme"]
    assert state.months(NOON) == {"acme": MONTH, "other": other}
    assert state.months(RENEWAL)["acme"].spent_usd == 0


@given(st.lists(AMOUNTS, max_size=12), st.integers(0, 12))
def test_wherever_it_was_killed_the_spend_is_the_same(costs: list[Decimal], cut: int) -> None:
    records = [a_record(n, json_number_of(cost)) for n, cost in enumerate(costs, 1)]
    whole = rebuilt(State(), records)
    saved = rebuilt(State(), records[:cut])
    held = {name: Written(each.month, each.time, cut) for name, each in saved.accounts.items()}
    assert rebuilt(State(held), records).months(NOON) == whole.months(NOON)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "t.jsonl", sync="none", wall_clock=lambda: NOON)
    yield opened
    opened.close()


def test_the_records_of_a_real_trail_are_read_exactly(journal: Journal) -> None:
    costs = ["0.1", "0.2", "0.00000075", "12.34567890123"]
    for n, cost in enumerate(costs):
        number = json_number_of(Decimal(cost))
        journal.append({**a_request_of(f"x{n}"), "account": "acme"}, as_it_is)
        response = {**a_response_of(f"x{n}"), "account": "acme", "cost_usd": number}
        journal.append(response, as_it_is)
    state = rebuilt(State(), records_of(journal.path))
    assert since_of(state) == sum(map(Decimal, costs))

"""How accounts stand, as it is told to whoever shows it."""

from math import ceil
from typing import Any

import pytest

from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from tests.builders import an_exchange

PRO = Ceilings(300, 400_000, 4)


def an_accounting() -> Accounting:
    accounts = {"acme": AccountRules(PRO, asks=False), "lab": AccountRules(UNLIMITED, asks=False)}
    return Accounting(LimitRules(accounts))


def test_an_account_that_nobody_used_has_all_of_its_ceilings() -> None:
    acme, lab = an_accounting().balances(100.0)
    assert acme["account"] == "acme"
    assert acme["requests"] == {
        "used": 0,
        "ceiling": 300,
        "remaining": 300,
        "resets_in_seconds": 0.0,
    }
    assert acme["concurrent"] == {"used": 0, "ceiling": 4}
    assert acme["waiting"] == 0
    assert lab["tokens"]["ceiling"] is lab["tokens"]["remaining"] is None


def test_an_open_call_is_told_with_what_it_has_reserved() -> None:
    accounting = an_accounting()
    exchange = an_exchange(payer="acme", input_tokens=10, output_cap=5)
    assert accounting.reserve(exchange, 100.0) is None
    acme, lab = accounting.balances(100.0)
    assert acme["concurrent"]["used"] == acme["requests"]["used"] == 1
    assert acme["tokens"]["used"] == exchange.estimated_tokens
    assert 0 < acme["tokens"]["resets_in_seconds"] <= 60.25
    assert lab["requests"]["used"] == 0


def saying(words: int) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "sea " * words}}]}


def test_a_stream_that_outgrows_its_charge_holds_what_it_has_said_and_a_little_more() -> None:
    accounting = an_accounting()
    exchange = an_exchange(payer="acme", input_tokens=10)
    accounting.reserve(exchange, 100.0)
    accounting.streams(exchange)
    assert accounting.balances(100.0)[0]["tokens"]["used"] == 310
    assert exchange.counts_at == 900

    accounting.streamed_so_far(exchange, saying(100), 900, 101.0)
    assert accounting.balances(101.0)[0]["tokens"]["used"] == 310
    assert 900 + 3 * 200 <= exchange.counts_at < 900 + 3 * 300

    accounting.streamed_so_far(exchange, saying(1_000), 4_000, 102.0)
    said = accounting.counted(exchange, saying(1_000))
    assert said is not None
    assert said.output_tokens is not None
    assert accounting.balances(102.0)[0]["tokens"]["used"] == 10 + ceil(said.output_tokens * 1.25)
    assert exchange.counts_at == pytest.approx(4_000 + 3 * said.output_tokens * 0.25, rel=0.01)

    accounting.mark_sent(exchange, 102.0)
    exchange.was_sent = True
    accounting.settle(exchange, said, 103.0)
    assert accounting.balances(103.0)[0]["tokens"]["used"] == said.total_tokens
    accounting.streamed_so_far(exchange, saying(9_000), 36_000, 104.0)
    assert accounting.balances(104.0)[0]["tokens"]["used"] == said.total_tokens


def test_a_stream_holds_no_more_than_it_allows_itself_unless_it_has_said_more() -> None:
    accounting = an_accounting()
    exchange = an_exchange(payer="acme", input_tokens=0, output_cap=1_100)
    accounting.reserve(exchange, 100.0)
    for words, held in ((1_200, 1_100), (2_000, None)):
        accounting.streamed_so_far(exchange, saying(words), 4 * words, 101.0)
        said = accounting.counted(exchange, saying(words))
        assert said is not None
        used = accounting.balances(101.0)[0]["tokens"]["used"]
        assert used == (held or said.output_tokens)

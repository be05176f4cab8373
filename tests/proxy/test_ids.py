"""Ids are random, each of them another, however many are drawn at once."""

from foxora_addon.proxy.ids import Drawn, new_exchange_id


def test_each_id_is_another() -> None:
    drawn = [new_exchange_id() for _ in range(1_000)]
    assert len(set(drawn)) == 1_000
    assert {len(each) for each in drawn} == {len("ex_") + 32}
    assert len(set("".join(drawn))) == len("ex_") + 15  # the e is a digit as well


def test_what_is_drawn_is_written_as_is_wanted() -> None:
    assert Drawn(len)() == 32  # type: ignore[arg-type,comparison-overlap]  # any form will do

"""Names that mean one account are counted under one name, and are bounded."""

from foxora_addon.policy.twins import Twins


def test_all_that_mean_one_are_counted_under_the_one_that_was_kept() -> None:
    twins = Twins()
    assert twins.join("a", "b") == ("a", "b")
    assert twins.join("c", "b") == ("c", "a")
    assert twins.join("b", "c") is None
    assert {twins.name_of(name) for name in "abc"} == {"c"}
    assert twins.name_of("d") == "d"
    assert set(twins) == {"a", "b"}


def test_one_that_leaves_takes_nobody_with_it() -> None:
    twins = Twins()
    twins.join("a", "b")
    twins.join("a", "c")
    assert not twins.part("c", "b")  # nothing was counted under its name
    assert twins.name_of("c") == "c"
    twins.join("a", "c")
    assert twins.part("a", "b")
    assert [twins.name_of(name) for name in "abc"] == ["a", "b", "b"]


def test_those_that_mean_one_that_leaves_go_on_meaning_what_it_meant() -> None:
    twins = Twins()
    twins.join("b", "c")
    twins.join("a", "b")
    assert not twins.part("b", "a")
    assert [twins.name_of(name) for name in "abc"] == ["a", "b", "a"]


def test_old_ones_go_unless_they_are_needed() -> None:
    twins = Twins()
    for name in "bcdef":
        twins.join("a" if name in "bc" else "x", name)
        twins.bound(2, lambda kept: kept == "a")
    assert set(twins) >= {"b", "c"}
    assert len(list(twins)) <= 4

"""What is found among many needles is what RE2 finds, and what each is found by itself."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxora_addon.audit.looks import LOOKS
from foxora_addon.audit.needles import Needles
from foxora_addon.audit.pattern import Linear, literal

EXACT = ("sk-", "AKIA", "foxora_sk_")
FOLDED = ("bearer ", "basic ", "key=", "access_token=", "api-key")
LOOKED_FOR = [*map(literal, EXACT), f"(?i:{'|'.join(map(literal, FOLDED))})"]
ALL = Linear("|".join(LOOKED_FOR))

AT_ONCE = 16_384

PIECES = st.sampled_from(
    (
        *("sk", "-", "sk-", "AKI", "A", "bea", "BeArEr ", "based ", "ba\u017fic ", "\u212aey="),
        *("api-", "_TO\u212aen=", "acce\u017fs", "KEY=", " ", "\u0131", "foxora_"),
    )
)
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=8).map("".join)


@given(TEXTS)
@example("acce\u017f\u017f_token=")
@example("API-\u212aEY")
def test_they_find_what_a_pattern_finds(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert Needles(EXACT, FOLDED).is_in(data) is ALL.is_in(data)
    assert Needles(EXACT).is_in(data) is any(needle in text for needle in EXACT)


@pytest.mark.parametrize("needle", [*EXACT, *FOLDED])
@pytest.mark.parametrize("size", [AT_ONCE, 2 * AT_ONCE])
def test_they_are_found_wherever_they_stand_in_a_long_text(needle: str, size: int) -> None:
    needles = Needles(EXACT, FOLDED)
    assert not needles.is_in(b"x" * (size + 100))
    for before in range(size - len(needle) - 1, size + 2):
        assert needles.is_in(b"x" * before + needle.encode() + b"x" * 99), before


def test_a_text_that_is_full_of_them_is_not_read_to_its_end() -> None:
    assert Needles(EXACT, FOLDED).is_in(b"sk-" * 1_000_000)


def test_a_part_of_one_is_none() -> None:
    needles = Needles(EXACT, FOLDED)
    assert not needles.is_in(b"The beast is based on it, as the api-docs say." * 1_000)


def test_without_any_nothing_is_found() -> None:
    assert not Needles(()).is_in(b"sk-")


@pytest.mark.parametrize("count", [500, 2_000])
def test_very_many_are_found_as_well(count: int) -> None:
    needles = Needles([f"{number:04}-needle" for number in range(count)], FOLDED)
    assert needles.is_in(b"... 0432-needle ...")
    assert not needles.is_in(b"... 2000-needle ...")


def test_those_of_the_preset_are_few_enough_for_the_quick_way() -> None:
    """64 at most, of three bytes at least, with four for the keys of a gateway."""
    rules = LOOKS["secrets"]
    exact = [needle for rule in rules if not rule.folds for needle in rule.needles]
    folded = [needle for rule in rules if rule.folds for needle in rule.needles]
    hints = Needles(exact, folded).hints
    assert len(hints) + 4 <= 64
    assert min(map(len, hints)) >= 3

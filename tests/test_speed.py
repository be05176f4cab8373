"""Whether speed-ups are wanted."""

import pytest

from foxora_addon.speed import wanted


@pytest.mark.parametrize(
    ("option", "variable", "default", "expected"),
    [
        ("", "", False, False),
        ("", "", True, True),
        ("", "1", False, True),
        ("", "off", True, False),
        ("true", "0", False, True),
        ("FALSE", "1", True, False),
    ],
)
def test_the_option_stands_over_the_environment_over_the_default(
    option: str, variable: str, default: bool, expected: bool
) -> None:
    assert wanted(option, variable, default=default) is expected


def test_a_word_that_is_neither_true_nor_false_is_named() -> None:
    with pytest.raises(ValueError, match="option foxora_fast: 'maybe' is neither true nor false"):
        wanted("maybe", "1", default=True)
    with pytest.raises(ValueError, match="FOXORA_FAST: 'fast' is neither true nor false"):
        wanted("", "fast", default=True)

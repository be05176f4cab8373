"""Whether speed-ups are wanted."""

import pytest

from foxora_addon.speed import Speed, wanted


@pytest.mark.parametrize(
    ("option", "variable", "default", "expected"),
    [
        ("", "", Speed.UNSEEN, Speed.UNSEEN),
        ("", "", Speed.ALL, Speed.ALL),
        ("", "1", Speed.UNSEEN, Speed.ALL),
        ("", "off", Speed.ALL, Speed.NONE),
        ("true", "0", Speed.UNSEEN, Speed.ALL),
        ("FALSE", "1", Speed.UNSEEN, Speed.NONE),
    ],
)
def test_the_option_stands_over_the_environment_over_the_default(
    option: str, variable: str, default: Speed, expected: Speed
) -> None:
    assert wanted(option, variable, default=default) is expected


def test_a_word_that_is_neither_true_nor_false_is_named() -> None:
    with pytest.raises(ValueError, match="option foxora_fast: 'maybe' is neither true nor false"):
        wanted("maybe", "1", default=Speed.ALL)
    with pytest.raises(ValueError, match="FOXORA_FAST: 'fast' is neither true nor false"):
        wanted("", "fast", default=Speed.ALL)

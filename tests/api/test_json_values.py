"""What is taken out of JSON is what it should be, or nothing."""

import pytest

from foxora_addon.api.json_values import mapping_of, member_of, moment_of, string_of


def test_what_is_there_is_given_as_it_is() -> None:
    given = {"a": "", "b": {"c": 1}}
    assert mapping_of(given) is given
    assert member_of(given, "b") == {"c": 1}
    assert string_of(given["a"]) == ""
    assert moment_of("1970-01-01T00:01:00.250000Z") == 60.25


@pytest.mark.parametrize("value", [None, 1, True, ["a"], {}, "soon", "2026-13-01T00:00:00Z"])
def test_anything_else_is_nothing(value: object) -> None:
    assert mapping_of(value) == {}
    assert member_of(value, "a") is None
    assert string_of(value) == (value if isinstance(value, str) else None)
    assert moment_of(value) is None

"""Token counts out of every dialect, and nothing out of nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.usage import Usage, usage_of


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4, 7)),
        ({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3, None, 3)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}, Usage(3, 4, 9)),
        ({"prompt_tokens": 3.0, "completion_tokens": 4}, Usage(3, 4, 7)),
        ({"prompt_tokens": "3", "completion_tokens": 4}, Usage(None, 4, None)),
        ({"prompt_tokens": None, "input_tokens": 3}, Usage(3, None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage(0, 0, 0)),
    ],
)
def test_a_dialect_s_counts_are_read(value: object, usage: Usage) -> None:
    assert usage_of(value) == usage


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], "12", 12, {}, {"seconds": 4, "type": "duration"}),
        *({"total_tokens": odd} for odd in (-1, 1.5, True, 2**53, 10**400, float("nan"))),
        *({"total_tokens": odd} for odd in (float("inf"), [1], {"a": 1})),
    ],
)
def test_nonsense_is_no_usage(value: object) -> None:
    assert usage_of(value) is None


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "input_tokens", "completion_tokens", "total_tokens"]),
        st.none() | st.integers() | st.floats() | st.text() | st.booleans(),
    )
)
def test_a_count_is_a_whole_number_or_none(value: dict[str, object]) -> None:
    usage = usage_of(value)
    if usage is not None:
        counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
        assert all(count is None or (type(count) is int and count >= 0) for count in counts)
        assert any(count is not None for count in counts)


@pytest.mark.parametrize(
    ("charged", "rest"),
    [
        (Usage(4, 0, 4, "counted"), Usage(6, 5, 11)),
        (Usage(12, 0, 12, "counted"), Usage(0, 5, 3)),
        (Usage(10, None, None), Usage(0, 5, 5)),
        (Usage(10, 5, 15), Usage(0, 0, 0)),
    ],
)
def test_what_was_charged_already_is_taken_off(charged: Usage, rest: Usage) -> None:
    assert Usage(10, 5, 15).beyond(charged) == rest

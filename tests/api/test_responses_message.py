"""What a response's output adds up to as one message, and where that is not all of it."""

from typing import Any

import pytest

from foxora_addon.api.responses_message import is_more_than_message, message_in

MESSAGE: dict[str, Any] = {"type": "message", "role": "assistant", "content": [{"text": "Hello."}]}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
CUSTOM = {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "ls"}
ALONE = {"role": "assistant", "content": None}
CALLS = [
    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    {"id": "d", "type": "custom", "custom": {"name": "g", "input": "ls"}},
]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ([MESSAGE], MESSAGE),
        (
            [REASONING, CALL, MESSAGE, CUSTOM],
            MESSAGE | {"reasoning_content": "hm", "tool_calls": CALLS},
        ),
        ([CALL, CUSTOM], ALONE | {"tool_calls": CALLS}),
        ([REASONING, REASONING], ALONE | {"reasoning_content": "hm\n\nhm"}),
        (
            [{"type": "reasoning", "summary": [], "content": [{"text": "so"}, {"text": ""}]}],
            ALONE | {"reasoning_content": "so"},
        ),
        ([], None),
        ([{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}], None),
    ],
)
def test_calls_and_reasoning_are_part_of_the_message(output: list[Any], message: object) -> None:
    assert message_in(output) == message
    assert not is_more_than_message(output)


@pytest.mark.parametrize("other", [MESSAGE, {"type": "web_search_call"}, {"type": ["x"]}, {}, "x"])
def test_what_else_there_is_is_more_than_the_message(other: object) -> None:
    assert message_in([MESSAGE, other]) == MESSAGE
    assert is_more_than_message([MESSAGE, other])


@pytest.mark.parametrize("odd", [None, 7, "x", ["x", None], [{"text": 7}], {"text": "x"}])
def test_reasoning_that_is_no_text_is_left_out(odd: object) -> None:
    assert message_in([{"type": "reasoning", "summary": odd, "content": odd}]) is None

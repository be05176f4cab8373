"""A tool is one line, however its schema is."""

from typing import Any

import pytest

from foxora_addon.api.errors import CODES
from foxora_addon.reading.lists import embeddings_text, models_text
from foxora_addon.reading.remedies import remedy_of
from foxora_addon.reading.tools import parameters_of, tools_of

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": ["integer", "null"]}, "x": {}},
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        (
            {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
            "weather(city: string, days?: integer|null, x?: any)",
        ),
        (
            {"type": "function", "name": "weather", "description": "Of\na city."},
            "weather  Of a city.",
        ),
        ({"name": "now", "parameters": {"type": "object", "properties": {}}}, "now()"),
        ({"type": "web_search"}, "web_search"),
        ({"type": "custom", "custom": {"name": "sql"}}, "sql"),
        (None, "null"),
    ],
)
def test_a_tool_is_told_in_a_line(tool: Any, line: str) -> None:
    assert list(tools_of({"tools": [tool]})) == [line]


def test_very_many_arguments_are_cut() -> None:
    properties: dict[str, Any] = {f"argument{number}": {} for number in range(1_000)}
    (line,) = tools_of({"tools": [{"name": "f", "parameters": {"properties": properties}}]})
    assert line.startswith("f(argument0?: any, ")
    assert line.endswith("…)")
    assert len(line) < 500


def test_the_older_functions_are_tools_too_and_very_many_are_counted() -> None:
    tools = [{"name": f"f{number}"} for number in range(250)]
    lines = list(tools_of({"functions": tools}))
    assert (lines[0], lines[-1], len(lines)) == ("f0", "and 50 more", 201)


def test_neither_conversation_nor_tools_are_parameters() -> None:
    body = {"messages": [], "tools": [], "n": 2, "model": "m", "user": "x" * 500}
    assert [name for name, _ in parameters_of(body)] == ["model", "n", "user"]
    assert all(len(text) <= 100 for _, text in parameters_of(body))


def test_models_are_aligned_and_say_what_they_cost() -> None:
    model = {"id": "m", "context_window": 128_000, "input_per_1k_usd": 0.00015}
    header, row = models_text([model]).split("\n")
    assert row.split() == ["m", "-", "128,000", "$0.00015", "-", "-"]
    assert header.index("context") + len("context") == row.index("128,000") + len("128,000")


def test_embeddings_in_base64_have_no_dimensions() -> None:
    assert embeddings_text([{"embedding": "AAAA"}]) == "1 embedding, in base64"


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_ours_has_a_remedy(code: str) -> None:
    assert remedy_of(code, None, "client_disconnected")


def test_a_gateways_own_code_is_told_by_its_status() -> None:
    assert remedy_of("model_not_found", 404, "gateway_error") == remedy_of("not_found", 404, None)
    assert remedy_of("odd", 599, "gateway_error") == remedy_of("gateway_error", 500, None)
    assert remedy_of(None, 200, "completed") is None
    assert remedy_of(None, None, "open") is None


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("internal_error", 500, "the provider behind it"),
        ("unavailable", 503, "the provider behind it"),
        ("spend_limit_reached", 402, "at the gateway"),
        ("request_too_large", 413, "the gateway does not take it"),
    ],
)
def test_what_the_gateway_calls_as_we_do_is_its_own_affair(
    code: str, status: int, words: str
) -> None:
    ours = remedy_of(code, status, "refused", "addon")
    theirs = remedy_of(code, status, "gateway_error", "gateway")
    assert words in (theirs or "")
    assert words not in (ours or "")

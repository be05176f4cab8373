"""Whatever JSON a client, a gateway or a damaged trail has put there, everything can be shown."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxora_addon.reading.cells import cells_of, json_of
from foxora_addon.reading.difference import difference_of, lines_of_step
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.finetuning import line_of
from foxora_addon.reading.flow_page import answer_page, event_page, request_page
from foxora_addon.reading.har import entry_of
from foxora_addon.reading.otlp import span_of
from foxora_addon.reading.page import page_of, text_of_line
from foxora_addon.reading.rows import row_of
from foxora_addon.reading.statistics import Statistics

NAMES = (
    *("model", "messages", "role", "content", "type", "text", "tool_calls", "function", "name"),
    *("arguments", "input", "output", "instructions", "choices", "message", "data", "embedding"),
    *("object", "context_window", "input_per_1k_usd", "supports", "usage", "input_tokens"),
    *("error", "code", "param", "image_url", "url", "file", "file_data", "input_audio", "tools"),
    *("parameters", "properties", "required", "enum", "summary", "session", "response", "item"),
    *("status_details", "delta", "finish_reasons", "duration_ms", "first_byte_ms", "decision"),
    *("waited_ms", "http", "client", "tries", "after_ms", "files", "bytes", "chunks", "time"),
    *("body_bytes", "body_encoding", "websocket", "count", "tags", "level", "cost_usd", "outcome"),
)
ATOMS = st.sampled_from(
    [
        *(None, True, 0, -1, 10**400, float("inf"), float("nan"), 1e308, "", "x", " " * 100),
        *("user", "tool", "function_call", "message", "model", "function", "base64", "\ud800"),
        *("data:image/png;base64,AAAA", '{"a": 1}' * 20, "response.done", "session.update"),
    ]
)
WILD = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), WILD, max_size=6)


def statistics_of(recorded: Recorded) -> object:
    statistics = Statistics(["account", "model", "client", "tag", "hour"])
    statistics.add(recorded)
    return [totals.as_json() for _, totals in statistics.sorted_groups()]


SHOWN: dict[str, Callable[[Recorded], Any]] = {
    "page": lambda recorded: [text_of_line(line) for line in page_of(recorded)],
    "cells": lambda recorded: cells_of(recorded, is_short=True),
    "json": json_of,
    "row": row_of,
    "har": entry_of,
    "otlp": span_of,
    "finetuning": line_of,
    "statistics": statistics_of,
    "difference": lambda recorded: [
        list(lines_of_step(step))
        for step in difference_of(recorded, Recorded(recorded.response, recorded.request)).steps
    ],
}


@pytest.mark.parametrize("name", SHOWN)
@given(OBJECTS, OBJECTS, OBJECTS)
@example({"body_bytes": "many"}, {"duration_ms": float("nan"), "cost_usd": 10**400}, {})
@example({}, {"body_bytes": float("inf"), "chunks": 10**400, "duration_ms": 1e308}, {})
@example({}, {}, {"messages": [{"role": "user", "content": [{"type": {}}]}]})
@example({}, {}, {"data": [{"object": "model", "context_window": 10**400}]})
def test_any_record_can_be_shown(
    name: str, request: dict[str, Any], response: dict[str, Any], body: dict[str, Any]
) -> None:
    about = {"exchange": "ex_1", "body": json.dumps(body), "body_bytes": 5}
    SHOWN[name](
        Recorded(
            {**about, "event": "request", **request}, {**about, "event": "response", **response}
        )
    )


@given(OBJECTS, OBJECTS)
@example({"messages": [{"role": "user", "content": [{"type": {}}]}]}, {})
@example({"data": [{"object": "model", "context_window": 10**400}]}, {})
def test_any_body_has_a_page(body: dict[str, Any], facts: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    assert request_page(data) is not None
    assert answer_page(data, json.dumps({"request": facts, "response": facts})) is not None
    event_page(data)

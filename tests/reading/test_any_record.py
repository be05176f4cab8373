"""Whatever JSON a client, a gateway or a damaged trail has put there, everything can be shown."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxora_addon.policy.payers import AccountRules, LimitRules, Payers
from foxora_addon.policy.plans import Ceilings
from foxora_addon.reading.cells import cells_of, json_of
from foxora_addon.reading.decision import Rebuilding, lines_of
from foxora_addon.reading.decision import json_of as json_of_decision
from foxora_addon.reading.difference import difference_of, lines_of_step
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.finetuning import line_of
from foxora_addon.reading.flow_page import answer_page, event_page, request_page
from foxora_addon.reading.har import entry_of
from foxora_addon.reading.otlp import span_of
from foxora_addon.reading.page import page_of, text_of_line
from foxora_addon.reading.rows import row_of
from foxora_addon.reading.simulation import Simulation
from foxora_addon.reading.statistics import Statistics
from tests.reading.builders import a_refusal, a_request, a_response

NAMES = (
    *("model", "messages", "role", "content", "type", "text", "tool_calls", "function", "name"),
    *("arguments", "input", "output", "instructions", "choices", "message", "data", "embedding"),
    *("object", "context_window", "input_per_1k_usd", "supports", "usage", "input_tokens"),
    *("error", "code", "param", "image_url", "url", "file", "file_data", "input_audio", "tools"),
    *("parameters", "properties", "required", "enum", "summary", "session", "response", "item"),
    *("status_details", "delta", "finish_reasons", "duration_ms", "first_byte_ms", "decision"),
    *("waited_ms", "http", "client", "tries", "after_ms", "files", "bytes", "chunks", "time"),
    *("body_bytes", "body_encoding", "websocket", "count", "tags", "level", "cost_usd", "outcome"),
    "folded",
)
ATOMS = st.sampled_from(
    [
        *(None, True, 0, -1, 10**400, float("inf"), float("nan"), 1e308, "", "x", " " * 100),
        *("user", "tool", "function_call", "message", "model", "function", "base64", "\ud800"),
        *(2**62, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"),
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


def decision_of(recorded: Recorded) -> object:
    """Why a call that came at the same moment as another of its account was decided on so."""
    below = {"model": Ceilings(2, 20)}
    rules = AccountRules(Ceilings(1, 10), models=below, clients=below)
    rules_of_all = {name: rules for name in ("acme", recorded.account) if name is not None}
    rebuilding = Rebuilding(recorded, Payers(LimitRules(rules_of_all)).scopes_of)
    request, response = recorded.request or {}, recorded.response or {}
    rebuilding.take(a_request("ex_0") | {name: request.get(name) for name in ("account", "time")})
    for record in (request, response):
        rebuilding.take({"exchange": "ex_1", **record})
    rebuilding.finish()
    return json_of_decision(rebuilding.decision), list(lines_of(rebuilding.decision))


def simulation_of(recorded: Recorded) -> object:
    simulation = Simulation(Ceilings(1, 10), 30.0)
    for record in (recorded.request or {}, recorded.response or {}):
        simulation.take({"exchange": "ex_1", **record})
    simulation.finish()
    return [played.waiting.wait_seconds for played in simulation.accounts.values()]


SHOWN: dict[str, Callable[[Recorded], Any]] = {
    "page": lambda recorded: [text_of_line(line) for line in page_of(recorded)],
    "cells": lambda recorded: cells_of(recorded, is_short=True),
    "json": json_of,
    "row": row_of,
    "har": entry_of,
    "otlp": span_of,
    "finetuning": line_of,
    "statistics": statistics_of,
    "decision": decision_of,
    "simulation": simulation_of,
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


PAIRS = {"sent": (a_request(), a_response()), "refused": a_refusal()}


def members_of(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each member of a record, and of what is inside of it."""
    for name in value if isinstance(value, dict) else ():
        yield (*path, name)
        yield from members_of(value[name], (*path, name))


def replaced(value: Any, path: tuple[str, ...], member: Any) -> Any:
    return value | {path[0]: replaced(value[path[0]], path[1:], member)} if path else member


MEMBERS = [
    (kind, number, path)
    for kind, pair in PAIRS.items()
    for number, record in enumerate(pair)
    for path in members_of(record)
    if path != ("exchange",)  # a line without its text is no record
]


@pytest.mark.parametrize("name", SHOWN)
@given(st.sampled_from(MEMBERS), WILD)
@example(("sent", 0, ("operation",)), ["chat"])
@example(("sent", 1, ("duration_ms",)), 2**62)
@example(("sent", 1, ("usage", "total_tokens")), 10**400)
@example(("refused", 0, ("time",)), "9999-12-31T23:59:59Z")
def test_a_record_can_be_shown_whatever_one_of_its_members_is(
    name: str, member: tuple[str, int, tuple[str, ...]], value: Any
) -> None:
    kind, number, path = member
    pair = list(PAIRS[kind])
    pair[number] = replaced(pair[number], path, value)
    SHOWN[name](Recorded(*pair))


@given(OBJECTS, OBJECTS)
@example({"messages": [{"role": "user", "content": [{"type": {}}]}]}, {})
@example({"data": [{"object": "model", "context_window": 10**400}]}, {})
def test_any_body_has_a_page(body: dict[str, Any], facts: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    assert request_page(data) is not None
    assert answer_page(data, json.dumps({"request": facts, "response": facts})) is not None
    event_page(data)

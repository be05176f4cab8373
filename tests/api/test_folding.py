"""Deltas add up as openai-python's do, and further where those give nonsense or raise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from foxora_addon.api.folding import Indexed, Text, fold, size_of, whole


def folded(*deltas: dict[str, Any]) -> Any:
    target: dict[str, Any] = {}
    for delta in deltas:
        fold(target, delta)
    return whole(target)


@pytest.mark.parametrize(
    ("deltas", "result"),
    [
        ([{"content": "a"}, {"content": "b"}, {"content": "c"}], {"content": "abc"}),
        ([{"content": None}, {"content": "a"}, {"content": None}], {"content": "a"}),
        ([{"content": ""}, {"content": ""}], {"content": ""}),
        ([{"a": {"b": "x"}}, {"a": {"b": "y", "c": 1}}], {"a": {"b": "xy", "c": 1}}),
        ([{"a": ["x"]}, {"a": ["y", "y"]}], {"a": ["x", "y", "y"]}),
        ([{"a": []}, {"a": [1]}, {"a": []}], {"a": [1]}),
        ([{"type": "a", "index": 1}, {"type": "b", "index": 2}], {"type": "b", "index": 2}),
        (
            [
                {"calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]},
                {"calls": [{"index": 0, "function": {"arguments": "}"}}]},
                {"calls": [{"index": 1, "id": "b"}, {"index": 1, "type": "function"}]},
            ],
            {
                "calls": [
                    {"index": 0, "function": {"name": "f", "arguments": "{}"}},
                    {"index": 1, "id": "b", "type": "function"},
                ]
            },
        ),
    ],
)
def test_deltas_add_up_as_in_the_sdk(deltas: list[dict[str, Any]], result: object) -> None:
    assert folded(*json.loads(json.dumps(deltas))) == result
    theirs: dict[object, object] = {}
    for delta in json.loads(json.dumps(deltas)):
        theirs = accumulate_delta(theirs, delta)
    assert theirs == result


@pytest.mark.parametrize(
    ("deltas", "result"),
    [
        ([{"role": "assistant"}, {"role": "assistant"}], {"role": "assistant"}),
        ([{"id": "call_1"}, {"id": "call_1"}], {"id": "call_1"}),
        ([{"expires_at": 1_700}, {"expires_at": 1_700}], {"expires_at": 1_700}),
        ([{"done": False}, {"done": True}], {"done": True}),
        ([{"a": ["thought"]}, {"a": "answer"}, {"a": "s"}], {"a": "answers"}),
        ([{"a": {"b": 1}}, {"a": ""}], {"a": {"b": 1}}),
        ([{"a": "x"}, {"a": ["y"]}, {"a": {"z": 1}}, {"a": 2}], {"a": "x"}),
        ([{"a": "x"}, {"a": "y"}, {"a": ["z"]}, {"a": {}}], {"a": "xy"}),
        ([{"a": 1}, {"a": "x"}], {"a": "x"}),
        ([{"a": [{"url": "u"}]}, {"a": [{"url": "v"}]}], {"a": [{"url": "u"}, {"url": "v"}]}),
        ([{"a": [{"index": 5, "x": "a"}]}, {"a": [{"index": 2, "x": "b"}]}],
         {"a": [{"index": 2, "x": "b"}, {"index": 5, "x": "a"}]}),
        ([{"a": [{"index": 0, "x": "a"}]}, {"a": ["odd", None]}], {"a": [{"index": 0, "x": "a"}]}),
    ],
)  # fmt: skip
def test_where_the_sdk_has_nonsense_there_is_a_rule(
    deltas: list[dict[str, Any]], result: object
) -> None:
    assert folded(*deltas) == result


@pytest.mark.parametrize(
    ("deltas", "ids"),
    [
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}, {"x": "1"}], [("a", "1"), ("b", None)]),
        ([{"x": "1"}, {"x": "2"}], [(None, "12")]),
        ([{"index": 3, "id": "a"}, {"x": "1"}, {"id": "b", "x": "2"}], [("a", "1"), ("b", "2")]),
        ([{"index": None, "id": "a"}, {"index": "0", "id": "b"}], [("a", None), ("b", None)]),
        ([{"index": -1, "id": "a"}, {"index": 10**30, "id": "b"}], [("a", None), ("b", None)]),
    ],
)
def test_tool_calls_without_an_index_are_told_apart_by_their_id(
    deltas: list[dict[str, Any]], ids: list[tuple[str | None, str | None]]
) -> None:
    calls = folded(*({"tool_calls": [delta]} for delta in deltas))["tool_calls"]
    assert [(call.get("id"), call.get("x")) for call in calls] == ids


def a_call(index: int, identifier: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": identifier, "function": function}


F, G = a_call(0, "a", "f", "1"), a_call(0, "b", "g", "2")


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        ([F, G], [("a", "f", "1"), ("b", "g", "2")]),
        ([F, a_call(0, "b", "f", "2")], [("a", "f", "1"), ("b", "f", "2")]),
        ([F, a_call(0, None, None, "3"), G, a_call(0, None, None, "4"), a_call(0, "", "", "5")],
         [("a", "f", "13"), ("b", "g", "245")]),
        ([F, G, F, G], [("a", "f", "11"), ("b", "g", "22")]),
        ([F, G, a_call(0, "a", None, "3"), a_call(0, None, None, "4")],
         [("a", "f", "134"), ("b", "g", "2")]),
        ([F, G, a_call(1, "c", "h", "3"), a_call(1, None, None, "4"), a_call(0, None, None, "5")],
         [("a", "f", "1"), ("b", "g", "25"), ("c", "h", "34")]),
        ([F, G, a_call(1, None, None, "3")],
         [("a", "f", "1"), ("b", "g", "2"), (None, None, "3")]),
        ([F, a_call(1, "c", "h", "3"), G], [("a", "f", "1"), ("c", "h", "3"), ("b", "g", "2")]),
        ([F, a_call(1, "a", "g", "2")], [("a", "f", "1"), ("a", "g", "2")]),
        ([F, a_call(0, "b", None, "2"), a_call(0, "c", "", "3")], [("a", "f", "123")]),
        ([a_call(0, None, "f", "1"), a_call(0, "a", None, "2")], [("a", "f", "12")]),
    ],
)  # fmt: skip
def test_tool_calls_that_share_an_index_are_told_apart_by_their_id_and_name(
    deltas: list[dict[str, Any]], calls: list[tuple[str | None, str | None, str]]
) -> None:
    for many in ([{"tool_calls": [delta]} for delta in deltas], [{"tool_calls": deltas}]):
        told = folded(*json.loads(json.dumps(many)))["tool_calls"]
        found = [(call["id"], *call["function"].values()) for call in told]
        assert found == calls


def test_so_are_calls_of_tools_of_another_kind() -> None:
    deltas = [{"index": 0, "id": each, "custom": {"name": each}} for each in "ab"]
    told = folded(*({"tool_calls": [delta]} for delta in deltas))["tool_calls"]
    assert [call["custom"] for call in told] == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize("name", ["id", "role"])
def test_of_an_id_or_a_role_the_first_stays(name: str) -> None:
    said = (None, "", "a", "b", "a", "")
    assert folded(*({name: value} for value in said)) == {name: "a"}


def test_two_halves_of_a_character_become_one() -> None:
    assert folded({"a": "\ud83d"}, {"a": "\ude00"}, {"b": "\ud83d!"}) == {"a": "😀", "b": "\ufffd!"}


def test_what_is_no_json_becomes_null() -> None:
    assert folded({"a": [float("nan"), {"b": float("inf")}, 1.5]}) == {
        "a": [None, {"b": None}, 1.5]
    }


@given(st.lists(st.text(max_size=3), max_size=3_000))
def test_a_text_is_its_pieces(pieces: list[str]) -> None:
    text = Text()
    for piece in pieces:
        text.add(piece)
    assert str(text) == "".join(pieces)


def test_a_text_of_many_small_pieces_is_held_in_few_objects() -> None:
    text = Text()
    for _ in range(100_000):
        text.add("x")
    assert len(text._pieces) + len(text._joined) < 1_200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "b", "index", "type", "id", "role", "tool_calls"]), inner
        )
    ),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "tool_calls"]), JSON), max_size=6))
def test_any_deltas_fold_into_json(deltas: list[dict[str, Any]]) -> None:
    json.dumps(folded(*deltas), allow_nan=False, ensure_ascii=False).encode("utf-8")


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "tool_calls"]), JSON), max_size=6))
def test_what_is_kept_is_counted(deltas: list[dict[str, Any]]) -> None:
    target: dict[str, Any] = {}
    assert sum(fold(target, delta) for delta in deltas) >= held(target)


def held(value: Any) -> int:
    """The characters that a folded value holds."""
    match value:
        case Indexed():
            return sum(map(held, value.sorted()))
        case dict():
            return sum(map(held, value.values()))
        case list():
            return sum(map(held, value))
        case str() | Text():
            return len(str(value))
        case _:
            return 0


def test_sizes_know_wide_characters() -> None:
    assert size_of("日" * 100) > size_of("x" * 100) + 200

"""Example values for JSON Schemas."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from foxora_addon.mock.answers import json_text
from foxora_addon.mock.schemas import example_of


class Node(BaseModel):
    name: str
    weight: float = Field(gt=3, le=4)
    count: int = Field(ge=10, multiple_of=7)
    tags: list[str] = Field(min_length=2)
    size: tuple[int, int]
    child: "Node | None"


class Recipe(BaseModel):
    title: str = Field(min_length=40)
    code: str = Field(max_length=3)
    is_vegan: bool
    steps: list[Node]


def test_an_example_of_a_models_schema_is_accepted_by_the_model() -> None:
    recipe = Recipe.model_validate(example_of(Recipe.model_json_schema()))
    assert recipe.steps[0].child is not None


def test_a_schema_that_refers_to_itself_ends_in_null() -> None:
    node = Node.model_validate(example_of(Node.model_json_schema()))
    depth = 0
    while node.child is not None:
        node, depth = node.child, depth + 1
    assert 0 < depth < 20


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "boolean"}, True),
        ({"type": "integer"}, 1),
        ({"type": "number"}, 1.5),
        ({"type": "null"}, None),
        ({"enum": ["red", "green"]}, "red"),
        ({"const": 7}, 7),
        ({"type": "string", "default": "as given"}, "as given"),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7}, 6),
        ({"type": "number", "exclusiveMinimum": 2, "exclusiveMaximum": 2.5}, 2.25),
        ({"type": "number", "exclusiveMinimum": 2}, 3),
        ({"type": "number", "multipleOf": 0.4}, 1.6),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"items": {"type": "boolean"}}, [True]),
        ({"properties": {"city": {"type": "string"}}}, {"city": "Paris"}),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}}, 1),
    ],
)
def test_simple_schemas_have_plausible_examples(schema: dict[str, Any], value: Any) -> None:
    assert example_of(schema) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"type": "object", "properties": "none"},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**12},
        {"type": "integer", "minimum": 10**400},
        {"type": "number", "multipleOf": 5e-324},
        {"type": "integer", "minimum": 9, "maximum": -9, "multipleOf": -1},
        {"type": "object", "properties": {c: {"$ref": "#"} for c in "abcdefgh"}},
        {
            "properties": {c: {"$ref": "#"} for c in "abcdefgh"},
            "required": list("abcdefgh"),
        },
        {"anyOf": []},
        {"allOf": [{"$ref": "#"}] * 3},
        {"enum": "abc", "type": 7, "required": 7, "prefixItems": 7},
        None,
        [],
        "string",
    ],
)
def test_a_hostile_schema_gives_some_bounded_value(schema: Any) -> None:
    assert len(json_text(example_of(schema))) < 200_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("type", "properties", "items", "anyOf", "allOf", "$ref", "enum", "required"),
                    *("minimum", "exclusiveMaximum", "multipleOf", "minLength", "prefixItems"),
                    *("format", "minItems", "maxItems", "default", "a"),
                ]
            ),
            inner | st.sampled_from(["object", "array", "string", "integer", "number", "#"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_examples_are_total_and_are_json(schema: Any) -> None:
    assert isinstance(json_text(example_of(schema)), str)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_number_lies_in_its_range(low: float, span: float) -> None:
    value = example_of({"type": "number", "minimum": low, "maximum": low + span})
    bounded = TypeAdapter(float).validate_python(value)
    assert low <= bounded <= low + span

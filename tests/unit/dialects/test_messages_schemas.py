"""Schemas of clients, as Messages takes them."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.messages_request import Invalid, check
from tests.unit.dialects.test_messages_usage import JSON

from farthing.dialects.chat.requests.request_reader import read
from farthing.dialects.messages.requests.request_writer import translate
from farthing.dialects.messages.requests.schemas import held


def form(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


@pytest.mark.parametrize(
    ("given", "kept", "told"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 9}, {"type": "integer"}, '{"minimum":0,"maximum":9}'),
        ({"type": "string", "maxLength": 3, "description": "d"}, {"type": "string"}, 'd\n\n{"maxLength":3}'),
        ({"type": "string", "format": "byte"}, {"type": "string"}, '{"format":"byte"}'),
        ({"type": "array", "minItems": 2, "items": {"type": "null"}},
         {"type": "array", "items": {"type": "null"}}, '{"minItems":2}'),
    ],
)  # fmt: skip
def test_what_the_provider_refuses_is_told_to_the_model(given: Any, kept: Any, told: str) -> None:
    sent = copy.deepcopy(given)
    holding = held(form(a=given))
    assert holding.schema["properties"]["a"] == {**kept, "description": told}
    assert holding.loosened and not holding.open
    assert given == sent


def test_what_it_takes_stays() -> None:
    schema = form(
        minimum={"type": "string", "format": "date", "pattern": "^2"},
        maxLength={"type": "array", "items": {"enum": [1]}, "minItems": 1},
    ) | {"additionalProperties": False}
    holding = held(schema)
    assert holding.schema == schema and not holding.loosened and not holding.open


@pytest.mark.parametrize(
    ("schema", "is_open"),
    [
        ({"type": "object", "additionalProperties": {"type": "integer"}}, True),
        ({"type": "object", "additionalProperties": True}, True),
        ({"type": "object"}, True),
        ({"type": ["object", "null"], "patternProperties": {"^x": {}}}, True),
        (form(a={"type": "null"}) | {"additionalProperties": True}, False),
        (form(), False),
    ],
)
def test_a_table_of_any_names_cannot_be_held(schema: Any, is_open: bool) -> None:
    holding = held(form(a=schema))
    assert holding.open is is_open
    assert holding.schema["properties"]["a"]["additionalProperties"] is False


def test_a_deep_schema_is_left_as_it_is() -> None:
    schema: dict[str, Any] = form()
    for _ in range(900):
        schema = {"type": "object", "items": schema}
    assert held(schema).schema["additionalProperties"] is False


@given(JSON)
def test_nothing_raises(schema: Any) -> None:
    held(schema)


KINDS = st.sampled_from(
    [{"type": "integer", "multipleOf": 2}, {"type": "string", "minLength": 1}, {"type": "boolean"},
     {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "maxItems": 4, "minItems": 3}]
)  # fmt: skip
SCHEMAS = st.recursive(
    KINDS,
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda told: form(**told))
        | st.lists(inner, min_size=1, max_size=2).map(lambda told: {"anyOf": told})
    ),
    max_leaves=6,
)


@given(SCHEMAS)
def test_whatever_is_held_is_taken(schema: Any) -> None:
    root = form(a=schema)
    strict = {"name": "t", "strict": True, "parameters": root}
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": root}},
        "tools": [{"type": "function", "function": strict}],
    }
    written = translate(read(body), model="claude-sonnet-4-5", output_tokens_max=9)
    assert not written.unsaid and written.body["tools"][0]["strict"] is True
    try:
        check(json.loads(json.dumps(written.body)))
    except Invalid as error:
        raise AssertionError(f"{error}: {written.body}") from None


def test_what_cannot_be_held_is_named() -> None:
    table = form(a={"type": "object", "additionalProperties": {"type": "integer"}})
    strict = {"name": "t", "strict": True, "parameters": table}
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": table}},
        "tools": [{"type": "function", "function": strict}],
    }
    written = translate(read(body), model="claude-sonnet-4-5", output_tokens_max=9)
    assert written.unsaid == ("response_format",) and written.yielded == ("tools.strict",)
    assert written.body["tools"] == [{"name": "t", "input_schema": table}]

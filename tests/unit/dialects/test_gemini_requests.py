"""Conversations of every dialect as requests of Gemini: what is written is what the types of Google's SDK
allow, and what its rules of calls, results and signatures want."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.gemini_request import ANY, Invalid, check
from tests.unit.dialects import messages_drawn, responses_drawn
from tests.unit.dialects.test_chat_to_messages import BODY, TURNS

from farthing.dialects.chat.requests import request_reader as chat_request
from farthing.dialects.conversation import Conversation, Reasoning
from farthing.dialects.gemini.models import abilities
from farthing.dialects.gemini.requests.request_writer import translate
from farthing.dialects.gemini.requests.schemas import of_arguments, plain
from farthing.dialects.gemini.requests.turns import FILES
from farthing.dialects.messages.requests import request_reader as messages_request
from farthing.dialects.proofs import of_thought
from farthing.dialects.responses.requests import request_reader as responses_request
from farthing.errors import InvalidRequest
from farthing.types import Json

MODELS = st.sampled_from(
    ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3-pro-preview", "gemini-9-flash", "m"]
)


def written(said: Conversation, model: str) -> Json:
    """The body, which is what Google takes but for the values of single settings."""
    told = translate(said, model=model)
    body: Json = json.loads(json.dumps(told.body))
    check(body, model)
    return body


@pytest.mark.slow
@given(messages_drawn.BODIES, MODELS)
def test_what_a_client_of_messages_says_is_what_gemini_takes(body: Json, model: str) -> None:
    before = copy.deepcopy(body)
    try:
        said = messages_request.read(body)
    except InvalidRequest:
        return
    written(said, model)
    assert body == before, "what was read is not changed"


@given(responses_drawn.BODIES, MODELS)
def test_what_a_client_of_responses_says_is_what_gemini_takes(body: Json, model: str) -> None:
    try:
        said = responses_request.read(body)
    except InvalidRequest:
        return
    told = translate(said, model=model)
    try:
        check(json.loads(json.dumps(told.body)), model)
    except Invalid as invalid:  # a client that answers no call, or one twice, is refused in Google's words
        assert "function" in str(invalid)


@pytest.mark.slow
@given(BODY, MODELS)
def test_a_body_of_any_shape_is_written_or_refused(body: Json, model: str) -> None:
    try:
        said = chat_request.read(body)
    except InvalidRequest as error:
        assert error.param
        return
    told = translate(said, model=model)
    contents = told.body["contents"]
    assert contents and contents[0]["role"] == "user"
    for one, after in zip(contents, [*contents[1:], {"role": ""}], strict=True):
        assert one["parts"] and one["role"] != after["role"]
    assert len(set(told.unsaid)) == len(told.unsaid) and set(told.reasons) <= set(told.unsaid)


@given(TURNS)
def test_texts_calls_and_results_arrive_each_once_and_in_order(turns: list[Any]) -> None:
    messages: list[Json] = []
    texts, results, inputs = [], [], []
    for number, (text, calls, _) in enumerate(turns):
        messages.append({"role": "user", "content": text})
        told = [
            {
                "id": f"{number}{i}",
                "type": "function",
                "function": {"name": f"f{at}", "arguments": json.dumps(a)},
            }
            for at, (i, a) in enumerate(calls)
        ]
        messages.append({"role": "assistant", "content": f"so {text}", "tool_calls": told})
        texts += [text, f"so {text}"]
        inputs += [arguments for _, arguments in calls]
        for at in reversed(range(len(calls))):
            messages.append(
                {"role": "tool", "tool_call_id": f"{number}{calls[at][0]}", "content": f"r{number}{at}"}
            )
        results += [f"r{number}{at}" for at in range(len(calls))]
    messages.append({"role": "user", "content": "last"})
    body = written(chat_request.read({"messages": messages}), "gemini-3-pro")
    parts = [part for content in body["contents"] for part in content["parts"]]
    assert [part["text"] for part in parts if "text" in part] == [*texts, "last"]
    assert [part["functionCall"]["args"] for part in parts if "functionCall" in part] == inputs
    answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
    assert [one["response"]["output"] for one in answers] == results
    first: list[Json] = [
        next((part for part in content["parts"] if "functionCall" in part), {})
        for content in body["contents"]
    ]
    assert {one["thoughtSignature"] for one in first if one} <= {ANY}


def test_the_same_history_is_written_the_same_each_time() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Json] = [
        {"role": "system", "content": "help"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ]
    more = [{"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]
    before = translate(chat_request.read({"messages": messages}), model="gemini-3-pro").body
    after = translate(chat_request.read({"messages": [*messages, *more]}), model="gemini-3-pro").body
    assert after["systemInstruction"] == before["systemInstruction"]
    assert after["contents"][: len(before["contents"])] == before["contents"]


def test_signatures_come_back_in_every_form_that_clients_keep_them_in() -> None:
    function = {"name": "f", "arguments": "{}"}
    plain_call = {"id": "a", "type": "function", "function": function}
    detail = {"type": "reasoning.encrypted", "data": "c2ln", "id": "a", "format": "google-gemini-v1"}
    forms: list[Json] = [
        {"tool_calls": [{**plain_call, "extra_content": {"google": {"thought_signature": "c2ln"}}}]},
        {"tool_calls": [{**plain_call, "extra_content": {"vertex": {"thought_signature": "c2ln"}}}]},
        {"tool_calls": [plain_call], "reasoning_details": [detail]},
        {
            "tool_calls": [plain_call],
            "thinking_blocks": [
                {
                    "type": "thinking",
                    "thinking": "",
                    "signature": of_thought(Reasoning("", "", "c2ln", "gemini", detail)).signature,
                }
            ],
        },
    ]
    for form in forms:
        turn = {"role": "assistant", "content": None, **form}
        result = {"role": "tool", "tool_call_id": "a", "content": "r"}
        said = chat_request.read({"messages": [{"role": "user", "content": "x"}, turn, result]})
        part = translate(said, model="gemini-3-pro").body["contents"][1]["parts"][0]
        assert part["thoughtSignature"] == "c2ln", form


def test_a_schema_loses_the_name_of_its_dialect_alone() -> None:
    schema: Json = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "$schema": {"type": "string", "$schema": "x"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
            "set": {"enum": [{"$schema": "kept"}]},
        },
        "$defs": {"tag": {"type": ["string", "null"], "$schema": "x"}},
        "additionalProperties": False,
    }
    before = copy.deepcopy(schema)
    found = plain(schema)
    assert schema == before
    assert found == {
        "type": "object",
        "properties": {
            "$schema": {"type": "string"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
            "set": {"enum": [{"$schema": "kept"}]},
        },
        "$defs": {"tag": {"type": ["string", "null"]}},
        "additionalProperties": False,
    }
    assert of_arguments({"type": "object", "properties": {}}) is None and of_arguments(None) is None
    assert of_arguments({"properties": {"a": {}}}) == {"type": "object", "properties": {"a": {}}}
    deep: Any = {}
    for _ in range(5_000):
        deep = {"items": deep}
    plain(deep)


@pytest.mark.parametrize(
    ("model", "thinking", "levels", "signs"),
    [
        ("gemini-2.0-flash", "none", (), False),
        ("models/gemini-2.5-flash-lite", "budget", (), False),
        ("gemini-3-pro-preview", "level", ("low", "high"), True),
        ("gemini-3.1-flash-lite-preview", "level", ("minimal", "low", "medium", "high"), True),
        ("gemini-3.8-flash", "level", ("low", "medium", "high"), True),
        ("gemini-4-argon", "level", ("low", "medium", "high"), True),
        ("a-name-of-ours", "level", ("low", "medium", "high"), True),
    ],
)
def test_what_a_model_takes_is_told_by_its_name(
    model: str, thinking: str, levels: tuple[str, ...], signs: bool
) -> None:
    can = abilities(model)
    assert (can.thinking, can.levels, can.signs) == (thinking, levels, signs)


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("https://e.example/a.png?x=1", {"mimeType": "image/png", "fileUri": "https://e.example/a.png?x=1"}),
        ("https://e.example/a.webp", {"mimeType": "image/webp", "fileUri": "https://e.example/a.webp"}),
        ("https://e.example/a", {"mimeType": "image/jpeg", "fileUri": "https://e.example/a"}),
        ("gs://bucket/a.mp4", {"mimeType": "video/mp4", "fileUri": "gs://bucket/a.mp4"}),
        ("https://www.youtube.com/watch?v=x", {"fileUri": "https://www.youtube.com/watch?v=x"}),
        (
            "https://generativelanguage.googleapis.com/v1beta/files/abc",
            {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"},
        ),
    ],
)
def test_a_link_is_named_by_what_lies_there(url: str, data: Json) -> None:
    image = {"type": "image_url", "image_url": {"url": url}}
    said = chat_request.read({"messages": [{"role": "user", "content": [image]}]})
    files = ("gs://bucket/", "https://generativelanguage.googleapis.com/")
    told = translate(said, model="m", files=files)
    assert told.body["contents"][0]["parts"] == [{"fileData": data}]


@pytest.mark.parametrize("url", ["gs://bucket/a.mp4", "GS://bucket/a.mp4", f"{FILES}v1beta/files/abc"])
def test_what_only_the_gateway_may_read_is_not_read_for_a_client_unless_that_is_allowed(url: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "file", "file": {"file_id": url}}]
    for part in parts:
        said = chat_request.read({"messages": [{"role": "user", "content": [part]}]})
        for files in ((), ("gs://others/",)):
            assert translate(said, model="m", files=files).unsaid, (part, files)


def test_limits_of_what_an_answer_may_cost_are_said_by_the_fields_that_are_counted() -> None:
    own = {"maxOutputTokens": 65_536, "candidateCount": 8, "temperature": 0.5}
    asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "generationConfig": own}
    told = translate(chat_request.read(asked), model="m")
    assert told.body["generationConfig"] == {"maxOutputTokens": 10, "temperature": 0.5}
    assert set(told.unsaid) == {"generationConfig.maxOutputTokens", "generationConfig.candidateCount"}

"""Requests of chat completions and Messages as Responses: what of them is said, left out or named."""

from typing import Any

import pytest
from openai.types.responses import ResponseInputParam
from pydantic import TypeAdapter

from farthing.dialects.call_ids import valid_id
from farthing.dialects.chat.requests import request_reader as chat_request
from farthing.dialects.messages.requests import request_reader as messages_request
from farthing.dialects.responses.requests import request_writer
from farthing.dialects.written import Written
from farthing.types import Json

ITEMS: TypeAdapter[Any] = TypeAdapter(ResponseInputParam)
USER: Json = {"role": "user", "content": "hi"}


def of_chat(model: str = "gpt-5", **fields: Any) -> Written:
    said = chat_request.read({"model": "m", "messages": [USER], **fields})
    return checked(request_writer.translate(said, model=model, provider="r"))


def of_messages(model: str = "gpt-5", **fields: Any) -> Written:
    said = messages_request.read({"model": "m", "max_tokens": 9, "messages": [USER], **fields})
    return checked(request_writer.translate(said, model=model, provider="r"))


def checked(written: Written) -> Written:
    ITEMS.validate_python(written.body["input"])
    assert written.body["store"] is False
    return written


@pytest.mark.parametrize(
    ("model", "fields", "reasoning", "yielded"),
    [
        ("gpt-5", {"thinking": {"type": "enabled", "budget_tokens": 1_500}}, {"effort": "low"}, ()),
        ("gpt-5", {"thinking": {"type": "enabled", "budget_tokens": 99_000}}, {"effort": "high"}, ()),
        ("gpt-5", {"thinking": {"type": "adaptive"}}, None, ()),
        ("gpt-5", {"thinking": {"type": "disabled"}}, None, ("thinking",)),
        ("gpt-4.1", {"thinking": {"type": "adaptive"}}, None, ("thinking",)),
        ("gpt-4.1", {}, None, ()),
    ],
)
def test_thinking_of_messages_is_an_effort(
    model: str, fields: Json, reasoning: Json | None, yielded: tuple[str, ...]
) -> None:
    written = of_messages(model, **fields)
    assert written.body.get("reasoning") == reasoning and written.yielded == yielded
    assert ("include" in written.body) is (model == "gpt-5")


@pytest.mark.parametrize(
    ("fields", "unsaid"),
    [
        ({"messages": [USER, {"role": "assistant", "content": "It"}]}, "prefill"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop_sequences": ["x"]}, "stop_sequences"),
        ({"top_k": 5}, "top_k"),
        ({"temperature": 0.5}, "temperature"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.web_search_20250305"),
        ({"container": "c"}, "container"),
    ],
)
def test_what_of_messages_cannot_be_said_is_named(fields: Json, unsaid: str) -> None:
    assert unsaid in of_messages(**fields).unsaid


def test_documents_pictures_and_results_of_messages_are_told() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    picture = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    text = {
        "type": "document",
        "title": "T",
        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
    }
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "a"}, picture],
    }
    written = of_messages(
        messages=[
            {"role": "user", "content": [{"type": "document", "source": pdf}, text]},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}, use]},
            {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
        ]
    )
    told, said, call, output, more = written.body["input"]
    assert told["content"][0]["file_data"] == "data:application/pdf;base64,JVBERi0="
    assert told["content"][1]["text"] == '<document title="T">\nd\n</document>'
    assert said == {"role": "assistant", "content": "x"} and call["call_id"] == output["call_id"] == "toolu_1"
    assert [part["type"] for part in output["output"]] == ["input_text", "input_image"]
    assert more == {"role": "user", "content": "and?"} and written.unsaid == ()


def test_a_choice_among_some_tools_is_said() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "ab"]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "a"}}]}
    body = of_chat(tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed}).body
    assert body["tool_choice"] == {
        "type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "a"}]
    }  # fmt: skip
    assert body["tools"][0]["strict"] is False, "Responses takes silence for yes"


@pytest.mark.parametrize("call_id", ["call_1", "x" * 64, "x" * 65, "a b", "\ud83d"])
def test_ids_of_calls_fit_and_stay_apart(call_id: str) -> None:
    fitting = valid_id(call_id)
    assert len(fitting) <= 64 and (fitting == call_id) is (call_id in ("call_1", "x" * 64))
    assert valid_id(call_id) == fitting != valid_id(call_id + "y")

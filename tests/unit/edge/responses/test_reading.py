"""Requests of Responses, read with what was sent beside them."""

import json
from typing import Any

import pytest

from farthing.brain.cache.keys import CacheKeys
from farthing.dialects.conversation import Reasoning
from farthing.dialects.responses import envelopes
from farthing.dialects.responses.requests.compaction import INSTRUCTION
from farthing.edge.messages import reading as messages
from farthing.edge.openai import Asked, Reader
from farthing.edge.responses import stored
from farthing.edge.responses.reading import read, read_compact
from farthing.errors import InvalidRequest
from farthing.types import DEFAULT_ENDPOINT, Endpoint, Request, Tenant, replace

Json = dict[str, Any]
READER = Reader({}, DEFAULT_ENDPOINT, b"key")
OURS = envelopes.of_reasoning(Reasoning("hm"))
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
EXACT: Endpoint = replace(DEFAULT_ENDPOINT, cache_exact="on")


def asked(body: Json, **headers: str) -> Asked:
    raw = json.dumps(body).encode()
    told = {name.replace("__", "-").encode(): value.encode() for name, value in headers.items()}
    return Asked(
        id="r-1", tenant=Tenant(name="t"), headers=told, received_s=0.0, body_bytes=len(raw), raw=raw
    )


def request(given: Any = "hi", /, *, reader: Reader = READER, headers: Any = None, **fields: Any) -> Request:
    body = {"model": "m", "input": given, **fields}
    return read(reader, body, asked(body, **(headers or {})))


def test_what_was_sent_travels_along_byte_for_byte() -> None:
    body = {"model": "m", "input": "hi", "stream": True}
    one = asked(body)
    found = read(READER, body, replace(one, raw=b"\xef\xbb\xbf" + one.raw))
    sent = found.sent
    assert sent is not None and (sent.dialect, sent.raw, sent.body) == ("responses", one.raw, body)
    assert sent.read is found.body and found.stream and found.include_usage
    assert (sent.unsigned, sent.sealed, sent.compacts) == (False, False, "")
    assert found.text == "hi" and found.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("item", "unsigned", "sealed"),
    [
        ({"type": "reasoning", "summary": [], "encrypted_content": OURS}, True, False),
        ({"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}, False, True),
        ({"type": "compaction", "encrypted_content": envelopes.of_summary("s")}, True, False),
        ({"type": "compaction", "encrypted_content": "gAAAA"}, False, True),
        ({"type": "reasoning", "summary": [], "encrypted_content": None}, False, False),
    ],
)
def test_whose_encrypted_content_it_is_is_seen(item: Json, unsigned: bool, sealed: bool) -> None:
    sent = request([{"role": "user", "content": "a"}, item]).sent
    assert sent is not None and (sent.unsigned, sent.sealed) == (unsigned, sealed)


@pytest.mark.parametrize("name", ["session-id", "session_id", "conversation_id", "thread-id"])
def test_codex_names_its_session(name: str) -> None:
    headers = {name.replace("-", "__"): "s-1", "x__openai__subagent": "review"}
    found = request(headers=headers)
    assert (found.session, found.agent) == ("s-1", "review")
    assert request(headers={**headers, "x__farthing__session": "s-2"}).session == "s-2"
    assert request(prompt_cache_key="k").session is None, "many clients may share one"


@pytest.mark.parametrize("path", [False, True])
def test_a_summary_is_asked_for_by_an_instruction_at_the_end(path: bool) -> None:
    items: list[Json] = [{"role": "user", "content": "a"}]
    body: Json = {"model": "m", "input": items if path else [*items, {"type": "compaction_trigger"}]}
    more: Json = {"tools": [TOOL], "tool_choice": "required", "instructions": "Be brief."}
    body |= more if path else {**more, "text": {"format": {"type": "json_object"}}, "stream": True}
    found = (read_compact if path else read)(READER, body, asked(body))
    assert found.sent is not None and found.sent.compacts == ("path" if path else "item")
    assert found.sent.body is body and found.stream is not path
    assert [one["content"] for one in found.body["messages"]] == ["Be brief.", "a", INSTRUCTION]
    assert found.body["tool_choice"] == "none" and len(found.body["tools"]) == 1
    assert "response_format" not in found.body


def test_an_answer_is_shared_with_clients_of_other_dialects() -> None:
    key = CacheKeys().key
    reader = Reader({}, EXACT, b"key")
    chat: Json = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    }
    tool = {"name": "f", "input_schema": {"type": "object"}}
    own = {
        "model": "m",
        "system": "Be brief.",
        "messages": chat["messages"][1:],
        "max_tokens": 9,
        "tools": [tool],
    }
    plain = request(
        "hi", reader=reader, instructions="Be brief.", max_output_tokens=9, tools=[TOOL | {"strict": False}]
    )
    labelled = request(
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        reader=reader,
        instructions="Be brief.",
        max_output_tokens=9,
        tools=[TOOL],
        store=False,
        parallel_tool_calls=True,
        prompt_cache_key="k",
        prompt_cache_options={"ttl": "30m"},
        client_metadata={"a": "b"},
        include=["reasoning.encrypted_content"],
        reasoning={"summary": "auto"},
        text={"format": {"type": "text"}, "verbosity": "medium"},
    )
    keys = [
        key(one)
        for one in (
            reader.chat(chat, asked(chat)),
            messages.read(reader, own, asked(own)),
            plain,
            labelled,
        )
    ]
    assert keys[0] is not None and len(set(keys)) == 1
    assert key(request("hi", reader=reader, max_output_tokens=9)) != keys[0]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m", "input": {}}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": "hi", "stream": "yes"}, "stream"),
        ({"model": "m", "input": [{"type": "compaction_trigger"}]}, "input"),
    ],
)
def test_what_is_wrong_is_named_as_openai_names_it(body: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(READER, body, asked(body))
    assert caught.value.param == param


def test_neither_a_model_nor_an_input_has_to_be_named() -> None:
    found = read(READER, {}, asked({}))
    assert (found.model, found.text) == ("auto", "")


def test_who_compacts_by_the_path_has_nothing_stored_by_the_provider() -> None:
    body = {"model": "m", "input": "hi", "store": True, "instructions": "Be brief."}
    sent = stored.read_compact(READER, body, asked(body)).sent
    assert sent is not None and sent.compacts == "path"
    assert json.loads(sent.raw) == sent.body == {name: body[name] for name in body if name != "store"}

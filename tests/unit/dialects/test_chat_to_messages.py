"""Chat completion requests as Messages gets them: recorded bodies, and what holds of any."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.shapes import REQUESTS
from tests.unit.dialects.test_messages_usage import JSON

from farthing.dialects.call_ids import valid_id
from farthing.dialects.call_inputs import input_of
from farthing.dialects.chat.requests.request_reader import read
from farthing.dialects.conversation import Opaque, Text, ToolCall, ToolResult
from farthing.dialects.messages.models import abilities
from farthing.dialects.messages.requests.request_writer import translate, unsaid, write
from farthing.errors import CannotSay, InvalidRequest

HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("case", REQUESTS, ids=[case["name"] for case in REQUESTS])
def test_a_request_is_written_as_recorded(case: dict[str, Any]) -> None:
    sent = copy.deepcopy(case["chat"])
    conversation = read(case["chat"])
    told = {"model": case["model"], "output_tokens_max": 64_000, "stream": bool(sent.get("stream"))}
    written = translate(conversation, **told)
    assert written.body == case["body"]
    assert list(written.unsaid) == case["unsaid"] == list(unsaid(conversation, model=case["model"]))
    assert list(written.yielded) == case["yielded"]
    assert case["chat"] == sent, "the client's body is not changed"
    assert write(conversation, **told) == written.body == translate(read(sent), **told).body


def test_marks_are_the_very_values_that_were_sent() -> None:
    mark = {"ttl": "1h", "type": "ephemeral", "future": [1.0]}
    body = {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "S", "cache_control": mark}]},
            *HI,
        ]
    }
    written = write(read(body), model="claude-haiku-4-5", output_tokens_max=1, stream=False)
    assert written["system"][0]["cache_control"] is mark


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"]}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": 7}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png"}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].input_audio",
        ),
        ({"messages": [{"role": "user", "name": 7, "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "tool_calls": {}, "content": None}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}], "content": None}]},
            "messages[0].tool_calls[0].id",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"id": "a", "function": {"name": ""}}],
                    }
                ]
            },
            "messages[0].tool_calls[0].function.name",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({"messages": HI, "tools": {}}, "tools"),
        ({"messages": HI, "tools": [7]}, "tools[0]"),
        ({"messages": HI, "tools": [{"type": "function"}]}, "tools[0].function"),
        (
            {"messages": HI, "tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        ({"messages": HI, "tool_choice": "perhaps"}, "tool_choice"),
        ({"messages": HI, "tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"messages": HI, "parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"messages": HI, "response_format": "json"}, "response_format"),
        ({"messages": HI, "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"messages": HI, "stop": [7]}, "stop"),
        ({"messages": HI, "temperature": "hot"}, "temperature"),
        ({"messages": HI, "seed": 1.5}, "seed"),
        ({"messages": HI, "user": 7}, "user"),
        ({"messages": HI, "reasoning_effort": 7}, "reasoning_effort"),
        ({"messages": HI, "thinking": "yes"}, "thinking"),
        ({"messages": HI, "functions": [7]}, "functions"),
    ],
)
def test_what_nobody_means_is_refused_by_the_name_of_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(body)
    assert raised.value.param == param and f"`{param}`" in str(raised.value)


PART = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "text",
                "image_url",
                "file",
                "input_audio",
                "refusal",
                "thinking",
                "tool_use",
                "tool_result",
                "x",
            ]
        )
    },
    optional={
        "text": JSON,
        "image_url": JSON,
        "file": JSON,
        "input_audio": JSON,
        "cache_control": JSON,
        "id": JSON,
        "name": JSON,
        "input": JSON,
        "tool_use_id": JSON,
        "content": JSON,
    },
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "function", "x"])},
    optional={
        "content": st.lists(PART, max_size=3) | JSON,
        "tool_calls": JSON,
        "tool_call_id": st.text(max_size=3),
        "name": JSON,
        "thinking_blocks": JSON,
        "reasoning_details": JSON,
        "function_call": JSON,
        "cache_control": JSON,
    },
)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=3) | JSON},
    optional={
        name: JSON
        for name in (
            "tools",
            "functions",
            "tool_choice",
            "function_call",
            "response_format",
            "reasoning_effort",
            "thinking",
            "reasoning",
            "stop",
            "n",
            "logprobs",
            "metadata",
            "output_config",
            "cache_control",
            "max_tokens",
            "foo",
        )
    },
)


@pytest.mark.slow
@given(BODY, st.sampled_from(["claude-haiku-4-5", "claude-opus-4-8", "claude-3-opus", "glm"]))
def test_a_body_of_any_shape_is_read_or_refused(body: dict[str, Any], model: str) -> None:
    try:
        conversation = read(body)
    except InvalidRequest as error:
        assert error.param
        return
    written = translate(conversation, model=model, output_tokens_max=None)
    assert_is_sound(written.body)


def assert_is_sound(body: dict[str, Any]) -> None:
    """What Messages refuses of any request is not in it."""
    messages = body["messages"]
    assert messages and next(m for m in messages if m["role"] != "system")["role"] == "user"
    ids = [b["id"] for m in messages for b in m["content"] if b["type"] == "tool_use"]
    assert len(set(ids)) == len(ids) and all(valid_id(one) == one for one in ids)
    for message, after in zip(messages, [*messages[1:], {"role": ""}], strict=True):
        assert message["content"] and message["role"] in ("user", "assistant", "system")
        assert message["role"] != after["role"] or message["role"] == "system"
        kinds = [block["type"] == "tool_result" for block in message["content"]]
        assert kinds == sorted(kinds, reverse=True)
    for block in blocks_in(body):
        assert block["type"] != "text" or block["text"].strip()
    assert b'"cache_control":null' not in msgspec.json.encode(body)
    if body.get("thinking", {}).get("type") == "enabled" and "temperature" in body:
        assert body["temperature"] == 1


def blocks_in(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from body.get("system", ())
    for message in body["messages"]:
        yield from message["content"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
MARK = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
CALLS = st.lists(
    st.tuples(TEXT, st.dictionaries(TEXT, st.integers() | TEXT, max_size=2)),
    max_size=3,
    unique_by=lambda c: c[0],
)
TURNS = st.lists(st.tuples(TEXT, CALLS, st.none() | MARK), max_size=4)


@given(TURNS, st.none() | TEXT)
def test_nothing_of_a_conversation_is_lost_between_chat_and_messages(
    turns: list[Any], system: str | None
) -> None:
    """Texts, calls with their arguments, results and marks arrive, each once and in order."""
    messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    texts = [] if system is None else [system]
    results, marks, inputs = [], [], []
    for text, calls, mark in turns:
        part = {"type": "text", "text": text} | ({} if mark is None else {"cache_control": mark})
        messages.append({"role": "user", "content": [part]})
        marks += [] if mark is None else [mark]
        texts.append(text)
        told = [
            {"id": i, "type": "function", "function": {"name": "f", "arguments": json.dumps(a)}}
            for i, a in calls
        ]
        messages.append({"role": "assistant", "content": f"so {text}", "tool_calls": told})
        texts.append(f"so {text}")
        inputs += [arguments for _, arguments in calls]
        messages += [{"role": "tool", "tool_call_id": i, "content": f"r{i}"} for i, _ in calls]
        results += [f"r{i}" for i, _ in calls]
    messages.append({"role": "user", "content": "last"})
    texts.append("last")
    conversation = read({"messages": messages})
    assert [
        b.text for t in (*conversation.system, *conversation.turns) for b in t.blocks if isinstance(b, Text)
    ] == texts
    assert sum(isinstance(b, ToolCall) for t in conversation.turns for b in t.blocks) == len(inputs)
    assert sum(isinstance(b, ToolResult) for t in conversation.turns for b in t.blocks) == len(results)
    written = translate(conversation, model="claude-haiku-4-5", output_tokens_max=9)
    body = written.body
    assert_is_sound(body)
    assert not written.unsaid and not written.yielded
    found = list(blocks_in(body))
    assert sorted(b["text"] for b in found if b["type"] == "text") == sorted(texts)
    assert [b["input"] for b in found if b["type"] == "tool_use"] == inputs
    assert [b["content"] for b in found if b["type"] == "tool_result"] == results
    assert [b["tool_use_id"] for b in found if b["type"] == "tool_result"] == [
        b["id"] for b in found if b["type"] == "tool_use"
    ]
    assert [b["cache_control"] for b in found if "cache_control" in b] == marks


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_ids_never_become_one(one: str, other: str) -> None:
    assert (valid_id(one) == valid_id(other)) == (one == other)
    assert valid_id(valid_id(one)) == valid_id(one)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 300 + "1" + "}" * 300, "\ud83d", "nul"]
)
def test_arguments_that_are_none_are_kept_as_words(text: str) -> None:
    assert input_of(text) == {"INVALID_JSON": text}


def test_many_objects_side_by_side_are_arguments_all_the_same() -> None:
    rows = {"rows": [{"n": n} for n in range(5_000)]}
    assert input_of(json.dumps(rows)) == rows


def test_a_part_that_is_not_known_is_kept() -> None:
    part = {"type": "hologram", "x": 1}
    assert read({"messages": [{"role": "user", "content": [part]}]}).turns[0].blocks == (
        Opaque("chat", "hologram", part),
    )


@pytest.mark.parametrize(
    ("name", "thinking", "formats", "in_place"),
    [
        ("claude-3-5-sonnet-20241022", "none", False, False),
        ("claude-3-opus-20240229", "none", False, False),
        ("claude-3-7-sonnet-latest", "budget", False, False),
        ("claude-sonnet-4-20250514", "budget", False, False),
        ("claude-opus-4-1-20250805", "budget", True, False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "budget", True, False),
        ("claude-sonnet-4-5@20250929", "budget", True, False),
        ("anthropic/claude-sonnet-4.5", "budget", True, False),
        ("claude-haiku-4-5", "budget", True, False),
        ("claude-opus-4-6", "adaptive", True, False),
        ("claude-opus-4-8", "adaptive", True, True),
        ("claude-sonnet-5", "adaptive", True, True),
        ("claude-fable-5-2", "adaptive", True, True),
        ("claude-mythos-preview", "adaptive", True, True),
        ("kimi-k2", "budget", False, False),
        ("", "budget", False, False),
    ],
)
def test_what_a_model_can_is_told_by_its_name(
    name: str, thinking: str, formats: bool, in_place: bool
) -> None:
    can = abilities(name)
    assert (can.thinking, can.formats, can.system_in_place) == (thinking, formats, in_place)


def test_the_limit_is_the_clients_else_the_catalogues_else_a_cautious_one() -> None:
    def limit(said: Any, known: int | None, model: str = "claude-haiku-4-5") -> Any:
        body = {"messages": HI, "max_tokens": said}
        return write(read(body), model=model, output_tokens_max=known, stream=False)["max_tokens"]

    assert limit(7, 64_000) == 7
    assert limit(None, 64_000) == limit(-1, 64_000) == limit(0, 64_000) == 64_000
    assert limit(None, None) == 64_000
    assert limit(None, None, "claude-3-opus-20240229") == 4_096


MANY = 20_000  # a body may have 100,000 values
IN_TIME_S = 10.0  # it takes 0.1


def called(*ids: str, arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    calls = [
        {"id": one, "type": "function", "function": {"name": "f", "arguments": arguments}} for one in ids
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, **fields}


def answered(call_id: str, content: Any = "x") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


LONG: dict[str, Callable[[], dict[str, Any]]] = {
    "calls of one id": lambda: {"messages": [*HI, called(*["x"] * MANY)]},
    "results one by one": lambda: {
        "messages": [
            *HI,
            called(*[f"c{index}" for index in range(MANY)]),
            *[answered(f"c{index}") for index in reversed(range(MANY))],
        ]
    },
    "thinking": lambda: {
        "messages": [
            *HI,
            {
                "role": "assistant",
                "content": "x",
                "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "s", "at": 1}] * MANY,
            },
        ]
    },
    "branches of parameters": lambda: {
        "messages": HI,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {"anyOf": [{"properties": {f"p{index}": {}}} for index in range(5 * MANY)]},
                },
            }
        ],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_long_request_takes_time_in_proportion(name: str) -> None:
    body = LONG[name]()
    began_s = time.perf_counter()
    write(read(body), model="claude-sonnet-4-5", output_tokens_max=1, stream=False)
    assert time.perf_counter() - began_s < IN_TIME_S


def test_results_stand_first_and_as_their_calls_do() -> None:
    body = {
        "messages": [
            *HI,
            called("a", "b", "c"),
            answered("c"),
            {"role": "user", "content": "and"},
            answered("a"),
            answered("b", [{"type": "text", "text": "two"}]),
            {"role": "user", "content": "then"},
        ]
    }
    content = write(read(body), model="m", output_tokens_max=1, stream=False)["messages"][-1]["content"]
    assert [one.get("tool_use_id") or one["text"] for one in content] == ["a", "b", "c", "and", "then"]


def test_reasoning_goes_back_to_its_place() -> None:
    def thought(text: str, at: int) -> dict[str, Any]:
        return {"type": "thinking", "thinking": text, "signature": "s", "at": at}

    thinking = [thought("first", 0), thought("behind text", 1), thought("also", 1), thought("too far", 9)]
    said = {**called("a"), "content": "words", "thinking_blocks": [*thinking, thought("last", 9)]}
    blocks = write(
        read({"messages": [*HI, said, answered("a")]}), model="m", output_tokens_max=1, stream=False
    )["messages"][1]["content"]
    told = [one.get("thinking") or one["type"] for one in blocks]
    assert told == ["first", "text", "behind text", "also", "tool_use", "too far", "last"]


def test_calls_that_hold_more_values_than_a_body_may_are_told_as_texts() -> None:
    many = '{"a":[' + "[]," * 40_000 + "0]}"
    commas = json.dumps({"file": 'a,"[{' * 60_000})
    calls = [called(name, arguments=one) for name, one in (("a", many), ("b", commas), ("c", many))]
    turns = [turn for call in calls for turn in (call, answered(call["tool_calls"][0]["id"]))]
    written = write(read({"messages": [*HI, *turns]}), model="m", output_tokens_max=1, stream=False)
    given = [
        turn["content"][0]["input"].keys() for turn in written["messages"] if turn["role"] == "assistant"
    ]
    assert given == [{"a"}, {"file"}, {"INVALID_JSON"}]


def test_brackets_in_texts_are_not_depth() -> None:
    assert input_of(json.dumps({"file": "[" * 10_000})) == {"file": "[" * 10_000}
    assert input_of('{"a": "' + "[" * 10_000).keys() == {"INVALID_JSON"}


def test_a_data_url_of_escapes_is_sent_as_base64() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png," + "%41" * 100_001}}
    with pytest.raises(InvalidRequest, match="more than 100000 escaped bytes: send it as base64"):
        read({"messages": [{"role": "user", "content": [part]}]})


def test_names_in_an_error_are_few_and_short() -> None:
    error = CannotSay("a/m", ["z" * 1_000_000, *[f"f{index}" for index in range(50)]])
    assert len(str(error)) + len(json.dumps(error.said)) < 2_000
    assert "and 31 more" in str(error)


NEW, OLD = "claude-haiku-5-5", "claude-3-5-haiku"
TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}


@pytest.mark.parametrize(
    ("model", "fields", "name", "said"),
    [
        (
            NEW,
            {**TOOLS, "tool_choice": "required"},
            "tool_choice",
            'claude-sonnet-5, or send tool_choice "auto"',
        ),
        (NEW, {"response_format": {"type": "json_object"}}, "response_format", "send a json_schema"),
        (OLD, {"response_format": {"type": "json_object"}}, "response_format", "name a newer model"),
        (OLD, {"temperature": 1.5}, "temperature", "takes 0 to 1"),
        ("claude-sonnet-4-5", {"temperature": 0.5, "top_p": 0.5}, "top_p", "temperature or top_p"),
        (NEW, {"temperature": 0.5}, "temperature", "takes no temperature"),
        (NEW, {"n": 2}, "n", "send the request that often"),
        (NEW, {"stop": [" "]}, "stop", "white space alone"),
        (NEW, {"user": "u" * 300}, "user", "256"),
        (OLD, {"reasoning_effort": "low"}, "reasoning_effort", "does not think"),
    ],
)
def test_what_a_model_cannot_be_told_has_a_reason_and_a_way_out(
    model: str, fields: dict[str, Any], name: str, said: str
) -> None:
    written = translate(read({"messages": HI, **fields}), model=model, output_tokens_max=None)
    assert written.unsaid == (name,) and said in written.reasons[name]


@pytest.mark.parametrize(
    ("model", "takes"), [("claude-sonnet-5", True), ("claude-opus-5", True), ("claude-opus-5-1", False)]
)
@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "f"}}], ids=["any", "one"]
)
def test_the_model_that_the_reason_names_takes_a_demanded_call(choice: Any, model: str, takes: bool) -> None:
    conversation = read({"messages": HI, **TOOLS, "tool_choice": choice})
    written = translate(conversation, model=model, output_tokens_max=None)
    assert (written.unsaid == ()) is takes
    assert (written.body["tool_choice"]["type"] != "auto") is takes


@pytest.mark.parametrize(
    "thinking", [{"budget_tokens": 5}, {"type": None}, {}, {"type": None, "budget_tokens": 9}]
)
@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-4-5", "claude-3-5-haiku"])
def test_thinking_without_a_type_is_no_fault_of_ours(thinking: dict[str, Any], model: str) -> None:
    body = write(read({"messages": HI, "thinking": thinking}), model=model, output_tokens_max=9, stream=False)
    assert body.get("thinking", {}).get("type", "enabled") in ("enabled", "adaptive")


def test_fields_of_messages_parts_and_calls_that_nobody_knows_are_named() -> None:
    call = {
        "id": "c",
        "type": "function",
        "index": 0,
        "function": {"name": "f", "arguments": "{}"},
        "of_call": 1,
    }
    said = read(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "help", "of_system": 1},
                {"role": "user", "content": [{"type": "text", "text": "hi", "of_part": 1}], "of_user": 1},
                {"role": "assistant", "content": "so", "of_answer": 1, "nothing": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ],
        }
    )
    written = translate(said, model="claude-sonnet-4-5", output_tokens_max=None)
    assert set(written.yielded) == {
        f"messages.of_{name}" for name in ("system", "part", "user", "answer", "call")
    }
    assert not written.unsaid and "of_" not in json.dumps(written.body)

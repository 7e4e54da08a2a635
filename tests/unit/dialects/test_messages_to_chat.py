"""Requests of Messages, in the form of the pipeline, as Messages again, and as plain chat completions."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pace import least_s
from tests.unit.dialects.messages_drawn import BODIES, VALUES, places_of

from farthing.dialects.chat.requests import request_reader as chat_reader
from farthing.dialects.chat.requests.request_writer import inner, lowered
from farthing.dialects.conversation import (
    Conversation,
    Opaque,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.messages.requests.request_reader import NAMES, read
from farthing.dialects.messages.requests.request_writer import translate
from farthing.dialects.messages.requests.turns import PLACEHOLDER
from farthing.errors import InvalidRequest
from farthing.types import Json, replace

ROLES = {"system", "user", "assistant", "tool"}
PLAIN = {"role", "content", "tool_calls", "tool_call_id"}
PARTS = {"text", "image_url", "file"}


def one_way(said: Conversation) -> Conversation:
    """What is said in several ways, in the one way that the form has."""
    turns: list[Turn] = []
    for turn in said.turns:
        results = [block for block in turn.blocks if isinstance(block, ToolResult)]
        rest = tuple(block for block in turn.blocks if not isinstance(block, ToolResult))
        turns += [Turn("user", (result,)) for result in results]
        if rest or not results:
            turns.append(replace(turn, blocks=rest))
        elif turn.extras:
            turns[-1] = replace(turns[-1], extras=turn.extras)
    system: list[Turn] = []
    for turn in said.system:
        if system and not system[0].extras and system[0].blocks and is_billing(system[0]):
            system[0] = replace(turn, blocks=(*system[0].blocks, *turn.blocks))
        else:
            system.append(turn)
    same: Conversation = replace(said, turns=tuple(turns), system=tuple(system))
    return same


def is_billing(turn: Turn) -> bool:
    block = turn.blocks[0]
    return len(turn.blocks) == 1 and isinstance(block, Text) and block.text.startswith("x-anthropic-billing")


@given(BODIES)
def test_the_form_of_the_pipeline_loses_nothing(body: Json) -> None:
    sent = copy.deepcopy(body)
    said = read(body)
    form = inner(said)
    again = chat_reader.read(form, NAMES)
    assert one_way(again) == one_way(said)
    assert msgspec.json.decode(msgspec.json.encode(form)) == form, "it is JSON, nothing else"
    assert body == sent, "the client's body is not changed"


@pytest.mark.slow
@given(BODIES)
def test_what_the_form_was_made_of_is_written_from_it(body: Json) -> None:
    """A request that was edited on the way goes to Anthropic in all its parts."""
    body["max_tokens"] = body.get("max_tokens") or 10
    form = inner(read(body))
    written = translate(chat_reader.read(form, NAMES), model="m", output_tokens_max=None)
    assert written.unsaid == () == written.yielded
    again = read(written.body)
    assert replace(again, turns=(), system=()) == replace(read(body), turns=(), system=())
    assert told(again) == told(read(body))


def test_what_nobody_knows_of_a_turn_goes_to_anthropic_with_it() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}], "newer": 1},
        {"role": "assistant", "newer": 2, "content": [
            {"type": "tool_use", "id": "c", "name": "look_up", "input": {}}]},
        {"role": "user", "newer": 3, "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": "b"}]},
        {"role": "system", "content": [{"type": "text", "text": "c"}], "newer": 4},
    ]  # fmt: skip
    form = inner(read({"model": "m", "max_tokens": 9, "messages": messages}))
    written = translate(chat_reader.read(form, NAMES), model="m", output_tokens_max=None)
    assert written.body["messages"] == messages


def told(said: Conversation) -> list[Any]:
    """Blocks in order, but for empty texts, which Messages refuses, and for the marks on them, which go to
    their neighbours; results stand first and as their calls do, and marks in them are theirs."""
    calls: list[str] = []
    blocks: list[Any] = []
    for turn in (*said.system, *said.turns):
        results: list[Any] = []
        others: list[Any] = []
        for block in turn.blocks:
            if isinstance(block, ToolCall):
                calls.append(block.id)
                block = replace(block, arguments=json.loads(block.arguments))
            if isinstance(block, ToolResult):
                results.append((turn.role, block.call_id, block.is_error, shown(block.blocks)))
            else:
                others += [(turn.role, one) for one in shown((block,))]
        if turn.role == "user":
            results.sort(key=lambda result: calls.index(result[1]))
        blocks += results + others
    return blocks


def shown(blocks: tuple[Any, ...]) -> list[Any]:
    found = []
    for block in blocks:
        if isinstance(block, Text) and block.text.strip() in ("", PLACEHOLDER):
            continue
        if isinstance(block, Opaque):
            block = Opaque("messages", block.kind, {**block.value, "cache_control": None})
        if hasattr(block, "source") and hasattr(block.source, "blocks"):
            block = replace(block, source=shown(block.source.blocks))
        found.append(replace(block, cache=None) if hasattr(block, "cache") else block)
    return found


@given(BODIES, st.sampled_from(["m", "gpt-4o", "gpt-5.2", "o3"]))
def test_a_plain_chat_server_gets_plain_chat(body: Json, model: str) -> None:
    form = inner(read(body))
    sent = copy.deepcopy(form)
    written = lowered(form, model=model)
    assert form == sent
    plain(written.body)
    if "web_search_20250305" in [tool.get("type") for tool in body.get("tools", ())]:
        assert "tools.web_search_20250305" in written.unsaid
    assert ("container" in written.unsaid) == ("container" in body)
    assert ("mcp_servers" in written.unsaid) == bool(body.get("mcp_servers"))
    assert ("cache_control" in written.yielded) == has_mark(form)


def has_mark(value: Any) -> bool:
    """Whether a mark lies where marks do."""
    if isinstance(value, dict):
        value = {name: one for name, one in value.items() if name not in ("newer_field", "arguments")}
        return "cache_control" in value or any(has_mark(one) for one in value.values())
    return isinstance(value, list) and any(has_mark(one) for one in value)


def plain(body: Json) -> None:
    """It is as OpenAI's reference has it: no field of Messages, and results right after their calls."""
    assert body.keys() <= {
        "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "stop",
        "temperature", "top_p", "max_tokens", "reasoning_effort", "user",
    }  # fmt: skip
    waiting: set[str] = set()
    for message in body["messages"]:
        assert message["role"] in ROLES and message.keys() <= PLAIN
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting and isinstance(message["content"], str)
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "nothing comes between a call and its result"
        content = message["content"]
        if message["role"] != "user":
            assert content is None or isinstance(content, str)
        for part in content if isinstance(content, list) else ():
            assert part["type"] in PARTS and part.keys() == {"type", part["type"]}
        for call in message.get("tool_calls", ()):
            assert call.keys() == {"id", "type", "function"}
            waiting.add(call["id"])
    for tool in body.get("tools", ()):
        assert tool.keys() == {"type", "function"} and tool["function"]["parameters"]


@given(BODIES, st.data())
def test_a_wrong_request_is_refused_by_name_or_read(body: Json, data: st.DataObject) -> None:
    """Whatever stands in whatever place: it is never our fault."""
    body = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(1, 3))):
        places = places_of(body)
        if not places:
            break
        within, key = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()):
            within[key] = copy.deepcopy(data.draw(VALUES))
        elif isinstance(within, dict):
            name = data.draw(
                st.sampled_from(["place", "turn", "type", "role", "name", "function", "content"])
            )
            within[name] = copy.deepcopy(data.draw(VALUES))
    try:
        said = read(body)
    except InvalidRequest as error:
        assert error.param and error.param.split(".")[0] in {*body, "messages"} | set(error.param.split("."))
        return
    form = inner(said)
    assert one_way(chat_reader.read(form, NAMES)) == one_way(said)
    msgspec.json.encode(lowered(form).body)
    msgspec.json.encode(translate(said, model="m", output_tokens_max=None).body)


def _with_image(source: Json) -> Json:
    return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (_with_image({"type": "url", "url": ""}), "messages.0.content.0.source.url"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "json_schema", "schema": 5}}}, "output_config.format.schema"),
    ],
)
def test_what_the_form_could_not_say_is_refused_by_the_name_that_messages_has(body: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read({"model": "m", "messages": [{"role": "user", "content": "hi"}], **body})
    assert caught.value.param == param


@pytest.mark.parametrize(
    "after", ["\nAnswer as a lawyer.", " Answer as a lawyer.", "\n\nb=c;\nAnswer as a lawyer."]
)
def test_instructions_behind_the_note_for_accounts_are_instructions(after: str) -> None:
    note = "x-anthropic-billing-header: cc_version=2.1.0.a1; cc_entrypoint=cli; cch=00000;"
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    form = inner(read({**asked, "system": note + after}))
    assert form["messages"][0]["content"] == note + after
    assert len(inner(read({**asked, "system": note}))["messages"]) == 1


def test_a_note_for_accounts_is_a_short_line() -> None:
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    name = "x-anthropic-billing-header: a="
    for length, instructions in ((500, 0), (501, 1)):
        form = inner(read({**asked, "system": name + "b" * (length - len(name))}))
        assert len(form["messages"]) == 1 + instructions


@pytest.mark.slow
def test_the_time_to_join_messages_of_one_role_grows_with_their_number_alone() -> None:
    def of(count: int) -> Json:
        said = [{"role": "user", "content": "x" * 1_000}] * count
        form = inner(read({"model": "m", "max_tokens": 5, "messages": said}))
        return lowered(form, model="qwen3-32b").body

    (message,) = of(3)["messages"]
    assert message["content"] == "\n\n".join(["x" * 1_000] * 3)
    few, many = least_s(lambda: of(500)), least_s(lambda: of(4_000))
    assert many < 8 * few * 4, "eight times as many, and not eight times that"

"""Requests of Responses as the model of a conversation, in the form of the pipeline, in other dialects."""

import copy
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from tests.unit.dialects.messages_drawn import VALUES, places_of
from tests.unit.dialects.responses_drawn import BODIES, OURS, PDF, PNG, THEIRS, samples

from farthing.dialects.chat.requests import request_reader as chat_reader
from farthing.dialects.chat.requests.request_writer import inner, lowered
from farthing.dialects.conversation import (
    Audio,
    Block,
    Conversation,
    Document,
    FunctionTool,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Reasoning,
    Refusal,
    Stored,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from farthing.dialects.messages.requests.request_writer import translate
from farthing.dialects.responses import envelopes
from farthing.dialects.responses.requests.request_reader import NAMES, read
from farthing.dialects.written import Written
from farthing.errors import InvalidRequest
from farthing.types import Json, replace

ROLES = {"system", "user", "assistant", "tool"}
ITEMS = get_args(ResponseInputItemParam)
FIELDS = get_type_hints(ResponseCreateParamsBase, include_extras=True)
TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "4 C"}


def asked(*items: Any, **fields: Any) -> Json:
    return {"model": "m", "input": list(items) or "hi", **fields}


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def said(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def block(part: Json) -> Block:
    """What one part of a message is read as."""
    (found,) = read(asked(user([part]))).turns[0].blocks
    return found


def again(conversation: Conversation) -> Conversation:
    """What the form of the pipeline says."""
    return chat_reader.read(inner(conversation), NAMES, "responses")


def to_chat(body: Json, model: str = "deepseek-chat") -> Written:
    return lowered(inner(read(body)), model=model, dialect="responses")


def to_messages(body: Json, model: str = "claude-sonnet-4-5") -> Written:
    return translate(again(read(body)), model=model, output_tokens_max=None)


def apart(conversation: Conversation) -> Conversation:
    """With each result in a turn of its own, as the form has them."""
    turns: list[Turn] = []
    for turn in conversation.turns:
        if turn.blocks and all(isinstance(one, ToolResult) for one in turn.blocks):
            turns += [Turn("user", (one,)) for one in turn.blocks]
        else:
            turns.append(turn)
    same: Conversation = replace(conversation, turns=tuple(turns), format=None, names=NAMES)
    return same


# -- by chance ---------------------------------------------------------------------------------------


@given(BODIES)
def test_the_form_of_the_pipeline_loses_nothing(body: Json) -> None:
    sent = copy.deepcopy(body)
    conversation = read(body)
    form = inner(conversation)
    assert apart(again(conversation)) == apart(conversation)
    assert msgspec.json.decode(msgspec.json.encode(form)) == form, "it is JSON, nothing else"
    assert body == sent, "the client's body is not changed"


@given(BODIES)
def test_a_plain_server_of_chat_gets_nothing_that_it_does_not_know(body: Json) -> None:
    written = to_chat(body)
    assert {message["role"] for message in written.body["messages"]} <= ROLES
    open_calls: list[str] = []
    for message in written.body["messages"]:
        assert message.keys() <= {"role", "content", "tool_calls", "tool_call_id", "reasoning_content"}
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
        else:
            assert not open_calls, "results stand right after their calls"
            open_calls = [call["id"] for call in message.get("tool_calls", ())]
        for part in message["content"] if isinstance(message["content"], list) else ():
            assert part["type"] in ("text", "image_url", "file", "input_audio")
    for tool in written.body.get("tools", ()):
        assert tool.keys() == {"type", "function"}
    assert not {name for name in written.body if "." in name}


@given(BODIES, st.data())
def test_whatever_stands_in_whatever_place_is_read_or_refused_by_name(
    body: Json, data: st.DataObject
) -> None:
    body = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(1, 3))):
        places = places_of(body)
        if not places:
            break
        within, key = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()):
            within[key] = copy.deepcopy(data.draw(VALUES))
        elif isinstance(within, dict):
            names = [
                "type",
                "role",
                "name",
                "content",
                "maker",
                "place",
                "turn",
                "encrypted_content",
                "caller",
            ]
            within[data.draw(st.sampled_from(names))] = copy.deepcopy(data.draw(VALUES))
    try:
        conversation = read(body)
    except InvalidRequest as error:
        assert error.param
        assert error.param.split(".")[0].split("[")[0] in {*body, "input"}
        return
    assert apart(again(conversation)) == apart(conversation)
    msgspec.json.encode(lowered(inner(conversation), dialect="responses").body)
    msgspec.json.encode(translate(again(conversation), model="m", output_tokens_max=None).body)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text", "text": "x"},
        {"type": "input_image", "image_url": "https://x.example/a.png"},
        {"type": "input_image", "image_url": PNG},
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "of_a_later_day"},
    ],
    ids=lambda part: str(part["type"]),
)
def test_a_field_of_a_later_day_stays_at_its_part(part: Json) -> None:
    said = read({"model": "m", "input": [{"role": "user", "content": [{**part, "newer_field": []}]}]})
    assert again(said).turns == said.turns
    assert "newer_field" in str(said.turns)


# -- all that the SDK has ----------------------------------------------------------------------------

MESSAGES = {"EasyInputMessageParam", "Message", "ResponseOutputMessageParam"}
TRANSLATED = {
    *MESSAGES, "AdditionalTools", "ResponseFunctionToolCallParam", "FunctionCallOutput",
    "ResponseReasoningItemParam", "ResponseCustomToolCallParam", "ResponseCustomToolCallOutputParam",
}  # fmt: skip
REFUSED_HERE = {"ItemReference": "", "CompactionTrigger": ".type"}
"""Refused wherever they would go, by this part of the item."""


@pytest.mark.parametrize("kind", ITEMS, ids=lambda kind: str(kind.__name__))
def test_every_item_that_the_sdk_knows_is_read_or_named(kind: Any) -> None:
    name = kind.__name__
    for item in samples(kind):
        body = asked(user("a"), item, user("b"))
        if name in REFUSED_HERE:
            with pytest.raises(InvalidRequest) as caught:
                read(body)
            assert caught.value.param == f"input[1]{REFUSED_HERE[name]}"
            continue
        conversation = read(body)
        assert apart(again(conversation)) == apart(conversation)
        opaque = {one.kind for turn in conversation.turns for one in turn.blocks if isinstance(one, Opaque)}
        for written in (to_chat(body), to_messages(body)):
            assert opaque <= set(written.unsaid)
            if name not in TRANSLATED:
                assert opaque == {item["type"]}
        if name in TRANSLATED and item.get("call_id", "") is not None:
            assert not opaque


@pytest.mark.parametrize("tool", [*samples(ToolParam)], ids=lambda tool: str(tool.get("type")))
def test_every_tool_that_the_sdk_knows_is_told_or_named(tool: Any) -> None:
    if "function" in tool:  # of chat completions, which the SDK's own parser takes
        with pytest.raises(InvalidRequest, match=r"tools\[0\].name"):
            read(asked(tools=[tool]))
        return
    told = {"function", "custom", "namespace"}
    for written in (to_chat(asked(tools=[tool])), to_messages(asked(tools=[tool]))):
        named = () if tool["type"] in told else (f"tools.{tool['type']}",)
        assert written.unsaid == named
        assert ("tools" in written.body) is (tool["type"] in told)


KEPT, NOTED, REFUSED, NO_CLAIM, NOWHERE = (
    "kept",
    "left out",
    "refused",
    "asks for nothing",
    "refused at the door",
)
FATES = {
    "access_programs": REFUSED,
    "background": NOWHERE,
    "background_options": NOTED,
    "context_management": NOTED,
    "conversation": NOWHERE,
    "image": NOTED,
    "include": NO_CLAIM,
    "input": KEPT,
    "instructions": KEPT,
    "max_output_tokens": KEPT,
    "max_tool_calls": NOTED,
    "metadata": NOTED,
    "model": KEPT,
    "moderation": REFUSED,
    "parallel_tool_calls": NO_CLAIM,
    "previous_response_id": NOWHERE,
    "prompt": NOWHERE,
    "prompt_cache_key": NOTED,
    "prompt_cache_options": NOTED,
    "prompt_cache_retention": NOTED,
    "reasoning": KEPT,
    "safety_identifier": KEPT,
    "service_tier": KEPT,
    "store": NO_CLAIM,
    "stream_options": NO_CLAIM,
    "temperature": KEPT,
    "text": KEPT,
    "tool_choice": KEPT,
    "tools": KEPT,
    "top_logprobs": KEPT,
    "top_p": KEPT,
    "truncation": NOTED,
    "user": KEPT,
}
"""What becomes of the first sample of each field before a plain server of chat completions."""
VALUE = {
    "image": {"context_compression": "enabled"},
    "input": "hi",
    "model": "m",
    "reasoning": {"effort": "low", "summary": "auto"},
    "service_tier": "priority",
    "text": {"format": {"type": "json_object"}},
    "tools": [TOOL],
    "tool_choice": "required",
}  # fmt: skip


def test_the_fields_are_those_of_the_sdk() -> None:
    assert FATES.keys() == FIELDS.keys()


@pytest.mark.parametrize("name", FATES)
def test_every_field_that_the_sdk_knows_has_a_fate(name: str) -> None:
    value = VALUE[name] if name in VALUE else next(samples(FIELDS[name]))
    body = {**asked(**({"tools": [TOOL]} if name == "tool_choice" else {})), name: value}
    plain = to_chat({**body, name: None} if name not in ("input", "model") else {**asked(), "model": ""})
    if FATES[name] == NOWHERE:
        with pytest.raises(InvalidRequest) as caught:
            read(body)
        assert caught.value.param == name
        return
    written = to_chat(body)
    kept = written.body != plain.body or name == "input"
    fate = (
        REFUSED
        if written.unsaid == (name,)
        else NOTED
        if written.yielded and written.yielded[0].split(".")[0] == name
        else KEPT
        if kept
        else NO_CLAIM
    )
    assert fate == FATES[name]
    if name != "input" and name != "model":
        assert to_chat({**body, name: None}).body == plain.body, "null asks for nothing"


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"input", "tools"}))
def test_every_value_that_the_sdk_knows_of_a_field_is_read(name: str) -> None:
    for value in samples(FIELDS[name]):
        if FATES[name] == NOWHERE and value is not None:
            continue
        if name == "tool_choice" and isinstance(value, dict) and value.get("tools") == [{"some": "x"}]:
            value = {**value, "tools": [{"type": "function", "name": "look_up"}]}
        conversation = read({**asked(tools=[TOOL]), name: value})
        assert apart(again(conversation)) == apart(conversation)


# -- items -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"type": "input_text", "text": "a"}, Text("a")),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text("a", {"type": "ephemeral"}),
        ),
        (
            {
                "type": "input_text",
                "text": "a",
                "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
            },
            Text("a", {"type": "ephemeral", "ttl": "1h"}),
        ),
        (
            {"type": "output_text", "text": "a", "annotations": [{"type": "x"}]},
            Text("a", None, ({"type": "x"},)),
        ),
        ({"type": "refusal", "refusal": "no"}, Refusal("no")),
        (
            {"type": "input_image", "image_url": "https://x/a.png", "detail": "auto"},
            Image(Link("https://x/a.png")),
        ),
        (
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
            Image(Inline("image/png", PNG), "low"),
        ),
        ({"type": "input_image", "file_id": "file-1", "image_url": None}, Image(Stored("file-1"))),
        (
            {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
            Document(Inline("application/pdf", PDF), "a.pdf"),
        ),
        ({"type": "input_file", "file_data": PDF}, Document(Inline("application/pdf", PDF))),
        ({"type": "input_file", "file_data": "aGk=", "filename": "a.txt"}, Document(Plain("hi"), "a.txt")),
        ({"type": "input_file", "file_url": "https://x/a.pdf"}, Document(Link("https://x/a.pdf"))),
        ({"type": "input_file", "file_id": "file-2", "detail": "auto"}, Document(Stored("file-2"))),
        (
            {"type": "input_file", "file_data": f"data:image/png;base64,{PNG}"},
            Image(Inline("image/png", PNG)),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            Audio(Inline("audio/wav", "UklGRg=="), "wav"),
        ),
        ({"type": "newer_part", "x": 1}, Opaque("responses", "newer_part", {"type": "newer_part", "x": 1})),
    ],
)
def test_a_part_is_read(part: Json, found: Block) -> None:
    assert block(part) == found


def test_what_one_answer_says_thinks_and_calls_is_one_turn() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    other = {**CALL, "call_id": "call_2"}
    turns = read(asked(user("a"), thought, said("Let me look:"), CALL, other, OUTPUT, said("4 C"))).turns
    assert turns == (
        Turn("user", (Text("a"),)),
        Turn(
            "assistant",
            (
                Reasoning("hm"),
                Text("Let me look:"),
                ToolCall("call_1", "look_up", "{}"),
                ToolCall("call_2", "look_up", "{}"),
            ),
        ),
        Turn("user", (ToolResult("call_1", (Text("4 C"),)),)),
        Turn("assistant", (Text("4 C"),)),
    )


def test_outputs_stand_in_the_order_of_their_calls_whatever_came_first() -> None:
    calls = [{**CALL, "call_id": f"call_{place}"} for place in range(3)]
    outputs = [{**OUTPUT, "call_id": call_id} for call_id in ("call_9", "call_2", "call_0", "call_1")]
    (results,) = read(asked(*calls, *outputs)).turns[1:]
    found = [one.call_id for one in results.blocks if isinstance(one, ToolResult)]
    assert found == ["call_0", "call_1", "call_2", "call_9"]


def test_calls_that_were_made_one_after_the_other_stay_two_answers() -> None:
    second = {**CALL, "call_id": "call_2"}, {**OUTPUT, "call_id": "call_2"}
    roles = [turn.role for turn in read(asked(user("a"), CALL, OUTPUT, *second)).turns]
    assert roles == ["user", "assistant", "user", "assistant", "user"]


def test_two_messages_of_one_answer_do_not_run_together() -> None:
    messages = to_chat(asked(user("a"), said("First."), said("Second."), CALL, OUTPUT)).body["messages"]
    assert messages[1]["content"] == "First.\n\nSecond."
    assert [len(messages), len(messages[1]["tool_calls"])] == [3, 1]


def test_instructions_stay_in_their_place_and_become_those_that_every_server_knows() -> None:
    developer = {"role": "developer", "content": "Use metric units."}
    body = asked(
        developer, user("a"), {**developer, "content": "Budget is low."}, user("b"), instructions="Be brief."
    )
    conversation = read(body)
    assert [turn.role for turn in conversation.system] == ["system", "developer"]
    assert [(one["role"], one["content"]) for one in to_chat(body).body["messages"]] == [
        ("system", "Be brief."),
        ("system", "Use metric units."),
        ("user", "a"),
        ("system", "Budget is low."),
        ("user", "b"),
    ]


def test_a_conversation_that_ends_with_an_answer_is_answered_anew() -> None:
    written = to_chat(asked(user("a"), said("b")))
    assert written.unsaid == () and written.body["messages"][-1] == {"role": "assistant", "content": "b"}
    assert to_messages(asked(user("a"), said("b"))).body["messages"][-1]["role"] == "user"


def test_images_and_files_of_an_output_reach_chat_after_all_results() -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
    output = {**OUTPUT, "output": [{"type": "input_text", "text": "see"}, image]}
    messages = to_chat(asked(user("a"), CALL, output)).body["messages"]
    assert messages[2] == {"role": "tool", "tool_call_id": "call_1", "content": "see"}
    assert messages[3]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PNG}"},
    }


# -- reasoning and compactions -----------------------------------------------------------------------


def thought(block: Reasoning | None = None, **fields: Any) -> Json:
    held = {} if block is None else {"encrypted_content": envelopes.of_reasoning(block)}
    return {"type": "reasoning", "id": "rs_1", "summary": [], **held, **fields}


def test_what_a_chat_server_thought_goes_back_to_one_that_wants_it() -> None:
    body = asked(user("a"), thought(Reasoning("I must ask.")), CALL, OUTPUT)
    assert to_chat(body).body["messages"][1]["reasoning_content"] == "I must ask."
    other = to_chat(body, "gpt-4o")
    assert "reasoning_content" not in other.body["messages"][1]
    assert other.yielded == ("input.reasoning",)
    assert to_messages(body).yielded == ("input.reasoning",)


def test_what_claude_thought_goes_back_signed_and_apart() -> None:
    thoughts = [
        thought(Reasoning(text, sign, "", "messages")) for text, sign in (("1.", "c2ln"), ("2.", "c2lo"))
    ]
    hidden = thought(Reasoning("", "", "aGlk", "messages"))
    written = to_messages(asked(user("a"), *thoughts, hidden, CALL, OUTPUT))
    assert written.yielded == ()
    assert written.body["messages"][1]["content"][:3] == [
        {"type": "thinking", "thinking": "1.", "signature": "c2ln"},
        {"type": "thinking", "thinking": "2.", "signature": "c2lo"},
        {"type": "redacted_thinking", "data": "aGlk"},
    ]
    assert to_chat(asked(user("a"), *thoughts, said("b"))).yielded == ("input.reasoning",)


def test_what_a_provider_of_responses_encrypted_goes_to_nobody_else() -> None:
    body = asked(user("a"), thought(encrypted_content=THEIRS), CALL, OUTPUT)
    found = read(body).turns[1].blocks[0]
    assert isinstance(found, Reasoning) and (found.maker, found.redacted) == ("responses", THEIRS)
    assert found.extras == {"id": "rs_1", "summary": []}
    for written in (to_chat(body), to_messages(body)):
        assert THEIRS not in str(written.body) and written.yielded == ("input.reasoning",)


def test_an_envelope_that_a_client_has_changed_is_the_text_beside_it() -> None:
    held: Json = {"encrypted_content": OURS[:-3], "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert read(asked(user("a"), thought(**held), said("b"))).turns[1].blocks[0] == Reasoning("hm")


def test_a_compaction_of_ours_is_told_and_that_of_a_provider_named() -> None:
    ours = {"type": "compaction", "encrypted_content": envelopes.of_summary("We greeted.")}
    (message, _) = to_chat(asked(ours, user("b"))).body["messages"]
    assert message["role"] == "user" and message["content"].endswith("We greeted.")
    theirs = {"type": "compaction", "encrypted_content": THEIRS}
    assert to_chat(asked(theirs, user("b"))).unsaid == ("compaction",)
    assert to_messages(asked(theirs, user("b"))).unsaid == ("compaction",)


# -- tools and settings ------------------------------------------------------------------------------


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    body = asked(
        user("write"),
        {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": 'say "hi"'},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"},
        tools=[{"type": "custom", "name": "patch", "description": "Edits."}],
        tool_choice={"type": "custom", "name": "patch"},
    )
    written = to_chat(body).body
    assert written["messages"][1]["tool_calls"][0]["function"] == {
        "name": "patch",
        "arguments": '{"input":"say \\"hi\\""}',
    }
    assert list(written["tools"][0]["function"]["parameters"]["properties"]) == ["input"]
    assert written["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    assert to_messages(body).body["messages"][1]["content"][0]["input"] == {"input": 'say "hi"'}


def test_functions_of_a_namespace_are_known_by_one_name_everywhere() -> None:
    call = {**CALL, "name": "search", "namespace": "docs"}
    body = asked(
        user("a"),
        call,
        OUTPUT,
        tools=[
            {"type": "namespace", "name": "docs", "description": "D", "tools": [{**TOOL, "name": "search"}]},
            {**TOOL, "name": "search"},
        ],
        tool_choice={"type": "function", "name": "search", "namespace": "docs"},
    )
    written = to_chat(body).body
    names = [tool["function"]["name"] for tool in written["tools"]]
    assert names == ["docs__search", "search"]
    assert written["messages"][1]["tool_calls"][0]["function"]["name"] == "docs__search"
    assert written["tool_choice"]["function"]["name"] == "docs__search"


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "look_up"}, ToolChoice("named", ("look_up",))),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look_up"}]},
            ToolChoice("allowed", ("look_up",), True),
        ),
    ],
)
def test_a_choice_is_read(said: Any, choice: ToolChoice) -> None:
    assert read(asked(tools=[TOOL], tool_choice=said)).choice == choice
    single = read(asked(tools=[TOOL], tool_choice=said, parallel_tool_calls=False)).choice
    assert single == replace(choice, parallel=False)


def test_of_allowed_tools_a_chat_server_gets_those_alone() -> None:
    other = {**TOOL, "name": "other"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]}
    written = to_chat(asked(tools=[TOOL, other], tool_choice=allowed))
    assert [tool["function"]["name"] for tool in written.body["tools"]] == ["other"]
    assert written.body["tool_choice"] == "required" and written.unsaid == ()
    none = {**allowed, "tools": [{"type": "function", "name": "gone"}]}
    assert to_chat(asked(tools=[TOOL], tool_choice=none)).body["tool_choice"] == "none"


def test_the_choice_of_a_tool_that_a_provider_runs_is_named() -> None:
    body = asked(tools=[{"type": "web_search"}, TOOL], tool_choice={"type": "web_search"})
    for written in (to_chat(body), to_messages(body)):
        assert set(written.unsaid) == {"tools.web_search", "tool_choice.web_search"}
        assert "name a model of one of them" in written.reasons["tools.web_search"]


def test_strict_is_kept_and_the_usual_is_not_said() -> None:
    tools = read(asked(tools=[{**TOOL, "strict": True}, {**TOOL, "strict": False}, TOOL])).tools
    assert [tool.strict for tool in tools if isinstance(tool, FunctionTool)] == [True, None, None]


def test_a_format_is_nested_as_chat_has_it() -> None:
    form = {
        "type": "json_schema",
        "name": "r",
        "schema": {"type": "object"},
        "description": "d",
        "strict": True,
    }
    told = {"name": "r", "schema": {"type": "object"}, "description": "d", "strict": True}
    written = to_chat(asked(text={"format": form}))
    assert written.body["response_format"] == {"type": "json_schema", "json_schema": told}
    assert to_chat(asked(text={"format": {"type": "text"}})).body.get("response_format") is None
    newer = asked(text={"format": {"type": "grammar"}})
    assert to_chat(newer).unsaid == ("text.format",) == to_messages(newer).unsaid


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"max_output_tokens": 64}, {"max_tokens": 64}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"user": "u", "safety_identifier": "s"}, {"user": "s"}),
        ({"user": "u"}, {"user": "u"}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
    ],
)
def test_a_setting_has_the_name_of_chat(fields: Json, told: Json) -> None:
    written = to_chat(asked(**fields))
    assert written.body == {"model": "m", "messages": [{"role": "user", "content": "hi"}], **told}
    assert written.unsaid == () == written.yielded


def test_openais_own_models_are_told_what_only_they_know() -> None:
    body = asked(prompt_cache_key="k", text={"verbosity": "low"})
    written = to_chat(body, "openai/gpt-5-mini")
    assert written.yielded == ()
    assert (written.body["prompt_cache_key"], written.body["verbosity"]) == ("k", "low")
    assert to_chat(body, "gpt-4o").yielded == ("text.verbosity",)
    assert to_chat(body).yielded == ("prompt_cache_key", "text.verbosity")
    assert to_messages(body).yielded == ("prompt_cache_key", "text.verbosity")


def test_what_cannot_be_said_has_the_clients_own_name() -> None:
    body = asked(
        user([{"type": "input_file", "file_id": "f"}, {"type": "input_image", "file_id": "f"}]),
        moderation={"model": "m"},
    )
    assert set(to_chat(body).unsaid) == {"input_file.file_id", "input_image.file_id", "moderation"}
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    body = asked(user([sound]), top_logprobs=2, text={"format": {"type": "json_object"}})
    assert set(to_messages(body).unsaid) == {"input_audio", "top_logprobs", "text.format"}


def test_annotations_and_details_give_way_under_their_own_names() -> None:
    image = {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "original"}
    cited = {"type": "output_text", "text": "b", "annotations": [{"type": "url_citation", "url": "u"}]}
    body = asked(user([image]), {"role": "assistant", "content": [cited]}, user("c"))
    for written in (to_chat(body), to_messages(body)):
        assert set(written.yielded) == {"input.annotations", "input_image.detail"} and written.unsaid == ()
    assert to_chat(body).body["messages"][0]["content"][0]["image_url"]["detail"] == "high"


# -- what is wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (asked(input=[]), "input"),
        (asked(input=7), "input"),
        (asked(7), "input[0]"),
        (asked({"content": "x"}), "input[0].type"),
        (asked({"type": "input_text", "text": "x"}), "input[0].type"),
        (asked({"role": "tool", "content": "x"}), "input[0].role"),
        (asked(user(7)), "input[0].content"),
        (asked(user([7])), "input[0].content[0]"),
        (asked(user([{"type": "text", "text": "x"}])), "input[0].content[0].type"),
        (asked(user([{"type": "input_text"}])), "input[0].content[0].text"),
        (asked(user("a"), user([{"type": "input_image"}])), "input[1].content[0].image_url"),
        (asked(user([{"type": "input_image", "image_url": {"url": "x"}}])), "input[0].content[0].image_url"),
        (asked(user([{"type": "input_image", "image_url": "data:x"}])), "input[0].content[0].image_url"),
        (asked(user([{"type": "input_file"}])), "input[0].content[0].file_data"),
        (asked(user([{"type": "input_file", "file_url": 1}])), "input[0].content[0].file_url"),
        (asked(user([{"type": "input_audio", "input_audio": {}}])), "input[0].content[0].input_audio.format"),
        (asked({**CALL, "call_id": ""}), "input[0].call_id"),
        (asked({**CALL, "arguments": {}}), "input[0].arguments"),
        (asked({**CALL, "name": None}), "input[0].name"),
        (asked({**OUTPUT, "call_id": None}), "input[0].call_id"),
        (asked({**OUTPUT, "output": None}), "input[0].output"),
        (asked({**OUTPUT, "output": [{"type": "input_text"}]}), "input[0].output[0].text"),
        (asked({"type": "reasoning", "summary": [{}]}), "input[0].summary[0].text"),
        (asked({"type": "compaction"}), "input[0].encrypted_content"),
        (asked({"type": "item_reference", "id": "msg_1"}), "input[0]"),
        (asked({"id": "msg_1"}), "input[0]"),
        (asked({"type": "compaction_trigger"}, user("a")), "input[0].type"),
        (asked({"role": "user", "content": "x", "tool_call_id": "c"}), "input[0].tool_call_id"),
        (asked(tools={}), "tools"),
        (asked(tools=[{"type": "function"}]), "tools[0].name"),
        (asked(tools=[{"type": "namespace", "name": "n", "tools": [7]}]), "tools[0].tools[0]"),
        (asked(tools=[{**TOOL, "parameters": 1}]), "tools[0].parameters"),
        (asked(tools=[{**TOOL, "function": {}}]), "tools[0].function"),
        (asked(tool_choice="any"), "tool_choice"),
        (asked(tool_choice={"type": "function"}), "tool_choice.name"),
        (asked(tool_choice={"type": "allowed_tools", "mode": "auto", "tools": []}), "tool_choice.tools"),
        (asked(parallel_tool_calls=1), "parallel_tool_calls"),
        (asked(text={"format": {"type": "json_schema", "name": "r"}}), "text.format.schema"),
        (asked(text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name"),
        (asked(text={"verbosity": 1}), "text.verbosity"),
        (asked(reasoning={"effort": 1}), "reasoning.effort"),
        (asked(include="x"), "include"),
        (asked(instructions=["x"]), "instructions"),
        (asked(temperature="hot"), "temperature"),
        (asked(background=True), "background"),
        (asked(conversation="conv_1"), "conversation"),
        (asked(prompt={"id": "pmpt_1"}), "prompt"),
        (asked(previous_response_id="resp_1"), "previous_response_id"),
        (asked(messages=[]), "messages"),
        (asked(max_tokens=1), "max_tokens"),
        (asked(response_format={}), "response_format"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_refused_by_openais_name_for_it(body: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert caught.value.param == param and f"`{param}`" in str(caught.value)

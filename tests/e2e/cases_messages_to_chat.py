"""A client of Messages before a provider that speaks chat completions: what is often lost on the way."""

from typing import Any, Final

from tests.e2e.cases import Case, Trip
from tests.e2e.matching import (
    GONE,
    exactly,
    faults,
    free_of,
    holding,
    json_of,
    kinds,
    like,
    one_of,
    text_of,
)
from tests.e2e.messages_said import (
    HIDDEN,
    PDF,
    PNG,
    SCHEMA,
    SIGNED,
    TOOL,
    asked,
    assistant,
    base64_of,
    completion,
    result,
    system,
    text,
    used,
    user,
)

M1: Final = "chat/m-1"
GPT5: Final = "chat/gpt-5.2"
DEEPSEEK: Final = "chat/deepseek-v4-pro"
UNSIGNED: Final = {"type": "thinking", "thinking": "I look.", "signature": ""}
MARK: Final = {"type": "ephemeral"}
OK: Final = {"content": [{"type": "text", "text": "fine"}], "stop_reason": "end_turn"}
ID: Final = "[a-zA-Z0-9_-]+"


def case(asks: Any, says: Any = None, **fields: Any) -> Case:
    """By default a whole answer that says `fine`."""
    fields = {"model": M1, "back": OK if says is None else None, **fields}
    return Case(door="messages", asks=asks, says=completion() if says is None else says, **fields)


def tools(content: Any, **fields: Any) -> dict[str, Any]:
    return asked(content, **{"tools": [TOOL], **fields})


def refused(asks: Any, *names: str, **fields: Any) -> Case:
    """It is refused before any call, by these names, and costs nothing."""
    back = {"type": "error", "error": {"type": "invalid_request_error", "message": holding(*names)}}
    return case(asks, calls=0, status=400, back=back, nusd=0, **fields)


def shown(kind: str, source: Any, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "source": source, **fields}


# -- what goes up ------------------------------------------------------------------------------------

PAIR: Final = assistant([used("toolu_a"), used("toolu_b", "Rome")])
PICTURE: Final = shown("image", base64_of("image/png", PNG))
PICTURE_URL: Final = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
LONG: Final = "toolu_" + "x" * 70


def id_fits(trip: Trip) -> None:
    """An id that is too long for chat is one that is not, for the call and for its result, each time."""
    turns = trip.up["messages"]
    assert turns[1]["tool_calls"][0]["id"] == turns[2]["tool_call_id"]
    assert len(turns[2]["tool_call_id"]) <= 40
    assert trip.goes_on().up == trip.up


CASES: dict[str, Case] = {
    "text before a result comes after it": case(
        tools([user("go"), assistant([used("toolu_1")]), user([text("and hurry"), result("toolu_1")])]),
        up={
            "messages": [
                {"role": "user", "content": "go"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"arguments": json_of({"city": "Oslo"})},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "toolu_1", "content": "4 degrees"},
                {"role": "user", "content": text_of("and hurry")},
            ]
        },
    ),
    "texts around several results come after all of them": case(
        tools(
            [user("go"), PAIR, user([text("1"), result("toolu_b", "B"), text("2"), result("toolu_a", "A")])]
        ),
        up={
            "messages": [
                {"role": "user"},
                {"role": "assistant"},
                {"role": "tool", "content": one_of("A", "B")},
                {"role": "tool", "content": one_of("A", "B")},
                {"role": "user", "content": holding("1", "2")},
            ]
        },
    ),
    "results in two messages": case(
        tools(
            [user("go"), PAIR, user([result("toolu_a", "A")]), user([result("toolu_b", "B"), text("so?")])]
        ),
        up={"messages": kinds("user", "assistant", "tool", "tool", "user")},
    ),
    "a system message between a call and its result": case(
        tools([user("go"), assistant([used("toolu_1")]), system("mind the date"), user([result("toolu_1")])]),
        up={"messages": kinds("user", "assistant", "tool", "system")},
    ),
    "pictures in a result follow it": case(
        tools([user("go"), assistant([used("toolu_1")]), user([result("toolu_1", [text("see"), PICTURE])])]),
        up={
            "messages": [
                {},
                {},
                {"role": "tool", "content": holding("see")},
                {"role": "user", "content": [{"type": "text", "text": holding("toolu_1")}, PICTURE_URL]},
            ]
        },
    ),
    "a result that is a picture alone has a text": case(
        tools([user("go"), assistant([used("toolu_1")]), user([result("toolu_1", [PICTURE])])]),
        up={"messages": [{}, {}, {"content": like(".+")}, {"content": [{}, PICTURE_URL]}]},
    ),
    "a result that failed says so": case(
        tools([user("go"), assistant([used("toolu_1")]), user([result("toolu_1", "no net", is_error=True)])]),
        up={"messages": [{}, {}, {"content": holding("rror", "no net")}]},
    ),
    "a result without content": case(
        tools(
            [
                user("go"),
                assistant([used("toolu_1")]),
                user([{"type": "tool_result", "tool_use_id": "toolu_1"}]),
            ]
        ),
        up={"messages": [{}, {}, {"role": "tool", "content": ""}]},
    ),
    "a result of several texts": case(
        tools([user("go"), assistant([used("toolu_1")]), user([result("toolu_1", [text("a"), text("b")])])]),
        up={"messages": [{}, {}, {"content": holding("a", "b")}]},
    ),
    "a long id": case(
        tools([user("go"), assistant([used(LONG)]), user([result(LONG)])]),
        up={"messages": kinds("user", "assistant", "tool")},
        also=id_fits,
    ),
    "a call with an empty text before it": case(
        tools([user("go"), assistant([text(""), used("toolu_1")]), user([result("toolu_1")])]),
        up={"messages": [{}, {"content": GONE, "tool_calls": [{}]}, {}]},
    ),
    "a call with any input": case(
        tools(
            [
                user("go"),
                assistant([used("toolu_1") | {"input": {"é": [1.5, None, {"x": '"\n'}]}}]),
                user([result("toolu_1")]),
            ]
        ),
        up={
            "messages": [
                {},
                {"tool_calls": [{"function": {"arguments": json_of({"é": [1.5, None, {"x": '"\n'}]})}}]},
                {},
            ]
        },
    ),
    "a document as data": case(
        asked([shown("document", base64_of("application/pdf", PDF), title="plan.pdf"), text("sum it up")]),
        up={
            "messages": [
                {
                    "content": [
                        {
                            "type": "file",
                            "file": {
                                "filename": "plan.pdf",
                                "file_data": f"data:application/pdf;base64,{PDF}",
                            },
                        },
                        {"type": "text", "text": "sum it up"},
                    ]
                }
            ]
        },
    ),
    "a document that is text": case(
        asked(
            [shown("document", {"type": "text", "media_type": "text/plain", "data": "the plan"}), text("?")]
        ),
        up={"messages": [{"content": holding("the plan")}]},
    ),
    "a document in parts": case(
        asked([shown("document", {"type": "content", "content": [text("the plan"), PICTURE]}), text("?")]),
        up={"messages": [{"content": holding("the plan", f"data:image/png;base64,{PNG}")}]},
    ),
    "a document that lies elsewhere": refused(
        asked([shown("document", {"type": "url", "url": "https://papers.example/a.pdf"})]),
        "document.source.url",
    ),
    "a document in a result": case(
        tools(
            [
                user("go"),
                assistant([used("toolu_1")]),
                user([result("toolu_1", [shown("document", base64_of("application/pdf", PDF))])]),
            ]
        ),
        up={"messages": [{}, {}, {"role": "tool"}, {"content": holding("file_data", PDF)}]},
    ),
    "citations that are asked for": refused(
        asked(
            [
                shown(
                    "document",
                    {"type": "text", "media_type": "text/plain", "data": "d"},
                    citations={"enabled": True},
                ),
                text("?"),
            ]
        ),
        "citations",
    ),
    "pictures": case(
        asked(
            [text("look"), PICTURE, shown("image", {"type": "url", "url": "https://pictures.example/a.jpg"})]
        ),
        up={
            "messages": [
                {
                    "content": [
                        {"type": "text"},
                        PICTURE_URL,
                        {"type": "image_url", "image_url": {"url": "https://pictures.example/a.jpg"}},
                    ]
                }
            ]
        },
    ),
    "a picture that Anthropic has stored": refused(
        asked([shown("image", {"type": "file", "file_id": "file_1"})]), "file_id"
    ),
    "stops": case(
        asked(stop_sequences=["###", "END"]),
        up={"stop": exactly(["###", "END"]), "stop_sequences": GONE},
    ),
    "any tool, and one call at a time": case(
        tools("one", tool_choice={"type": "any", "disable_parallel_tool_use": True}),
        up={
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": exactly(SCHEMA)}}],
        },
    ),
    "one call at a time, and nothing else": case(
        tools("one", tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        up={"tool_choice": one_of("auto", GONE), "parallel_tool_calls": False},
    ),
    "calls side by side": case(
        tools("one", tool_choice={"type": "auto", "disable_parallel_tool_use": False}),
        up={"parallel_tool_calls": one_of(True, GONE)},
    ),
    "no tool, and the tools stay": case(
        tools("one", tool_choice={"type": "none"}),
        up={"tool_choice": "none", "tools": [{"function": {"name": "weather"}}]},
    ),
    "instructions in blocks are one message": case(
        asked(system=[text("You help."), text("You are brief.", cache_control=MARK)]),
        up={
            "messages": [{"role": "system", "content": holding("You help.", "You are brief.")}, {}],
            "system": GONE,
        },
    ),
    "instructions in the middle, for a template that wants them first": case(
        tools(
            [
                user("a"),
                system("The date has changed."),
                user([PICTURE]),
                assistant([used("toolu_a")]),
                user([result("toolu_a")]),
                system("Mind it."),
            ],
            system="You help.",
        ),
        model="chat/qwen3.8:27b",
        up={
            "messages": [
                {"role": "system", "content": exactly("You help.")},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": exactly("a\n\n<system>\nThe date has changed.\n</system>")},
                        PICTURE_URL,
                    ],
                },
                {"role": "assistant"},
                {"role": "tool"},
                {"role": "user", "content": exactly("<system>\nMind it.\n</system>")},
            ]
        },
    ),
    "instructions at the head, for a template that wants one": case(
        asked([system("And be brief."), user("a"), user("b")], system="You help."),
        model="chat/mistral-small",
        up={
            "messages": [
                {"role": "system", "content": exactly("You help.\n\nAnd be brief.")},
                {"role": "user", "content": exactly("a\n\nb")},
            ]
        },
    ),
    "instructions in the middle stay there": case(
        asked([user("a"), assistant("b"), user("c"), system("The date has changed.")], system="You help."),
        up={
            "messages": [
                {"role": "system", "content": text_of("You help.")},
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "c"},
                {"role": one_of("system", "user"), "content": holding("The date has changed.")},
            ]
        },
    ),
    "the line of Claude Code's bill is nobody else's": case(
        asked(system=[text("x-anthropic-billing-header: cc_version=2.1"), text("You help.")]),
        up={"messages": [{"role": "system", "content": text_of("You help.")}, {}]},
    ),
    "a tool without a type or a description": case(
        asked(
            tools=[
                {
                    "name": "plain",
                    "input_schema": {
                        "type": "object",
                        "properties": {"z": {"type": "integer"}, "b": {"type": "string"}},
                        "required": ["z"],
                    },
                }
            ]
        ),
        up={
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "plain",
                        "parameters": exactly(
                            {
                                "type": "object",
                                "properties": {"z": {"type": "integer"}, "b": {"type": "string"}},
                                "required": ["z"],
                            }
                        ),
                    },
                }
            ]
        },
    ),
    "a tool with its type, a mark, and strictly": case(
        asked(tools=[{"type": "custom", "strict": True, "cache_control": MARK, **TOOL}]),
        up={
            "tools": [
                {"type": "function", "cache_control": GONE, "function": {"strict": True, "name": "weather"}}
            ]
        },
    ),
    "a tool that only Anthropic runs": refused(
        asked(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "web_search"
    ),
    "a tool on a server": refused(
        asked(mcp_servers=[{"type": "url", "name": "s", "url": "https://tools.example/"}]), "mcp_servers"
    ),
    "fields that only Claude knows": case(
        asked(
            [user([text("hi", cache_control=MARK)])],
            system="S",
            metadata={"user_id": "u-1"},
            thinking={"type": "adaptive"},
            output_config={"effort": "medium"},
            context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
            top_k=40,
            service_tier="auto",
        ),
        headers={"anthropic-beta": "context-management-2025-06-27"},
        up={
            "system": GONE,
            "thinking": GONE,
            "context_management": GONE,
            "output_config": GONE,
            "anthropic_version": GONE,
            "metadata": GONE,
            "top_k": GONE,
            "service_tier": GONE,
            "reasoning_effort": "medium",
            "messages": [
                {"role": "system", "content": "S"},
                {"role": "user", "content": free_of("cache_control")},
            ],
        },
        up_headers={
            "anthropic-beta": GONE,
            "anthropic-version": GONE,
            "x-api-key": GONE,
            "authorization": "Bearer sk-of-the-gateway",
        },
        back_headers={"x-farthing-left-out": holding("context_management")},
        also=lambda trip: _names_top_k(trip),
    ),
    "sampling": case(
        asked(temperature=0.5, top_p=0.9), up={"temperature": 0.5, "top_p": 0.9, "max_tokens": 256}
    ),
    "a model that reasons": case(
        asked(thinking={"type": "enabled", "budget_tokens": 6_000}, max_tokens=8_000),
        model=GPT5,
        up={
            "reasoning_effort": "medium",
            "thinking": GONE,
            "max_completion_tokens": 8_000,
            "max_tokens": GONE,
        },
    ),
    "thinking in the history": case(
        asked(
            [
                user("look"),
                assistant(
                    [
                        {"type": "thinking", "thinking": "I look.", "signature": SIGNED},
                        {"type": "redacted_thinking", "data": HIDDEN},
                        text("Looking."),
                    ]
                ),
                user("and?"),
            ]
        ),
        up={"messages": [{}, {"content": text_of("Looking."), "thinking_blocks": GONE}, {}]},
        back_headers={"x-farthing-left-out": holding("thinking")},
        also=lambda trip: _nothing_signed(trip),
    ),
    "thoughts of a model that wants them back": case(
        tools(
            [
                user("go"),
                assistant([UNSIGNED, used("toolu_a")]),
                user([result("toolu_a")]),
                assistant([{**UNSIGNED, "thinking": "done"}, text("4 degrees.")]),
                user("and Rome?"),
                assistant([used("toolu_b", "Rome")]),
                user([result("toolu_b")]),
            ]
        ),
        model=DEEPSEEK,
        up={
            "messages": [
                {},
                {"tool_calls": [{}], "reasoning_content": "I look."},
                {},
                {"content": "4 degrees.", "reasoning_content": "done"},
                {},
                {"tool_calls": [{}], "reasoning_content": like(r"\s+")},
                {},
            ]
        },
        back_headers={"x-farthing-left-out": GONE},
    ),
    "signed thoughts before a model that wants its own back": case(
        tools(
            [
                user("go"),
                assistant([{**UNSIGNED, "signature": SIGNED}, used("toolu_a")]),
                user([result("toolu_a")]),
            ]
        ),
        model=DEEPSEEK,
        up={"messages": [{}, {"tool_calls": [{}], "reasoning_content": "I look."}, {}]},
        back_headers={"x-farthing-left-out": holding("thinking")},
        also=lambda trip: _nothing_signed(trip),
    ),
    "thoughts and no answer": case(
        asked([user("a"), assistant([UNSIGNED]), user("b")]),
        model=DEEPSEEK,
        up={"messages": [{"content": "a"}, {"content": "b"}]},
        back_headers={"x-farthing-left-out": holding("thinking")},
    ),
    "thoughts that no server has signed": case(
        tools([user("go"), assistant([UNSIGNED, used("toolu_a")]), user([result("toolu_a")])]),
        up={"messages": [{}, {"tool_calls": [{}], "reasoning_content": GONE}, {}]},
        back_headers={"x-farthing-left-out": holding("thinking")},
    ),
    "tools that a search of the client has found": case(
        tools(
            [
                user("go"),
                assistant([used("toolu_a")]),
                user([result("toolu_a", [{"type": "tool_reference", "tool_name": "rain"}])]),
            ]
        ),
        up={"messages": [{}, {}, {"role": "tool", "content": holding("rain")}]},
    ),
    "a schema without properties": case(
        tools("go", tools=[{"name": "now", "input_schema": {"type": "object"}}]),
        up={
            "tools": [
                {"function": {"name": "now", "parameters": exactly({"type": "object", "properties": {}})}}
            ]
        },
    ),
    "an answer in a schema, as it was asked for before": case(
        asked(output_format={"type": "json_schema", "schema": SCHEMA}),
        completion('{"city":"Oslo"}'),
        up={"response_format": {"type": "json_schema", "json_schema": {"schema": exactly(SCHEMA)}}},
    ),
    "an answer in a schema": case(
        asked(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        completion('{"city":"Oslo"}'),
        up={
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": exactly(SCHEMA), "name": like(ID)},
            }
        },
        back={"content": [{"text": json_of({"city": "Oslo"})}], "stop_reason": "end_turn"},
    ),
    "an answer that is begun": refused(asked([user("go on"), assistant("Once upon")]), "prefill"),
    "a block that only Anthropic knows": refused(
        asked([{"type": "container_upload", "file_id": "file_1"}]), "container_upload"
    ),
    "what was searched in the history": refused(
        asked(
            [
                user("news"),
                assistant(
                    [
                        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                        text("All quiet."),
                    ]
                ),
                user("and?"),
            ]
        ),
        "server_tool_use",
    ),
    "a passage that was found": case(
        asked(
            [
                {
                    "type": "search_result",
                    "source": "https://a.example",
                    "title": "T",
                    "content": [text("passage")],
                }
            ]
        ),
        up={"messages": [{"content": holding("passage")}]},
    ),
    "a role that nobody knows": refused(asked([{"role": "tool", "content": "x"}]), "messages.0.role"),
    "no limit of output": refused({"messages": [user("hi")]}, "max_tokens"),
    "no messages": refused({"messages": [], "max_tokens": 5}, "messages"),
    "a call by the user": refused(asked([user([used("toolu_1")])]), "messages.0.content.0"),
}


def _names_top_k(trip: Trip) -> None:
    assert "top_k" in trip.reply.headers["x-farthing-left-out"]


def _nothing_signed(trip: Trip) -> None:
    assert faults(trip.up, free_of(SIGNED, HIDDEN)) == []

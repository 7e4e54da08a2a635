"""What a request can say, in the words of each dialect that has some for it: the rows of the table
"Requests" in `docs/dialects.md`."""

from typing import Any, Final

from tests.e2e.matching import GONE, exactly, holding, json_of, kinds, like, text_of
from tests.e2e.matrix import Said, Thing
from tests.e2e.messages_said import (
    FUNCTION,
    HIDDEN,
    PDF,
    PNG,
    SCHEMA,
    SIGNED,
    TOOL,
    answered,
    asked,
    assistant,
    base64_of,
    called,
    chatted,
    result,
    system,
    text,
    used,
    user,
)

OPUS: Final = "claude-opus-4-8"
MARK: Final = {"type": "ephemeral"}
LINK: Final = "https://pictures.example/a.jpg"
LOOP: Final = [user("go"), assistant([used("toolu_1")])]
"""A call of Messages that waits for its result."""
CHAT_LOOP: Final = [user("go"), assistant(None, tool_calls=[called("toolu_1")])]
ANY: Final[dict[str, Any]] = {}


def chat(asks: Any, kept: Any) -> Said:
    return Said(asks=asks, kept=kept)


def own(asks: Any, kept: Any) -> Said:
    return Said(asks=asks, kept=kept)


def field(name: str, value: Any, **fields: Any) -> Said:
    """A field of a chat request that is kept as it is."""
    return Said(asks=chatted(**{name: value}, **fields), kept={name: exactly(value)})


def own_field(name: str, value: Any, **fields: Any) -> Said:
    return Said(asks=asked(**{name: value}, **fields), kept={name: exactly(value)})


def parts(*found: Any) -> dict[str, Any]:
    """The parts of the one message that there is."""
    return {"messages": [{"content": list(found)}]}


def at(place: int, sketch: Any) -> dict[str, Any]:
    """The messages, of which the last one is of this sketch."""
    return {"messages": [*([ANY] * place), sketch]}


def tools(content: Any = "hello", **fields: Any) -> Any:
    return asked(content, **{"tools": [TOOL], **fields})


def chat_tools(content: Any = "hello", **fields: Any) -> Any:
    return chatted(content, **{"tools": [FUNCTION], **fields})


IMAGE: Final = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
OWN_IMAGE: Final = {"type": "image", "source": base64_of("image/png", PNG)}
FILE: Final = {
    "type": "file",
    "file": {"filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
}
OWN_FILE: Final = {"type": "document", "source": base64_of("application/pdf", PDF), "title": "plan.pdf"}
SOUND: Final = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
CITED: Final = {"type": "char_location", "cited_text": "x", "document_index": 0}
PLAIN: Final = {"type": "text", "media_type": "text/plain", "data": "the plan"}

CONTENT: dict[str, Thing] = {
    "instructions before all else": Thing(
        chat=chat(
            chatted([system("help"), user("hi")]), {"messages": [{"role": "system", "content": "help"}, ANY]}
        ),
        messages=own(asked(system="help"), {"system": "help"}),
        chat_has={"messages": [{"role": "system", "content": text_of("help")}, ANY]},
        messages_has={"system": holding("help"), "messages": [{"role": "user"}]},
    ),
    "instructions between turns, in their place": Thing(
        chat=chat(
            chatted([user("a"), assistant("b"), user("c"), system("later")]), at(3, {"role": "system"})
        ),
        messages=own(
            asked([user("a"), assistant("b"), user("c"), system("later")]), at(3, {"role": "system"})
        ),
        chat_has=at(3, {"role": "system", "content": text_of("later")}),
        messages_has=at(3, {"role": "system", "content": holding("later")}),
        model=OPUS,
    ),
    "who of several speaks": Thing(
        chat=chat(chatted([user("hi") | {"name": "ann"}]), {"messages": [{"name": "ann"}]}),
        names=("messages.name",),
    ),
    "an image in the request": Thing(
        chat=chat(chatted([IMAGE]), parts(IMAGE)),
        messages=own(asked([OWN_IMAGE]), parts(OWN_IMAGE)),
        chat_has=parts(IMAGE),
        messages_has=parts(OWN_IMAGE),
    ),
    "a link to an image": Thing(
        chat=chat(chatted([{"type": "image_url", "image_url": {"url": LINK}}]), holding(LINK)),
        messages=own(asked([{"type": "image", "source": {"type": "url", "url": LINK}}]), holding(LINK)),
        chat_has=parts({"type": "image_url", "image_url": {"url": LINK}}),
        messages_has=parts({"type": "image", "source": {"type": "url", "url": LINK}}),
    ),
    "how closely to look at an image": Thing(
        chat=chat(
            chatted([{"type": "image_url", "image_url": {"url": LINK, "detail": "low"}}]),
            holding("detail", "low"),
        ),
        names=("image_url.detail",),
    ),
    "a PDF in the request": Thing(
        chat=chat(chatted([FILE]), parts(FILE)),
        messages=own(asked([OWN_FILE]), parts(OWN_FILE)),
        chat_has=parts(FILE),
        messages_has=parts(OWN_FILE),
    ),
    "a document that is text": Thing(
        messages=own(asked([{"type": "document", "source": PLAIN}, text("?")]), holding("the plan")),
        chat_has={"messages": [{"content": holding("<document>", "the plan", "?")}]},
    ),
    "a document of several parts": Thing(
        messages=own(
            asked(
                [
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [text("the plan"), OWN_IMAGE]},
                    }
                ]
            ),
            holding("the plan", PNG),
        ),
        chat_has={"messages": [{"content": holding("the plan", PNG)}]},
    ),
    "a link to a document": Thing(
        messages=own(
            asked([{"type": "document", "source": {"type": "url", "url": "https://papers.example/a.pdf"}}]),
            holding("papers.example"),
        ),
        names=("document.source.url",),
    ),
    "a file that was uploaded before": Thing(
        chat=chat(chatted([{"type": "file", "file": {"file_id": "file-1"}}]), holding("file-1")),
        messages=own(
            asked([{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]), holding("file_1")
        ),
        names=("file_id",),
    ),
    "sound": Thing(chat=chat(chatted([SOUND]), parts(SOUND)), names=("input_audio",)),
    "a passage that was found": Thing(
        messages=own(
            asked(
                [
                    {
                        "type": "search_result",
                        "source": "https://a.example",
                        "title": "T",
                        "content": [text("found")],
                    }
                ]
            ),
            holding("search_result", "found"),
        ),
        chat_has={"messages": [{"content": holding("https://a.example", "found")}]},
    ),
    "an answer that is begun": Thing(
        chat=chat(chatted([user("go on"), assistant("Once")]), at(1, {"role": "assistant"})),
        messages=own(asked([user("go on"), assistant("Once")]), at(1, {"role": "assistant"})),
        messages_has=at(1, {"role": "assistant", "content": holding("Once")}),
        names=("prefill",),
    ),
    "parallel calls and their results": Thing(
        chat=chat(
            chat_tools(
                [
                    user("both"),
                    assistant(None, tool_calls=[called("a"), called("b", '{"city": "Rome"}')]),
                    answered("a", "A"),
                    answered("b", "B"),
                ]
            ),
            {"messages": kinds("user", "assistant", "tool", "tool")},
        ),
        messages=own(
            tools(
                [
                    user("both"),
                    assistant([used("a"), used("b", "Rome")]),
                    user([result("a", "A"), result("b", "B")]),
                ]
            ),
            at(2, {"content": kinds("tool_result", "tool_result")}),
        ),
        chat_has={
            "messages": [
                ANY,
                {
                    "tool_calls": [
                        {"id": "a"},
                        {"id": "b", "function": {"arguments": json_of({"city": "Rome"})}},
                    ]
                },
                {"tool_call_id": "a", "content": "A"},
                {"tool_call_id": "b", "content": "B"},
            ]
        },
        messages_has={
            "messages": [
                ANY,
                {"content": [{"id": "a"}, {"id": "b", "input": {"city": "Rome"}}]},
                {"content": [{"tool_use_id": "a", "content": "A"}, {"tool_use_id": "b", "content": "B"}]},
            ]
        },
    ),
    "images in a result": Thing(
        chat=chat(
            chat_tools([*CHAT_LOOP, answered("toolu_1", [text("see"), IMAGE])]), at(2, {"role": "tool"})
        ),
        messages=own(
            tools([*LOOP, user([result("toolu_1", [text("see"), OWN_IMAGE])])]), holding("see", PNG)
        ),
        chat_has={
            "messages": [
                ANY,
                ANY,
                {"role": "tool", "content": holding("see")},
                {"content": holding("toolu_1", PNG)},
            ]
        },
        messages_has=at(2, {"content": [{"type": "tool_result", "content": [text("see"), OWN_IMAGE]}]}),
    ),
    "that a tool failed": Thing(
        messages=own(tools([*LOOP, user([result("toolu_1", "no net", is_error=True)])]), holding("is_error")),
        chat_has=at(2, {"role": "tool", "content": "Error: no net"}),
    ),
    "thinking with its signature": Thing(
        chat=chat(
            chatted(
                [
                    user("a"),
                    assistant(
                        "b", thinking_blocks=[{"type": "thinking", "thinking": "hm", "signature": SIGNED}]
                    ),
                    user("c"),
                ]
            ),
            holding(SIGNED),
        ),
        messages=own(
            asked(
                [
                    user("a"),
                    assistant([{"type": "thinking", "thinking": "hm", "signature": SIGNED}, text("b")]),
                    user("c"),
                ]
            ),
            holding("hm", SIGNED),
        ),
        messages_has={
            "messages": [ANY, {"content": [{"thinking": "hm", "signature": SIGNED}, text("b")]}, ANY]
        },
        names=("thinking", "reasoning"),
    ),
    "thinking that nobody may read": Thing(
        chat=chat(
            chatted(
                [
                    user("a"),
                    assistant("b", thinking_blocks=[{"type": "redacted_thinking", "data": HIDDEN}]),
                    user("c"),
                ]
            ),
            holding(HIDDEN),
        ),
        messages=own(
            asked(
                [user("a"), assistant([{"type": "redacted_thinking", "data": HIDDEN}, text("b")]), user("c")]
            ),
            holding(HIDDEN),
        ),
        messages_has={"messages": [ANY, {"content": [{"data": HIDDEN}, text("b")]}, ANY]},
        names=("thinking", "reasoning"),
    ),
    "thinking without a signature": Thing(
        chat=chat(chatted([user("a"), assistant("b", reasoning_content="hm"), user("c")]), holding("hm")),
        messages=own(
            asked(
                [
                    user("a"),
                    assistant([{"type": "thinking", "thinking": "hm", "signature": ""}, text("b")]),
                    user("c"),
                ]
            ),
            holding("hm"),
        ),
        messages_has=holding("hm"),
        names=("reasoning", "thinking"),
    ),
    "citations in the history": Thing(
        messages=own(
            asked([user("a"), assistant([text("b", citations=[CITED])]), user("c")]), holding("char_location")
        ),
        names=("citations",),
    ),
    "what the provider searched itself": Thing(
        messages=own(
            asked(
                [
                    user("news"),
                    assistant(
                        [
                            {
                                "type": "server_tool_use",
                                "id": "srvtoolu_1",
                                "name": "web_search",
                                "input": {},
                            },
                            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                            text("quiet"),
                        ]
                    ),
                    user("and?"),
                ]
            ),
            holding("web_search_tool_result"),
        ),
        names=("server_tool_use",),
    ),
    "cache marks on parts, results and tools": Thing(
        chat=chat(chatted([text("q", cache_control=MARK)]), holding("cache_control")),
        messages=own(asked([text("q", cache_control=MARK)]), holding("cache_control")),
        messages_has=parts({"cache_control": exactly(MARK)}),
        names=("cache_control",),
    ),
    "names of tools of more than 64 characters": Thing(
        messages=own(
            tools(tools=[{**TOOL, "name": "mcp__" + "a" * 80}]), {"tools": [{"name": like("mcp__a{80}")}]}
        ),
        chat_has={"tools": [{"function": {"name": like("mcp__a{42}_[0-9a-f]{16}")}}]},
        names=("tools",),
    ),
    "ids of calls that are too long or have other signs": Thing(
        chat=chat(
            chat_tools([user("go"), assistant(None, tool_calls=[called("f.x:0")]), answered("f.x:0")]),
            holding("f.x:0"),
        ),
        messages=own(
            tools([user("go"), assistant([used("toolu_" + "x" * 60)]), user([result("toolu_" + "x" * 60)])]),
            holding("x" * 60),
        ),
        chat_has={
            "messages": [
                ANY,
                {"tool_calls": [{"id": like("toolu_.{1,34}")}]},
                {"tool_call_id": like("toolu_.{1,34}")},
            ]
        },
        messages_has={
            "messages": [
                ANY,
                {"content": [{"id": like("[a-zA-Z0-9_-]+")}]},
                {"content": [{"tool_use_id": like("[a-zA-Z0-9_-]+")}]},
            ]
        },
    ),
}

FORCED: Final = {"type": "function", "function": {"name": "weather"}}
FORM: Final = {"type": "json_schema", "json_schema": {"name": "r", "schema": SCHEMA}}

SETTINGS: dict[str, Thing] = {
    "tools": Thing(
        chat=chat(chat_tools(), {"tools": exactly([FUNCTION])}),
        messages=own(tools(), {"tools": exactly([TOOL])}),
        chat_has={
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "weather",
                        "description": "of a town",
                        "parameters": exactly(SCHEMA),
                    },
                }
            ]
        },
        messages_has={
            "tools": [{"name": "weather", "description": "of a town", "input_schema": exactly(SCHEMA)}]
        },
    ),
    "calls that are held to their schema": Thing(
        chat=chat(
            chatted(tools=[{"type": "function", "function": {**FUNCTION["function"], "strict": True}}]),
            holding("strict"),
        ),
        messages=own(asked(tools=[TOOL | {"strict": True}]), holding("strict")),
        chat_has={"tools": [{"function": {"strict": True}}]},
        messages_has={"tools": [{"strict": True}]},
        names=("tools.strict",),
        model=OPUS,
    ),
    "a tool that takes free text": Thing(
        chat=chat(
            chatted(tools=[{"type": "custom", "custom": {"name": "sh"}}]), {"tools": [{"type": "custom"}]}
        ),
        names=("tools.custom",),
    ),
    "a tool that the provider runs": Thing(
        chat=chat(chatted(web_search_options={}), {"web_search_options": ANY}),
        messages=own(
            asked(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
            holding("web_search_20250305"),
        ),
        names=("web_search",),
    ),
    "`tool_choice`: none": Thing(
        chat=chat(chat_tools(tool_choice="none"), {"tool_choice": "none"}),
        messages=own(tools(tool_choice={"type": "none"}), {"tool_choice": {"type": "none"}}),
        chat_has={"tool_choice": "none", "tools": [ANY]},
        messages_has={"tool_choice": {"type": "none"}, "tools": [ANY]},
    ),
    "`tool_choice`: any tool": Thing(
        chat=chat(chat_tools(tool_choice="required"), {"tool_choice": "required"}),
        messages=own(tools(tool_choice={"type": "any"}), {"tool_choice": {"type": "any"}}),
        chat_has={"tool_choice": "required"},
        messages_has={"tool_choice": {"type": "any"}},
    ),
    "`tool_choice`: one tool": Thing(
        chat=chat(chat_tools(tool_choice=FORCED), {"tool_choice": FORCED}),
        messages=own(tools(tool_choice={"type": "tool", "name": "weather"}), holding("tool", "weather")),
        chat_has={"tool_choice": FORCED},
        messages_has={"tool_choice": exactly({"type": "tool", "name": "weather"})},
    ),
    "`tool_choice`: some of the tools": Thing(
        chat=chat(
            chatted(
                tools=[FUNCTION, {"type": "function", "function": {"name": "other"}}],
                tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FORCED]}},
            ),
            holding("allowed_tools"),
        ),
        names=("tool_choice",),
    ),
    "one call at a time": Thing(
        chat=chat(chat_tools(parallel_tool_calls=False), {"parallel_tool_calls": False}),
        messages=own(
            tools(tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
            holding("disable_parallel"),
        ),
        chat_has={"parallel_tool_calls": False},
        messages_has={"tool_choice": {"disable_parallel_tool_use": True}},
    ),
    "an answer in a JSON schema": Thing(
        chat=chat(chatted(response_format=FORM), {"response_format": exactly(FORM)}),
        messages=own(
            asked(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}), holding("json_schema")
        ),
        chat_has={"response_format": {"type": "json_schema", "json_schema": {"schema": exactly(SCHEMA)}}},
        messages_has={"output_config": {"format": {"type": "json_schema", "schema": {"required": ["city"]}}}},
        names=("response_format",),
        model=OPUS,
    ),
    "an answer in any JSON": Thing(
        chat=field("response_format", {"type": "json_object"}), names=("response_format",)
    ),
    "how much to think": Thing(
        chat=field("reasoning_effort", "high", max_tokens=9_000),
        messages=own(asked(output_config={"effort": "high"}), holding("effort", "high")),
        chat_has={"reasoning_effort": "high"},
        messages_has={"output_config": {"effort": "high"}},
        model=OPUS,
    ),
    "a budget of thinking": Thing(
        chat=chat(
            chatted(thinking={"type": "enabled", "budget_tokens": 3_000}, max_tokens=9_000), holding("3000")
        ),
        messages=own(
            asked(thinking={"type": "enabled", "budget_tokens": 3_000}, max_tokens=9_000), holding("3000")
        ),
        chat_has={"reasoning_effort": "medium", "thinking": GONE},
        messages_has={"thinking": {"type": "enabled", "budget_tokens": 3_000}},
    ),
    "the limit of output": Thing(
        chat=field("max_tokens", 77),
        messages=own(asked(max_tokens=77), {"max_tokens": 77}),
        chat_has={"max_tokens": 77},
        messages_has={"max_tokens": 77},
    ),
    "a limit of 0, to fill a cache": Thing(
        messages=own(asked(max_tokens=0), {"max_tokens": 0}), names=("max_tokens",)
    ),
    "stops": Thing(
        chat=field("stop", ["END"]),
        messages=own_field("stop_sequences", ["END"]),
        chat_has={"stop": exactly(["END"])},
        messages_has={"stop_sequences": exactly(["END"])},
        names=("stop",),
    ),
    "`temperature`, `top_p`": Thing(
        chat=chat(chatted(temperature=0.5), {"temperature": 0.5}),
        messages=own(asked(temperature=0.5), {"temperature": 0.5}),
        chat_has={"temperature": 0.5},
        messages_has={"temperature": 0.5},
    ),
    "`top_k`": Thing(
        chat=chat(chatted(top_k=5), {"top_k": 5}),
        messages=own(asked(top_k=5), {"top_k": 5}),
        messages_has={"top_k": 5},
        names=("top_k",),
    ),
    "`n`": Thing(chat=field("n", 2), names=("`n`",)),
    "`seed`": Thing(chat=field("seed", 7), names=("seed",)),
    "`frequency_penalty`, `presence_penalty`": Thing(
        chat=field("frequency_penalty", 0.5), names=("frequency_penalty",)
    ),
    "`logit_bias`": Thing(chat=field("logit_bias", {"50": 1}), names=("logit_bias",)),
    "`logprobs`": Thing(chat=field("logprobs", True), names=("logprobs",)),
    "who asks": Thing(
        chat=field("user", "u-1"),
        messages=own_field("metadata", {"user_id": "u-1"}),
        chat_has={"user": "u-1"},
        messages_has={"metadata": exactly({"user_id": "u-1"})},
    ),
    "other `metadata`": Thing(
        chat=field("metadata", {"job": "x"}),
        messages=own_field("metadata", {"job": "x"}),
        names=("metadata",),
    ),
    "a service tier": Thing(
        chat=field("service_tier", "default"),
        messages=own_field("service_tier", "standard_only"),
        chat_has={"service_tier": "default"},
        messages_has={"service_tier": "standard_only"},
        names=("service_tier",),
    ),
    "answers that are spoken": Thing(
        chat=chat(
            chatted(modalities=["text", "audio"], audio={"voice": "a", "format": "wav"}), holding("voice")
        ),
        names=("modalities", "audio"),
    ),
    "`prediction`": Thing(
        chat=field("prediction", {"type": "content", "content": "x"}), names=("prediction",)
    ),
    "`verbosity`": Thing(chat=field("verbosity", "low"), names=("verbosity",)),
    "`store`": Thing(chat=field("store", True), names=("store",)),
    "`prompt_cache_key`": Thing(chat=field("prompt_cache_key", "k"), names=("prompt_cache_key",)),
    "a cache mark on the whole": Thing(
        chat=field("cache_control", MARK),
        messages=own_field("cache_control", MARK),
        messages_has={"cache_control": exactly(MARK)},
        names=("cache_control",),
    ),
    "`context_management`": Thing(
        messages=own_field("context_management", {"edits": [{"type": "clear_tool_uses_20250919"}]}),
        names=("context_management",),
    ),
    "`container`": Thing(messages=own_field("container", "c-1"), names=("container",)),
    "`mcp_servers`": Thing(
        messages=own_field("mcp_servers", [{"type": "url", "name": "s", "url": "https://tools.example/"}]),
        names=("mcp_servers",),
    ),
    "`inference_geo`": Thing(messages=own_field("inference_geo", "us"), names=("inference_geo",)),
    "`speed`": Thing(messages=own_field("speed", "fast"), names=("speed",)),
    "citations of documents": Thing(
        messages=own(
            asked([{"type": "document", "source": PLAIN, "citations": {"enabled": True}}, text("?")]),
            holding("enabled"),
        ),
        names=("citations",),
    ),
    "fields of a message that nobody knows": Thing(
        chat=chat(
            chatted([user("hi") | {"a_later_field": 1}]), {"messages": [{"a_later_field": exactly(1)}]}
        ),
        messages=own(
            asked([user("hi") | {"a_later_field": 1}]), {"messages": [{"a_later_field": exactly(1)}]}
        ),
        names=("messages.a_later_field",),
    ),
    "fields that nobody knows": Thing(
        chat=field("a_later_field", {"a": 1}),
        messages=own_field("a_later_field", {"a": 1}),
        names=("a_later_field",),
    ),
}

THINGS: dict[str, Thing] = {**CONTENT, **SETTINGS}

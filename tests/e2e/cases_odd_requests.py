"""Requests that are right and seldom: what clients send at the edges of both dialects."""

from typing import Any, Final

from tests.e2e.cases import Case
from tests.e2e.cases_chat_to_messages import case as chat_case
from tests.e2e.cases_chat_to_messages import finish
from tests.e2e.cases_chat_to_messages import tools as chat_tools
from tests.e2e.cases_messages_to_chat import case, refused, tools
from tests.e2e.matching import GONE, exactly, holding, json_of, kinds, like, one_of, text_of
from tests.e2e.messages_said import (
    FUNCTION,
    PNG,
    SCHEMA,
    TOOL,
    answered,
    asked,
    assistant,
    called,
    chatted,
    claude,
    result,
    system,
    text,
    used,
    user,
)

ANY: Final[dict[str, Any]] = {}


def chat_refused(asks: Any, *names: str, **fields: Any) -> Case:
    back = {"error": {"message": holding(*names)}, "type": GONE}
    return chat_case(asks, calls=0, status=400, back=back, nusd=0, **fields)


def left(*names: str) -> dict[str, Any]:
    return {"x-farthing-left-out": holding(*names)}


FROM_CHAT: dict[str, Case] = {
    "the role developer": chat_case(
        chatted([{"role": "developer", "content": "help"}, user("hi")]),
        up={"system": holding("help"), "messages": [{"role": "user"}]},
    ),
    "instructions alone": chat_case(
        chatted([system("help")]), up={"system": holding("help"), "messages": [{"role": "user"}]}
    ),
    "an answer first": chat_case(
        chatted([assistant("hello"), user("hi")]), up={"messages": kinds("user", "assistant", "user")}
    ),
    "two users in a row": chat_case(
        chatted([user("a"), user("b")]), up={"messages": one_of([{"content": holding("a", "b")}], [ANY, ANY])}
    ),
    "an empty message between": chat_case(
        chatted([user("a"), assistant(""), user("b")]),
        up={"messages": one_of([{"content": holding("a", "b")}], [ANY, ANY])},
    ),
    "a message of white space": chat_case(
        chatted([user("a"), assistant("  \n"), user("b")]), up={"messages": one_of([ANY], [ANY, ANY])}
    ),
    "functions of the old form": chat_case(
        chatted(functions=[FUNCTION["function"]], function_call={"name": "weather"}),
        claude(used("toolu_1"), stop="tool_use"),
        up={
            "tools": [{"name": "weather", "input_schema": {"required": ["city"]}}],
            "tool_choice": {"type": "tool", "name": "weather"},
        },
        back=finish(
            "function_call", function_call={"name": "weather", "arguments": json_of({"city": "Oslo"})}
        ),
    ),
    "a result of the old form": chat_case(
        chatted(
            [
                user("go"),
                assistant(None, function_call={"name": "weather", "arguments": "{}"}),
                {"role": "function", "name": "weather", "content": "4 degrees"},
            ],
            functions=[FUNCTION["function"]],
        ),
        up={"messages": [ANY, {"content": kinds("tool_use")}, {"content": kinds("tool_result")}]},
    ),
    "a schema with a union at its root": chat_case(
        chatted(
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"anyOf": [SCHEMA, {"type": "object", "properties": {"x": {}}}]},
                    },
                }
            ]
        ),
        up={"tools": [{"input_schema": {"type": "object", "anyOf": GONE}}]},
        back_headers=left("tools.parameters"),
    ),
    "a tool without parameters": chat_case(
        chatted(tools=[{"type": "function", "function": {"name": "now"}}]),
        up={"tools": [{"name": "now", "input_schema": {"type": "object"}}]},
    ),
    "a choice of a tool without tools": chat_case(
        chatted(tool_choice="auto"), up={"tools": GONE, "tool_choice": GONE}
    ),
    "tools that are an empty list": chat_case(chatted(tools=[]), up={"tools": GONE}),
    "a temperature that Messages does not have": chat_case(
        chatted(temperature=1.5), up={"temperature": GONE}, back_headers=left("temperature")
    ),
    "null in every field": chat_case(
        chatted(
            temperature=None,
            top_p=None,
            stop=None,
            tools=None,
            tool_choice=None,
            response_format=None,
            user=None,
            n=None,
            seed=None,
            max_tokens=None,
            stream=None,
            logprobs=None,
            reasoning_effort=None,
            metadata=None,
        ),
        up={"temperature": GONE, "tools": GONE, "stop_sequences": GONE, "thinking": GONE, "metadata": GONE},
    ),
    "neutral values": chat_case(
        chatted(
            n=1,
            frequency_penalty=0,
            presence_penalty=0.0,
            logprobs=False,
            logit_bias={},
            store=False,
            response_format={"type": "text"},
        ),
        up={"max_tokens": 64_000},
        back_headers={"x-farthing-left-out": GONE},
    ),
    "two answers": chat_refused(chatted(n=2), "`n`"),
    "sound": chat_refused(
        chatted([{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]),
        "input_audio",
    ),
    "a field that nobody knows": chat_refused(chatted(a_later_field=1), "a_later_field"),
    "a PNG that is called a JPEG": chat_case(
        chatted([{"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}}]),
        up={"messages": [{"content": [{"source": {"media_type": "image/png"}}]}]},
    ),
    "results in an order that is not that of the calls, with text between": chat_case(
        chat_tools(
            [
                user("all"),
                assistant("ok", tool_calls=[called("a"), called("b"), called("c")]),
                answered("c", "C"),
                answered("a", "A"),
                answered("b", "B"),
                user("so?"),
                user("well?"),
            ]
        ),
        up={
            "messages": [
                ANY,
                {"content": kinds("text", "tool_use", "tool_use", "tool_use")},
                one_of(
                    {"content": kinds("tool_result", "tool_result", "tool_result", "text", "text")},
                    {"content": kinds("tool_result", "tool_result", "tool_result", "text")},
                ),
            ]
        },
    ),
    "two loops in a row": chat_case(
        chat_tools(
            [
                user("go"),
                assistant(None, tool_calls=[called("a")]),
                answered("a", "A"),
                assistant(None, tool_calls=[called("b")]),
                answered("b", "B"),
            ]
        ),
        up={"messages": kinds("user", "assistant", "user", "assistant", "user")},
    ),
    "the same id in two turns": chat_case(
        chat_tools(
            [
                user("go"),
                assistant(None, tool_calls=[called("a")]),
                answered("a", "A"),
                assistant(None, tool_calls=[called("a")]),
                answered("a", "B"),
            ]
        ),
        up={"messages": kinds("user", "assistant", "user", "assistant", "user")},
        also=lambda trip: _ids_pair(trip.up["messages"]),
    ),
    "a mark on a whole message": chat_case(
        chatted([user("q") | {"cache_control": {"type": "ephemeral"}}]),
        up={"messages": [{"content": [{"text": "q", "cache_control": {"type": "ephemeral"}}]}]},
    ),
    "a result that is empty": chat_case(
        chat_tools([user("go"), assistant(None, tool_calls=[called("a")]), answered("a", "")]),
        up={"messages": [ANY, ANY, {"content": kinds("tool_result")}]},
    ),
    "a limit above that of the model": chat_case(
        chatted(max_tokens=10_000_000), up={"max_tokens": one_of(64_000, 10_000_000)}
    ),
}


def _ids_pair(messages: Any) -> None:
    """Each result names the call before it, and no two calls are one."""
    calls = [block["id"] for one in messages for block in one["content"] if block["type"] == "tool_use"]
    results = [
        block["tool_use_id"] for one in messages for block in one["content"] if block["type"] == "tool_result"
    ]
    assert calls == results
    assert len(set(calls)) == len(calls)


FROM_MESSAGES: dict[str, Case] = {
    "a message of no block": case(asked([user([]), user("hi")]), up={"messages": [{"content": "hi"}]}),
    "one text in a list is that text": case(
        asked([user([text("hi")])]), up={"messages": [{"content": text_of("hi")}]}
    ),
    "an empty answer between": case(
        asked([user("a"), assistant([]), user("b")]),
        up={"messages": one_of(kinds("user", "user"), kinds("user", "assistant", "user"))},
    ),
    "a system message first": case(
        asked([system("help"), user("hi")]),
        up={"messages": [{"role": "system", "content": text_of("help")}, ANY]},
    ),
    "a name of the user that is too long for chat": case(
        asked(metadata={"user_id": "u" * 150}), up={"user": like("[0-9a-f]{64}"), "metadata": GONE}
    ),
    "thinking that is off": case(asked(thinking={"type": "disabled"}), up={"thinking": GONE}),
    "thinking with a display": case(
        asked(thinking={"type": "adaptive", "display": "omitted"}), up={"thinking": GONE}
    ),
    "an effort that chat does not have": case(
        asked(output_config={"effort": "max"}),
        up={"reasoning_effort": one_of("high", "xhigh", "max"), "output_config": GONE},
    ),
    "a schema for tools with every word": case(
        asked(
            tools=[
                TOOL
                | {
                    "input_schema": {
                        **SCHEMA,
                        "$defs": {"a": {"type": "string"}},
                        "additionalProperties": False,
                    }
                }
            ]
        ),
        up={
            "tools": [
                {
                    "function": {
                        "parameters": exactly(
                            {**SCHEMA, "$defs": {"a": {"type": "string"}}, "additionalProperties": False}
                        )
                    }
                }
            ]
        },
    ),
    "a choice of a tool without tools": case(
        asked(tool_choice={"type": "auto"}), up={"tools": GONE, "tool_choice": GONE}
    ),
    "results of an answer long ago": case(
        tools(
            [
                user("go"),
                assistant([text("ok"), used("a")]),
                user([result("a", "A")]),
                assistant([used("b")]),
                user([result("b", "B"), text("so?")]),
            ]
        ),
        up={"messages": kinds("user", "assistant", "tool", "assistant", "tool", "user")},
    ),
    "a text between two calls": case(
        tools([user("go"), assistant([used("a"), text("and"), used("b")]), user([result("a"), result("b")])]),
        up={
            "messages": [ANY, {"content": text_of("and"), "tool_calls": [{"id": "a"}, {"id": "b"}]}, ANY, ANY]
        },
    ),
    "a client tool of Anthropic's": refused(asked(tools=[{"type": "bash_20250124", "name": "bash"}]), "bash"),
    "a tier that chat does not have": case(
        asked(service_tier="standard_only"), up={"service_tier": one_of(GONE, "default")}
    ),
    "another version of the API": case(
        asked(), headers={"anthropic-version": "2023-01-01"}, up={"messages": [ANY]}
    ),
    "no version of the API": case(asked(), headers={"anthropic-version": None}, up={"messages": [ANY]}),
    "bytes that are no JSON": case(
        b'{"model": "chat/m-1", "messages": [',
        calls=0,
        status=400,
        back={"type": "error", "error": {"type": "invalid_request_error"}},
    ),
    "a list": case(
        b"[]", calls=0, status=400, back={"type": "error", "error": {"type": "invalid_request_error"}}
    ),
    "a content that is a number": refused(asked([user(5)]), "messages.0.content"),
    "tools that are no list": refused(asked(tools={"a": 1}), "tools"),
    "a limit that is a text": refused({"messages": [user("hi")], "max_tokens": "5"}, "max_tokens"),
    "a stream that is a text": refused(asked(stream="yes"), "stream"),
    "a temperature that is a text": refused(asked(temperature="hot"), "temperature"),
    "a result without an id": refused(
        asked([user([{"type": "tool_result", "content": "x"}])]), "tool_use_id"
    ),
    "an image without a source": refused(asked([user([{"type": "image"}])]), "source"),
    "a field of chat": refused(asked(response_format={"type": "json_object"}), "response_format"),
}

CASES: dict[str, Case] = {
    **{f"chat: {name}": one for name, one in FROM_CHAT.items()},
    **{f"messages: {name}": one for name, one in FROM_MESSAGES.items()},
}

"""A client of chat completions before a provider that speaks Messages: what is often lost on the way."""

from typing import Any, Final

from tests.e2e.cases import SEARCH, Case, Trip, cost
from tests.e2e.matching import (
    GONE,
    among,
    exactly,
    faults,
    free_of,
    holding,
    json_of,
    kinds,
    like,
    one_of,
)
from tests.e2e.messages_said import (
    FUNCTION,
    HIDDEN,
    PDF,
    PNG,
    SCHEMA,
    SIGNED,
    answered,
    assistant,
    base64_of,
    block,
    called,
    chatted,
    claude,
    claude_stream,
    closing,
    named,
    opening,
    system,
    text,
    thought,
    use,
    used,
    user,
    words,
)

HAIKU: Final = "claude/claude-haiku-4-5"
OPUS: Final = "claude/claude-opus-4-8"
MARK: Final = {"type": "ephemeral"}
HOUR: Final = {"type": "ephemeral", "ttl": "1h"}
OK: Final = {"choices": [{"finish_reason": "stop", "message": {"content": "ok"}}]}
ID: Final = "[a-zA-Z0-9_-]+"


def case(asks: Any, says: Any = None, **fields: Any) -> Case:
    """By default a whole answer that says `ok`."""
    fields = {"model": HAIKU, "back": OK if says is None else None, **fields}
    return Case(door="chat", asks=asks, says=claude() if says is None else says, **fields)


def finish(reason: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason, "message": message}]}


def tools(content: Any, **fields: Any) -> dict[str, Any]:
    return chatted(content, tools=[FUNCTION], **fields)


PAIR: Final = assistant(None, tool_calls=[called("call_a"), called("call_b", '{"city": "Rome"}')])

# -- what goes up ------------------------------------------------------------------------------------


def ids_agree(trip: Trip) -> None:
    """Each result names its own call, no two calls are one, and the same request gives the same ids."""
    turns = trip.up["messages"]
    calls = [one["id"] for one in turns[1]["content"] if one["type"] == "tool_use"]
    results = [one["tool_use_id"] for one in turns[2]["content"] if one["type"] == "tool_result"]
    assert calls == results
    assert len(set(calls)) == len(calls)
    assert trip.goes_on().up == trip.up


def odd(*ids: str) -> Case:
    """A history whose calls have these ids."""
    turn = assistant(None, tool_calls=[called(one) for one in ids])
    turns = [user("all"), turn, *(answered(one, one) for one in ids)]
    made = [{"type": "tool_use", "id": like(ID)} for _ in ids]
    given = [{"type": "tool_result", "content": holding(one)} for one in ids]
    return case(tools(turns), up={"messages": [{}, {"content": made}, {"content": given}]}, also=ids_agree)


IMAGES: Final = [
    text("look"),
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
    {"type": "image_url", "image_url": {"url": "https://pictures.example/a.jpg"}},
    {"type": "file", "file": {"filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
]
PICTURE: Final = {"type": "image", "source": base64_of("image/png", PNG)}
LINKED: Final = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.jpg"}}
PAPER: Final = {"type": "document", "source": base64_of("application/pdf", PDF)}

UP: dict[str, Case] = {
    "results of parallel calls stand together, before what the user says": case(
        tools([user("both"), PAIR, answered("call_a", "A"), answered("call_b", "B"), user("and now?")]),
        up={
            "messages": [
                {"role": "user"},
                {"content": [{"input": {"city": "Oslo"}}, {"input": {"city": "Rome"}}]},
                {
                    "content": [
                        {"type": "tool_result", "tool_use_id": "call_a"},
                        {"type": "tool_result", "tool_use_id": "call_b"},
                        {"type": "text", "text": "and now?"},
                    ]
                },
            ],
            "tools": [{"input_schema": exactly(SCHEMA)}],
        },
        up_headers={
            "x-api-key": "sk-of-the-gateway",
            "anthropic-version": "2023-06-01",
            "authorization": GONE,
        },
    ),
    "results in another order than the calls are put in that of the calls": case(
        tools([user("both"), PAIR, answered("call_b", "B"), answered("call_a", "A")]),
        up={
            "messages": [
                {},
                {},
                {"content": [{"tool_use_id": "call_a", "content": holding("A")}, {"tool_use_id": "call_b"}]},
            ]
        },
    ),
    "an empty text beside calls": case(
        tools([user("go"), assistant("", tool_calls=[called("call_1")]), answered("call_1")]),
        up={"messages": [{}, {"content": kinds("tool_use")}, {}], "system": GONE},
    ),
    "an empty text as a part, beside calls": case(
        tools([user("go"), assistant([text("")], tool_calls=[called("call_1")]), answered("call_1", "")]),
        up={"messages": [{}, {"content": kinds("tool_use")}, {"content": kinds("tool_result")}]},
    ),
    "a call without arguments in the history": case(
        tools([user("go"), assistant(None, tool_calls=[called("call_1", "")]), answered("call_1")]),
        up={"messages": [{}, {"content": [{"type": "tool_use", "input": exactly({})}]}, {}]},
    ),
    "ids with signs that Messages refuses": odd("functions.f:0", "functions_f_0"),
    "ids that would fall together, three of them": odd("a.b", "a:b", "a_b"),
    "an id in another alphabet and a very long one": odd("вызов-1", "x" * 200),
    "marks for the cache, on parts, results and tools": case(
        chatted(
            [
                system([text("S", cache_control=HOUR)]),
                user([text("Q", cache_control=MARK)]),
                assistant(None, tool_calls=[called("call_1")]),
                answered("call_1", [text("R", cache_control=MARK)]),
            ],
            tools=[FUNCTION | {"cache_control": HOUR}],
        ),
        up={
            "system": [{"cache_control": exactly(HOUR)}],
            "messages": [
                {"content": [{"cache_control": exactly(MARK)}]},
                {"content": [{"cache_control": GONE}]},
                {"content": [{"cache_control": exactly(MARK), "content": free_of("cache_control")}]},
            ],
            "tools": [{"cache_control": exactly(HOUR)}],
        },
    ),
    "the limit under its present name, stops, and who asks": case(
        chatted(max_completion_tokens=777, stop=["END", ""], user="u-1"),
        up={
            "max_tokens": 777,
            "max_completion_tokens": GONE,
            "stop_sequences": exactly(["END"]),
            "stop": GONE,
            "user": GONE,
            "metadata": {"user_id": "u-1"},
        },
    ),
    "one stop that is no list": case(chatted(stop="END"), up={"stop_sequences": exactly(["END"])}),
    "no limit is the model's own": case(
        chatted("a long report"), claude(stop="max_tokens"), up={"max_tokens": 64_000}, back=finish("length")
    ),
    "no call, and the tools stay": case(
        tools("hi", tool_choice="none"),
        up={"tool_choice": exactly({"type": "none"}), "tools": [{"name": "weather"}]},
    ),
    "a demanded tool": case(
        tools("hi", tool_choice={"type": "function", "function": {"name": "weather"}}),
        claude(used("toolu_1"), stop="tool_use"),
        up={"tool_choice": exactly({"type": "tool", "name": "weather"})},
        back=finish(
            "tool_calls", content=None, tool_calls=[{"function": {"arguments": json_of({"city": "Oslo"})}}]
        ),
    ),
    "one call at a time": case(
        tools("hi", tool_choice="required", parallel_tool_calls=False),
        up={
            "tool_choice": exactly({"type": "any", "disable_parallel_tool_use": True}),
            "parallel_tool_calls": GONE,
        },
    ),
    "a demanded call and thinking exclude each other": case(
        tools("hi", tool_choice="required", reasoning_effort="high", max_tokens=8_000),
        up={"tool_choice": {"type": "any"}, "thinking": GONE},
        back_headers={"x-farthing-left-out": holding("reasoning_effort")},
    ),
    "an effort within a small limit": case(
        chatted(reasoning_effort="high", max_tokens=2_000),
        up={
            "max_tokens": 2_000,
            "thinking": {"type": "enabled", "budget_tokens": among(1_024, 1_999)},
            "output_config": GONE,
            "reasoning_effort": GONE,
        },
    ),
    "an effort that no limit has room for is left out, and said to be": case(
        chatted(reasoning_effort="high", max_tokens=1_000),
        up={"max_tokens": 1_000, "thinking": GONE},
        back_headers={"x-farthing-left-out": holding("reasoning_effort")},
    ),
    "an effort of a model that thinks at its own measure": case(
        chatted(reasoning_effort="high", max_tokens=9_000),
        model=OPUS,
        up={"output_config": {"effort": "high"}, "thinking": {"type": "adaptive", "budget_tokens": GONE}},
    ),
    "an answer in a schema": case(
        chatted(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "r", "strict": True, "schema": SCHEMA},
            }
        ),
        claude(text('{"city":"Oslo"}')),
        model=OPUS,
        up={
            "output_config": {"format": {"type": "json_schema", "schema": {"required": ["city"]}}},
            "response_format": GONE,
        },
        back=finish("stop", content=json_of({"city": "Oslo"})),
    ),
    "any JSON has no word in Messages": case(
        chatted(response_format={"type": "json_object"}),
        calls=0,
        status=400,
        back={
            "error": {"type": "invalid_request_error", "message": holding("response_format")},
            "type": GONE,
        },
        nusd=0,
    ),
    "pictures and files": case(
        chatted(IMAGES),
        up={"messages": [{"content": [{"type": "text"}, PICTURE, LINKED, PAPER]}]},
    ),
    "pictures in a result": case(
        tools([user("go"), assistant(None, tool_calls=[called("call_1")]), answered("call_1", IMAGES[:3])]),
        up={"messages": [{}, {}, {"content": [{"content": [{"type": "text"}, PICTURE, LINKED]}]}]},
    ),
    "instructions in the middle stay where they are": case(
        chatted([system("help"), user("a"), assistant("b"), user("c"), system("the date has changed")]),
        model=OPUS,
        up={
            "system": holding("help"),
            "messages": [{}, {}, {}, {"role": "system", "content": holding("date")}],
        },
    ),
}

# -- what comes back ---------------------------------------------------------------------------------

CACHED: Final = {
    "input_tokens": 200,
    "cache_read_input_tokens": 1_000,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 40,
    "output_tokens_details": {"thinking_tokens": 15},
}
COUNTED: Final = {
    "usage": {
        "prompt_tokens": 1_500,
        "completion_tokens": 40,
        "total_tokens": 1_540,
        "prompt_tokens_details": {"cached_tokens": 1_000, "cache_write_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 15},
    }
}
CACHED_COST: Final = cost(fresh=200, read=1_000, wrote_5m=100, wrote_1h=200, output=40)
SEARCHED: Final[list[dict[str, Any]]] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "n"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
]
STREAM: Final = {"stream": True, "stream_options": {"include_usage": True}}


def thinking_goes_back(trip: Trip) -> None:
    """A client that returns the message as it came returns the proof; one that drops what it does not know
    asks for no thinking, and nothing half goes up."""
    said = trip.reply.json["choices"][0]["message"]
    assert faults(said["content"], free_of(SIGNED)) == []
    kept = trip.goes_on(said, answered("toolu_7")).up
    blocks = kept["messages"][1]["content"]
    assert blocks[:2] == [
        {"type": "thinking", "thinking": "I look.", "signature": SIGNED},
        {"type": "redacted_thinking", "data": HIDDEN},
    ]
    assert blocks[2]["id"] == "toolu_7"
    bare = {name: said[name] for name in ("role", "content", "tool_calls")}
    dropped = trip.goes_on(bare, answered("toolu_7")).up
    assert faults(dropped["messages"][1], free_of("thinking", SIGNED)) == []
    assert dropped.get("thinking", {"type": "disabled"})["type"] == "disabled"


def not_kept(trip: Trip) -> None:
    """The same once more is asked of the provider once more."""
    again = trip.goes_on()
    assert [one.receipt.cache for one in (trip, again)] == ["miss", "miss"]
    assert len(again.calls) == 1


BACK: dict[str, Case] = {
    "every class of tokens is counted once": case(
        chatted(), claude(usage=CACHED), back=COUNTED, nusd=CACHED_COST
    ),
    "every class of tokens is counted once, in a stream": case(
        chatted(**STREAM),
        claude_stream(
            opening(**CACHED | {"output_tokens": 1}), words(0, "ok"), closing(usage={"output_tokens": 40})
        ),
        back={"usage": {"prompt_tokens": 1_500, "completion_tokens": 40, "total_tokens": 1_540}},
        nusd=CACHED_COST,
    ),
    "the end of a stream corrects its start": case(
        chatted(**STREAM),
        claude_stream(
            opening(input_tokens=900, output_tokens=0),
            words(0, "ok"),
            closing(usage={"input_tokens": 18, "cache_read_input_tokens": 882, "output_tokens": 42}),
        ),
        back={"usage": {"prompt_tokens": 900, "prompt_tokens_details": {"cached_tokens": 882}}},
        nusd=cost(fresh=18, read=882, output=42),
    ),
    "a refusal is no whole answer": case(
        chatted(temperature=0),
        claude(
            text("part"),
            stop="refusal",
            stop_details={"type": "refusal", "category": None, "explanation": "No."},
        ),
        back=finish("content_filter", content="part", refusal="No."),
        also=not_kept,
    ),
    "a refusal in a stream": case(
        chatted(**STREAM),
        claude_stream(
            opening(),
            words(0, "pa", "rt"),
            closing("refusal", stop_details={"type": "refusal", "explanation": "No."}),
        ),
        back=finish("content_filter", content="part"),
    ),
    "a turn that pauses is no whole answer": case(
        chatted(temperature=0),
        claude(text("part"), stop="pause_turn"),
        back=finish("length", content="part"),
        also=not_kept,
    ),
    "a turn that pauses, in a stream": case(
        chatted(**STREAM),
        claude_stream(opening(), words(0, "part"), closing("pause_turn")),
        back=finish("length"),
    ),
    "a reason that nobody knows is no whole answer": case(
        chatted(temperature=0),
        claude(text("part"), stop="a_later_reason"),
        back=finish("length"),
        also=not_kept,
    ),
    "the window of the model is a limit": case(
        chatted(temperature=0),
        claude(text("part"), stop="model_context_window_exceeded"),
        back=finish("length"),
    ),
    "a stop that was found": case(
        chatted(stop=["END"]),
        claude(text("one"), stop="stop_sequence", stop_sequence="END"),
        back=finish("stop"),
    ),
    "what the provider searched is no call of the client's": case(
        chatted("news"),
        claude(
            *SEARCHED,
            text("All "),
            text("quiet."),
            usage={
                "input_tokens": 100,
                "output_tokens": 10,
                "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
            },
        ),
        back=finish("stop", content="All quiet.", tool_calls=one_of(GONE, [])),
        nusd=cost(fresh=100, output=10) + SEARCH,
    ),
    "what the provider searched, in a stream": case(
        chatted("news", **STREAM),
        claude_stream(
            opening(),
            block(0, SEARCHED[0] | {"input": {}}, {"type": "input_json_delta", "partial_json": "{}"}),
            block(1, SEARCHED[1]),
            words(2, "All ", "quiet."),
            closing(usage={"server_tool_use": {"web_search_requests": 1}}),
        ),
        back=finish("stop", content="All quiet.", tool_calls=one_of(GONE, [])),
        nusd=cost(fresh=40, output=8) + SEARCH,
    ),
    "calls in a stream count from 0": case(
        tools("both", **STREAM),
        claude_stream(
            opening(),
            named("ping"),
            thought(0, "two"),
            words(1, "Both."),
            use(2, "toolu_a", "", '{"city":"A"}'),
            use(3, "toolu_b", '{"city":', '"B"}'),
            closing("tool_use"),
        ),
        up={"stream": True, "stream_options": GONE},
        back={
            "choices": [
                {
                    "finish_reason": "tool_calls",
                    "message": {
                        "content": "Both.",
                        "tool_calls": [
                            {
                                "id": "toolu_a",
                                "function": {"name": "weather", "arguments": json_of({"city": "A"})},
                            },
                            {
                                "id": "toolu_b",
                                "function": {"name": "weather", "arguments": json_of({"city": "B"})},
                            },
                        ],
                    },
                }
            ],
            "usage": {"prompt_tokens": 40, "completion_tokens": 8},
        },
    ),
    "a call without arguments in a stream": case(
        tools("now", **STREAM),
        claude_stream(opening(), use(0, "toolu_a"), closing("tool_use")),
        back=finish("tool_calls", tool_calls=[{"function": {"arguments": "{}"}}]),
    ),
    "kinds of events, blocks and deltas that nobody knows": case(
        chatted(**STREAM),
        claude_stream(
            opening(),
            named("a_later_event", x=1),
            block(0, {"type": "a_later_block"}, {"type": "a_later_delta"}),
            block(1, text(""), {"type": "text_delta", "text": "ok"}, {"type": "a_later_delta", "x": 1}),
            closing(),
        ),
        back=finish("stop", content="ok"),
    ),
    "a stream of Messages that ends with [DONE] as well": case(
        chatted(**STREAM),
        claude_stream(opening(), words(0, "ok"), closing(), b"data: [DONE]\n\n"),
        back=finish("stop"),
    ),
    "thinking goes round in a loop of tools": case(
        tools("look", reasoning_effort="medium", max_tokens=6_000),
        claude(
            {"type": "thinking", "thinking": "I look.", "signature": SIGNED},
            {"type": "redacted_thinking", "data": HIDDEN},
            used("toolu_7"),
            stop="tool_use",
        ),
        up={"thinking": {"type": "enabled"}},
        back=finish("tool_calls", reasoning_content="I look."),
        also=thinking_goes_back,
    ),
}

CASES: dict[str, Case] = {
    **{f"up: {name}": one for name, one in UP.items()},
    **{f"back: {name}": one for name, one in BACK.items()},
}

"""What a client of Messages is told of the answers of a provider that speaks chat completions."""

import dataclasses
import json
from typing import Any, Final

from tests.e2e.cases import Case, Trip, cost
from tests.e2e.cases_messages_to_chat import ID, case, tools
from tests.e2e.matching import (
    GONE,
    among,
    exactly,
    kinds,
    like,
    one_of,
    some,
)
from tests.e2e.messages_said import (
    TOOL,
    asked,
    assistant,
    called,
    calling,
    chunks,
    completion,
    result,
    user,
)
from tests.faults.exact import chunk, counted, event, streamed

from farthing.dialects.tool_names import short_name


def ids_go_round(trip: Trip) -> None:
    """The client's results name the ids that it was given, and the provider finds each at its own call."""
    said = trip.back["content"]
    ids = [block["id"] for block in said if block["type"] == "tool_use"]
    assert len(set(ids)) == 2
    up = trip.goes_on(assistant(said), user([result(one, one) for one in ids])).up["messages"]
    assert [call["id"] for call in up[1]["tool_calls"]] == [up[2]["tool_call_id"], up[3]["tool_call_id"]]
    assert up[2]["tool_call_id"] != up[3]["tool_call_id"]


def turn_goes_back(trip: Trip) -> None:
    """What the client was given can be sent back as it is."""
    assert trip.goes_on(assistant(trip.back["content"]), user("and?")).reply.status == 200


def two(first: str, second: str) -> Any:
    calls = [called(first), called(second, '{"city": "Rome"}')]
    return completion({"tool_calls": calls}, "tool_calls")


def proof_goes_back(trip: Trip) -> None:
    """The model that proved its thought beside a call gets the proof back there, and no other model does."""
    said = trip.back["content"]
    turns = (assistant(said), user([result(one["id"]) for one in said if one["type"] == "tool_use"]))
    again = trip.goes_on(*turns).up["messages"][1]
    first, second = again["tool_calls"]
    assert first["extra_content"] == PROOF and "extra_content" not in second
    other = dataclasses.replace(trip.case, model="chat/m-1", also=None)
    up = dataclasses.replace(trip, case=other).goes_on(*turns).up["messages"][1]
    assert "extra_content" not in json.dumps(up) and "gemini" not in json.dumps(up)


def named_call(call_id: str, name: str) -> dict[str, Any]:
    """A call of the tool `name`, by the name that the server was told."""
    call = called(call_id)
    return {**call, "function": {**call["function"], "name": short_name(name)}}


def long_name_goes_back(trip: Trip) -> None:
    """The server finds the name in the history that it was told, and it is one that it takes."""
    said = trip.back["content"]
    up = trip.goes_on(assistant(said), user([result("call_1")])).up
    name = up["messages"][1]["tool_calls"][0]["function"]["name"]
    assert len(name) <= 64 and name in [tool["function"]["name"] for tool in up["tools"]]


def details_go_back(trip: Trip) -> None:
    said = trip.back["content"]
    again = trip.goes_on(assistant(said), user([result(said[-1]["id"])])).up["messages"][1]
    assert again["reasoning_details"] == [DETAIL]


CLEAN: Final = {"content": [{"type": "tool_use", "id": like(ID)}, {"type": "tool_use", "id": like(ID)}]}
CACHED: Final = {
    "prompt_tokens": 2_000,
    "completion_tokens": 50,
    "total_tokens": 2_050,
    "prompt_tokens_details": {"cached_tokens": 1_500, "cache_write_tokens": 300},
}
STREAM: Final = {"stream": True}
GEMINI: Final = "chat/gemini-3-pro"
LONG: Final = f"mcp__{'a' * 80}__read"
OTHER: Final = f"mcp__{'a' * 80}__write"
LONG_TOOL: Final = {**TOOL, "name": LONG}
OTHER_TOOL: Final = {**TOOL, "name": OTHER}
PROOF: Final = {"google": {"thought_signature": "AbC+/=="}}
DETAIL: Final = {
    "type": "reasoning.encrypted",
    "data": "ENC",
    "format": "google-gemini-v1",
    "id": "call_1",
    "index": 0,
}


def calls(stop: Any = "tool_use", **block: Any) -> dict[str, Any]:
    return {"content": [{"type": "tool_use", **block}], "stop_reason": stop}


CASES: dict[str, Case] = {
    "a forced call that is told as a stop": case(
        tools("use it", tool_choice={"type": "tool", "name": "weather"}),
        completion({"tool_calls": [called("call_1")]}, "stop"),
        up={"tool_choice": exactly({"type": "function", "function": {"name": "weather"}})},
        back=calls(id="call_1", name="weather", input=exactly({"city": "Oslo"})),
    ),
    "a name that is too long for chat": case(
        tools("use it", tools=[TOOL, LONG_TOOL, OTHER_TOOL], tool_choice={"type": "tool", "name": LONG}),
        completion({"tool_calls": [named_call("call_1", LONG)]}, "tool_calls"),
        up={
            "tools": [
                {"function": {"name": "weather"}},
                {"function": {"name": exactly(short_name(LONG))}},
                {"function": {"name": exactly(short_name(OTHER))}},
            ],
            "tool_choice": {"function": {"name": exactly(short_name(LONG))}},
        },
        back=calls(name=LONG),
        also=long_name_goes_back,
    ),
    "a name that is too long for chat, in a stream": case(
        tools("use it", tools=[TOOL, LONG_TOOL, OTHER_TOOL], **STREAM),
        chunks({"tool_calls": [{"index": 0, **named_call("call_1", OTHER)}]}, finish="tool_calls"),
        back=calls(name=OTHER),
        also=long_name_goes_back,
    ),
    "a proof beside a call": case(
        tools("use it"),
        completion(
            {"tool_calls": [{**called("call_1"), "extra_content": PROOF}, called("call_2")]}, "tool_calls"
        ),
        model=GEMINI,
        back={"content": kinds("thinking", "tool_use", "tool_use")},
        also=proof_goes_back,
    ),
    "a proof beside a call, in a stream": case(
        tools("use it", **STREAM),
        chunks(
            {"reasoning_content": "hm"},
            {"tool_calls": [{"index": 0, **called("call_1"), "extra_content": PROOF}]},
            {"tool_calls": [{"index": 1, **called("call_2")}]},
            finish="tool_calls",
        ),
        model=GEMINI,
        back={"content": [{"type": "thinking", "thinking": "hm"}, {"id": "call_1"}, {"id": "call_2"}]},
        also=proof_goes_back,
    ),
    "a proof of a call with an id that Messages refuses": case(
        tools("use it"),
        completion(
            {"tool_calls": [{**called("call.1"), "extra_content": PROOF}, called("call.2")]}, "tool_calls"
        ),
        model=GEMINI,
        back={"content": kinds("thinking", "tool_use", "tool_use")},
        also=proof_goes_back,
    ),
    "a proof in OpenRouter's form": case(
        tools("use it", **STREAM),
        chunks(
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
            {
                "tool_calls": [calling(0, id="call_1", name="weather", arguments="{}")],
                "reasoning_details": [DETAIL],
            },
            finish="tool_calls",
        ),
        model=GEMINI,
        back={"content": [{"type": "thinking", "thinking": "hm"}, {"type": "tool_use"}]},
        also=details_go_back,
    ),
    "a call and no reason": case(
        tools("use it"), completion({"tool_calls": [called("call_1")]}, "function_call"), back=calls()
    ),
    "a call in the old form": case(
        tools("use it"),
        completion({"function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'}}, "function_call"),
        back=calls(name="weather", id=like(ID), input={"city": "Oslo"}),
    ),
    "a call that the limit has cut": case(
        tools("use it"),
        completion({"tool_calls": [called("call_1", '{"city": "Os')]}, "length"),
        back={"stop_reason": "max_tokens"},
    ),
    "a stop that the server names": case(
        asked(stop_sequences=["###"]),
        completion("one", stop_reason="###"),
        back={"stop_reason": "stop_sequence", "stop_sequence": "###", "content": [{"text": "one"}]},
    ),
    "a number where a stop could be named": case(
        asked(stop_sequences=["###"]),
        completion("one", stop_reason=128_009),
        back={"stop_reason": "end_turn", "stop_sequence": GONE},
    ),
    "null where a stop could be named": case(
        asked(stop_sequences=["###"]), completion("one", stop_reason=None), back={"stop_reason": "end_turn"}
    ),
    "a stop that the server names, in a stream": case(
        asked(stop_sequences=["###"], **STREAM),
        chunks({"content": "one"}, stop_reason="###"),
        back={"stop_reason": "stop_sequence", "stop_sequence": "###"},
    ),
    "the limit": case(asked(), completion("on", "length"), back={"stop_reason": "max_tokens"}),
    "the limit, in a stream": case(
        asked(**STREAM), chunks({"content": "on"}, finish="length"), back={"stop_reason": "max_tokens"}
    ),
    "a filter": case(asked(), completion("on", "content_filter"), back={"stop_reason": "refusal"}),
    "a refusal": case(
        asked(),
        completion({"refusal": "I will not."}),
        back={"stop_reason": "refusal", "content": [{"type": "text", "text": "I will not."}]},
    ),
    "a refusal, in a stream": case(
        asked(**STREAM),
        chunks({"refusal": "I will"}, {"refusal": " not."}),
        back={"stop_reason": "refusal", "content": [{"text": "I will not."}]},
    ),
    "ids that Messages refuses": case(
        tools("two"), two("functions.weather:0", "functions_weather_0"), back=CLEAN, also=ids_go_round
    ),
    "ids that are twice the same": case(tools("two"), two("call_1", "call_1"), back=CLEAN, also=ids_go_round),
    "ids that are empty": case(tools("two"), two("", ""), back=CLEAN, also=ids_go_round),
    "ids in a stream": case(
        tools("two", **STREAM),
        chunks(
            {"tool_calls": [calling(0, id="a.b", name="weather", arguments="{}")]},
            {"tool_calls": [calling(1, id="a:b", name="weather", arguments="{}")]},
            finish="tool_calls",
        ),
        back=CLEAN,
        also=ids_go_round,
    ),
    "a call without arguments": case(
        tools("now"),
        completion({"content": "", "tool_calls": [called("call_n", "")]}, "tool_calls"),
        back=calls(input=exactly({})),
    ),
    "a call without arguments, in a stream": case(
        tools("now", **STREAM),
        chunks({"tool_calls": [calling(0, id="call_n", name="weather", arguments="")]}, finish="tool_calls"),
        back=calls(input=exactly({})),
    ),
    "arguments that are null": case(
        tools("now"),
        completion({"tool_calls": [called("call_n", "null")]}, "tool_calls"),
        back=calls(input=exactly({})),
    ),
    "arguments that are encoded twice": case(
        tools("now"),
        completion({"tool_calls": [called("call_n", '"{\\"city\\": \\"Oslo\\"}"')]}, "tool_calls"),
        back=calls(input=exactly({"city": "Oslo"})),
    ),
    "arguments that are encoded twice, in a stream": case(
        tools("now", **STREAM),
        chunks(
            {"tool_calls": [calling(0, id="call_n", name="weather", arguments='"{\\"city')]},
            {"tool_calls": [calling(0, arguments='\\": \\"Oslo\\"}"')]},
            finish="tool_calls",
        ),
        back=calls(input=exactly({"city": "Oslo"})),
    ),
    "arguments that are a text": case(
        tools("now"),
        completion({"tool_calls": [called("call_n", '"Oslo"')]}, "tool_calls"),
        back=calls(input=exactly({"INVALID_JSON": '"Oslo"'})),
    ),
    "arguments that are an object": case(
        tools("now"),
        completion({"tool_calls": [called("call_n", {"city": "Oslo"})]}, "tool_calls"),  # type: ignore[arg-type]
        back=calls(input=exactly({"city": "Oslo"})),
    ),
    "calls behind a text": case(
        tools("both"),
        completion({"content": "Let me look.", "tool_calls": [called("call_1")]}, "tool_calls"),
        back={"content": kinds("text", "tool_use"), "stop_reason": "tool_use"},
    ),
    "cached tokens are counted once": case(
        asked(),
        completion("fine", usage=CACHED),
        back={
            "usage": {
                "input_tokens": 200,
                "cache_read_input_tokens": 1_500,
                "cache_creation_input_tokens": 300,
                "output_tokens": 50,
            }
        },
        nusd=cost(fresh=200, read=1_500, wrote_5m=300, output=50),
    ),
    "cached tokens as DeepSeek tells them": case(
        asked(),
        completion(
            "fine",
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "total_tokens": 105,
                "prompt_cache_hit_tokens": 80,
                "prompt_cache_miss_tokens": 20,
            },
        ),
        back={"usage": {"input_tokens": 20, "cache_read_input_tokens": 80}},
        nusd=cost(fresh=20, read=80, output=5),
    ),
    "reasoning is part of the output": case(
        asked(),
        completion(
            "fine",
            usage={
                "prompt_tokens": 10,
                "completion_tokens": 50,
                "total_tokens": 60,
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
        ),
        back={"usage": {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}}},
        nusd=cost(fresh=10, output=50),
    ),
    "no usage is told as an estimate": case(
        asked("a question of some length"),
        completion("fine", usage=False),
        back={"usage": {"input_tokens": among(1, 100), "output_tokens": among(1, 100)}},
        receipt=lambda receipt: receipt.usage is not None and receipt.usage.estimated,
    ),
    "a text in parts": case(
        asked(),
        completion({"content": [{"type": "text", "text": "on"}, {"type": "text", "text": "ly"}]}),
        back={"content": one_of([{"text": "only"}], [{"text": "on"}, {"text": "ly"}])},
    ),
    "thoughts of nobody's proof": case(
        asked(),
        completion({"reasoning_content": "hm", "content": "so"}),
        back={
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "so"},
            ]
        },
        also=turn_goes_back,
    ),
    "an answer of white space has no block": case(
        tools("now"),
        completion({"content": "\n\n", "tool_calls": [called("call_1")]}, "tool_calls"),
        back={"content": kinds("tool_use")},
    ),
    # -- streams ---------------------------------------------------------------------------------
    "arguments of two calls alternate": case(
        tools("both", **STREAM),
        chunks(
            {
                "content": None,
                "tool_calls": [
                    calling(0, id="call_a", name="weather", arguments=""),
                    calling(1, id="call_b", name="weather", arguments=""),
                ],
            },
            {"tool_calls": [calling(0, arguments='{"city":')]},
            {"tool_calls": [calling(1, arguments='{"city":"B')]},
            {"tool_calls": [calling(0, arguments='"A"}'), calling(1, arguments='"}')]},
            finish="tool_calls",
        ),
        up={"stream": True},
        back={
            "content": [
                {"type": "tool_use", "id": "call_a", "input": exactly({"city": "A"})},
                {"type": "tool_use", "id": "call_b", "input": exactly({"city": "B"})},
            ],
            "stop_reason": "tool_use",
        },
    ),
    "three calls, the last begun first": case(
        tools("all", **STREAM),
        chunks(
            {"tool_calls": [calling(2, id="call_c", name="weather", arguments='{"city":"C"}')]},
            {"tool_calls": [calling(0, id="call_a", name="weather", arguments='{"city":"A"}')]},
            {"tool_calls": [calling(1, id="call_b", name="weather", arguments='{"city":"B"}')]},
            finish="tool_calls",
        ),
        back={"content": [{"input": {"city": some(str)}}] * 3, "stop_reason": "tool_use"},
    ),
    "a text behind a call": case(
        tools("both", **STREAM),
        chunks(
            {"tool_calls": [calling(0, id="call_a", name="weather", arguments='{"city":')]},
            {"content": "Wait."},
            {"tool_calls": [calling(0, arguments='"A"}')]},
            finish="tool_calls",
        ),
        back={
            "content": one_of(
                [{"type": "tool_use", "input": exactly({"city": "A"})}, {"type": "text", "text": "Wait."}],
                [{"type": "text", "text": "Wait."}, {"type": "tool_use", "input": exactly({"city": "A"})}],
            )
        },
    ),
    "a stop that is a call, in a stream": case(
        tools("one", **STREAM),
        chunks({"tool_calls": [calling(0, id="call_a", name="weather", arguments="{}")]}, finish="stop"),
        back=calls(),
    ),
    "white space before a call": case(
        tools("one", **STREAM),
        chunks(
            {"content": "\n\n"},
            {"tool_calls": [calling(0, id="call_a", name="weather", arguments="{}")]},
            finish="tool_calls",
        ),
        back={"content": kinds("tool_use")},
    ),
    "the usage comes last": case(
        asked(**STREAM),
        chunks(
            {"content": "one"},
            usage={
                "prompt_tokens": 120,
                "completion_tokens": 7,
                "total_tokens": 127,
                "prompt_tokens_details": {"cached_tokens": 100},
            },
        ),
        up={"stream": True, "stream_options": {"include_usage": True}},
        back={
            "usage": {"input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 7},
            "content": [{"text": "one"}],
        },
        nusd=cost(fresh=20, read=100, output=7),
    ),
    "the usage comes with the reason": case(
        asked(**STREAM),
        streamed(
            chunk({"role": "assistant", "content": "one"}),
            chunk(finish="stop", usage={"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}),
            b"data: [DONE]\n\n",
        ),
        back={"usage": {"input_tokens": 12, "output_tokens": 7}},
        nusd=cost(fresh=12, output=7),
    ),
    "the usage grows with each chunk": case(
        asked(**STREAM),
        streamed(
            *(
                chunk(
                    {"content": word},
                    usage={"prompt_tokens": 12, "completion_tokens": n, "total_tokens": 12 + n},
                )
                for n, word in enumerate(("o", "ne"), 1)
            ),
            chunk(finish="stop"),
            counted({"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}),
            b"data: [DONE]\n\n",
        ),
        back={"usage": {"input_tokens": 12, "output_tokens": 2}, "content": [{"text": "one"}]},
        nusd=cost(fresh=12, output=2),
    ),
    "no usage in a stream is an estimate": case(
        asked("a question of some length", **STREAM),
        chunks({"content": "one"}, usage=False),
        back={"usage": {"input_tokens": among(1, 100), "output_tokens": among(1, 100)}},
        receipt=lambda receipt: receipt.usage is not None and receipt.usage.estimated,
    ),
    "thoughts and words take turns": case(
        asked("think", **STREAM),
        chunks(
            {"reasoning_content": "hm"},
            {"reasoning_content": " yes", "content": "It "},
            {"content": "is"},
            {"reasoning_content": "wait"},
            {"content": " so."},
        ),
        back={
            "content": [
                {"type": "thinking", "thinking": "hm yes"},
                {"type": "text", "text": "It is"},
                {"type": "thinking", "thinking": "wait"},
                {"type": "text", "text": " so."},
            ]
        },
        also=turn_goes_back,
    ),
    "thoughts under their other name": case(
        asked("think", **STREAM),
        chunks({"reasoning": "hm"}, {"content": "so"}),
        back={"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]},
    ),
    "thoughts alone, then a call": case(
        tools("think", **STREAM),
        chunks(
            {"reasoning_content": "hm"},
            {"tool_calls": [calling(0, id="call_a", name="weather", arguments="{}")]},
            finish="tool_calls",
        ),
        back={"content": kinds("thinking", "tool_use")},
    ),
    "a stream that says nothing": case(
        asked(**STREAM),
        chunks({"content": ""}),
        back={"content": [], "stop_reason": "end_turn"},
    ),
    "a stream without [DONE]": case(
        asked(**STREAM),
        streamed(chunk({"role": "assistant", "content": "one"}), chunk(finish="stop"), framing="close"),
        back={"content": [{"text": "one"}], "stop_reason": "end_turn"},
    ),
    "comments and empty lines": case(
        asked(**STREAM),
        streamed(
            b": hello\n\n",
            chunk({"role": "assistant", "content": "one"}),
            b": still here\n\n",
            chunk(finish="stop"),
            b"data: [DONE]\n\n",
        ),
        back={"content": [{"text": "one"}]},
    ),
    "a whole answer where a stream was due": case(
        asked(**STREAM), completion("one"), back={"content": [{"text": "one"}], "stop_reason": "end_turn"}
    ),
    "a stream where a whole answer was due": case(
        asked(), chunks({"content": "one"}), back={"content": [{"text": "one"}], "stop_reason": "end_turn"}
    ),
    "a stream of CRLF": case(
        asked(**STREAM),
        streamed(
            *(event(one, eol=b"\r\n") for one in (chunk({"content": "one"}), chunk(finish="stop"))),
            b"data: [DONE]\r\n\r\n",
        ),
        back={"content": [{"text": "one"}]},
    ),
}

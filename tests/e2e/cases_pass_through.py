"""A client of Messages before a provider that speaks it: nobody translates, and nothing may change."""

import dataclasses
import json
import random
from typing import Any, Final

from tests.e2e.cases import CLIENT_KEY, SEARCH, Case, Trip, cost
from tests.e2e.matching import GONE
from tests.e2e.messages_said import (
    HIDDEN,
    SIGNED,
    TOOL,
    asked,
    assistant,
    block,
    claude,
    claude_stream,
    closing,
    message,
    named,
    opening,
    result,
    system,
    text,
    thought,
    use,
    used,
    user,
    words,
)
from tests.faults.exact import Exact, whole

CLAUDE: Final = "claude/claude-x"
MARK: Final = {"type": "ephemeral"}
BETAS: Final = "context-management-2025-06-27,future-beta-2027-01-01"
EDITS: Final = {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}
OWN: Final = {"x-api-key": "sk-of-the-gateway", "anthropic-version": "2023-06-01", "authorization": GONE}
SEEDS: Final = (1, 2)


def case(asks: Any, says: Exact | None = None, **fields: Any) -> Case:
    fields = {"model": CLAUDE, "untouched": True, "up_headers": OWN, **fields}
    return Case(door="messages", asks=asks, says=claude() if says is None else says, **fields)


ODD: Final = rb"""{ "messages":[ {"content":
 "caf\u00e9 \ud83d\ude00 \/ <b>&","role":"user"},{"role":"assistant",
 "content":[{"type":"tool_use","id":"toolu_1","name":"f",
  "input":{"z":12345678901234567890,"a":1.0,"e":1E+2,"n":-0,"dup":null}}]},
 {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"ok"}]}],	"tools":[{
 "name":"f","input_schema":{"type":"object","required":["z"],"properties":{"z":{"type":"integer"},"a":{"type":
 "number"}}},"cache_control":{"ttl":"1h","type":"ephemeral"}}],"future_field":{"b":1,"a":[]},
 "system":[{
 "type":"text","text":"S","cache_control":{"type":"ephemeral"}}], 
  "max_tokens":64,"model":"claude/claude-x" }"""
HISTORY: Final = asked(
    [
        user("look"),
        assistant(
            [
                {"type": "thinking", "thinking": "I should look.", "signature": SIGNED},
                {"type": "redacted_thinking", "data": HIDDEN},
                {"type": "thinking", "thinking": "", "signature": SIGNED + "AA"},
                text("Looking. "),
                used("toolu_1"),
            ]
        ),
        user([result("toolu_1")]),
    ],
    tools=[TOOL],
    thinking={"type": "adaptive", "display": "omitted"},
    max_tokens=4_000,
)
ODD_ANSWER: Final = rb"""{"id" : "msg_1","type":"message","role":"assistant","model":"claude-x","content":[
 {"type":"text","text":"caf\u00e9 \ud83d\ude00","citations":null},{"later":1.0,"type":"a_later_block"}],
 "stop_reason":"a_later_reason","stop_sequence":null,"later":{"b":1E2,"a":-0},
 "usage":{"input_tokens":40,"output_tokens":8,"later":[]}}"""
NEWS: Final[list[dict[str, Any]]] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "n"}},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "https://a.example", "encrypted_content": "b3Bh"}],
    },
    text("All quiet.", citations=[{"type": "web_search_result_location", "url": "https://a.example"}]),
]
SEARCHED: Final = {"input_tokens": 40, "output_tokens": 8, "server_tool_use": {"web_search_requests": 2}}
STREAM: Final = {"stream": True}
CITED: Final = {"type": "citations_delta", "citation": {"type": "char_location", "document_index": 0}}


def once_more(trip: Trip) -> None:
    """A second request that is the same gives the same bytes up."""
    assert trip.goes_on().calls[0].body == trip.calls[0].body


PLAIN: dict[str, Case] = {
    "betas and their fields": case(
        asked(**EDITS),
        whole(message(text("hi"), context_management={"applied_edits": []})),
        query="?beta=true",
        headers={"anthropic-beta": BETAS, "x-claude-code-session-id": "s-1"},
        up_headers={**OWN, "anthropic-beta": BETAS},
        receipt=lambda receipt: receipt.session == "s-1",
    ),
    "thinking in the history": case(
        HISTORY, claude({"type": "thinking", "thinking": "", "signature": "s"}, text("y"))
    ),
    "instructions in the middle": case(
        asked(
            [user("a"), assistant("b"), user("c"), system([text("Plan mode is on.", cache_control=MARK)])],
            system="You help.",
        )
    ),
    "marks everywhere": case(
        asked(
            [
                user([text("q", cache_control=MARK)]),
                assistant([used("toolu_1")]),
                user([result("toolu_1", cache_control=MARK)]),
            ],
            system=[text("S", cache_control=MARK | {"ttl": "1h"})],
            tools=[TOOL | {"cache_control": MARK}],
            cache_control=MARK,
        ),
        also=once_more,
    ),
    "blocks and fields that nobody knows": case(
        asked(
            [user([text("hi"), {"type": "a_later_block", "x": [1.0]}])],
            a_later_field={"b": 1, "a": []},
            thread={"id": "t-1"},
        )
    ),
    "sampling, stops, metadata and the rest": case(
        asked(
            temperature=1,
            top_p=0.5,
            top_k=3,
            stop_sequences=["", "END"],
            metadata={"user_id": "u", "x": 1},
            service_tier="standard_only",
            inference_geo="us",
            speed="fast",
            container="c-1",
        )
    ),
    "tools of every kind": case(
        asked(
            tools=[
                TOOL,
                TOOL | {"name": "w2", "type": "custom", "eager_input_streaming": True},
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
                {"type": "bash_20250124", "name": "bash"},
            ],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        ),
        claude(*NEWS, usage=SEARCHED),
        nusd=cost(fresh=40, output=8) + 2 * SEARCH,
    ),
    "an answer with what nobody knows": case(asked(), whole(ODD_ANSWER)),
    "a refusal": case(
        asked(), claude(text("pa"), stop="refusal", stop_details={"type": "refusal", "category": "cyber"})
    ),
    "a turn that pauses": case(asked(), claude(text("pa"), stop="pause_turn")),
    "a window that is full": case(asked(), claude(text("pa"), stop="model_context_window_exceeded")),
    "an answer without any block": case(asked(), whole(message())),
    "the key as a bearer": case(
        asked(), headers={"x-api-key": None, "authorization": f"Bearer {CLIENT_KEY}"}
    ),
    "a good key as a bearer, another as x-api-key": case(
        asked(), headers={"x-api-key": "sk-of-nobody", "authorization": f"Bearer {CLIENT_KEY}"}
    ),
    "a good key as x-api-key, another as a bearer": case(
        asked(), headers={"authorization": "Bearer sk-of-nobody"}
    ),
    "a version of the API that is not ours": case(
        asked(),
        headers={"anthropic-version": "2027-01-01"},
        up_headers={**OWN, "anthropic-version": "2027-01-01"},
    ),
    # -- streams ---------------------------------------------------------------------------------
    "signatures, and what nobody knows, in a stream": case(
        asked(thinking={"type": "adaptive"}, **STREAM),
        claude_stream(
            opening(),
            named("ping"),
            thought(0, "hm é"),
            block(1, text(""), {"type": "text_delta", "text": "hi"}, {"type": "future_delta", "x": 1}),
            named("future_event", y=[1.0]),
            closing(),
        ),
        back={"content": [{"signature": SIGNED}, {"text": "hi"}]},
    ),
    "a usage that is corrected at the end": case(
        asked(**STREAM),
        claude_stream(
            opening(input_tokens=8_834, output_tokens=0),
            words(0, "hi"),
            closing(
                usage={
                    "input_tokens": 18,
                    "cache_read_input_tokens": 8_816,
                    "cache_creation_input_tokens": 0,
                    "output_tokens": 42,
                }
            ),
        ),
        back={"usage": {"input_tokens": 18, "cache_read_input_tokens": 8_816}},
        nusd=cost(fresh=18, read=8_816, output=42),
    ),
    "two message_delta": case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "hi"), closing("tool_use", {"output_tokens": 5})[:1], closing()),
        nusd=cost(fresh=40, output=8),
    ),
    "calls, citations and what was searched, in a stream": case(
        asked(tools=[TOOL], **STREAM),
        claude_stream(
            opening(),
            block(0, NEWS[0] | {"input": {}}, {"type": "input_json_delta", "partial_json": '{"query":"n"}'}),
            block(1, NEWS[1]),
            block(2, text("", citations=[]), CITED, {"type": "text_delta", "text": "So."}),
            use(3, "toolu_a", "", '{"ci', 'ty":"A"}'),
            use(4, "toolu_b"),
            closing("tool_use", {"server_tool_use": {"web_search_requests": 1}}),
        ),
        back={
            "content": [
                {},
                {},
                {"citations": [{"type": "char_location"}]},
                {"input": {"city": "A"}},
                {"input": {}},
            ]
        },
        nusd=cost(fresh=40, output=8) + SEARCH,
    ),
    "a refusal in a stream": case(
        asked(**STREAM),
        claude_stream(
            opening(),
            words(0, "pa"),
            closing("refusal", stop_details={"type": "refusal", "explanation": "No."}),
        ),
        back={"stop_reason": "refusal"},
    ),
    "a stream whose every event is cut": case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "hi ", "é"), closing()).cut_into([3] * 400, 0),
        back={"content": [{"text": "hi é"}]},
    ),
    "a stream of CRLF": case(
        asked(**STREAM),
        claude_stream(*(one.replace(b"\n", b"\r\n") for one in (opening(), *words(0, "hi"), *closing()))),
        back={"content": [{"text": "hi"}]},
    ),
    "a stream that ends with [DONE] as well": case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "hi"), closing(), b"data: [DONE]\n\n"),
        untouched=False,
        back={"content": [{"text": "hi"}], "stop_reason": "end_turn"},
    ),
    "comments in a stream": case(
        asked(**STREAM),
        claude_stream(opening(), b": hello\n\n", words(0, "hi"), closing()),
        back={"content": [{"text": "hi"}]},
    ),
}


def fuzzed(value: Any, choose: random.Random) -> str:
    """The same JSON with other white space, and the names of objects in another order."""

    def space() -> str:
        return choose.choice(("", "", " ", "\n", "\t  "))

    if isinstance(value, dict):
        items = list(value.items())
        choose.shuffle(items)
        inner = (f"{space()}{json.dumps(name)}{space()}:{fuzzed(one, choose)}" for name, one in items)
        return f"{space()}{{{','.join(inner)}{space()}}}"
    if isinstance(value, list):
        return f"{space()}[{','.join(fuzzed(one, choose) for one in value)}{space()}]"
    return f"{space()}{json.dumps(value, ensure_ascii=choose.random() < 0.5)}{space()}"


def _also_fuzzed(name: str, one: Case) -> dict[str, Case]:
    found = {name: one}
    for seed in SEEDS:
        asks = fuzzed({"model": one.model, **one.asks}, random.Random(seed)).encode()
        again = None if one.also is once_more else one.also
        found[f"{name} (white space and order, {seed})"] = dataclasses.replace(one, asks=asks, also=again)
    return found


CASES: dict[str, Case] = {
    "numbers, escapes, order and spaces": case(ODD),
    "a mark of UTF-8 before the body": case(
        b"\xef\xbb\xbf" + ODD,
        untouched=False,
        also=lambda trip: _is_up(trip, ODD),
    ),
    **{key: value for name, one in PLAIN.items() for key, value in _also_fuzzed(name, one).items()},
}


def _is_up(trip: Trip, body: bytes) -> None:
    assert trip.calls[0].body == body.replace(b"claude/claude-x", b"claude-x")

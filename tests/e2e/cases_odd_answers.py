"""Answers that are seldom, and as some servers give them: what a client of the other dialect is told."""

from typing import Any, Final

from tests.e2e.cases import Case, apart, cost
from tests.e2e.cases_chat_to_messages import case as chat_case
from tests.e2e.cases_chat_to_messages import finish
from tests.e2e.cases_chat_to_messages import tools as chat_tools
from tests.e2e.cases_messages_to_chat import ID, case, tools
from tests.e2e.cases_pass_through import case as own_case
from tests.e2e.matching import GONE, among, exactly, holding, json_of, kinds, like, one_of, some
from tests.e2e.messages_said import (
    HIDDEN,
    SIGNED,
    USED,
    asked,
    block,
    called,
    calling,
    chatted,
    chunks,
    claude,
    claude_stream,
    closing,
    completion,
    failure,
    message,
    named,
    opening,
    text,
    thought,
    use,
    used,
    words,
)
from tests.faults.exact import DONE, ENDING, ROLE, chunk, event, streamed, whole, whole_of

STREAM: Final = {"stream": True}
COUNTED: Final = {"stream": True, "stream_options": {"include_usage": True}}
ANY: Final[dict[str, Any]] = {}


def call(index: Any, **fields: Any) -> dict[str, Any]:
    """A delta with a piece of a call; no index where that is None."""
    made = calling(0, **fields)
    made.pop("index")
    return {"tool_calls": [made if index is None else {"index": index, **made}]}


def calls(*inputs: Any) -> dict[str, Any]:
    blocks = [{"type": "tool_use", "id": like(ID), "input": exactly(one)} for one in inputs]
    return {"content": blocks, "stop_reason": "tool_use"}


OSLO: Final = {"city": "Oslo"}
ROME: Final = {"city": "Rome"}

TO_MESSAGES: dict[str, Case] = {
    "calls without an index": case(
        tools("both", **STREAM),
        chunks(
            call(None, id="a", name="weather", arguments='{"city":"Oslo"}'),
            call(None, id="b", name="weather", arguments='{"city":"Rome"}'),
            finish="tool_calls",
        ),
        back=calls(OSLO, ROME),
    ),
    "two calls of one index": case(
        tools("both", **STREAM),
        chunks(
            call(0, id="a", name="weather", arguments='{"city":"Oslo"}'),
            call(0, id="b", name="weather", arguments='{"city":"Rome"}'),
            finish="tool_calls",
        ),
        back=calls(OSLO, ROME),
    ),
    "id and name in every piece": case(
        tools("one", **STREAM),
        chunks(
            call(0, id="a", name="weather", arguments='{"city":'),
            call(0, id="a", name="weather", arguments='"Oslo"}'),
            finish="tool_calls",
        ),
        back=calls(OSLO),
    ),
    "an empty id in the later pieces": case(
        tools("one", **STREAM),
        chunks(
            call(0, id="a", name="weather", arguments='{"city":'),
            call(0, id="", name="", arguments='"Oslo"}'),
            finish="tool_calls",
        ),
        back=calls(OSLO),
    ),
    "indexes that begin with 1": case(
        tools("one", **STREAM),
        chunks(call(1, id="a", name="weather", arguments='{"city":"Oslo"}'), finish="tool_calls"),
        back=calls(OSLO),
    ),
    "a call in the chunk of the reason": case(
        tools("one", **STREAM),
        streamed(
            ROLE, chunk(call(0, id="a", name="weather", arguments='{"city":"Oslo"}'), "tool_calls"), DONE
        ),
        back=calls(OSLO),
    ),
    "a text in the chunk of the reason": case(
        asked(**STREAM),
        streamed(ROLE, chunk({"content": "one"}, "stop"), DONE),
        back={"content": [{"text": "one"}], "stop_reason": "end_turn"},
    ),
    "a reason of calls, and no call": case(
        asked(),
        completion("one", "tool_calls"),
        back={"content": [{"text": "one"}], "stop_reason": "end_turn"},
    ),
    "calls that are an empty list": case(
        asked(),
        completion({"content": "one", "tool_calls": []}),
        back={"content": [{"text": "one"}], "stop_reason": "end_turn"},
    ),
    "no content at all": case(
        asked(), completion({"content": None}), back={"content": [], "stop_reason": "end_turn"}
    ),
    "a reason that nobody knows": case(
        asked(), completion("on", "a_later_reason"), back={"stop_reason": "max_tokens"}
    ),
    "no reason": case(
        asked(), completion("one", None), back={"content": [{"text": "one"}], "stop_reason": some(str)}
    ),
    "a text and a refusal": case(
        asked(),
        completion({"content": "So.", "refusal": "No."}),
        back={"content": holding("So."), "stop_reason": "refusal"},
    ),
    "several answers": case(
        asked(),
        whole(
            {
                **whole_of("one"),
                "choices": [*whole_of("one")["choices"], {**whole_of("two")["choices"][0], "index": 1}],
            }
        ),
        back={"content": [{"text": "one"}]},
    ),
    "half a character in each chunk": case(
        asked(**STREAM),
        streamed(ROLE, chunk({"content": "\ud83d"}), chunk({"content": "\ude00"}), *ENDING),
        back={"content": [{"text": "\U0001f600"}]},
    ),
    "a content in parts, in a stream": case(
        asked(**STREAM),
        chunks({"content": [{"type": "text", "text": "on"}]}, {"content": "e"}),
        back={"content": [{"text": "one"}]},
    ),
    "an error that is null in every chunk": case(
        asked(**STREAM),
        streamed(
            chunk({"role": "assistant", "content": "one"}, error=None), chunk(finish="stop", error=None), DONE
        ),
        back={"content": [{"text": "one"}]},
    ),
    "thoughts in `reasoning_details`": case(
        asked(**STREAM),
        chunks(
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
            {"content": "so"},
        ),
        back={"content": [{"type": "thinking", "thinking": "hm"}, {"text": "so"}]},
    ),
    "arguments with white space around": case(
        tools("one"),
        completion({"tool_calls": [called("a", ' {"city": "Oslo"}\n')]}, "tool_calls"),
        back=calls(OSLO),
    ),
    "arguments with numbers that are long": case(
        tools("one"),
        completion({"tool_calls": [called("a", '{"n": 12345678901234567890}')]}, "tool_calls"),
        back=calls({"n": 12345678901234567890}),
    ),
    "a cached part that is more than the prompt": case(
        asked(),
        completion(
            "one",
            usage={
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 20},
            },
        ),
        back={"usage": {"input_tokens": among(0, 10), "output_tokens": 5}},
    ),
    "counts that are texts": case(
        asked(),
        completion("one", usage={"prompt_tokens": "10", "completion_tokens": "5", "total_tokens": "15"}),
        back={"usage": {"input_tokens": 10, "output_tokens": 5}},
        nusd=cost(fresh=10, output=5),
    ),
    "a count of zero and an answer": case(
        asked(),
        completion("one", usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        back={"usage": {"input_tokens": among(1, 100), "output_tokens": among(1, 100)}},
        receipt=lambda receipt: receipt.usage is not None and receipt.usage.estimated,
    ),
    "a role in every chunk, and a name": case(
        asked(**STREAM),
        streamed(
            *(chunk({"role": "assistant", "name": "m", "content": word}) for word in ("o", "ne")), *ENDING
        ),
        back={"content": [{"text": "one"}]},
    ),
    "`data:` without a space, and an event's name": case(
        asked(**STREAM),
        streamed(
            event(chunk({"content": "one"}), b"event: message", field=b"data:"),
            event(chunk(finish="stop"), field=b"data:"),
            b"data:[DONE]\n\n",
        ),
        back={"content": [{"text": "one"}]},
    ),
}


TO_CHAT: dict[str, Case] = {
    "an answer of no block": chat_case(
        chatted(), whole(message()), back=finish("stop", content=one_of("", GONE))
    ),
    "no reason": chat_case(chatted(), claude(text("on"), stop=None), back=finish("length", content="on")),
    "no usage stays unknown to the client": chat_case(
        chatted("a question of some length"),
        whole({name: value for name, value in message(text("on")).items() if name != "usage"}),
        back={"usage": GONE},
        receipt=lambda receipt: receipt.usage is not None and receipt.usage.estimated,
    ),
    "thoughts alone, at the limit": chat_case(
        chatted(),
        claude({"type": "thinking", "thinking": "hm", "signature": SIGNED}, stop="max_tokens"),
        back=finish("length", reasoning_content="hm", content=one_of("", GONE)),
    ),
    "hidden thoughts, in a stream": chat_case(
        chatted(**COUNTED),
        claude_stream(
            opening(), block(0, {"type": "redacted_thinking", "data": HIDDEN}), words(1, "so"), closing()
        ),
        back=finish("stop", content="so", thinking_blocks=holding(HIDDEN)),
    ),
    "a signature in pieces": chat_case(
        chatted(**COUNTED),
        claude_stream(opening(), thought(0, "hm"), words(1, "so"), closing()),
        back=finish("stop", reasoning_content="hm", content="so"),
    ),
    "events that have no name": chat_case(
        chatted(**COUNTED),
        claude_stream(
            *(event(one) for one in ({"type": "message_start", "message": message(stop=None)},)),
            *(one.partition(b"\n")[2] for one in (*words(0, "so"), *closing())),
        ),
        back=finish("stop", content="so"),
    ),
    "a ping before the start": chat_case(
        chatted(**COUNTED),
        claude_stream(named("ping"), opening(), words(0, "so"), closing()),
        back=finish("stop", content="so"),
    ),
    "a stream without message_stop": chat_case(
        chatted(**COUNTED),
        claude_stream(opening(), words(0, "so"), closing()[:1], framing="close"),
        back=finish("stop", content="so"),
    ),
    "a text that its start has": chat_case(
        chatted(**COUNTED),
        claude_stream(opening(), block(0, text("so")), closing()),
        back=finish("stop", content="so"),
    ),
    "an input that its start has": chat_case(
        chat_tools("one", **COUNTED),
        claude_stream(opening(), block(0, used("toolu_1")), closing("tool_use")),
        back=finish("tool_calls", tool_calls=[{"function": {"arguments": json_of(OSLO)}}]),
    ),
    "two texts, with a call between": chat_case(
        chat_tools("one", **COUNTED),
        claude_stream(
            opening(), words(0, "a"), use(1, "toolu_1", '{"city":"Oslo"}'), words(2, "b"), closing("tool_use")
        ),
        back=finish("tool_calls", content="ab", tool_calls=[{"id": "toolu_1"}]),
    ),
    "a whole answer where a stream was due": chat_case(
        chatted(**COUNTED), claude(text("so")), back=finish("stop", content="so")
    ),
    "a stream where a whole answer was due": chat_case(
        chatted(), claude_stream(opening(), words(0, "so"), closing()), back=finish("stop", content="so")
    ),
    "a stream where a whole answer was due, and broken": chat_case(
        chatted(),
        claude_stream(opening(), words(0, "so"), framing="close"),
        status=502,
        back={"error": {"message": holding("stream")}, "type": GONE},
    ),
    "an error in a stream where a whole answer was due": chat_case(
        chatted(),
        claude_stream(opening(), words(0, "so"), failure()),
        status=529,
        back={"error": {"message": holding("Overloaded")}, "type": GONE},
    ),
    "an input that is long numbers": chat_case(
        chat_tools("one"),
        whole(
            b'{"id":"msg_1","type":"message","role":"assistant","model":"x","content":[{"type":"tool_use",'
            b'"id":"toolu_1","name":"weather","input":{"n":12345678901234567890}}],"stop_reason":"tool_use","stop_sequence":null,'
            b'"usage":{"input_tokens":1,"output_tokens":1}}'
        ),
        back=finish("tool_calls", tool_calls=[{"function": {"arguments": holding("12345678901234567890")}}]),
    ),
    "usage that has nulls": chat_case(
        chatted(),
        claude(
            usage={**USED, "cache_read_input_tokens": None, "cache_creation": None, "server_tool_use": None}
        ),
        back={"usage": {"prompt_tokens": 40, "completion_tokens": 8}},
        nusd=cost(fresh=40, output=8),
    ),
    "written for how long is not told": chat_case(
        chatted(),
        claude(usage={**USED, "cache_creation_input_tokens": 100}),
        back={"usage": {"prompt_tokens": 140}},
        nusd=cost(fresh=40, wrote_5m=100, output=8),
    ),
    "usage of no one who asked for it": chat_case(
        chatted(stream=True),
        claude_stream(opening(), words(0, "so"), closing()),
        back=finish("stop"),
        nusd=cost(fresh=40, output=8),
    ),
}

UNTOUCHED: dict[str, Case] = {
    "an answer without usage": own_case(
        asked(), whole({name: value for name, value in message(text("on")).items() if name != "usage"})
    ),
    "an answer with spaces and line ends": own_case(
        asked(),
        whole(
            b' {\n "id": "msg_1", "type": "message", "role": "assistant", "model": "x",\r\n "content": [], '
            b'"stop_reason": "end_turn", "stop_sequence": null, '
            b'"usage": {"input_tokens": 1, "output_tokens": 1}}\n'
        ),
    ),
    "written for an hour and for five minutes": own_case(
        asked(),
        claude(
            usage={
                **USED,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            }
        ),
        nusd=cost(fresh=40, wrote_5m=10, wrote_1h=20, output=8),
    ),
    "the same, corrected in a stream": own_case(
        asked(**STREAM),
        claude_stream(
            opening(cache_creation_input_tokens=500),
            words(0, "so"),
            closing(
                usage={
                    "input_tokens": 40,
                    "cache_creation_input_tokens": 30,
                    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                }
            ),
        ),
        nusd=cost(fresh=40, wrote_5m=10, wrote_1h=20, output=8),
    ),
    "a stream without message_stop": own_case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "so"), closing()[:1], framing="close"),
        untouched=False,
        back={"content": [{"text": "so"}], "stop_reason": "end_turn"},
    ),
    "a whole answer where a stream was due": own_case(
        asked(**STREAM),
        claude(text("so"), used("toolu_1"), stop="tool_use"),
        untouched=False,
        back={"content": kinds("text", "tool_use"), "stop_reason": "tool_use"},
    ),
    "a stream where a whole answer was due": own_case(
        asked(),
        claude_stream(opening(), words(0, "so"), closing()),
        untouched=False,
        back={"content": [{"text": "so"}], "stop_reason": "end_turn"},
    ),
}

NONE: dict[str, Case] = {
    "no choices": case(
        asked(),
        whole({**whole_of("x"), "choices": []}),
        status=502,
        back={"type": "error", "error": {"type": "api_error"}},
    ),
    "an empty body": case(
        asked(), whole(b""), status=502, back={"type": "error", "error": {"type": "api_error"}}
    ),
    "a body that is a list": case(
        asked(), whole(b"[]"), status=502, back={"type": "error", "error": {"type": "api_error"}}
    ),
    "a stream of nothing": case(
        asked(**STREAM), streamed(framing="close"), status=502, back={"type": "error"}
    ),
    "a stream of [DONE] alone": case(asked(**STREAM), streamed(DONE), status=502, back={"type": "error"}),
    "an empty body of Anthropic": own_case(
        asked(), whole(b""), untouched=False, status=502, back={"type": "error"}
    ),
    "no content of Anthropic": own_case(
        asked(), whole({"type": "message"}), untouched=False, status=502, back={"type": "error"}
    ),
    "a list of Anthropic, for a chat client": chat_case(
        chatted(), whole(b"[]"), status=502, back={"error": ANY, "type": GONE}
    ),
}

CASES: dict[str, Case] = {
    **{f"to messages: {name}": one for name, one in TO_MESSAGES.items()},
    **apart("to-chat", TO_CHAT),
    **{f"untouched: {name}": one for name, one in UNTOUCHED.items()},
    **apart("none", NONE),
}

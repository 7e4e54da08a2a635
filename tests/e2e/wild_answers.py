"""Whole answers as providers really send them. What is right, row by row.

The groups are the rows of a table of docs/wire-tolerance.md.
"""

import gzip
import json
import zlib
from typing import Any, Final

from tests.e2e.wild import Row
from tests.faults.exact import (
    COUNTED,
    COUNTS,
    DONE,
    ENDING,
    HELLO,
    ROLE,
    STOP,
    Exact,
    chunk,
    say,
    streamed,
    whole,
    whole_of,
)

BOM: Final = b"\xef\xbb\xbf"
HALF: Final = "\ud83d"
NAN: Final = float("nan")
GOOD: Final = json.dumps(whole_of()).encode()
TOOL: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
NO_WORDS: Final[dict[str, Any]] = {"text": ""}
LOST: Final = "it gets a text in place of an answer"


def with_choice(**more: Any) -> dict[str, Any]:
    answer = whole_of()
    answer["choices"][0].update(more)
    return answer


def without(name: str, of: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in of.items() if key != name}


def in_message(**fields: Any) -> Exact:
    return whole(whole_of({"role": "assistant", "content": None, **fields}))


FORMS: dict[str, Row] = {
    "as it should be": Row(reply=whole(whole_of())),
    "a byte order mark": Row(reply=whole(BOM + GOOD)),
    "white space around it": Row(reply=whole(b"\n \r\n\t" + GOOD + b" \n\n")),
    "over many lines": Row(reply=whole(json.dumps(whole_of(), indent=2).encode())),
    "in chunks": Row(reply=streamed(GOOD[:40], GOOD[40:90], GOOD[90:], content_type="application/json")),
    "until the connection closes": Row(
        reply=streamed(GOOD, content_type="application/json", framing="close")
    ),
    "201": Row(reply=whole(whole_of(), 201)),
    "202": Row(reply=whole(whole_of(), 202)),
    "203": Row(reply=whole(whole_of(), 203)),
    "206": Row(reply=whole(whole_of(), 206)),
    "no content type": Row(reply=whole(whole_of(), content_type=None)),
    "text/plain": Row(reply=whole(whole_of(), content_type="text/plain; charset=utf-8")),
    "text/html": Row(reply=whole(whole_of(), content_type="text/html")),
    "capital letters": Row(reply=whole(whole_of(), content_type="Application/JSON; Charset=UTF-8")),
    "gzip nobody asked for": Row(reply=whole(gzip.compress(GOOD), headers={"content-encoding": "gzip"})),
    "deflate nobody asked for": Row(
        reply=whole(zlib.compress(GOOD), headers={"content-encoding": "Deflate"})
    ),
    "application/problem+json": Row(reply=whole(whole_of(), content_type="application/problem+json")),
}

VALUES: dict[str, Row] = {
    "NaN where nobody reads": Row(reply=whole(whole_of(timings={"x": NAN}))),
    "NaN in logprobs": Row(
        reply=whole(with_choice(logprobs={"content": [{"token": "hello", "logprob": NAN}]}))
    ),
    "-Infinity in logprobs": Row(
        reply=whole(
            with_choice(
                logprobs={"content": [{"token": "hello", "logprob": float("-inf"), "top_logprobs": []}]}
            )
        )
    ),
    "NaN beside the usage": Row(reply=whole(whole_of(usage={**COUNTS, "queue_time": NAN}))),
    "half an emoji": Row(reply=whole(whole_of("half " + HALF)), text="half " + HALF),
    "half an emoji where nobody reads": Row(reply=whole(whole_of(note=HALF))),
    "numbers beyond 64 bits": Row(reply=whole(whole_of(seed=10**30, latency=1e400))),
    "a key twice": Row(reply=whole(GOOD[:-1] + b',"id":"again"}')),
    "characters of four bytes": Row(reply=whole(whole_of("\U0001f600 é")), text="\U0001f600 é"),
}

NO_ERRORS: dict[str, Row] = {
    "null": Row(reply=whole(whole_of(error=None))),
    "an empty string": Row(reply=whole(whole_of(error=""))),
    "false": Row(reply=whole(whole_of(error=False))),
    "zero": Row(reply=whole(whole_of(error=0))),
    "an empty object": Row(reply=whole(whole_of(error={}))),
    "an empty list": Row(reply=whole(whole_of(error=[]))),
    "all of it empty": Row(reply=whole(whole_of(error={"message": "", "type": "", "code": None}))),
}

ODD_CHOICES: dict[str, Row] = {
    "finish_reason 0": Row(reply=whole(whole_of(finish=0)), finish=0),
    "finish_reason an empty object": Row(reply=whole(whole_of(finish={})), finish={}),
    "finish_reason an object": Row(reply=whole(whole_of(finish={"type": "stop"})), finish={"type": "stop"}),
    "finish_reason a list": Row(reply=whole(whole_of(finish=["stop"])), finish=["stop"]),
    "finish_reason empty": Row(reply=whole(whole_of(finish="")), finish=""),
    "finish_reason false": Row(reply=whole(whole_of(finish=False)), finish=False),
    "finish_reason null": Row(reply=whole(whole_of(finish=None)), finish=None),
    "finish_reason missing": Row(
        reply=whole({"choices": [without("finish_reason", whole_of()["choices"][0])], "usage": COUNTS}),
        finish=None,
    ),
    "nothing but a message": Row(
        reply=whole({"choices": [{"message": {"content": "hello"}}]}), finish=None, usage=None
    ),
    "an index in a string": Row(
        reply=whole(with_choice(index="0")), said={"texts": {"0": "hello"}, "finishes": {"0": "stop"}}
    ),
    "an id that is a number": Row(reply=whole(whole_of(id=7, created="now", model=None, object="text"))),
    "content a list": Row(
        reply=whole(whole_of({"role": "assistant", "content": [{"type": "text", "text": "hello"}]})),
        text='[{"type": "text", "text": "hello"}]',
    ),
    "content empty": Row(reply=whole(whole_of("")), **NO_WORDS),
    "content null": Row(reply=in_message(), **NO_WORDS),
    "content null, reasoning": Row(reply=in_message(reasoning="hm"), said={"reasoning": "hm"}, **NO_WORDS),
    "a tool call": Row(reply=in_message(tool_calls=[TOOL]), said={"tools": {0: ["f", "{}"]}}, **NO_WORDS),
    "a tool call whose arguments are an object": Row(
        reply=in_message(tool_calls=[{**TOOL, "function": {"name": "f", "arguments": {"a": 1}}}]),
        said={"tools": {0: ["f", '{"a": 1}']}},
        **NO_WORDS,
    ),
    "tool_calls null": Row(
        reply=whole(whole_of({"role": "assistant", "content": "hello", "tool_calls": None}))
    ),
    "a refusal": Row(reply=in_message(refusal="no"), said={"refusal": "no"}, **NO_WORDS),
    "logprobs of another kind": Row(reply=whole(with_choice(logprobs=[]))),
}

ODD_USAGE: dict[str, Row] = {
    "a list": Row(reply=whole(whole_of(usage=[])), usage=None),
    "an empty string": Row(reply=whole(whole_of(usage="")), usage=None),
    "an empty object": Row(reply=whole(whole_of(usage={})), usage=None),
    "null": Row(reply=whole(whole_of(usage=None)), usage=None),
    "missing": Row(reply=whole(without("usage", whole_of())), usage=None),
    "the details a list": Row(reply=whole(whole_of(usage={**COUNTS, "prompt_tokens_details": []}))),
    "the details null": Row(reply=whole(whole_of(usage={**COUNTS, "completion_tokens_details": None}))),
    "a count in the details null": Row(
        reply=whole(whole_of(usage={**COUNTS, "prompt_tokens_details": {"cached_tokens": None}}))
    ),
    "in strings": Row(reply=whole(whole_of(usage={"prompt_tokens": "10", "completion_tokens": "5"}))),
    "in floats": Row(reply=whole(whole_of(usage={"prompt_tokens": 10.0, "completion_tokens": 5.0}))),
    "a fraction": Row(
        reply=whole(whole_of(usage={"prompt_tokens": 10.5, "completion_tokens": 5})), usage=(11, 5)
    ),
    "no output counted": Row(
        reply=whole(whole_of(usage={"prompt_tokens": 10, "completion_tokens": None})), usage=None
    ),
    "nothing counted": Row(
        reply=whole(whole_of(usage={"prompt_tokens": None, "completion_tokens": None})), usage=None
    ),
    "all zero": Row(
        reply=whole(whole_of(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
        usage=None,
    ),
    "beyond 64 bits": Row(
        reply=whole(whole_of(usage={"prompt_tokens": 10**30, "completion_tokens": 5})), usage=None
    ),
}

STREAMS: dict[str, Row] = {
    "a stream": Row(reply=streamed(*HELLO, *ENDING), direct=LOST),
    "a stream without DONE": Row(reply=streamed(*HELLO, STOP, COUNTED), direct=LOST),
    "a stream called JSON": Row(
        reply=streamed(*HELLO, *ENDING, content_type="application/json"), direct="its decoder raises"
    ),
    "a stream with comments and null": Row(
        reply=streamed(b": hi\n\n", ROLE, b"data: null\n\n", *say("hel", "lo"), *ENDING), direct=LOST
    ),
    "a stream with a tool call": Row(
        reply=streamed(
            ROLE, chunk({"tool_calls": [{"index": 0, **TOOL}]}), chunk(finish="tool_calls"), COUNTED, DONE
        ),
        text="",
        finish="tool_calls",
        said={"tools": {0: ["f", "{}"]}},
        direct=LOST,
    ),
}

GROUPS: dict[str, dict[str, Row]] = {
    "form, status, content type": FORMS,
    "NaN, Infinity, lone surrogates": VALUES,
    "an `error` that is none": NO_ERRORS,
    "odd choices": ODD_CHOICES,
    "odd usage": ODD_USAGE,
    "a stream in place of a whole answer": STREAMS,
}
ROWS: dict[str, Row] = {
    f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()
}

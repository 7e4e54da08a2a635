"""Streams that are odd in what their chunks say: values, choices, usage. All of them are good.

The groups are rows of a table of docs/wire-tolerance.md.
"""

import json
from typing import Any, Final

from tests.e2e.wild import Row
from tests.e2e.wild_events import HALF, ended, sent
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
    counted,
    say,
    streamed,
    whole,
    whole_of,
)

GOOD: Final = json.dumps(whole_of()).encode()
OTHER_HALF: Final = "\ude00"
IMAGE: Final = "data:image/png;base64," + "iVBORw0KGgo" * 110_000  # 1.2 MB, as one picture is
ASKED: Final = {"stream_options": {"include_usage": True}}
TOOL: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def only(delta: Any, finish: str = "stop", *more: Any) -> Exact:
    return streamed(ROLE, chunk(delta), *more, chunk(finish=finish), COUNTED, DONE)


def each_with(**more: Any) -> Exact:
    """Every chunk with these fields beside its choices."""
    return streamed(*({**one, **more} for one in (*HELLO, STOP, COUNTED)), DONE)


def usage_of(usage: Any) -> Exact:
    return ended(STOP, counted(usage), DONE)


def raw_chunk(content: bytes, more: bytes = b"") -> bytes:
    """An event whose JSON is written by hand, as Python's encoder would not write it."""
    return b'data: {"choices":[{"index":0,"delta":{"content":%b}%b}]}\n\n' % (content, more)


JSON_AS_PYTHON: dict[str, Row] = {
    "NaN in logprobs": Row(
        reply=only({"content": "hello"}, "stop", chunk({}, logprobs={"content": [{"logprob": float("nan")}]}))
    ),
    "-Infinity in logprobs": Row(
        reply=streamed(
            ROLE,
            raw_chunk(
                b'"hello"', b',"logprobs":{"content":[{"token":"hello","logprob":-Infinity,"bytes":null}]}'
            ),
            *ENDING,
        )
    ),
    "NaN and Infinity where nobody reads": Row(
        reply=each_with(timings={"a": float("nan"), "b": float("inf")})
    ),
    "NaN beside the usage": Row(reply=usage_of({**COUNTS, "queue_time": float("nan")})),
    "NaN in a chunk without words": Row(reply=sent(b'data: {"choices":[],"x":NaN}\n\n')),
    "half an emoji": Row(reply=streamed(ROLE, *say("hello" + HALF), *ENDING), text="hello" + HALF),
    "an emoji in two chunks": Row(
        reply=streamed(ROLE, *say(HALF, OTHER_HALF), *ENDING), text=HALF + OTHER_HALF
    ),
    "half an emoji where nobody reads": Row(reply=each_with(system_fingerprint=HALF)),
    "half an emoji in a tool's arguments": Row(
        reply=only(
            {"tool_calls": [{"index": 0, **TOOL, "function": {"name": "f", "arguments": HALF}}]}, "tool_calls"
        ),
        text="",
        finish="tool_calls",
        said={"tools": {0: ["f", HALF]}},
    ),
    "a key twice": Row(reply=sent(b'data: {"choices":[],"a":1,"a":2}\n\n')),
    "numbers beyond 64 bits": Row(reply=each_with(seed=10**30, latency=1e400)),
    "escapes, characters of four bytes": Row(
        reply=streamed(ROLE, *say("é", "\U0001f600", "漢"), raw_chunk(rb'"\ud83d\ude00\u00e9"'), *ENDING),
        text="é\U0001f600漢\U0001f600é",
    ),
}

NO_ERRORS: dict[str, Row] = {
    "null": Row(reply=each_with(error=None)),
    "an empty string": Row(reply=each_with(error="")),
    "false": Row(reply=each_with(error=False)),
    "zero": Row(reply=each_with(error=0)),
    "an empty object": Row(reply=each_with(error={})),
    "an empty list": Row(reply=each_with(error=[])),
    "an empty object in the first chunk only": Row(
        reply=streamed({**ROLE, "error": {}}, *say("hel", "lo"), *ENDING)
    ),
    "every part of the error is empty": Row(
        reply=each_with(error={"message": "", "type": "", "param": "", "code": None}), direct="it raises"
    ),
}

ODD_CHOICES: dict[str, Row] = {
    "choices null": Row(reply=sent(chunk(choices=None))),
    "no choices": Row(reply=sent({"id": "chatcmpl-1", "object": "chat.completion.chunk"})),
    "the filter's result first": Row(
        reply=streamed(
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []},
            *HELLO,
            *ENDING,
        )
    ),
    "delta null": Row(reply=sent({**ROLE, "choices": [{"index": 0, "delta": None, "finish_reason": None}]})),
    "no delta": Row(reply=ended({**ROLE, "choices": [{"index": 0, "finish_reason": "stop"}]}, COUNTED, DONE)),
    "no finish_reason until the last": Row(
        reply=streamed(
            *({"choices": [{"index": 0, "delta": {"content": w}}]} for w in ("hel", "lo")), *ENDING
        )
    ),
    "no index": Row(reply=streamed({"choices": [{"delta": {"content": "hello"}}]}, *ENDING)),
    "finish_reason empty until the last": Row(
        reply=streamed(*(chunk({"content": w}, "") for w in ("", "hel", "lo")), *ENDING)
    ),
    "finish_reason 0": Row(reply=ended(chunk(finish=0), COUNTED, DONE), finish=0),
    "finish_reason an object": Row(
        reply=ended(chunk(finish={"type": "stop"}), COUNTED, DONE), finish={"type": "stop"}
    ),
    "finish_reason an empty object": Row(reply=ended(chunk(finish={}), COUNTED, DONE), finish={}),
    "finish_reason of another name": Row(reply=ended(chunk(finish="eos"), COUNTED, DONE), finish="eos"),
    "a finish twice": Row(reply=ended(STOP, *ENDING)),
    "the role in every chunk": Row(
        reply=streamed(*(chunk({"role": "assistant", "content": w}) for w in ("", "hel", "lo")), *ENDING)
    ),
    "content a list": Row(
        reply=streamed(ROLE, chunk({"content": [{"type": "text", "text": "hello"}]}), *ENDING),
        text='[{"type": "text", "text": "hello"}]',
    ),
    "empty tool_calls beside the words": Row(
        reply=streamed(*(chunk({"content": w, "tool_calls": []}) for w in ("hel", "lo")), *ENDING)
    ),
    "two choices": Row(
        reply=streamed(
            *(chunk({"content": w}, index=n) for w in ("hel", "lo") for n in (0, 1)),
            STOP,
            chunk(finish="length", index=1),
            COUNTED,
        ),
        asks={"n": 2},
        said={"texts": {0: "hello", 1: "hello"}, "finishes": {0: "stop", 1: "length"}},
    ),
}

OTHER_WORDS: dict[str, Row] = {
    "reasoning_content": Row(reply=only({"reasoning_content": "hm"}), text="", said={"reasoning": "hm"}),
    "reasoning": Row(reply=only({"content": "", "reasoning": "hm"}), text="", said={"reasoning": "hm"}),
    "thinking": Row(reply=only({"thinking": "hm"}), text="", said={"reasoning": "hm"}),
    "refusal": Row(reply=only({"refusal": "no"}), text="", said={"refusal": "no"}),
    "a tool call": Row(
        reply=only({"tool_calls": [{"index": 0, **TOOL}]}, "tool_calls"),
        text="",
        finish="tool_calls",
        said={"tools": {0: ["f", "{}"]}},
    ),
    "function_call": Row(
        reply=only({"function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
        text="",
        finish="function_call",
    ),
    "audio": Row(reply=only({"audio": {"id": "a", "data": "UklGRg=="}}), text=""),
    "an image of 1.2 MB in one event": Row(
        reply=only({"images": [{"type": "image_url", "image_url": {"url": IMAGE}}]}), text=""
    ),
    "nothing but a finish": Row(reply=streamed(ROLE, *ENDING), text=""),
    "blocked": Row(
        reply=streamed(ROLE, chunk(finish="content_filter"), COUNTED, DONE), text="", finish="content_filter"
    ),
}

ODD_USAGE: dict[str, Row] = {
    "the details a list": Row(reply=usage_of({**COUNTS, "prompt_tokens_details": []})),
    "the details null": Row(reply=usage_of({**COUNTS, "completion_tokens_details": None})),
    "details of another kind": Row(reply=usage_of({**COUNTS, "prompt_tokens_details": "none"})),
    "a count in the details null": Row(
        reply=usage_of({**COUNTS, "prompt_tokens_details": {"cached_tokens": None}})
    ),
    "in strings": Row(reply=usage_of({"prompt_tokens": "10", "completion_tokens": "5"})),
    "in floats": Row(reply=usage_of({"prompt_tokens": 10.0, "completion_tokens": 5.0})),
    "a fraction": Row(reply=usage_of({"prompt_tokens": 10.5, "completion_tokens": 5}), usage=(11, 5)),
    "no output counted": Row(reply=usage_of({"prompt_tokens": 10, "completion_tokens": None}), usage=None),
    "nothing counted": Row(reply=usage_of({"prompt_tokens": None, "completion_tokens": None}), usage=None),
    "all zero": Row(reply=usage_of({"prompt_tokens": 0, "completion_tokens": 0}), usage=None),
    "a list": Row(reply=usage_of([]), usage=None),
    "an empty string": Row(reply=usage_of(""), usage=None),
    "an empty object": Row(reply=usage_of({}), usage=None),
    "null in every chunk": Row(
        reply=streamed(*({**one, "usage": None} for one in (*HELLO, STOP)), COUNTED, DONE)
    ),
    "so far, in every chunk": Row(
        reply=streamed(
            *({**one, "usage": {**COUNTS, "completion_tokens": n}} for n, one in enumerate((*HELLO, STOP))),
            COUNTED,
            DONE,
        )
    ),
    "beside the finish": Row(reply=ended(chunk(finish="stop", usage=COUNTS), DONE)),
    "beside the finish and choices null": Row(reply=ended(STOP, counted(choices=None), DONE)),
    "before the finish": Row(reply=ended(COUNTED, STOP, DONE)),
    "asked for, details a list": Row(reply=usage_of({**COUNTS, "prompt_tokens_details": []}), asks=ASKED),
    "asked for, in strings": Row(
        reply=usage_of({"prompt_tokens": "10", "completion_tokens": "5"}), asks=ASKED
    ),
    "asked for, no output counted": Row(
        reply=usage_of({"prompt_tokens": 10, "completion_tokens": None}), usage=None, asks=ASKED
    ),
    "asked for, NaN beside it": Row(reply=usage_of({**COUNTS, "time": float("nan")}), asks=ASKED),
    "asked for, no DONE": Row(reply=ended(STOP, COUNTED), asks=ASKED),
}

WHOLE_ANSWERS: dict[str, Row] = {
    "a whole answer": Row(reply=whole(whole_of()), direct="it reads nothing"),
    "a whole answer called a stream": Row(
        reply=whole(whole_of(), content_type="text/event-stream"), direct="it reads nothing"
    ),
    "a whole answer without a content type": Row(
        reply=whole(whole_of(), content_type=None), direct="it reads nothing"
    ),
    "a whole answer over several lines": Row(
        reply=whole(b"\n  " + json.dumps(whole_of(), indent=2).encode() + b"\n"),
        direct="it reads nothing",
    ),
    "a whole answer in pieces": Row(
        reply=streamed(GOOD[:30], GOOD[30:150], GOOD[150:], content_type="application/json"),
        direct="it reads nothing",
    ),
    "a whole answer with a byte order mark": Row(
        reply=whole(b"\xef\xbb\xbf" + GOOD), direct="it reads nothing"
    ),
    "a whole answer with NaN": Row(reply=whole(whole_of(x=float("nan"))), direct="it reads nothing"),
    "a whole answer with odd usage": Row(
        reply=whole(whole_of(usage={"prompt_tokens": "10", "completion_tokens": "5"})),
        direct="it reads nothing",
    ),
    "a whole answer without usage": Row(
        reply=whole(whole_of(usage=[])), usage=None, direct="it reads nothing"
    ),
    "a whole answer with an error that is none": Row(
        reply=whole(whole_of(error={})), direct="it reads nothing"
    ),
    "a whole answer with status 201": Row(reply=whole(whole_of(), 201), direct="it reads nothing"),
    "a whole answer with a list of parts": Row(
        reply=whole(whole_of({"role": "assistant", "content": [{"type": "text", "text": "hello"}]})),
        text='[{"type": "text", "text": "hello"}]',
        direct="it reads nothing",
    ),
    "a whole answer with reasoning": Row(
        reply=whole(whole_of({"role": "assistant", "content": "hello", "reasoning": "hm"})),
        said={"reasoning": "hm"},
        direct="it reads nothing",
    ),
    "a whole answer with a tool call": Row(
        reply=whole(whole_of({"role": "assistant", "content": None, "tool_calls": [TOOL]}, "tool_calls")),
        text="",
        finish="tool_calls",
        said={"tools": {0: ["f", "{}"]}},
        direct="it reads nothing",
    ),
    "a whole answer, usage asked for": Row(reply=whole(whole_of()), asks=ASKED, direct="it reads nothing"),
    "a whole answer as one event": Row(reply=streamed(whole_of(), DONE), direct="it finds no `delta`"),
}

GROUPS: dict[str, dict[str, Row]] = {
    "NaN, Infinity, lone surrogates": JSON_AS_PYTHON,
    "an `error` that is none": NO_ERRORS,
    "odd choices": ODD_CHOICES,
    "other things than text": OTHER_WORDS,
    "odd usage": ODD_USAGE,
    "a whole answer in place of a stream": WHOLE_ANSWERS,
}

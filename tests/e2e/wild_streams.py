"""Streams as providers really send them: whole answers, each odd in one place. What is right, row by row.

The groups are the rows of a table of docs/wire-tolerance.md.
"""

import gzip
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
    counted,
    event,
    say,
    streamed,
    whole,
    whole_of,
)

BOM: Final = b"\xef\xbb\xbf"
HALF: Final = "\ud83d"
OTHER_HALF: Final = "\ude00"
IMAGE: Final = "data:image/png;base64," + "iVBORw0KGgo" * 110_000  # 1.2 MB, as one picture is
ASKED: Final = {"stream_options": {"include_usage": True}}
FAILS: Final = "its decoder raises"
LOSES: Final = "it misses a part of the answer"
TOOL: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def sent(*middle: Any, **how: Any) -> Exact:
    """`hel`, what stands between, `lo`, and a proper end."""
    return streamed(ROLE, *say("hel"), *middle, *say("lo"), *ENDING, **how)


def only(delta: Any, finish: str = "stop", *more: Any) -> Exact:
    return streamed(ROLE, chunk(delta), *more, chunk(finish=finish), COUNTED, DONE)


def ended(*end: Any, **how: Any) -> Exact:
    """The whole text, then this end."""
    return streamed(*HELLO, *end, **how)


def each_with(**more: Any) -> Exact:
    """Every chunk with these fields beside its choices."""
    return streamed(*({**one, **more} for one in (*HELLO, STOP, COUNTED)), DONE)


def usage_of(usage: Any) -> Exact:
    return ended(STOP, counted(usage), DONE)


def raw_chunk(content: bytes, more: bytes = b"") -> bytes:
    """An event whose JSON is written by hand, as Python's encoder would not write it."""
    return b'data: {"choices":[{"index":0,"delta":{"content":%b}%b}]}\n\n' % (content, more)


PACKED: Final = gzip.compress(b"".join(event(one) for one in (*HELLO, STOP, COUNTED)) + DONE)

FORMS: dict[str, Row] = {
    "as it should be": Row(reply=ended(*ENDING)),
    "CRLF": Row(reply=ended(STOP, COUNTED, b"data: [DONE]\r\n\r\n", eol=b"\r\n")),
    "CR": Row(reply=ended(STOP, COUNTED, b"data: [DONE]\r\r", eol=b"\r")),
    "line ends of three kinds": Row(
        reply=streamed(ROLE, event(say("hel")[0], eol=b"\r\n"), event(say("lo")[0], eol=b"\r"), *ENDING)
    ),
    "no space after the colon": Row(
        reply=streamed(*(event(one, field=b"data:") for one in (*HELLO, STOP, COUNTED)), b"data:[DONE]\n\n")
    ),
    "spaces around the JSON": Row(
        reply=streamed(ROLE, event(say("hel")[0], field=b"data:   "), *say("lo"), *ENDING)
    ),
    "blank lines before and between": Row(
        reply=streamed(b"\n\n", ROLE, b"\n", *say("hel"), b"\n\n\n", *say("lo"), *ENDING)
    ),
    "JSON on two data lines": Row(
        reply=streamed(
            ROLE, b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"hello"}}]}\n\n', *ENDING
        )
    ),
    "line separators of Unicode in the text": Row(
        reply=streamed(ROLE, *say("a\u2028b\u0085c", "\x1c\x0b\x0cd"), *ENDING),
        text="a\u2028b\u0085c\x1c\x0b\x0cd",
    ),
    "several events in one write": Row(
        reply=streamed(b"".join(event(one) for one in (*HELLO, STOP, COUNTED)) + DONE)
    ),
    "with a length instead of chunks": Row(reply=ended(*ENDING, framing="length")),
    "until the connection closes": Row(reply=ended(*ENDING, framing="close")),
}

ENDS: dict[str, Row] = {
    "no DONE": Row(reply=ended(STOP, COUNTED)),
    "no DONE, closed": Row(reply=ended(STOP, COUNTED, framing="close")),
    "no DONE, with a length": Row(reply=ended(STOP, COUNTED, framing="length")),
    "no DONE and no usage": Row(reply=ended(STOP), usage=None),
    "no DONE, the finish beside the last word": Row(
        reply=streamed(ROLE, *say("hel"), chunk({"content": "lo"}, "stop")), usage=None
    ),
    "no DONE, a comment last": Row(reply=ended(STOP, COUNTED, b": bye\n\n")),
    "DONE with one line end": Row(reply=ended(STOP, COUNTED, b"data: [DONE]\n")),
    "DONE without a line end": Row(reply=ended(STOP, COUNTED, b"data: [DONE]")),
    "DONE with a CR": Row(reply=ended(STOP, COUNTED, b"data: [DONE]\r")),
    "DONE without a space": Row(reply=ended(STOP, COUNTED, b"data:[DONE]\n\n")),
    "DONE with a space behind": Row(reply=ended(STOP, COUNTED, b"data: [DONE] \n\n")),
    "DONE with a tab behind": Row(reply=ended(STOP, COUNTED, b"data: [DONE] \t\n\n")),
    "DONE with two spaces before": Row(reply=ended(STOP, COUNTED, b"data:  [DONE]\n\n"), direct=FAILS),
    "DONE in quotes": Row(reply=ended(STOP, COUNTED, b'data: "[DONE]"\n\n'), direct=FAILS),
    "DONE as a named event": Row(reply=ended(STOP, COUNTED, b"event: done\ndata: [DONE]\n\n")),
    "DONE twice": Row(reply=ended(*ENDING, DONE)),
    "words after DONE": Row(reply=ended(*ENDING, *say(" and more"))),
    "usage after DONE": Row(reply=ended(STOP, DONE, COUNTED), usage=None),
    "the finish without a blank line": Row(
        reply=ended(event(STOP)[:-1]), usage=None, direct="it misses the finish"
    ),
    "the finish without a line end": Row(
        reply=ended(event(STOP)[:-2]), usage=None, direct="it misses the finish"
    ),
    "the usage without a blank line": Row(reply=ended(STOP, event(COUNTED)[:-1])),
    "DONE without a finish": Row(reply=ended(COUNTED, DONE), finish=None),
    "a finish, then a reset": Row(
        reply=ended(STOP, COUNTED, b": bye\n\n", end="reset", gap_s=0.02), direct="its connection breaks"
    ),
    "a finish, then cut": Row(
        reply=ended(STOP, COUNTED, b": bye\n\n", end="cut", gap_s=0.02), direct="its connection breaks"
    ),
}

SILENT_ENDS: dict[str, Row] = {
    "a finish, then silence": Row(reply=ended(STOP, COUNTED, end="hold"), direct="it waits for ever"),
    "a finish without usage, then silence": Row(
        reply=ended(STOP, end="hold"), usage=None, direct="it waits for ever"
    ),
    "DONE, then silence": Row(reply=ended(*ENDING, end="hold")),
}

BOMS: dict[str, Row] = {
    "before the first event": Row(
        reply=streamed(BOM + event(ROLE), *say("hel", "lo"), *ENDING), direct=LOSES
    ),
    "before the first words": Row(
        reply=streamed(BOM + event(say("hel")[0]), *say("lo"), *ENDING), direct=LOSES
    ),
    "in a write of its own": Row(reply=streamed(BOM, *HELLO, *ENDING), direct=LOSES),
    "in three writes": Row(
        reply=streamed(BOM[:1], BOM[1:2], BOM[2:], *HELLO, *ENDING, gap_s=0.005), direct=LOSES
    ),
    "before a comment": Row(reply=streamed(BOM + b": hi\n\n", *HELLO, *ENDING)),
    "before a later event": Row(
        reply=sent(BOM + event(chunk({"content": "-"}))), text="hel-lo", direct=LOSES
    ),
    "inside the text": Row(
        reply=streamed(ROLE, *say("\ufeffhel", "\ufefflo"), *ENDING), text="\ufeffhel\ufefflo"
    ),
}

FIELDS: dict[str, Row] = {
    "a field nobody knows": Row(
        reply=streamed(ROLE, *say("hel"), event(say("lo")[0], b"x-trace: 1"), *ENDING)
    ),
    "a field nobody knows on its own": Row(reply=sent(b"foo: bar\n\n")),
    "a line without a colon": Row(reply=streamed(ROLE, event(say("hello")[0], b"hello"), *ENDING)),
    "a field in upper case": Row(reply=streamed(ROLE, event(say("hello")[0], b"DATA: x"), *ENDING)),
    "names that begin like known ones": Row(
        reply=streamed(ROLE, event(say("hello")[0], b"dataset: 1", b"identity: 2"), *ENDING)
    ),
    "ids": Row(
        reply=streamed(*(event(one, b"id: %d" % n) for n, one in enumerate((*HELLO, *ENDING[:2]))), DONE)
    ),
    "an id on its own": Row(reply=sent(b"id: 7\n\n"), direct=FAILS),
    "retry on its own": Row(reply=streamed(b"retry: 3000\n\n", *HELLO, *ENDING), direct=FAILS),
    "retry beside data": Row(reply=streamed(event(ROLE, b"retry: 3000"), *say("hel", "lo"), *ENDING)),
    "a name for each event": Row(
        reply=streamed(*(event(one, b"event: completion.chunk") for one in (*HELLO, *ENDING[:2])), DONE)
    ),
    "comments everywhere": Row(
        reply=streamed(
            b": OPENROUTER PROCESSING\n\n", ROLE, b":\n\n", *say("hel"), b":keep\n\n", *say("lo"), *ENDING
        )
    ),
    "a comment inside an event": Row(
        reply=streamed(ROLE, event(say("hel")[0], b"event: message", b": why not"), *say("lo"), *ENDING)
    ),
}

KEEP_ALIVES: dict[str, Row] = {
    "null first": Row(reply=streamed(b"data: null\n\n", *HELLO, *ENDING)),
    "null between": Row(reply=sent(b"data: null\n\n", b"data:null\n\n")),
    "null before DONE": Row(reply=ended(STOP, COUNTED, b"data: null\n\n", DONE)),
    "empty data": Row(reply=sent(b"data:\n\n"), direct=FAILS),
    "empty data with a space": Row(reply=sent(b"data: \n\n"), direct=FAILS),
    "empty data first": Row(reply=streamed(b"data:\n\n", *HELLO, *ENDING), direct=FAILS),
    "an empty object": Row(reply=sent(b"data: {}\n\n")),
    "ping in words": Row(reply=sent(b"event: ping\ndata: ping\n\n"), direct=FAILS),
    "ping with an object": Row(reply=sent(b"event: ping\ndata: {}\n\n")),
    "ping with a type": Row(reply=sent(b'event: ping\ndata: {"type": "ping"}\n\n')),
    "ping with a time": Row(reply=sent(b"event: ping\ndata: 2026-11-29 10:00:00\n\n"), direct=FAILS),
    "ping without data": Row(reply=sent(b"event: ping\n\n"), direct=FAILS),
    "keep-alive in words": Row(reply=sent(b"event: keep-alive\ndata: still here\n\n"), direct=FAILS),
    "keepalive in words": Row(reply=sent(b"event: keepalive\ndata: \n\n"), direct=FAILS),
    "heartbeat first": Row(reply=streamed(b"event: heartbeat\ndata: 1/2\n\n", *HELLO, *ENDING), direct=FAILS),
}

HEADS: dict[str, Row] = {
    "no content type": Row(reply=ended(*ENDING, content_type=None)),
    "application/json": Row(reply=ended(*ENDING, content_type="application/json")),
    "application/json, a comment first": Row(
        reply=streamed(b": hi\n\n", *HELLO, *ENDING, content_type="application/json")
    ),
    "text/plain": Row(reply=ended(*ENDING, content_type="text/plain; charset=utf-8")),
    "application/octet-stream": Row(reply=ended(*ENDING, content_type="application/octet-stream")),
    "application/x-ndjson": Row(reply=ended(*ENDING, content_type="application/x-ndjson")),
    "capital letters": Row(reply=ended(*ENDING, content_type="Text/Event-Stream")),
    "all capitals with a charset": Row(reply=ended(*ENDING, content_type="TEXT/EVENT-STREAM;charset=UTF-8")),
    "201": Row(reply=ended(*ENDING, status=201)),
    "202": Row(reply=ended(*ENDING, status=202)),
    "203": Row(reply=ended(*ENDING, status=203)),
    "gzip nobody asked for": Row(
        reply=streamed(PACKED[:40], PACKED[40:90], PACKED[90:], headers={"content-encoding": "gzip"})
    ),
    "content-encoding identity": Row(reply=ended(*ENDING, headers={"content-encoding": "Identity"})),
}

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
        reply=whole(b"\n  " + str(whole_of()).replace("'", '"').replace("None", "null").encode() + b"\n"),
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

AWKWARD: Final = streamed(
    BOM + b": hi\r\n\r\n",
    event(ROLE, b"event: message", b"id: 1", b"retry: 10", eol=b"\r\n"),
    b'data: {"choices":[{"index":0,\r\ndata:"delta":{"content":"h\xc3\xa9"}}]}\r\r',
    b"data: null\n\nevent: ping\ndata: ping\n\n",
    event(say("\U0001f600" + HALF)[0]),
    *say("\u2028lo"),
    STOP,
    counted({**COUNTS, "x": float("nan")}),
    b"data: [DONE] ",
)
"""Much at once, in few bytes."""
AWKWARD_TEXT: Final = "h\u00e9\U0001f600" + HALF + "\u2028lo"

GROUPS: dict[str, dict[str, Row]] = {
    "events in any legal form": FORMS,
    "another end than `data: [DONE]`": ENDS,
    "a byte order mark": BOMS,
    "fields and comments": FIELDS,
    "keep-alives": KEEP_ALIVES,
    "content type and status": HEADS,
    "NaN, Infinity, lone surrogates": JSON_AS_PYTHON,
    "an `error` that is none": NO_ERRORS,
    "odd choices": ODD_CHOICES,
    "other things than text": OTHER_WORDS,
    "odd usage": ODD_USAGE,
    "a whole answer in place of a stream": WHOLE_ANSWERS,
}
ROWS: dict[str, Row] = {
    f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()
}
SILENT: dict[str, Row] = {f"silence: {name}": row for name, row in SILENT_ENDS.items()}

"""Streams that are odd in how their events are written, headed and ended. All of them are good.

The groups are rows of a table of docs/wire-tolerance.md.
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
)

BOM: Final = b"\xef\xbb\xbf"
HALF: Final = "\ud83d"
FAILS: Final = "its decoder raises"
LOSES: Final = "it misses a part of the answer"


def sent(*middle: Any, **how: Any) -> Exact:
    """`hel`, what stands between, `lo`, and a proper end."""
    return streamed(ROLE, *say("hel"), *middle, *say("lo"), *ENDING, **how)


def ended(*end: Any, **how: Any) -> Exact:
    """The whole text, then this end."""
    return streamed(*HELLO, *end, **how)


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
    "half of JSON after the finish": Row(reply=ended(STOP, COUNTED, b"data: {half\n\n"), direct=FAILS),
    "half of JSON after the finish, in one piece": Row(
        reply=streamed(b"".join(map(event, (*HELLO, STOP, COUNTED))) + b"data: {half\n\n"), direct=FAILS
    ),
    "DONE in small letters": Row(reply=ended(STOP, COUNTED, b"data: [done]\n\n"), direct=FAILS),
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
}

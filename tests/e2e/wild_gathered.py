"""Streams that the gateway puts together itself, and what is to come of them."""

from typing import Any, Final

from tests.faults.exact import (
    COUNTED,
    DONE,
    ENDING,
    HELLO,
    ROLE,
    STOP,
    Exact,
    chunk,
    event,
    say,
    streamed,
    whole,
    whole_of,
)

PARIS: Final = '{"city":"Paris"}'
ROME: Final = '{"city":"Rome"}'
FILTER: Final = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [],
    "prompt_filter_results": [],
}


def call(arguments: str | None = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


def calls(*deltas: Any) -> Exact:
    """A stream of fragments of tool calls; a list is one chunk with several."""
    chunks = [chunk({"tool_calls": one if isinstance(one, list) else [one]}) for one in deltas]
    return streamed(ROLE, *chunks, chunk(finish="tool_calls"), COUNTED, DONE)


def made(id: str | None, name: str, arguments: str) -> dict[str, Any]:
    found = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return found if id is None else {"id": id, **found}


KIND: Final = {"type": "function"}
TWO: Final = [made("c1", "get_weather", PARIS), made("c2", "get_weather", ROME)]
CALLS: dict[str, tuple[Exact, list[dict[str, Any]]]] = {
    "as they should be": (
        calls(
            call("", "get_weather", index=0, id="c1", **KIND),
            call('{"city":', index=0),
            call('"Paris"}', index=0),
            call("", "get_weather", index=1, id="c2", **KIND),
            call(ROME, index=1),
        ),
        TWO,
    ),
    "fragments of two in turns": (
        calls(
            call("", "get_weather", index=0, id="c1", **KIND),
            call("", "get_weather", index=1, id="c2", **KIND),
            call('{"city":', index=0),
            call('{"city":', index=1),
            call('"Paris"}', index=0),
            call('"Rome"}', index=1),
        ),
        TWO,
    ),
    "two with index 0, each whole": (
        calls(
            call(PARIS, "get_weather", index=0, id="c1", **KIND),
            call(ROME, "get_weather", index=0, id="c2", **KIND),
        ),
        TWO,
    ),
    "two with index 0, in one chunk": (
        calls(
            [
                call(PARIS, "get_weather", index=0, id="c1", **KIND),
                call(ROME, "get_weather", index=0, id="c2", **KIND),
            ]
        ),
        TWO,
    ),
    "two with index 0, in fragments": (
        calls(
            call("", "get_weather", index=0, id="c1", **KIND),
            call(PARIS, index=0),
            call("", "get_weather", index=0, id="c2", **KIND),
            call('{"city":', index=0),
            call('"Rome"}', index=0),
        ),
        TWO,
    ),
    "two with index 0, the id in every fragment": (
        calls(
            call('{"city":', "get_weather", index=0, id="c1", **KIND),
            call('"Paris"}', index=0, id="c1"),
            call('{"city":', "get_weather", index=0, id="c2", **KIND),
            call('"Rome"}', index=0, id="c2"),
        ),
        TWO,
    ),
    "an empty id in later fragments": (
        calls(
            call("", "get_weather", index=0, id="c1", **KIND),
            call('{"city":', index=0, id=""),
            call('"Paris"}', "", index=0, id="", **KIND),
        ),
        TWO[:1],
    ),
    "a null id in later fragments": (
        calls(
            call("", "get_weather", index=0, id="c1", **KIND),
            {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": PARIS}},
        ),
        TWO[:1],
    ),
    "no index, in fragments": (
        calls(call("", "get_weather", id="c1", **KIND), call('{"city":'), call('"Paris"}')),
        TWO[:1],
    ),
    "no index, two in fragments": (
        calls(
            call("", "get_weather", id="c1", **KIND),
            call(PARIS),
            call("", "get_weather", id="c2", **KIND),
            call('{"city":'),
            call('"Rome"}'),
        ),
        TWO,
    ),
    "no index, two whole": (
        calls(call(PARIS, "get_weather", id="c1", **KIND), call(ROME, "get_weather", id="c2", **KIND)),
        TWO,
    ),
    "no index, two whole in one chunk": (
        calls([call(PARIS, "get_weather", id="c1", **KIND), call(ROME, "get_weather", id="c2", **KIND)]),
        TWO,
    ),
    "an index of null": (
        calls(
            call("", "get_weather", index=None, id="c1", **KIND),
            call(PARIS, index=None),
            call(ROME, "get_weather", index=None, id="c2", **KIND),
        ),
        TWO,
    ),
    "the first index is 1": (
        calls(call("", "get_weather", index=1, id="c1", **KIND), call(PARIS, index=1)),
        TWO[:1],
    ),
    "no id at all": (
        calls(call("", "get_weather", index=0, **KIND), call(PARIS, index=0)),
        [made(None, "get_weather", PARIS)],
    ),
    "no index and no id, two whole": (
        calls(call(PARIS, "get_weather", **KIND), call(ROME, "get_weather", **KIND)),
        [made(None, "get_weather", PARIS), made(None, "get_weather", ROME)],
    ),
    "the name in every fragment of one id": (
        calls(
            call('{"city":', "get_weather", index=0, id="c1", **KIND),
            call('"Paris"}', "get_weather", index=0, id="c1", **KIND),
        ),
        TWO[:1],
    ),
    "arguments that are an object": (
        calls({"index": 0, "id": "c1", **KIND, "function": {"name": "f", "arguments": {"a": 1}}}),
        [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
    ),
}

ANSWERS: dict[str, tuple[Exact, dict[str, Any]]] = {
    "as it should be": (streamed(*HELLO, *ENDING), {"content": "hello"}),
    "no DONE": (streamed(*HELLO, STOP, COUNTED), {"content": "hello"}),
    "DONE with a space behind": (streamed(*HELLO, STOP, COUNTED, b"data: [DONE] \n\n"), {"content": "hello"}),
    "a finish, then a reset": (
        streamed(*HELLO, STOP, COUNTED, b": x\n\n", end="reset", gap_s=0.02),
        {"content": "hello"},
    ),
    "null between": (
        streamed(ROLE, *say("hel"), b"data: null\n\n", *say("lo"), *ENDING),
        {"content": "hello"},
    ),
    "a ping between": (
        streamed(ROLE, *say("hel"), b"event: ping\ndata: ping\n\n", *say("lo"), *ENDING),
        {"content": "hello"},
    ),
    "a byte order mark": (
        streamed(b"\xef\xbb\xbf" + event(ROLE), *say("hel", "lo"), *ENDING),
        {"content": "hello"},
    ),
    "an error that is none": (
        streamed(*({**one, "error": {}} for one in (*HELLO, STOP)), COUNTED, DONE),
        {"content": "hello"},
    ),
    "another content type": (
        streamed(*HELLO, *ENDING, content_type="application/json"),
        {"content": "hello"},
    ),
    "status 201": (streamed(*HELLO, *ENDING, status=201), {"content": "hello"}),
    "a whole answer": (whole(whole_of()), {"content": "hello"}),
    "a whole answer as one event": (streamed(whole_of(), DONE), {"content": "hello"}),
    "NaN where nobody reads": (
        streamed(*({**one, "x": float("nan")} for one in (*HELLO, STOP)), COUNTED, DONE),
        {"content": "hello"},
    ),
    "an emoji in two chunks": (streamed(ROLE, *say("\ud83d", "\ude00"), *ENDING), {"content": "\U0001f600"}),
    "choices whose index is null": (
        streamed(
            *(chunk({"content": w}, index=None) for w in ("hel", "lo")),
            chunk(finish="stop", index=None),
            COUNTED,
            DONE,
        ),
        {"content": "hello"},
    ),
    "deltas and choices that are none": (
        streamed(
            ROLE,
            chunk("") | {"choices": [{"index": 0, "delta": ""}, None]},
            *say("hel", "lo"),
            STOP,
            {**COUNTED, "choices": {}},
            DONE,
        ),
        {"content": "hello"},
    ),
    "an empty finish in every chunk": (
        streamed(*(chunk({"content": w}, "") for w in ("", "hel", "lo")), *ENDING),
        {"content": "hello"},
    ),
    "the role in every chunk": (
        streamed(*(chunk({"role": "assistant", "content": w}) for w in ("", "hel", "lo")), *ENDING),
        {"content": "hello", "role": "assistant"},
    ),
    "the filter's result first": (streamed(FILTER, *HELLO, *ENDING), {"content": "hello"}),
    "the filter's result last": (streamed(*HELLO, STOP, COUNTED, FILTER, DONE), {"content": "hello"}),
    "the filter's result first and last": (
        streamed(FILTER, *HELLO, STOP, COUNTED, FILTER),
        {"content": "hello"},
    ),
    "empty heads but for the first": (
        streamed(
            ROLE,
            *({**one, "id": "", "model": "", "created": 0} for one in (*say("hel", "lo"), STOP)),
            COUNTED,
        ),
        {"content": "hello"},
    ),
    "reasoning, then words": (
        streamed(ROLE, *(chunk({"reasoning": w}) for w in "hm"), *say("hel", "lo"), *ENDING),
        {"reasoning": "hm", "content": "hello"},
    ),
    "reasoning_details in pieces": (
        streamed(
            ROLE,
            *(
                chunk(
                    {
                        "reasoning_details": [
                            {"type": "reasoning.text", "text": w, "format": "f", "index": 0, **more}
                        ]
                    }
                )
                for w, more in (("x", {}), ("y", {"signature": "s"}))
            ),
            *say("hello"),
            *ENDING,
        ),
        {
            "content": "hello",
            "reasoning_details": [{"type": "reasoning.text", "text": "xy", "format": "f", "signature": "s"}],
        },
    ),
    "reasoning_details of two kinds": (
        streamed(
            ROLE,
            chunk(
                {"reasoning_details": [{"type": "reasoning.summary", "summary": "a", "id": "r", "index": 0}]}
            ),
            chunk(
                {"reasoning_details": [{"type": "reasoning.summary", "summary": "b", "id": "r", "index": 0}]}
            ),
            chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "e", "index": 1}]}),
            *say("hello"),
            *ENDING,
        ),
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "ab", "id": "r"},
                {"type": "reasoning.encrypted", "data": "e"},
            ]
        },
    ),
    "a refusal in pieces": (
        streamed(ROLE, *(chunk({"refusal": w}) for w in ("n", "o")), *ENDING),
        {"refusal": "no"},
    ),
    "a list of parts, then text": (
        streamed(
            ROLE,
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            *say("hel", "lo"),
            *ENDING,
        ),
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "hello"},
            ]
        },
    ),
    "a function call in pieces": (
        streamed(
            ROLE,
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            *(chunk({"function_call": {"arguments": w}}) for w in ("{", "}")),
            chunk(finish="function_call"),
            COUNTED,
            DONE,
        ),
        {"function_call": {"name": "f", "arguments": "{}"}},
    ),
}


def slowly(*deltas: Any, finish: Any = None) -> Exact:
    """A stream that says one of these every 0.1 s and never ends."""
    body = streamed(
        chunk({"role": "assistant", "content": ""}, finish), *(chunk(d, finish) for d in deltas), end="hold"
    )
    return Exact(tuple((0.1 if pause else 0.0, data) for pause, (_, data) in enumerate(body.pieces)), "hold")


CUT: dict[str, tuple[Exact, dict[str, Any]]] = {
    "words": (slowly(*[{"content": "x "}] * 60), {}),
    "an empty finish in every chunk": (slowly(*[{"content": "x "}] * 60, finish=""), {}),
    "reasoning": (slowly(*[{"content": "", "reasoning": "th "}] * 60), {}),
    "reasoning_content": (slowly(*[{"reasoning_content": "th "}] * 60), {}),
    "thinking": (slowly(*[{"thinking": "th "}] * 60), {}),
    "a refusal": (slowly(*[{"refusal": "no "}] * 60), {}),
    "a tool call": (
        slowly(
            {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]},
            *[{"tool_calls": [{"index": 0, "function": {"arguments": "1 "}}]}] * 60,
        ),
        {},
    ),
}

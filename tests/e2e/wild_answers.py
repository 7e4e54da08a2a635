"""Whole answers and refusals as providers really send them. What is right, row by row.

The groups are the rows of a table of docs/wire-tolerance.md.
"""

import dataclasses
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

# -- no answer -------------------------------------------------------------------------------------------

WORDS: Final = "the model is not to be had today"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A reply without an answer, and what the client is to be told."""

    reply: Exact
    status: int
    words: str = WORDS
    type: str | None = None
    code: str | None = None
    param: str | None = None
    never: str = ""
    """What must not be told."""
    retry: bool | None = None
    """What `x-should-retry` says; None: it may be there or not."""
    direct: str = ""
    """What is different for a client that asks directly."""


def refused(body: Any, status: int = 400, told: int | None = None, **more: Any) -> Refusal:
    kind = "application/json" if not isinstance(body, bytes) else "text/plain"
    kind = more.pop("content_type", kind)
    return Refusal(reply=whole(body, status, content_type=kind), status=told or status, **more)


PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>413 Request Entity Too Large</title><style>p{color:red}"
    b"</style></head>"
    b"<body><h1>413 Request Entity Too Large</h1><hr><center>nginx/1.25</center></body></html>"
)
VALIDATION: Final = [{"loc": ["body", "messages", 0, "role"], "msg": WORDS, "type": "value_error.missing"}]

BODIES: dict[str, Refusal] = {
    "as OpenAI": refused(
        {
            "error": {
                "message": WORDS,
                "type": "invalid_request_error",
                "param": "seed",
                "code": "unsupported",
            }
        },
        type="invalid_request_error",
        code="unsupported",
        param="seed",
    ),
    "a list, as Gemini": refused(
        [{"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}], code="400"
    ),
    "an object, as Gemini": refused({"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}),
    "a text for the error": refused({"error": WORDS}),
    "detail": refused({"detail": WORDS}),
    "detail, a list": refused({"detail": VALIDATION}, 422),
    "detail, an object": refused({"detail": {"message": WORDS, "code": "no_model"}}, code="no_model"),
    "detail, an object with an error": refused({"detail": {"error": {"message": WORDS}}}),
    "message": refused({"message": WORDS}),
    "message, an object": refused({"message": {"detail": VALIDATION}, "object": "error"}, 422),
    "as vLLM": refused(
        {"object": "error", "message": WORDS, "type": "BadRequestError", "param": None, "code": 400},
        type="BadRequestError",
    ),
    "as Anthropic": refused(
        {"type": "error", "error": {"type": "invalid_request_error", "message": WORDS}},
        type="invalid_request_error",
    ),
    "errors, a list": refused({"errors": [{"message": WORDS, "code": 7}], "success": False}),
    "errors, texts": refused({"errors": [WORDS]}),
    "error_msg": refused({"error_code": 18, "error_msg": WORDS}),
    "as DashScope": refused(
        {"code": "InvalidParameter", "message": WORDS, "request_id": "r"}, code="InvalidParameter"
    ),
    "msg": refused({"code": 1, "msg": WORDS}),
    "error_description": refused({"error": "invalid_request", "error_description": WORDS}),
    "as RFC 9457": refused({"title": "Bad Request", "detail": WORDS, "status": 400}),
    "the message in an object": refused({"error": {"message": {"text": WORDS}}}),
    "the error in a list in an object": refused({"error": [{"message": WORDS}]}),
    "the error inside its own message": refused(
        {"error": {"message": json.dumps({"error": {"message": WORDS}}), "code": "x"}}, code="x"
    ),
    "metadata beside it": refused(
        {"error": {"message": "Provider returned error", "metadata": {"raw": WORDS, "provider_name": "p"}}},
        words="Provider returned error",
    ),
    "plain text": refused(WORDS.encode()),
    "plain text called JSON": refused(WORDS.encode(), content_type="application/json"),
    "a text in JSON": refused(json.dumps(WORDS).encode(), content_type="application/json"),
    "a page": refused(PAGE, 413, words="413 Request Entity Too Large", never="<", content_type="text/html"),
    "a byte order mark": refused(BOM + json.dumps({"error": {"message": WORDS}}).encode()),
    "NaN in it": refused({"error": {"message": WORDS, "score": NAN}}),
    "half an emoji in it": refused({"error": {"message": WORDS + HALF}}),
    "half of JSON": refused(b'{"error": {"message": "' + WORDS.encode(), content_type="application/json"),
    "bytes that are no UTF-8": refused(WORDS.encode() + b" caf\xe9"),
    "a text of 100,000 letters": refused((WORDS + "x" * 100_000).encode(), never="x" * 5_000),
    "nothing": refused(b"", words="400"),
    "an empty object": refused({}, words="400"),
}

STATUSES: dict[str, Refusal] = {
    "400": refused({"error": {"message": WORDS}}, 400),
    "404": refused({"error": {"message": WORDS, "code": "model_not_found"}}, 404, code="model_not_found"),
    "405": refused({"error": {"message": WORDS}}, 405),
    "409": refused({"error": {"message": WORDS}}, 409),
    "413": refused({"error": {"message": WORDS}}, 413),
    "415": refused({"error": {"message": WORDS}}, 415),
    "422": refused({"error": {"message": WORDS}}, 422),
    "400 context": refused(
        {"error": {"message": WORDS, "type": "invalid_request_error", "code": "context_length_exceeded"}},
        code="context_length_exceeded",
    ),
    "400 content filter": refused(
        {"error": {"message": WORDS, "code": "content_filter"}}, code="content_filter"
    ),
    "403 moderation": refused(
        {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["x"]}}},
        403,
        words="Your input was flagged",
    ),
    "403 blocked by a policy": refused(
        {"error": {"message": "The request violates the content policy", "code": "content_policy_violation"}},
        403,
        words="The request violates the content policy",
        code="content_policy_violation",
    ),
    "429 quota": refused(
        {"error": {"message": WORDS, "type": "insufficient_quota", "code": "insufficient_quota"}},
        429,
        code="insufficient_quota",
        retry=False,
    ),
    "429 rate": refused(
        {"error": {"message": WORDS, "type": "requests", "code": "rate_limit_exceeded"}},
        429,
        code="rate_limit_exceeded",
    ),
    "429 in a list": refused(
        [{"error": {"code": 429, "message": WORDS, "status": "RESOURCE_EXHAUSTED"}}], 429
    ),
    "429 in plain text": refused(WORDS.encode(), 429),
    "500": refused({"error": {"message": WORDS}}, 500),
    "500 in plain text": refused(WORDS.encode(), 500),
    "503 as FastAPI": refused({"detail": WORDS}, 503),
    "529": refused({"type": "error", "error": {"type": "overloaded_error", "message": WORDS}}, 529),
}

KEY: Final = "sk-secret-part"
OUR_KEY: dict[str, Refusal] = {
    "401": refused(
        {
            "error": {
                "message": f"Incorrect API key provided: {KEY}. You can find it at x",
                "code": "invalid_api_key",
            }
        },
        401,
        502,
        words="key",
        never=KEY,
        direct="the key is its own",
    ),
    "401 in plain text": refused(
        f"bad token {KEY}".encode(), 401, 502, words="key", never=KEY, direct="the key is its own"
    ),
    "403 about the key": refused(
        {
            "error": {
                "message": f"The API key {KEY} has no access to this project",
                "code": "permission_denied",
            }
        },
        403,
        502,
        words="key",
        never=KEY,
        direct="the key is its own",
    ),
    "403 about permissions": refused(
        {"error": {"code": 403, "message": f"{KEY} is disabled", "status": "PERMISSION_DENIED"}},
        403,
        502,
        words="key",
        never=KEY,
        direct="the key is its own",
    ),
    "403 without a word": refused(b"", 403, 502, words="key", direct="the key is its own"),
}

RAISES_NOTHING: Final = "it raises nothing"
NO_ANSWERS: dict[str, Refusal] = {
    "an error, code 429": Refusal(
        reply=whole({"error": {"message": WORDS, "code": 429}}), status=429, direct=RAISES_NOTHING
    ),
    "an error, code 429 in a string": Refusal(
        reply=whole({"error": {"message": WORDS, "code": "429"}}), status=429, direct=RAISES_NOTHING
    ),
    "an error, rate_limit_exceeded": Refusal(
        reply=whole({"error": {"message": WORDS, "code": "rate_limit_exceeded"}}),
        status=429,
        direct=RAISES_NOTHING,
    ),
    "an error, code 400": Refusal(
        reply=whole({"error": {"message": WORDS, "code": 400}}), status=400, direct=RAISES_NOTHING
    ),
    "an error, code 503": Refusal(
        reply=whole({"error": {"message": WORDS, "code": 503}}), status=503, direct=RAISES_NOTHING
    ),
    "an error without a code": Refusal(
        reply=whole({"error": {"message": WORDS}}), status=502, direct=RAISES_NOTHING
    ),
    "an error beside empty choices": Refusal(
        reply=whole({"error": {"message": WORDS}, "choices": []}), status=502, direct=RAISES_NOTHING
    ),
    "a text for the error": Refusal(reply=whole({"error": WORDS}), status=502, direct=RAISES_NOTHING),
    "detail": Refusal(reply=whole({"detail": WORDS}), status=502, direct=RAISES_NOTHING),
    "error_msg": Refusal(
        reply=whole({"error_code": 18, "error_msg": WORDS}), status=502, direct=RAISES_NOTHING
    ),
    "message": Refusal(reply=whole({"code": 500, "message": WORDS}), status=500, direct=RAISES_NOTHING),
    "a stream of one error": Refusal(
        reply=streamed({"error": {"message": WORDS, "code": 429}}), status=429, direct=RAISES_NOTHING
    ),
    "empty choices": Refusal(
        reply=whole(whole_of(choices=[])), status=502, words="choices", direct=RAISES_NOTHING
    ),
    "choices null": Refusal(
        reply=whole(whole_of(choices=None)), status=502, words="choices", direct=RAISES_NOTHING
    ),
    "a choice without a message": Refusal(
        reply=whole({"choices": [{"index": 0, "finish_reason": "stop"}]}),
        status=502,
        words="message",
        direct=RAISES_NOTHING,
    ),
    "a message null": Refusal(
        reply=whole(whole_of(None)), status=502, words="message", direct=RAISES_NOTHING
    ),
    "nothing": Refusal(reply=whole(b""), status=502, words="", direct=RAISES_NOTHING),
    "204": Refusal(
        reply=Exact(((0.0, b"HTTP/1.1 204 No Content\r\n\r\n"),)), status=502, words="", direct=RAISES_NOTHING
    ),
    "null": Refusal(reply=whole(b"null"), status=502, words="", direct=RAISES_NOTHING),
    "a list": Refusal(reply=whole([]), status=502, words="", direct=RAISES_NOTHING),
    "an empty object": Refusal(reply=whole({}), status=502, words="", direct=RAISES_NOTHING),
    "a page": Refusal(
        reply=whole(PAGE, content_type="text/html"), status=502, words="", never="<", direct=RAISES_NOTHING
    ),
    "half of JSON": Refusal(reply=whole(GOOD[:-20]), status=502, words="", direct=RAISES_NOTHING),
    "bytes that are no UTF-8": Refusal(
        reply=whole(GOOD.replace(b"hello", b"h\xe9llo")), status=502, words="UTF-8", direct=RAISES_NOTHING
    ),
    "compressed in another way": Refusal(
        reply=whole(GOOD, headers={"content-encoding": "zstd"}),
        status=502,
        words="zstd",
        direct=RAISES_NOTHING,
    ),
    "damaged gzip": Refusal(
        reply=whole(gzip.compress(GOOD)[:-20], headers={"content-encoding": "gzip"}),
        status=502,
        words="",
        direct=RAISES_NOTHING,
    ),
    "307 to another host": Refusal(
        reply=whole(b"{}", 307, headers={"location": "http://127.0.0.1:1/v2"}),
        status=502,
        words="redirect",
        direct="it follows",
    ),
}

REFUSALS: dict[str, dict[str, Refusal]] = {
    "the form of an error": BODIES,
    "the status of an error": STATUSES,
    "the gateway's own key": OUR_KEY,
    "no answer with status 200": NO_ANSWERS,
}
TOLD: dict[str, Refusal] = {
    f"{group}: {name}": told for group, rows in REFUSALS.items() for name, told in rows.items()
}

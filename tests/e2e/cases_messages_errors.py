"""What fails on the way of a client of Messages, or of a chat client before a provider of Messages: status,
shape, words, and that nothing torn is sold as whole."""

from typing import Any, Final

from tests.e2e.cases import CLIENT_KEY, Case, apart
from tests.e2e.cases_chat_to_messages import case as chat_case
from tests.e2e.cases_messages_to_chat import case, tools
from tests.e2e.cases_pass_through import case as own_case
from tests.e2e.matching import GONE, free_of, holding, one_of, some
from tests.e2e.messages_said import (
    asked,
    calling,
    chatted,
    claude_stream,
    failure,
    named,
    opening,
    text,
    thought,
    use,
    words,
)
from tests.e2e.messages_said import block as block_of
from tests.faults.exact import Exact, chunk, event, streamed, whole

STREAM: Final = {"stream": True}
COUNTED: Final = {"stream": True, "stream_options": {"include_usage": True}}


def error(kind: Any, *told: str) -> dict[str, Any]:
    """An error in the form of Messages."""
    return {"type": "error", "error": {"type": kind, "message": holding(*told)}}


def said(status: int, message: str, headers: Any = None, **fields: Any) -> Exact:
    """An error of a chat server."""
    return whole({"error": {"message": message, **fields}}, status, headers=headers)


def fails(says: Exact, status: int, kind: str, *told: str, **fields: Any) -> Case:
    return case(asked(), says, status=status, back=error(kind, *told), **fields)


def breaks(text: str, says: Exact, *told: str, asks: Any = None, **fields: Any) -> Case:
    """A stream that ends with an error after `text`."""
    kind = one_of("api_error", "overloaded_error")
    return case(asks or asked(**STREAM), says, breaks=text, back=error(kind, *told), **fields)


HALF: Final = chunk({"role": "assistant", "content": "half"})
TORN: Final = chunk({"tool_calls": [calling(0, id="call_c", name="weather", arguments='{"city":"ha')]})
DIED: Final = {"error": {"message": "worker died", "type": "server_error", "code": 500}}

FROM_CHAT: dict[str, Case] = {
    "a code that is a number": fails(
        said(400, "template failed: no such role", type="BadRequestError", param=None, code=400),
        400,
        "invalid_request_error",
        "template failed: no such role",
    ),
    "an error that is a text": fails(
        whole({"error": "template failed"}, 400), 400, "invalid_request_error", "template failed"
    ),
    "an error in `detail`": fails(
        whole({"detail": "no such field"}, 422), 422, "invalid_request_error", "no such field"
    ),
    "an error that is no JSON": fails(
        whole(b"no such template", 400, content_type="text/plain"), 400, "invalid_request_error"
    ),
    "too fast": fails(
        said(429, "Rate limit reached", {"retry-after": "7"}, type="requests", code="rate_limit_exceeded"),
        429,
        "rate_limit_error",
        "Rate limit reached",
        back_headers={"retry-after": "7"},
        nusd=0,
    ),
    "no money": fails(
        said(429, "You exceeded your current quota", type="insufficient_quota", code="insufficient_quota"),
        429,
        "rate_limit_error",
        "quota",
    ),
    "overloaded": fails(said(503, "Overloaded", type="server_error"), 529, "overloaded_error", "Overloaded"),
    "an error of the server's": fails(said(500, "boom", type="server_error"), 500, "api_error", "boom"),
    "a page of a proxy": fails(
        whole(b"<html><h1>Bad Gateway</h1></html>", 502, content_type="text/html"), 502, "api_error"
    ),
    "no such model": fails(
        said(404, "The model `m` does not exist", type="invalid_request_error", code="model_not_found"),
        404,
        "not_found_error",
        "does not exist",
    ),
    "too large": fails(said(413, "Request too large"), 413, "request_too_large", "too large"),
    "not permitted": fails(
        said(403, "Your country is not supported", code="unsupported_country_region_territory"),
        403,
        "permission_error",
        "country",
    ),
    "the key of the gateway is refused": case(
        asked(),
        said(401, "Incorrect API key provided: sk-of-***way"),
        status=502,
        back=error("api_error"),
    ),
    "a prompt that is too long": fails(
        said(
            400,
            "This model's maximum context length is 8192 tokens, your messages resulted in 9000 tokens.",
            type="invalid_request_error",
            param="messages",
            code="context_length_exceeded",
        ),
        400,
        "invalid_request_error",
        "prompt is too long: 9000 tokens > 8192 maximum",
    ),
    "an error object where an answer was due": fails(
        whole({"error": {"message": "boom", "code": 500}}), 500, "api_error", "boom"
    ),
    "an error before the first word of a stream": case(
        asked(**STREAM), streamed(DIED), status=500, back=error("api_error", "worker died")
    ),
    "an error after the first words": breaks("half", streamed(HALF, DIED), "worker died"),
    "an error after the first words, in one piece": breaks(
        "half", streamed(event(HALF) + event(DIED)), "worker died"
    ),
    "an error that is a text, after the first words": breaks(
        "half", streamed(HALF, {"error": "boom"}), "boom"
    ),
    "an overload after the first words": breaks(
        "half", streamed(HALF, {"error": {"message": "Overloaded", "code": 503}}), "Overloaded"
    ),
    "a cut after the first words": breaks("half", streamed(HALF, framing="close")),
    "a reset after the first words": breaks("half", streamed(HALF, end="reset", gap_s=0.05)),
    "a cut in the middle of a call": breaks("", streamed(TORN, framing="close"), asks=tools("hi", **STREAM)),
    "a cut in the middle of thoughts": breaks(
        "", streamed(chunk({"reasoning_content": "hm"}), framing="close")
    ),
    "[DONE] in the middle of a call is told as a cut": case(
        tools("hi", **STREAM), streamed(TORN, b"data: [DONE]\n\n"), back={"stop_reason": "max_tokens"}
    ),
    "a chunk that is no JSON": breaks("half", streamed(HALF, b'data: {"choices":[{\n\n')),
}

OVERLOADED: Final = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
OWN_OVERLOAD: Final = {**OVERLOADED, "request_id": "req_of_nobody"}


def passes(body: Any, status: int, headers: Any = None, **fields: Any) -> Case:
    """An error of Anthropic's own, which goes out as it came."""
    return own_case(asked(), whole(body, status, headers=headers), status=status, **fields)


def own_error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_of_nobody"}


def own_breaks(text: str, *parts: Any, **fields: Any) -> Case:
    return own_case(asked(**STREAM), claude_stream(*parts), breaks=text, **fields)


FROM_CLAUDE: dict[str, Case] = {
    "overloaded": passes(
        OWN_OVERLOAD,
        529,
        {"request-id": "req_of_nobody", "x-should-retry": "true"},
        back_headers={"request-id": "req_of_nobody", "x-should-retry": "true"},
        nusd=0,
    ),
    "the id of a call that has eight characters of a key": passes(
        {**OVERLOADED, "request_id": "req_01234567"},
        529,
        {"request-id": "req_01234567"},
        back_headers={"request-id": "req_01234567"},
    ),
    "a key in its words": own_case(
        asked(),
        whole(own_error("invalid_request_error", "who is 0123456789abcdef?"), 400),
        untouched=False,
        status=400,
        back={"type": "error", "error": {"message": free_of("0123456789abcdef")}},
    ),
    "a key in the place of its id": own_case(
        asked(),
        whole({**OVERLOADED, "request_id": CLIENT_KEY}, 529),
        untouched=False,
        status=529,
        back=free_of(CLIENT_KEY),
    ),
    "do not try again": passes(
        own_error("api_error", "boom"),
        500,
        {"x-should-retry": "false"},
        back_headers={"x-should-retry": "false"},
    ),
    "too fast": passes(
        own_error("rate_limit_error", "slower"),
        429,
        {"retry-after": "7", "anthropic-ratelimit-unified-status": "rejected"},
        back_headers={"retry-after": "7", "anthropic-ratelimit-unified-status": "rejected"},
    ),
    "too long": passes(
        own_error("invalid_request_error", "prompt is too long: 209000 tokens > 200000 maximum"), 400
    ),
    "a later kind of error, with more in it": passes(
        {
            "request_id": None,
            "error": {"details": {"a": 1.0}, "message": "no", "type": "a_later_error"},
            "type": "error",
        },
        418,
    ),
    "no money": passes(own_error("billing_error", "credit balance is too low"), 402),
    "too large": passes(own_error("request_too_large", "larger than 32 MB"), 413),
    "no such model": passes(own_error("not_found_error", "model: claude-x"), 404),
    "the key of the gateway is refused": own_case(
        asked(),
        whole(own_error("authentication_error", "invalid x-api-key"), 401),
        untouched=False,
        status=502,
        back={"type": "error", "error": {"type": "api_error"}},
    ),
    "a page of a proxy": own_case(
        asked(),
        whole(b"<html><h1>Bad Gateway</h1></html>", 502, content_type="text/html"),
        untouched=False,
        status=502,
        back=error("api_error"),
    ),
    "an error before the first word of a stream": own_case(
        asked(**STREAM),
        claude_stream(opening(), named("ping"), failure()),
        untouched=False,
        status=529,
        back=OVERLOADED,
    ),
    "an error after the first words": own_breaks(
        "half",
        opening(),
        words(0, "half")[:2],
        failure(details=None, request_id="req_of_nobody"),
        back=OVERLOADED,
        receipt=lambda receipt: receipt.usage is not None and receipt.usage.input_tokens == 40,
    ),
    "an error after the first words, in one piece": own_breaks(
        "half", b"".join([opening(), *words(0, "half")[:2], failure()]), back=OVERLOADED
    ),
    "a cut after the first words": own_case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "half"), framing="close"),
        untouched=False,
        breaks="half",
        back=error("api_error"),
    ),
    "a cut in the middle of an event": own_case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "half"), b"event: content_blo", framing="close"),
        untouched=False,
        breaks="half",
        back=error("api_error"),
    ),
    "a stop without a reason": own_case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "half"), named("message_stop")),
        untouched=False,
        breaks="half",
        back=error("api_error"),
    ),
    "an event that is no JSON": own_case(
        asked(**STREAM),
        claude_stream(opening(), words(0, "half"), b"event: x\ndata: {\n\n"),
        untouched=False,
        breaks="half",
        back=error("api_error"),
    ),
}

WORDS: Final = {"error": {"message": holding("Overloaded")}, "type": GONE}


def chat_breaks(text: str, *parts: Any, told: str = "", **fields: Any) -> Case:
    return chat_case(
        chatted(**COUNTED),
        claude_stream(*parts),
        breaks=text,
        back={"error": {"message": holding(told)}},
        **fields,
    )


TO_CHAT_CLIENTS: dict[str, Case] = {
    "overloaded": chat_case(
        chatted(),
        whole(OVERLOADED, 529, headers={"retry-after": "3"}),
        status=529,
        back=WORDS,
        back_headers={"retry-after": "3"},
        nusd=0,
    ),
    "an error object where an answer was due": chat_case(
        chatted(), whole(OVERLOADED), status=529, back=WORDS
    ),
    "too long": chat_case(
        chatted(),
        whole(own_error("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), 400),
        status=400,
        back={"error": {"message": holding("prompt is too long")}, "type": GONE},
    ),
    "a page of a proxy": chat_case(
        chatted(),
        whole(b"<html><h1>Bad Gateway</h1></html>", 502, content_type="text/html"),
        status=502,
        back={"error": {"message": some(str)}},
    ),
    "an error before the first word of a stream": chat_case(
        chatted(**COUNTED), claude_stream(opening(), named("ping"), failure()), status=529, back=WORDS
    ),
    "an error after the first words": chat_breaks(
        "half",
        opening(),
        words(0, "half"),
        failure(),
        told="Overloaded",
        receipt=lambda receipt: receipt.usage is not None and receipt.usage.input_tokens == 40,
    ),
    "an error after the first words, in one piece": chat_breaks(
        "half", b"".join([opening(), *words(0, "half"), failure()]), told="Overloaded"
    ),
    "a cut in the middle of a call": chat_case(
        chatted(**COUNTED),
        claude_stream(opening(), use(0, "toolu_a", '{"city":"Os')[:-1], framing="close"),
        breaks="",
        back={"error": {"message": some(str)}},
    ),
    "a cut in the middle of thinking": chat_case(
        chatted(**COUNTED),
        claude_stream(opening(), thought(0, "hm")[:2], end="cut"),
        breaks="",
        back={"error": {"message": some(str)}},
    ),
    "an error in the middle of a block": chat_breaks(
        "ha",
        opening(),
        block_of(0, text(""), {"type": "text_delta", "text": "ha"})[:2],
        failure(),
        told="Overloaded",
    ),
}

CASES: dict[str, Case] = {
    **apart("from-chat", FROM_CHAT),
    **apart("from-claude", FROM_CLAUDE),
    **apart("to-chat", TO_CHAT_CLIENTS),
}

"""Replies without an answer, as providers really send them, and what the client is to be told of each.

The groups are the rows of a table of docs/wire-tolerance.md.
"""

import dataclasses
import gzip
import json
from typing import Any, Final

from tests.e2e.wild_answers import BOM, GOOD, HALF, NAN
from tests.faults.exact import Exact, streamed, whole, whole_of

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
        reply=whole(b"\x28\xb5\x2f\xfd\x04\x58" + GOOD[::-1], headers={"content-encoding": "zstd"}),
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

GROUPS: dict[str, dict[str, Refusal]] = {
    "the form of an error": BODIES,
    "the status of an error": STATUSES,
    "the gateway's own key": OUR_KEY,
    "no answer with status 200": NO_ANSWERS,
}
ROWS: dict[str, Refusal] = {
    f"{group}: {name}": told for group, rows in GROUPS.items() for name, told in rows.items()
}

"""What Messages says when it gives no answer: the error object of a reply or of a stream."""

from collections.abc import Mapping

from msgspec import Struct

from farthing.dialects.messages.answers.answer_reader import text_of
from farthing.text.lenient_json import any_json
from farthing.types import Json

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that a kind of error has, for one that comes inside a stream."""
AGAIN = frozenset({"rate_limit_error", "api_error", "timeout_error", "overloaded_error"})
"""Kinds that the same request may not meet a moment later."""
REQUEST_ID = b"request-id"
MESSAGE_CHARS_MAX = 65_536


class MessagesError(Struct, frozen=True):
    kind: str
    """`overloaded_error`; empty: it was not told."""
    message: str
    status: int | None
    """Of the kind; None: the kind is not known."""
    request_id: str = ""
    said: Json | None = None
    """The error object as it came; None: there is none."""

    @property
    def again(self) -> bool:
        return self.kind in AGAIN


def read_error(body: bytes, headers: Mapping[bytes, bytes] | None = None) -> MessagesError:
    """The error in the body of a reply, or in the data of an `error` event. Never raises; the names of
    `headers` are in lower case."""
    value = any_json(body)
    fields = value if isinstance(value, dict) else {}
    error = fields.get("error")
    said = error if isinstance(error, dict) else None
    kind = text_of(said, "type") if said is not None else ""
    message = text_of(said, "message") if said is not None else error if isinstance(error, str) else ""
    message = message or text_of(fields, "message")
    request_id = (headers or {}).get(REQUEST_ID, b"").decode("latin-1") or text_of(fields, "request_id")
    return MessagesError(kind, message[:MESSAGE_CHARS_MAX], STATUSES.get(kind), request_id[:200], said)


def is_error(body: bytes) -> bool:
    """Whether it is an error in the form of Messages, which its clients can be shown as it is."""
    value = any_json(body) if len(body) <= MESSAGE_CHARS_MAX else None
    if not isinstance(value, dict) or value.get("type") != "error":
        return False
    error = value.get("error")
    return isinstance(error, dict) and all(isinstance(error.get(name), str) for name in ("type", "message"))

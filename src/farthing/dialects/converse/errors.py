"""What Bedrock says when it gives no answer: the name of an exception, and its words."""

from farthing.dialects.converse.streams.frames import Frame
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

STATUSES = {
    "AccessDeniedException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 502,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 502,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
"""The status that an exception has, for one that comes inside a stream. A fault of the model has 424 at AWS,
which elsewhere is about the request."""
NAME_CHARS_MAX = 100
MALFORMED = {
    "malformed_model_output": "the model wrote what is no answer",
    "malformed_tool_use": "the model wrote a call that is none",
}
"""Stop reasons that say that there is no answer."""


def exception_name(said: str) -> str:
    """The name in an `x-amzn-errortype` or a body's `__type`, each of which may hold more:
    `com.amazon.coral#ThrottlingException:http://internal.amazon.com/…`."""
    name = said.partition(":")[0].rpartition("#")[2].strip()
    return name if name.isidentifier() and len(name) <= NAME_CHARS_MAX else ""


def as_error(name: str, body: bytes) -> bytes:
    """The body of an error reply with the exception's name as its type and code."""
    value = any_json(body)
    if not isinstance(value, dict):
        value = {"message": body.decode("utf-8", "replace")} if body.strip() else {}
    if not name:
        told = value.get("__type")
        name = exception_name(told) if isinstance(told, str) else ""
    words = value.get("message") or value.get("Message") or name or "no reason was told"
    return _error(name, str(words), value.get("originalStatusCode"))


def of_frame(frame: Frame) -> bytes:
    """The error that a frame is which came in place of an event."""
    name = exception_name(frame.name)
    name = name[:1].upper() + name[1:]  # in a stream it begins small
    if frame.kind == "error":
        return _error(name, frame.words or name or "no reason was told", None)
    return as_error(name, frame.payload)


def of_stop(reason: str) -> bytes:
    """The error that a stop reason of `MALFORMED` is."""
    return _error(reason, f"{MALFORMED[reason]} ({reason})", 502)


def _error(name: str, words: str, status: object) -> bytes:
    error: Json = {"message": words, "type": name or "provider_error", "param": None, "code": name or None}
    status = STATUSES.get(name, status)
    if isinstance(status, int):
        error["status"] = status
    return write_json({"error": error})

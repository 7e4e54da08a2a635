"""Errors for clients of Messages: status, kind and message. Pure functions.

Errors of a provider that speaks this dialect go out byte for byte; all others are written here. Claude Code
acts on the words of some, see `_too_long`.
"""

import re

from farthing.edge.overflow import WINDOW_WORDS, is_too_long, said_of
from farthing.errors import (
    BudgetExhausted,
    CannotSay,
    ContextTooLong,
    ContractExceeded,
    FarthingError,
    NoProviderLeft,
    Overloaded,
    ProviderError,
    StreamBroken,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json

OVERLOADED = 529
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
"""Kinds by status. Others are `api_error` from 500 on, and `invalid_request_error` below."""
CODES = {
    "rate_limit_exceeded": "rate_limit_error",
    "insufficient_quota": "rate_limit_error",
    "server_is_overloaded": "overloaded_error",
    "slow_down": "overloaded_error",
    "429": "rate_limit_error",
    "503": "overloaded_error",
}
"""Kinds by the codes that servers of OpenAI's dialects use in a stream, which has no status."""
WINDOW_TOKENS_MIN = 1_000
"""A smaller number in a message is no context window but something else, such as a status."""
THREAD = "thread"
"""The field that asks a provider to keep the conversation."""
NUMBER = re.compile(r"\d[\d,]*")
NUMBERS_MAX = 20


def failed(error: FarthingError, request_id: str) -> tuple[int, bytes]:
    """Status and body of a request that failed."""
    one = own(error)
    if one is not None and one.own is not None:
        return error.status, one.own
    status, kind, message = _told(error)
    return status, _body(kind, message, request_id, _details(error))


def event(error: FarthingError, request_id: str) -> bytes:
    """The event that ends a stream which broke."""
    if isinstance(error, StreamBroken) and error.own:
        return error.own
    raw = failed(error, request_id)[1]
    lines = b"\n".join([b"data: %b" % line for line in raw.splitlines()])
    return b"event: error\n%b\n\n" % lines


def own(error: FarthingError) -> ProviderError | None:
    """The error of a provider that goes out as the provider wrote it; None: there is none, or it is to be
    written in this dialect."""
    one = error.passed_on if isinstance(error, NoProviderLeft) else None
    return one if one is not None and one.own else None


def _told(error: FarthingError) -> tuple[int, str, str]:
    """Status, kind and message of an error."""
    said = said_of(error)
    status, message = error.status, error.in_full
    if said is not None and isinstance(said.get("message"), str) and said["message"]:
        message = said["message"]
    if isinstance(error, ContextTooLong) or (said is not None and is_too_long(said, status, message)):
        return 400, KINDS[400], _too_long(said or {}, message)
    if isinstance(error, BudgetExhausted) or (
        isinstance(error, ContractExceeded) and error.limit == "usd_max"
    ):
        status = 402
    elif isinstance(error, Overloaded) or (status == 503 and said is not None):
        status = OVERLOADED
    if isinstance(error, StreamBroken):
        return status, _kind_said(said) or _kind_coded(said) or "api_error", message
    return status, _kind_of(status), message


def _kind_of(status: int) -> str:
    return KINDS.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def _kind_said(said: Json | None) -> str:
    """The kind of a provider's error if it is one of this dialect; else empty."""
    kind = None if said is None else said.get("type")
    return kind if isinstance(kind, str) and kind in KINDS.values() else ""


def _kind_coded(said: Json | None) -> str:
    """The kind for the code of a provider's error in OpenAI's form; empty if the code is unknown."""
    code = None if said is None else said.get("code")
    if isinstance(code, int):
        return KINDS.get(code, "")
    return CODES.get(code, "") if isinstance(code, str) else ""


def _too_long(said: Json, words: str) -> str:
    """The message in Anthropic's words. Claude Code shortens its conversation when it reads them, by as much
    as the numbers say."""
    tokens, most = said.get("n_prompt_tokens"), said.get("n_ctx")
    if not isinstance(tokens, int) or not isinstance(most, int):
        found = _numbers(words.partition(WINDOW_WORDS)[2])
        most = found[0] if found else 0
        tokens = next((one for one in found if one > most), 0)
        if not tokens:  # they stand elsewhere
            told = sorted({one for one in _numbers(words) if one >= WINDOW_TOKENS_MIN})
            most, tokens = told if len(told) == 2 else (0, 0)
    if most and tokens > most:
        return f"prompt is too long: {tokens} tokens > {most} maximum"
    return words if words.startswith("prompt is too long") else f"prompt is too long: {words}"


def _numbers(words: str) -> list[int]:
    return [int(one.replace(",", "")) for one in NUMBER.findall(words)[:NUMBERS_MAX] if len(one) < 12]


def _details(error: FarthingError) -> Json | None:
    """Details that clients act on besides the words: they send the conversation whole once they read that no
    target keeps it for them."""
    one = error.passed_on if isinstance(error, NoProviderLeft) else error
    if isinstance(one, CannotSay) and THREAD in one.names:
        return {"error_code": "thread_unsupported_request", "unsupported": [THREAD]}
    return None


def _body(kind: str, message: str, request_id: str, details: Json | None) -> bytes:
    error: Json = {"type": kind, "message": message}
    if details is not None:
        error["details"] = details
    return write_json({"type": "error", "error": error, "request_id": request_id or None})

"""What a provider says when it gives no answer: read from its error replies in all the forms they come in.

The client gets the provider's own words, type and code, as it would without us; we read only what decides
what to do next. Pure functions over bytes; no regular expressions over messages.
"""

from collections.abc import Mapping
from time import time
from typing import Any

from farthing.dialects.errors import A_NAME, WORDS_CHARS_MAX, error_object, words_of
from farthing.errors import (
    KeyRejected,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.health.rate_headers import refill_s, retry_after_s
from farthing.models.transport.connection import header
from farthing.runtime.redact import NO_SECRETS, Redactor
from farthing.types import Json

ERROR_VALUES_MAX = 1_000
ERROR_CHARS_MAX = 65_536  # as many as are read of a reply with the status of an error
NO_CAPACITY = 498
"""Groq's status where it has none left for a tier of service."""
OUT_OF_MONEY = frozenset({
    "Arrearage", "billing_hard_limit_reached", "billing_not_active", "exceeded_current_quota_error",
    "insufficient_quota",
})  # fmt: skip
"""Codes and types that say that an account has no money left, or may spend none: of a 429 that no pause ends,
and of a 400."""
ABOUT_THE_KEY = (
    "api_key", "apikey", "auth", "permission", "credential", "forbidden", "access_denied", "accessdenied",
)  # fmt: skip
"""Parts of the types and codes of a 403 that say that our key, not the request, was refused."""
NOT_ABOUT_THE_KEY = (
    "author", "moderation", "content", "policy", "safety", "flagged",
    "country", "region", "territory", "location", "model", "unpurchased",
)  # fmt: skip
"""Unless one of these stands there too: what was asked, from where, a model that the account may not use."""
THE_KEY_ITSELF = ("api_key", "apikey", "authentication", "credential", "expired", "unauthenticated")
"""Parts of those of a 403 that says that the key is none, and not that it lacks a right."""
SHOULD_RETRY = b"x-should-retry"


def failure(
    provider: str, status: int, headers: Mapping[bytes, bytes], body: bytes, redact: Redactor = NO_SECRETS
) -> ProviderError:
    """What a reply of another status than success means. `redact` knows our keys."""
    said = _told(body, redact)
    if status == 401 or (status == 403 and _about_the_key(said)) or (status == 400 and _bad_key(said)):
        rejected = key_rejected(provider, status)
        rejected.told = _code_of(said)
        rejected.lacks_right = status == 403 and not any(part in _named(said) for part in THE_KEY_ITSELF)
        return rejected
    error = _of_status(status, f"{provider} answered {status}", said, wait_s(headers, body))
    if status == 429 and error.retry_after_s is None:
        error.refills_s = refill_s(headers, time())
    advice = header(headers, SHOULD_RETRY)
    if advice in (b"true", b"false"):  # the official SDKs do as it says, whatever the status
        error.again = error.advice = advice == b"true"
        error.spent = not error.again if status == 429 else error.spent
    return error


def key_rejected(provider: str, status: int) -> KeyRejected:
    return KeyRejected(
        f"{provider} answered {status}: it refused the gateway's own key or token, or what that may do; "
        f"the operator has to look at the key or credentials of providers.{provider} and at their rights",
        upstream_status=status,
    )


def in_answer(
    provider: str, payload: bytes, redact: Redactor = NO_SECRETS, status: int | None = None
) -> ProviderError:
    """What an error object means that came where an answer was to: as the body of a success, or as an event.
    Its code is the status where it is one, else `status`, which its kind stands for; None: for none."""
    said = _told(payload, redact)
    message = f"{provider} answered with an error"
    code = _status_of(said) or status
    if code is None:
        return ProviderUnavailable(message, said=said, words=words_of(said), again=True, upstream_status=502)
    return _of_status(code, message, said, wait_s({}, payload))


def _of_status(status: int, message: str, said: Json | None, wait_s: float | None) -> ProviderError:
    words = words_of(said)
    spent = _is_spent(said)
    if status == 429:
        busy = ProviderBusy(
            message, upstream_status=429, said=said, words=words, retry_after_s=wait_s, again=not spent
        )
        busy.spent = spent
        return busy
    if status in (408, 504):
        return ProviderTimeout(
            message, upstream_status=status, said=said, words=words, retry_after_s=wait_s, again=True
        )
    if 400 <= status < 500 and status != NO_CAPACITY:
        again = status in (409, 425)  # somebody else's turn, or too early: not for long
        rejected = ProviderRejected(message, upstream_status=status, said=said, words=words, again=again)
        rejected.spent |= spent
        return rejected
    again = status == NO_CAPACITY or (status >= 500 and status not in (501, 505))
    return ProviderUnavailable(
        message, upstream_status=status, said=said, words=words, retry_after_s=wait_s, again=again
    )


# -- the words --------------------------------------------------------------------------------------


def _told(body: bytes, redact: Redactor) -> Json | None:
    """The error object, without secrets. Of one that is larger than any error is, what SDKs read."""
    said = error_object(body)
    if said is not None and _is_large(said):
        read = {name: said[name] for name in ("message", "type", "param", "code") if name in said}
        said = {name: value[:WORDS_CHARS_MAX] for name, value in read.items() if isinstance(value, str)}
    told: Json | None = redact.value(said)
    return told


def _is_large(said: Json) -> bool:
    """Whether it has more values or characters than are looked through for secrets while others wait."""
    values, chars = 0, 0
    waiting: list[Any] = [said]
    while waiting:
        value = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        values += 1 + len(inner)
        chars += (
            sum(map(len, value)) if isinstance(value, dict) else len(value) if isinstance(value, str) else 0
        )
        if values > ERROR_VALUES_MAX or chars > ERROR_CHARS_MAX:
            return True
        waiting += inner
    return False


# -- what they mean ----------------------------------------------------------------------------------


def _status_of(said: Json | None) -> int | None:
    """The HTTP status that an error object names as its code; None: it names none."""
    for name in ("code", "status", "status_code"):
        code = None if said is None else said.get(name)
        if isinstance(code, str) and code.isascii() and code.isdigit():
            code = int(code[:4])
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    named = {str(said.get("code")), str(said.get("type"))} if said is not None else set()
    return 429 if named & {"rate_limit_exceeded", "rate_limit_error", *OUT_OF_MONEY} else None


def _is_spent(said: Json | None) -> bool:
    names = () if said is None else (said.get("code"), said.get("type"))
    return not OUT_OF_MONEY.isdisjoint(map(str, names))


def _about_the_key(said: Json | None) -> bool:
    if said is None:
        return True  # a refusal without a word: what else we sent is the client's, and that was a 400
    named = _named(said)
    return any(part in named for part in ABOUT_THE_KEY) and not any(
        part in named for part in NOT_ABOUT_THE_KEY
    )


def _named(said: Json | None) -> str:
    """All that an error object names as what it is, in small letters."""
    if said is None:
        return ""
    return " ".join(str(said.get(name) or "") for name in ("type", "code", "status")).lower()


def _bad_key(said: Json | None) -> bool:
    """Google's way to refuse a key: a 400 with this reason among its details."""
    details = None if said is None else said.get("details")
    return isinstance(details, list) and any(
        isinstance(one, dict) and one.get("reason") == "API_KEY_INVALID" for one in details
    )


def _code_of(said: Json | None) -> str:
    """The code of a refusal of our key, for the operator; empty where it has none, or none that is a name.
    Its words stay here: they may hold a part of a key, ours or another."""
    names = () if said is None else (said.get(name) for name in ("code", "type", "status"))
    return next((name for name in names if isinstance(name, str) and A_NAME.fullmatch(name)), "")


def wait_s(headers: Mapping[bytes, bytes], body: bytes, now_unix_s: float | None = None) -> float | None:
    """As `rate_headers.retry_after_s`, by the clock of the machine."""
    return retry_after_s(headers, body, time() if now_unix_s is None else now_unix_s)

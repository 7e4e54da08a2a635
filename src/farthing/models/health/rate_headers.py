"""What the headers of a reply say of a provider's rate limits: how long to wait, and how much is left.

Every provider has forms of its own for the same few facts. They are told apart here, and nowhere else:

    retry-after: 20 | Wed, 21 Oct 2026 07:28:00 GMT        retry-after-ms: 1500   x-ms-retry-after-ms: 1500
    x-ratelimit-reset-requests: 1s | 6m0s | 120ms | 17     anthropic-ratelimit-tokens-reset: 2026-12-01T07:28Z
    x-ratelimit-remaining-requests: 59                      x-ratelimit-remaining-tokens-minute: 60000
    {"error": {"details": [{"@type": ".../google.rpc.RetryInfo", "retryDelay": "34.07s"}]}}

A reset is the time at which the whole allowance is back; it comes back evenly until then (OpenAI, Groq and
Anthropic say so). Pure functions over bytes: the wall clock is given, since some forms are times of day.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

from farthing.text.lenient_json import NotJson, read_json

RETRY_AFTER_MS = (b"retry-after-ms", b"x-ms-retry-after-ms")
PLANS_MAX = 200
"""Sets of header names that are remembered: a provider sends a few."""
VALUE_BYTES_MAX = 64
WINDOWS_S = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
"""What a name says of the time after which an allowance is back, where no reset does."""
UNTOLD_S = 1.0
"""Taken where neither does."""

_EPOCH_S = 1e9  # a number from here on is a time of day, not a number of seconds
_EPOCH_MS = 1e12
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|us|µs|ns|m|s)", re.ASCII)
_UNIT_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


# -- how long to wait --------------------------------------------------------------------------------


def retry_after_s(headers: Mapping[bytes, bytes], body: bytes, now_unix_s: float) -> float | None:
    """Seconds that a provider asks us to wait: the first of its words that makes sense.

    None when there is none, or none makes sense (negative, no number, in the past).
    """
    lower = {name.lower(): value for name, value in headers.items()}
    for name in RETRY_AFTER_MS:
        wait_s = _number(lower.get(name))
        if wait_s is not None and wait_s >= 0:
            return wait_s / 1000
    said = lower.get(b"retry-after")
    if said is not None and (wait_s := _longest_s(said, now_unix_s)) is not None:
        return wait_s
    return _retry_info_s(body)


def refill_s(headers: Mapping[bytes, bytes], now_unix_s: float) -> float | None:
    """Seconds until the next request fits, by the allowances that a refusal says are used up; None: it names
    none, or none that comes back. Where it says how much there is in all, not all of it has to be back."""
    waits = [
        one.wait_s(1.0, 0.0)
        for one in _read(_plan(tuple(headers)), headers, 0.0, now_unix_s)
        if one.left < 1.0 and one.resets_s is not None
    ]
    return max(waits, default=None)


def _retry_info_s(body: bytes) -> float | None:
    """As Google's RetryInfo says it."""
    if b'"retryDelay"' not in body:
        return None
    try:
        value = read_json(body)
    except NotJson:
        return None
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return _duration_s(delay)
    return None


def _number(raw: bytes | None) -> float | None:
    if raw is None or len(raw) > VALUE_BYTES_MAX:
        return None
    try:
        found = float(raw)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _longest_s(raw: bytes, now_unix_s: float) -> float | None:
    """As `_span_s`; of a header that came twice, whose values proxies join with commas as dates have one, the
    longest."""
    whole_s = _span_s(raw, now_unix_s)
    if whole_s is not None or b"," not in raw or len(raw) > VALUE_BYTES_MAX:
        return whole_s
    spans = [_span_s(part, now_unix_s) for part in raw.split(b",")]
    found = [one for one in spans if one is not None]
    return max(found) if len(found) == len(spans) else None


def _span_s(raw: bytes, now_unix_s: float) -> float | None:
    """Seconds from now, of a number of seconds, a duration or a time of day; None: it is none of these, or
    in the past."""
    if len(raw) > VALUE_BYTES_MAX:
        return None
    seconds = _number(raw)
    if seconds is not None:
        if seconds >= _EPOCH_S:
            seconds = (seconds / 1000 if seconds >= _EPOCH_MS else seconds) - now_unix_s
    else:
        text = raw.decode("latin-1").strip()
        seconds = _duration_s(text)
        if seconds is None:
            at_unix_s = _time_of_day_s(text)
            seconds = None if at_unix_s is None else at_unix_s - now_unix_s
    return seconds if seconds is not None and seconds >= 0 else None


def _duration_s(text: str) -> float | None:
    """Of `6m0s`, `2m59.56s`, `120ms`, `1d2h`."""
    seconds, at = 0.0, 0
    for part in _PART.finditer(text[:VALUE_BYTES_MAX]):
        if part.start() != at:
            return None
        seconds, at = seconds + float(part[1]) * _UNIT_S[part[2]], part.end()
    return seconds if at and at == len(text) and math.isfinite(seconds) else None


def _time_of_day_s(text: str) -> float | None:
    """Seconds since 1970, of RFC 3339 or a date of HTTP."""
    try:
        if text[:4].isdigit():
            at = datetime.fromisoformat(text)
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # a year of six digits, half a date
        return None


# -- how much is left --------------------------------------------------------------------------------


class Allowance(Struct):
    """What is left of one limit, at the monotonic time `at_s`."""

    of_tokens: bool
    """It counts tokens; else requests."""
    left: float
    most: float | None
    """All of it; None: it is not told."""
    resets_s: float | None
    """Seconds after `at_s` until all of it is back; None: it is not told."""
    at_s: float
    per_s: float = 0.0
    """How fast it comes back; 0: all at once, at the reset."""

    @property
    def is_low(self) -> bool:
        """Whether it could be used up soon, and is worth minding."""
        few = LOW_TOKENS if self.of_tokens else LOW_REQUESTS
        return self.left <= (few if self.most is None else self.most * LOW_SHARE + 1.0)

    def is_back(self, now_s: float) -> bool:
        """Whether all of it is there again, or may be."""
        return now_s - self.at_s >= (UNTOLD_S if self.resets_s is None else self.resets_s)

    def left_now(self, now_s: float) -> float:
        """What is left at `now_s`, before the reset; less than nothing where more was taken."""
        return self.left + max(0.0, now_s - self.at_s) * self.per_s

    def wait_s(self, needed: float, now_s: float) -> float:
        """Seconds from `now_s` until so much of it is there; 0: it is. More than half of all counts as
        half."""
        if self.is_back(now_s):
            return 0.0
        if self.most is not None:
            needed = min(needed, max(1.0, self.most / 2))
        missing = needed - self.left_now(now_s)
        if missing <= 0:
            return 0.0
        resets_s = (UNTOLD_S if self.resets_s is None else self.resets_s) - (now_s - self.at_s)
        return min(resets_s, missing / self.per_s) if self.per_s > 0 else resets_s


LOW_SHARE = 0.1
LOW_REQUESTS = 10.0
LOW_TOKENS = 20_000.0


class _Group(Struct, frozen=True):
    """The names that tell of one limit."""

    of_tokens: bool
    remaining: bytes
    most: bytes | None
    reset: bytes | None
    window_s: float | None


_plans: dict[tuple[bytes, ...], tuple[_Group, ...]] = {}


def allowances(headers: Mapping[bytes, bytes], now_s: float, now_unix_s: float) -> list[Allowance]:
    """The limits that a reply tells of, at the monotonic time `now_s`. Those that it does not tell are not
    there; one that says less than nothing is taken for not told (LiteLLM's -1)."""
    return _read(_plan(tuple(headers)), headers, now_s, now_unix_s)


def tells(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a reply tells of any limit."""
    return bool(_plan(tuple(headers)))


def _read(
    groups: tuple[_Group, ...], headers: Mapping[bytes, bytes], now_s: float, now_unix_s: float
) -> list[Allowance]:
    found = []
    for group in groups:
        left = _number(headers[group.remaining])
        if left is None or left < 0:
            continue
        resets_s = group.window_s
        if group.reset is not None:
            resets_s = _span_s(headers[group.reset], now_unix_s)
        most = None if group.most is None else _number(headers[group.most])
        gone = 0.0 if most is None else most - left
        per_s = gone / resets_s if gone > 0 and resets_s else 0.0
        found.append(Allowance(group.of_tokens, left, most, resets_s, now_s, per_s))
    return found


def _plan(names: tuple[bytes, ...]) -> tuple[_Group, ...]:
    plan = _plans.get(names)
    if plan is None:
        plan = _planned(names)
        if len(_plans) < PLANS_MAX:
            _plans[names] = plan
    return plan


def _planned(names: tuple[bytes, ...]) -> tuple[_Group, ...]:
    told: dict[str, dict[str, bytes]] = {}
    for name in names:
        parts = _parts(name.decode("latin-1").lower())
        if parts is not None:
            kind, what = parts
            told.setdefault(what, {})[kind] = name
    return tuple(
        _Group(
            of_tokens="token" in what,
            remaining=kinds["remaining"],
            most=kinds.get("limit"),
            reset=kinds.get("reset"),
            window_s=next((s for word, s in WINDOWS_S.items() if what.endswith(word)), None),
        )
        for what, kinds in told.items()
        if "remaining" in kinds and "output" not in what and "generated" not in what
    )


def _parts(name: str) -> tuple[str, str] | None:
    """Which of limit, remaining and reset a header tells, and of what; None: it is about no limit."""
    if name.startswith("anthropic-ratelimit-"):
        what, _, kind = name.removeprefix("anthropic-ratelimit-").rpartition("-")
    else:
        rest = name.removeprefix("x-")
        if not rest.startswith("ratelimit-"):
            return None
        kind, _, what = rest.removeprefix("ratelimit-").partition("-")
    return (kind, what or "requests") if kind in ("limit", "remaining", "reset") else None

"""Times as people write them: a span before now, a date or a time, or a word for a day, week, month or
year."""

import re
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

ACCEPTED = (
    "30m, 24h, 7d or 2w before now; now, today, yesterday, monday … sunday, this or last week, month or "
    "year; 2026-01-31, 2026-01 or 2026-01-31T09:30 (UTC, or with a zone as +01:00); all"
)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(
    r"(\d+(?:\.\d+)?) ?(s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|d|days?|w|weeks?)(?: ago)?"
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


class Moment(Struct, frozen=True):
    """The period that a text means, from its first moment to one past its last; both equal for a time."""

    first_unix_s: float
    end_unix_s: float


def moment(text: str, now_unix_s: float) -> Moment:
    """Parse `text`; days, weeks (from Monday), months and years are those of UTC.

    Raises:
        ValueError: it is not a time; the message lists what is.
    """
    words = re.sub(r"[\s_]+", " ", text.strip().lower())
    try:
        found = _span_before(words, now_unix_s) or _days(words.replace("-", " "), now_unix_s) or _dated(words)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise ValueError(f"{text!r} is not a time: write one of {ACCEPTED}")
    return found


def _span_before(words: str, now_unix_s: float) -> Moment | None:
    span = _SPAN.fullmatch(words)
    if words == "now" or span is None:
        return Moment(now_unix_s, now_unix_s) if words == "now" else None
    at_unix_s = max(now_unix_s - float(span[1]) * _UNITS_S[span[2][0]], 0.0)
    return Moment(at_unix_s, at_unix_s)


def _days(words: str, now_unix_s: float) -> Moment | None:
    """The words for days and longer periods."""
    today = datetime.fromtimestamp(now_unix_s, UTC).date()
    if words in ("today", "yesterday"):
        first = today - timedelta(days=words == "yesterday")
        return _between(first, first + timedelta(days=1))
    if words in DAYS:
        first = today - timedelta(days=(today.weekday() - DAYS.index(words)) % 7)
        return _between(first, first + timedelta(days=1))
    which, _, unit = words.partition(" ")
    if which not in ("this", "last"):
        return None
    if unit == "week":
        first = today - timedelta(days=today.weekday() + 7 * (which == "last"))
        return _between(first, first + timedelta(days=7))
    if unit == "month":
        first = today.replace(day=1)
        return _month((first - timedelta(days=which == "last")).replace(day=1))
    if unit == "year":
        first = date(today.year - (which == "last"), 1, 1)
        return _between(first, date(first.year + 1, 1, 1))
    return None


def _dated(words: str) -> Moment:
    """Raises:
    ValueError: it is neither a month nor ISO 8601.
    """
    month = _MONTH.fullmatch(words)
    if month is not None:
        return _month(date(int(month[1]), int(month[2]), 1))
    if _DAY.fullmatch(words):
        day = date.fromisoformat(words)
        return _between(day, day + timedelta(days=1))
    at = datetime.fromisoformat(words.upper())
    at_unix_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return Moment(at_unix_s, at_unix_s)


def _month(first: date) -> Moment:
    return _between(first, (first + timedelta(days=32)).replace(day=1))


def _between(first: date, end: date) -> Moment:
    return Moment(*(datetime(one.year, one.month, one.day, tzinfo=UTC).timestamp() for one in (first, end)))

"""Times as people write them: a span before now, a date or a time, or a word for a day, a week, a month."""

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
    """What a text stands for: from its first to after its last moment, which are the same for a time."""

    first_unix_s: float
    end_unix_s: float


def moment(text: str, now_unix_s: float) -> Moment:
    """Read `text`; days, weeks from Monday, months and years are those of UTC.

    Raises:
        ValueError: it is no time; the message lists what is.
    """
    said = re.sub(r"[\s_]+", " ", text.strip().lower())
    try:
        found = _span_before(said, now_unix_s) or _days(said.replace("-", " "), now_unix_s) or _dated(said)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise ValueError(f"{text!r} is no time: write one of {ACCEPTED}")
    return found


def _span_before(said: str, now_unix_s: float) -> Moment | None:
    span = _SPAN.fullmatch(said)
    if said == "now" or span is None:
        return Moment(now_unix_s, now_unix_s) if said == "now" else None
    at_unix_s = max(now_unix_s - float(span[1]) * _UNITS_S[span[2][0]], 0.0)
    return Moment(at_unix_s, at_unix_s)


def _days(said: str, now_unix_s: float) -> Moment | None:
    """The words for days and longer."""
    today = datetime.fromtimestamp(now_unix_s, UTC).date()
    if said in ("today", "yesterday"):
        first = today - timedelta(days=said == "yesterday")
        return _between(first, first + timedelta(days=1))
    if said in DAYS:
        first = today - timedelta(days=(today.weekday() - DAYS.index(said)) % 7)
        return _between(first, first + timedelta(days=1))
    which, _, unit = said.partition(" ")
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


def _dated(said: str) -> Moment:
    """Raises:
    ValueError: it is neither a month nor what ISO 8601 writes.
    """
    month = _MONTH.fullmatch(said)
    if month is not None:
        return _month(date(int(month[1]), int(month[2]), 1))
    if _DAY.fullmatch(said):
        day = date.fromisoformat(said)
        return _between(day, day + timedelta(days=1))
    at = datetime.fromisoformat(said.upper())
    at_unix_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return Moment(at_unix_s, at_unix_s)


def _month(first: date) -> Moment:
    return _between(first, (first + timedelta(days=32)).replace(day=1))


def _between(first: date, end: date) -> Moment:
    return Moment(*(datetime(one.year, one.month, one.day, tzinfo=UTC).timestamp() for one in (first, end)))

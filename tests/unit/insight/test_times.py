"""Times in the words of people: what they stand for, and that a wrong one is answered with what is right."""

from datetime import UTC, datetime

import pytest

from farthing.cli.main import cli
from farthing.cli.since import since_of, span_of
from farthing.insight.times import Moment, moment

NOW_UNIX_S = datetime(2026, 3, 4, 15, 30, tzinfo=UTC).timestamp()  # a Wednesday


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("today", "2026-03-04", "2026-03-05"),
        ("Yesterday ", "2026-03-03", "2026-03-04"),
        ("wednesday", "2026-03-04", "2026-03-05"),
        ("monday", "2026-03-02", "2026-03-03"),
        ("thursday", "2026-02-26", "2026-02-27"),
        ("this week", "2026-03-02", "2026-03-09"),
        ("last-week", "2026-02-23", "2026-03-02"),
        ("this month", "2026-03-01", "2026-04-01"),
        ("last  month", "2026-02-01", "2026-03-01"),
        ("this year", "2026-01-01", "2027-01-01"),
        ("last_year", "2025-01-01", "2026-01-01"),
        ("2026-01-31", "2026-01-31", "2026-02-01"),
        ("2025-12", "2025-12-01", "2026-01-01"),
    ],
)
def test_a_word_or_a_date_is_all_of_its_time(text: str, first: str, end: str) -> None:
    assert moment(text, NOW_UNIX_S) == Moment(utc(first), utc(end))


@pytest.mark.parametrize(
    ("text", "at_unix_s"),
    [
        ("now", NOW_UNIX_S),
        ("90s", NOW_UNIX_S - 90),
        ("30m", NOW_UNIX_S - 1_800),
        ("24h", NOW_UNIX_S - 86_400),
        ("7d", NOW_UNIX_S - 604_800),
        ("2 weeks ago", NOW_UNIX_S - 2 * 604_800),
        ("1.5 hours", NOW_UNIX_S - 5_400),
        ("99999999w", 0.0),
        ("2026-01-31T09:30", utc("2026-01-31T09:30")),
        ("2026-01-31 09:30z", utc("2026-01-31T09:30")),
        ("2026-01-31T09:30+01:00", utc("2026-01-31T08:30")),
    ],
)
def test_a_span_or_a_time_is_one_moment(text: str, at_unix_s: float) -> None:
    assert moment(text, NOW_UNIX_S) == Moment(at_unix_s, at_unix_s)


@pytest.mark.parametrize(
    "text", ["", "soon", "yesterdayish", "last day", "2026-13", "2026-02-30", "7", "-7d"]
)
def test_a_wrong_one_is_answered_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time: write one of 30m, 24h, .*yesterday.*2026-01-31"):
        moment(text, NOW_UNIX_S)


def test_until_takes_a_day_to_its_end_and_is_never_after_now() -> None:
    assert span_of("yesterday", "yesterday", NOW_UNIX_S) == (utc("2026-03-03"), utc("2026-03-04"))
    assert span_of("last week", "last week", NOW_UNIX_S) == (utc("2026-02-23"), utc("2026-03-02"))
    assert span_of("all", "today", NOW_UNIX_S) == (None, NOW_UNIX_S)
    assert span_of("2d", "1d", NOW_UNIX_S) == (NOW_UNIX_S - 172_800, NOW_UNIX_S - 86_400)
    assert since_of("ALL", NOW_UNIX_S) is None


@pytest.mark.parametrize(
    "words",
    [
        ["report", "--since", "today", "--until", "yesterday"],
        ["report", "--until", "soon"],
        ["quality", "--since", "soon"],
        ["drift", "--endpoint", "faq", "--since", "soon"],
        ["policy", "compare", "--endpoint", "faq", "--since", "soon"],
        ["calibrate", "cache", "--endpoint", "faq", "--since", "soon"],
    ],
)
def test_every_command_refuses_a_wrong_time_before_it_reads(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    told = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2
    assert "is not a time: write one of" in told or "is not before --until 'yesterday'" in told

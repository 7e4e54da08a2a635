"""Quiet hours, and a run that happens once whatever restarts in between."""

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import ConfigError
from farthing.jobs.schedule import Answered, Began, Ended, Journal, Lock, due, resumes, window_of

NIGHT = window_of("23:00", "05:30")
assert NIGHT is not None


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def began(window: str, at_unix_s: float = 1.0) -> Began:
    return Began(at_unix_s=at_unix_s, window=window, planned=2, cost_nusd=10, budget_nusd=100)


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        ("2026-03-01T22:59:59", None),
        ("2026-03-01T23:00:00", "2026-03-01T23:00:00"),
        ("2026-03-02T00:10:00", "2026-03-01T23:00:00"),
        ("2026-03-02T05:29:59", "2026-03-01T23:00:00"),
        ("2026-03-02T05:30:00", None),
    ],
)
def test_a_window_may_pass_midnight(now: str, opened: str | None) -> None:
    assert NIGHT is not None
    assert NIGHT.opened(at(now)) == (None if opened is None else at(opened))


def test_equal_times_are_a_whole_day() -> None:
    day = window_of("02:00", "02:00")
    assert day is not None and day.length_s() == 86_400
    assert day.opened(at("2026-03-02T01:59:00")) == at("2026-03-01T02:00:00")


@given(st.times(), st.times(), st.datetimes(min_value=datetime(2000, 1, 3), max_value=datetime(2100, 1, 1)))
def test_an_open_window_shuts_within_a_day_and_a_shut_one_has_nothing_left(begin, end, now) -> None:  # type: ignore[no-untyped-def]
    window = window_of(begin.strftime("%H:%M"), end.strftime("%H:%M"))
    assert window is not None
    opened = window.opened(now)
    left_s = window.left_s(now)
    assert 0 < window.length_s() <= 86_400
    if opened is None:
        assert left_s == 0
    else:
        assert 0 <= (now - opened).total_seconds() < window.length_s()
        assert (now - opened).total_seconds() + left_s == pytest.approx(window.length_s())


@pytest.mark.parametrize(("begin", "end"), [("2:00", "05:00"), ("24:00", "05:00"), ("02:00", ""), ("", "5")])
def test_what_is_no_time_of_day_is_refused_by_name(begin: str, end: str) -> None:
    with pytest.raises(ConfigError, match=r"precompute\.(at|until)"):
        window_of(begin, end)


def test_no_hours_no_run() -> None:
    assert window_of("", "") is None
    assert not due(None, at("2026-03-01T23:30:00"), None, 0.0)


def test_a_run_is_due_once_in_each_window(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    now = at("2026-03-01T23:00:00")
    runs = 0
    for _ in range(4 * 24 * 60):  # four days by the minute
        if due(NIGHT, now, journal.last(), jitter_s=300.0):
            assert NIGHT is not None
            opened = NIGHT.opened(now)
            assert opened is not None and now - opened >= timedelta(minutes=5)
            journal.begin(began(opened.isoformat()))
            journal.add(Ended(at_unix_s=2.0, reason="done"))
            runs += 1
        now += timedelta(minutes=1)
    assert runs == 4


def test_a_run_that_was_cut_goes_on_in_its_window_and_not_in_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(began("2026-03-01T23:00:00"))
    journal.add(Answered(key="a", cost_nusd=7))
    last = Journal(tmp_path).last()  # as the next process reads it
    assert last is not None and last.keys == {"a"} and last.spent_nusd == 7
    assert due(NIGHT, at("2026-03-02T01:00:00"), last, 0.0) and resumes(
        NIGHT, at("2026-03-02T01:00:00"), last
    )
    assert due(NIGHT, at("2026-03-02T23:30:00"), last, 0.0)
    assert not resumes(NIGHT, at("2026-03-02T23:30:00"), last)
    journal.add(Ended(at_unix_s=2.0, reason="budget"))
    assert not due(NIGHT, at("2026-03-02T01:00:00"), journal.last(), 0.0)


def test_half_a_line_at_the_end_of_the_journal_costs_that_line_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(began("w"))
    journal.add(Answered(key="a", cost_nusd=None, error="no_provider"))
    with journal.path.open("ab") as file:
        file.write(b'{"row":"answered","key":"b"')
    last = journal.last()
    assert last is not None and last.keys == {"a"} and last.ended is None


def test_a_journal_that_is_no_journal_is_as_good_as_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.last() is None
    journal.path.write_bytes(b"\x00\xff{}[\n")
    assert journal.last() is None


def test_one_process_holds_the_lock_and_its_death_frees_it(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    assert mine.take() and mine.take() and not other.take()
    mine.release()
    mine.release()
    code = f"""
from pathlib import Path
from farthing.jobs.schedule import Lock
lock = Lock(Path({str(tmp_path)!r}))
print(lock.take(), flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not other.take()
        process.kill()
        process.wait()
        assert other.take() and other.held
    other.release()

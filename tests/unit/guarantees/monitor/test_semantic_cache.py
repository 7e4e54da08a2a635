"""The bound alarms when hits go wrong, seldom otherwise, and comes back only on evidence."""

import asyncio
import itertools
import json
import random
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from farthing.guarantees.monitor import error_rate as bounds
from farthing.guarantees.monitor.file import WatchFile
from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.stats.e_process import alternatives, new_alarm, upper, within
from farthing.types import Semantics

ON = Semantics(mode="on", threshold=0.9, risk_max=0.01, confidence=0.95)


class Clock:
    def __init__(self) -> None:
        self.now_unix_s = 1_000.0

    def __call__(self) -> float:
        return self.now_unix_s


def bound_of(terms: Semantics = ON, clock: Clock | None = None) -> SequentialBound:
    bound = SequentialBound(clock=clock or Clock())
    bound.configure({"faq": terms})
    return bound


def alarmed(rate: float, budget: float, count: int, chance: random.Random, good_first: int = 0) -> int | None:
    """After how many outcomes at `rate` the alarm is raised at 5 %; None: not within `count`."""
    rates, alarm = alternatives(budget), new_alarm(budget)
    for _ in range(good_first):
        alarm.add(chance.random() < budget / 5, budget, rates)
    for number in range(count):
        alarm.add(chance.random() < rate, budget, rates)
        if alarm.value >= 20:
            return number + 1
    return None


# -- evidence ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.01, 0.05])
def test_a_rate_at_its_budget_is_a_false_alarm_at_most_as_often_as_promised(budget: float) -> None:
    chance = random.Random(1)
    false = sum(alarmed(budget, budget, 3_000, chance) is not None for _ in range(200))
    assert false <= 15  # 5 % of 200 are 10; more than 15 has a chance of 4 %, were it exactly 5 %


def test_outcomes_that_depend_on_each_other_are_no_more_false_alarms() -> None:
    chance, budget = random.Random(2), 0.05
    rates, false = alternatives(budget), 0
    for _ in range(200):
        alarm, last, most = new_alarm(budget), False, 1.0
        for _ in range(1_000):  # after a right one the rate is at the budget, after a wrong one it is zero
            last = not last and chance.random() < budget
            alarm.add(last, budget, rates)
            most = max(most, alarm.value)
        false += most >= 20
    assert false <= 15


@pytest.mark.parametrize(("times", "within_outcomes"), [(3, 700), (5, 300), (10, 120)])
def test_a_bad_rate_is_found_soon(times: int, within_outcomes: int) -> None:
    chance = random.Random(3)
    took = sorted(alarmed(0.01 * times, 0.01, 5_000, chance) or 5_000 for _ in range(60))
    assert took[30] <= within_outcomes / 2 and took[50] <= within_outcomes


def test_a_long_good_run_does_not_hide_what_comes_after_it() -> None:
    chance = random.Random(4)
    took = sorted(alarmed(0.1, 0.01, 5_000, chance, good_first=10_000) or 5_000 for _ in range(20))
    assert took[10] <= 200


@pytest.mark.slow
def test_the_upper_bound_holds_at_every_moment_at_once() -> None:
    chance, rate, broken = random.Random(5), 0.03, 0
    for _ in range(300):
        wrong = 0
        for number in range(1, 1_500):
            wrong += chance.random() < rate
            if within(number, wrong, rate, 0.1):
                broken += 1
                break
    assert broken <= 40  # 10 % of 300 are 30; more than 40 has a chance of 2 %


def test_the_upper_bound_is_where_the_bet_is_won() -> None:
    assert upper(0, 0, 0.05) == 1.0
    assert upper(5, 5, 0.05) == 1.0
    for tested, wrong in ((337, 0), (1_000, 3), (5_000, 30), (80, 40)):
        bound = upper(tested, wrong, 0.05)
        assert wrong / tested < bound < 1
        assert within(tested, wrong, bound * 1.001, 0.05)
        assert not within(tested, wrong, bound * 0.999, 0.05)
    assert upper(337, 0, 0.05) <= 0.01 < upper(336, 0, 0.05)


# -- the bound --------------------------------------------------------------------------------------


def test_an_endpoint_whose_hits_go_wrong_retreats_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    bound, chance = bound_of(), random.Random(6)
    for number in range(500):
        bound.note("faq", b"p%d" % number, False)
    assert bound.allows("faq", b"x")
    count = 0
    while bound.allows("faq", b"x"):
        bound.note("faq", b"q%d" % count, chance.random() < 0.2)
        count += 1
        assert count < 200
    state = bound.states()["faq"]
    assert state.retreated and state.since_unix_s == 1_000.0
    assert "of the last 60" in state.reason and "the bound is 0.01 at 0.95" in state.reason
    assert "the semantic cache of 'faq' has tripped the monitor and serves only exact hits" in caplog.text
    assert state.reason in caplog.text


def test_a_bad_partition_retreats_alone() -> None:
    bound = bound_of()
    for number in range(3_000):
        bound.note("faq", b"good%d" % (number % 50), False)
    while bound.allows("faq", b"bad"):
        bound.note("faq", b"bad", True)
        assert bound.states()["faq"].wrong < 10
    assert bound.allows("faq", b"good1") and bound.allows("faq", b"never seen")
    assert not bound.states()["faq"].retreated and bound.states()["faq"].partitions_retreated == 1


@pytest.mark.slow
def test_many_small_partitions_together_are_no_more_false_alarms() -> None:
    chance, false = random.Random(7), 0
    terms = Semantics(mode="on", threshold=0.9, risk_max=0.05, confidence=0.9)
    for _ in range(60):
        bound = bound_of(terms)
        for _ in range(1_500):
            bound.note("faq", b"p%d" % chance.randrange(300), chance.random() < 0.05)
        state = bound.states()["faq"]
        false += state.retreated or state.partitions_retreated > 0
    assert false <= 11  # 10 % of 60 are 6; more than 11 has a chance of 1 %


def test_it_comes_back_on_fresh_audits_and_each_time_it_takes_more(caplog: pytest.LogCaptureFixture) -> None:
    bound = bound_of()
    needed = []
    names = itertools.count()
    for _ in range(2):
        while bound.allows("faq", b"p"):
            bound.note("faq", b"p%d" % next(names), True)
        count = 0
        while not bound.allows("faq", b"p"):
            bound.note("faq", b"p%d" % next(names), False)
            count += 1
        needed.append(count)
    assert needed == [409, 523]
    assert "serves again" in caplog.text and "fresh audits" in caplog.text
    assert not bound.states()["faq"].retreated


def test_fresh_audits_that_are_wrong_too_keep_it_away() -> None:
    bound, chance = bound_of(), random.Random(8)
    while bound.allows("faq", b"p"):
        bound.note("faq", b"p", True)
    for _ in range(3_000):
        bound.note("faq", b"p", chance.random() < 0.02)
    assert not bound.allows("faq", b"p")


def test_a_newer_certificate_ends_a_retreat_and_an_older_one_does_not() -> None:
    clock = Clock()
    bound = bound_of(clock=clock)
    while bound.allows("faq", b"p"):
        bound.note("faq", b"p", True)
    bound.certified("faq", clock.now_unix_s - 1)
    assert not bound.allows("faq", b"p")
    bound.certified("faq", clock.now_unix_s + 1)
    assert bound.allows("faq", b"p")
    while bound.allows("faq", b"p"):
        bound.note("faq", b"p", True)
    bound.certified("faq", clock.now_unix_s + 1)  # the same one again, at a reload
    assert not bound.allows("faq", b"p")


def test_an_endpoint_that_observes_is_counted_and_not_tested() -> None:
    bound = bound_of(Semantics(mode="observe"))
    for _ in range(100):
        bound.note("faq", b"p", True)
    assert bound.states()["faq"].wrong == 100 and not bound.states()["faq"].retreated


def test_an_endpoint_without_terms_serves_nothing_and_keeps_nothing() -> None:
    bound = bound_of()
    bound.note("other", b"p", True)
    assert not bound.allows("other", b"p") and set(bound.states()) == {"faq"}
    bound.configure({})
    assert not bound.allows("faq", b"p") and bound.states() == {}


def test_other_terms_begin_the_tests_anew_and_end_no_retreat() -> None:
    bound = bound_of()
    for _ in range(1_000):
        bound.note("faq", b"p", False)
    bound.configure({"faq": ON})
    assert bound.states()["faq"].audits == 1_000
    bound.configure({"faq": Semantics(mode="on", threshold=0.8)})
    assert bound.states()["faq"].audits == 0
    while bound.allows("faq", b"p"):
        bound.note("faq", b"p", True)
    bound.configure({"faq": Semantics(mode="on", threshold=0.99)})
    assert not bound.allows("faq", b"p")


# -- late outcomes ----------------------------------------------------------------------------------


def test_outcomes_are_tested_in_the_order_in_which_audits_were_drawn() -> None:
    at_once, late = bound_of(), bound_of()
    chance = random.Random(9)
    outcomes = [chance.random() < 0.01 for _ in range(300)]
    for wrong in outcomes:
        at_once.note("faq", b"p", wrong)
    judged = [number for number, wrong in enumerate(outcomes) if wrong or number % 5 == 0]
    for number, wrong in enumerate(outcomes):
        late.note("faq", b"p", None if number in judged else wrong, audit=f"r{number}")
    for number in judged:  # a judge that was down tells all of them in one go
        late.note("faq", b"p", outcomes[number], audit=f"r{number}")
    assert late.states() == at_once.states()
    assert json.loads(late.dump()) == json.loads(at_once.dump())


@pytest.mark.slow
def test_a_burst_of_late_bad_outcomes_is_no_false_alarm() -> None:
    """1 % are wrong, and all of those wait for the judge: told when it speaks, a burst looks like 30 %."""
    chance, false = random.Random(10), 0
    for _ in range(40):
        bound, waiting = bound_of(), []
        for number in range(2_000):
            wrong = chance.random() < 0.01
            if wrong or chance.random() < 0.02:
                bound.note("faq", b"p", None, audit=f"r{number}")
                waiting.append((number, wrong))
            else:
                bound.note("faq", b"p", False)
            if number % 400 == 399:
                for asked, outcome in waiting:
                    bound.note("faq", b"p", outcome, audit=f"r{asked}")
                waiting.clear()
        false += not bound.allows("faq", b"p")
    assert false <= 5


def test_an_audit_that_nobody_judges_is_lost_after_a_while_and_counts_as_wrong_in_what_is_told() -> None:
    clock = Clock()
    bound = bound_of(clock=clock)
    bound.note("faq", b"p", None, audit="r1")
    bound.note("faq", b"p", False)
    assert (bound.states()["faq"].audits, bound.states()["faq"].open) == (0, 1)
    clock.now_unix_s += bounds.WAIT_S + 1
    bound.note("faq", b"p", False)
    state = bound.states()["faq"]
    assert (state.audits, state.wrong, state.open, state.lost) == (2, 0, 0, 1)
    assert state.upper == upper(3, 1, 0.05)
    bound.note("faq", b"p", True, audit="r1")  # too late for its place, not for the test
    assert bound.states()["faq"].wrong == 1
    bound.note("faq", b"p", None, audit="r2")
    bound.note("faq", b"p", None, audit="r2")  # the judge failed
    assert bound.states()["faq"].lost == 2


def test_what_waits_is_bounded() -> None:
    bound = bound_of()
    for number in range(2_000):
        bound.note("faq", b"p", None, audit=f"r{number}")
    assert bound.states()["faq"].open <= bounds.WAITING_MAX


# -- memory -----------------------------------------------------------------------------------------


def test_partitions_are_bounded_and_one_that_retreated_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "PARTITIONS_MAX", 10)
    bound = bound_of()
    for number in range(2_000):
        bound.note("faq", b"good%d" % (number % 5), False)
    while bound.allows("faq", b"bad"):
        bound.note("faq", b"bad", True)
    for number in range(500):
        bound.note("faq", b"other%d" % number, False)
    assert bound.states()["faq"].partitions == 10
    assert not bound.allows("faq", b"bad")


def test_with_too_many_bad_partitions_the_endpoint_retreats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "TRIPPED_MAX", 2)
    bound = bound_of()
    for number in range(20_000):
        bound.note("faq", b"good%d" % (number % 5), False)
    for name in (b"a", b"b", b"c"):
        while bound.allows("faq", name):
            bound.note("faq", name, True)
        if bound.states()["faq"].retreated:
            break
        for number in range(2_000):
            bound.note("faq", b"good%d" % (number % 5), False)
            bound.note("faq", name, number % 2 == 0)  # only observed there, so no fault of the endpoint's
    assert bound.states()["faq"].retreated and "3 partitions" in bound.states()["faq"].reason


# -- keeping ----------------------------------------------------------------------------------------


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state" / "semantic-bound.json"
    bound, chance = bound_of(), random.Random(11)
    for number in range(800):
        bound.note("faq", b"p%d" % (number % 40), chance.random() < 0.005)
    while bound.allows("faq", b"bad"):
        bound.note("faq", b"bad", True)
    WatchFile(bound, path).save()
    again = SequentialBound(clock=Clock())
    WatchFile(again, path).open()
    again.configure({"faq": ON})
    assert again.states() == bound.states()
    assert again.allows("faq", b"bad") == bound.allows("faq", b"bad") is False
    for one in (bound, again):
        for _ in range(30):
            one.note("faq", b"p1", True)
    assert again.states() == bound.states()


def test_the_state_file_keeps_its_field_names() -> None:
    kept = json.loads(bound_of().dump())["endpoints"]["faq"]
    assert kept["budget"] == 0.01 and "part_budget" in kept and "retreated_unix_s" in kept["trial"]


def test_a_retreat_outlives_a_restart_under_other_terms(tmp_path: Path) -> None:
    bound = bound_of()
    while bound.allows("faq", b"p"):
        bound.note("faq", b"p", True)
    again = SequentialBound(clock=Clock())
    again.restore(bound.dump())
    again.configure({"faq": Semantics(mode="on", threshold=0.5, risk_max=0.1)})
    assert not again.allows("faq", b"p")


def test_a_write_that_the_last_one_has_overtaken_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.stores.state_file.SAVE_S", 0.01)
    bound, slow = bound_of(), threading.Event()
    file = WatchFile(bound, tmp_path / "b.json")
    threads: list[threading.Thread] = []

    def late(function: Callable[..., None], *given: object) -> Awaitable[None]:
        """As a pool whose disk is busy: it begins to write when the process has saved for the last time."""

        def write() -> None:
            slow.wait(60)
            function(*given)

        threads.append(threading.Thread(target=write))
        threads[-1].start()
        return asyncio.sleep(60)

    monkeypatch.setattr("farthing.stores.state_file.asyncio.to_thread", late)

    async def main() -> None:
        task = asyncio.create_task(file.run())
        bound.note("faq", b"p", False)
        while not threads:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
        bound.note("faq", b"p", True)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    slow.set()
    threads[0].join()
    again = SequentialBound(clock=Clock())
    WatchFile(again, tmp_path / "b.json").open()
    assert again.states()["faq"].wrong == 1


def test_the_task_saves_what_changed_and_once_more_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.stores.state_file.SAVE_S", 0.01)
    bound = bound_of()
    file = WatchFile(bound, tmp_path / "b.json")

    async def main() -> None:
        task = asyncio.create_task(file.run())
        bound.note("faq", b"p", False)
        async with asyncio.timeout(60):
            while not (tmp_path / "b.json").exists():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
        bound.note("faq", b"p", True)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    again = SequentialBound(clock=Clock())
    WatchFile(again, tmp_path / "b.json").open()
    assert again.states()["faq"].wrong == 1
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":99,"endpoints":{}}', b"\xff\xfe"])
def test_a_damaged_file_is_put_aside_and_told(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(damage)
    bound = SequentialBound(clock=Clock())
    WatchFile(bound, path).open()
    assert bound.states() == {} and not path.exists()
    assert (tmp_path / "b.damaged").read_bytes() == damage
    assert "counted from zero" in caplog.text


def test_a_disk_that_fails_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    bound = bound_of()
    WatchFile(bound, tmp_path / "file" / "b.json").save()
    assert "cannot be written" in caplog.text and bound.changed

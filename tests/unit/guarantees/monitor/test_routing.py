"""Routing goes back to the expensive tier when audits say so, seldom otherwise, and by segment."""

import random

import msgspec
import pytest
from tests.unit.guarantees.calibrate.test_routing import NOW, calibrated, mixed

from farthing.guarantees.certificates.routing import RouteCertificate
from farthing.guarantees.monitor.routing import RouteMonitor


def certificate(**changes: object) -> RouteCertificate:
    made = calibrated(mixed(1_000, bad=0.0)).certificate
    assert made is not None
    return msgspec.structs.replace(made, **changes)


class Clock:
    def __init__(self) -> None:
        self.now_unix_s = NOW + 1

    def __call__(self) -> float:
        return self.now_unix_s


def watching(seed: int = 1, clock: Clock | None = None) -> RouteMonitor:
    watch = RouteMonitor(clock=clock or Clock(), draw=random.Random(seed).random)
    watch.follow({"faq": certificate()})
    return watch


def test_without_a_certificate_nothing_goes_cheap() -> None:
    watch = watching()
    assert watch.may_go_cheap("faq", "task=qa") and not watch.may_go_cheap("other")
    watch.follow({})
    assert not watch.may_go_cheap("faq", "task=qa")


@pytest.mark.slow
def test_within_the_bound_it_retreats_in_few_runs_however_often_one_looks() -> None:
    alarms = 0
    for seed in range(60):
        watch, chance = watching(seed), random.Random(seed)
        for _ in range(2_000):
            watch.lost("faq", float(chance.random() < 0.02), segment=chance.choice(["task=qa", "task=code"]))
            if not watch.may_go_cheap("faq", "never seen"):
                alarms += 1
                break
    assert alarms / 60 <= 0.1


def test_over_the_bound_it_retreats_says_so_and_comes_back_with_a_new_certificate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    watch, chance = watching(clock=clock), random.Random(2)
    count = 0
    while watch.may_go_cheap("faq", "task=qa"):
        watch.lost("faq", float(chance.random() < 0.10), segment=f"task={count}")
        count += 1
    assert count < 400
    assert "the routing of 'faq' has tripped the monitor and goes to the expensive tier" in caplog.text
    assert "audited requests" in watch.states()["faq"].reason
    watch.follow({"faq": certificate()})  # the same one again changes nothing
    assert not watch.may_go_cheap("faq", "task=qa")
    watch.follow({"faq": certificate(made_unix_s=clock.now_unix_s + 60)})
    assert watch.may_go_cheap("faq", "task=qa")


def test_one_hurt_segment_retreats_alone_and_is_held_to_its_own_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch, chance = watching(), random.Random(3)
    for _ in range(6_000):
        segment = chance.choices(["task=qa", "task=law", "task=code"], [0.92, 0.04, 0.04])[0]
        rate = {"task=qa": 0.0, "task=law": 0.04, "task=code": 0.4}[segment]
        watch.lost("faq", float(chance.random() < rate), segment=segment)
    assert not watch.may_go_cheap("faq", "task=code")
    # over the endpoint's 2 %, and within the 6 % of a segment
    assert watch.may_go_cheap("faq", "task=law") and watch.may_go_cheap("faq", "task=qa")
    assert "in segment task=code" in caplog.text and "the bound is 0.06" in caplog.text


def test_a_graded_loss_counts_with_its_mean() -> None:
    watch = watching(4)
    for _ in range(4_000):
        watch.lost("faq", 0.1)
    assert not watch.may_go_cheap("faq")
    other = watching(5)
    for _ in range(4_000):
        other.lost("faq", 0.01)
    state = other.states()["faq"]
    assert other.may_go_cheap("faq") and 15 < state.wrong < 70


def test_losses_told_late_are_tested_in_the_order_of_drawing() -> None:
    watch = watching()
    for number in range(60):
        watch.opened("faq", f"a{number}", "task=qa")
        watch.lost("faq", 0.0, segment="task=qa")
    assert watch.states()["faq"].open == 60 and watch.states()["faq"].audits == 0
    for number in range(60):
        watch.lost("faq", 1.0 if number == 59 else 0.0, segment="task=qa", audit=f"a{number}")
    state = watch.states()["faq"]
    assert (state.open, state.audits, state.wrong) == (0, 120, 1)
    watch.opened("faq", "gone")
    watch.lost("faq", None, audit="gone")
    watch.lost("faq", None)
    assert watch.states()["faq"].lost == 1 and watch.states()["faq"].audits == 120


def test_what_is_known_survives_a_restart() -> None:
    watch = watching()
    while watch.may_go_cheap("faq", "task=code"):
        watch.lost("faq", 1.0, segment="task=code")
        watch.lost("faq", 0.0, segment="task=qa")
    again = RouteMonitor(clock=Clock())
    again.restore(watch.dump())
    again.follow({"faq": certificate()})
    assert not again.may_go_cheap("faq", "task=code")
    assert again.states() == watch.states()


def test_a_request_of_several_segments_counts_once_for_the_endpoint_and_once_in_each() -> None:
    watch = watching()
    for number in range(30):
        watch.lost("faq", 0.0, segment="task=qa", also=("language=en", f"domain={number % 3}"))
    state = watch.states()["faq"]
    assert (state.audits, state.partitions) == (30, 5)
    watch.opened("faq", "a1", "task=qa", also=("language=en",))
    watch.lost("faq", 1.0, segment="task=qa", also=("language=en",), audit="a1")
    assert (watch.states()["faq"].audits, watch.states()["faq"].wrong) == (31, 1)


def test_what_a_retreated_segment_loses_is_held_against_no_other() -> None:
    watch, chance = watching(), random.Random(6)
    for _ in range(4_000):
        code = chance.random() < 0.03
        loss = float(code and chance.random() < 0.5)
        watch.lost("faq", loss, segment="task=code" if code else "task=qa", also=("language=en",))
    assert not watch.may_go_cheap("faq", "task=code", "language=en")
    assert watch.may_go_cheap("faq", "task=qa", "language=en")

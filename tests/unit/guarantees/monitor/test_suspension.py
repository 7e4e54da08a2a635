"""Certificates are suspended where the model behind them changes, until they are measured again."""

from tests.certified import certificate

from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.types import Semantics

CHANGED_S, WHY = 2_000.0, "another model"


class Clock:
    now_s = 3_000.0

    def __call__(self) -> float:
        return self.now_s


def monitor(made_unix_s: float = 1_000.0) -> RouteMonitor:
    found = RouteMonitor(clock=Clock(), draw=lambda: 0.5)
    found.follow({"faq@1": certificate(made_unix_s=made_unix_s)})
    return found


def test_a_certificate_that_is_older_than_the_change_is_suspended_once() -> None:
    watch = monitor()
    assert watch.may_go_cheap("faq@1") and watch.suspension("faq@1") == ""
    assert watch.suspend("faq@1", WHY, CHANGED_S)
    assert not watch.may_go_cheap("faq@1") and watch.suspension("faq@1") == WHY
    assert not watch.suspend("faq@1", WHY, CHANGED_S)
    assert not watch.suspend("other@1", WHY, CHANGED_S)


def test_one_made_after_the_change_is_not_and_a_new_one_ends_it() -> None:
    assert not monitor(made_unix_s=2_500.0).suspend("faq@1", WHY, CHANGED_S)
    watch = monitor()
    watch.suspend("faq@1", WHY, CHANGED_S)
    watch.follow({"faq@1": certificate(made_unix_s=1_500.0)})
    assert not watch.may_go_cheap("faq@1"), "made before the change"
    watch.follow({"faq@1": certificate(made_unix_s=2_500.0)})
    assert watch.may_go_cheap("faq@1") and watch.suspension("faq@1") == ""
    assert not watch.suspend("faq@1", WHY, CHANGED_S)


def test_outcomes_of_audits_drawn_before_the_change_count_for_nothing() -> None:
    watch = monitor()
    for number in range(100):
        watch.opened("faq@1", f"r{number}")
    watch.suspend("faq@1", WHY, CHANGED_S)
    for number in range(100):
        watch.lost("faq@1", 0.0, audit=f"r{number}")
    assert watch.states()["faq@1"].fresh == 0
    watch.lost("faq@1", 0.0)
    assert watch.states()["faq@1"].fresh == 1


def test_outcomes_since_the_change_end_it_when_they_are_enough() -> None:
    watch = monitor()
    watch.suspend("faq@1", WHY, CHANGED_S)
    for _ in range(1_000):
        watch.lost("faq@1", 0.0)
    assert watch.may_go_cheap("faq@1")
    assert not watch.suspend("faq@1", WHY, CHANGED_S), "measured since, so not for the same change again"
    assert watch.suspend("faq@1", WHY, CHANGED_S + 1.0)


def test_it_outlives_a_restart() -> None:
    watch = monitor()
    watch.suspend("faq@1", WHY, CHANGED_S)
    after = RouteMonitor(clock=Clock())
    after.restore(watch.dump())
    after.follow({"faq@1": certificate(made_unix_s=1_000.0)})
    assert after.suspension("faq@1") == WHY and not after.suspend("faq@1", WHY, CHANGED_S)


def test_a_semantic_cache_without_a_certificate_is_not_suspended() -> None:
    bound = SequentialBound(clock=Clock())
    bound.configure({"faq": Semantics(mode="on", threshold=0.9), "own": Semantics(mode="on", threshold=0.9)})
    bound.certified("faq", 1_000.0)
    assert bound.suspend("faq", WHY, CHANGED_S) and not bound.suspend("own", WHY, CHANGED_S)
    assert not bound.allows("faq", b"p") and bound.allows("own", b"p")

"""What every `HitMonitor` promises."""

import random
from collections.abc import Callable

import pytest

from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.protocols import HitMonitor
from farthing.types import Semantics


def sequential() -> HitMonitor:
    bound = SequentialBound(clock=lambda: 0.0)
    bound.configure({"faq": Semantics(mode="on", threshold=0.9, risk_max=0.02, confidence=0.95)})
    return bound


@pytest.fixture(params=[sequential], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[], HitMonitor]:
    made: Callable[[], HitMonitor] = request.param
    return made


def test_it_serves_until_it_knows_better(make: Callable[[], HitMonitor]) -> None:
    bound = make()
    assert bound.allows("faq", b"p")
    bound.note("faq", b"p", False)
    assert bound.allows("faq", b"p")


def test_wrong_answers_end_it(make: Callable[[], HitMonitor]) -> None:
    bound = make()
    for _ in range(100):
        bound.note("faq", b"p", True)
    assert not bound.allows("faq", b"p")


def test_right_answers_never_end_it(make: Callable[[], HitMonitor]) -> None:
    bound = make()
    for number in range(5_000):
        bound.note("faq", b"p%d" % (number % 7), False)
        assert bound.allows("faq", b"p%d" % (number % 7))


def test_the_order_of_calls_is_free(make: Callable[[], HitMonitor]) -> None:
    bound, chance = make(), random.Random(1)
    for _ in range(2_000):
        partition = b"p%d" % chance.randrange(5)
        if chance.random() < 0.5:
            assert isinstance(bound.allows("faq", partition), bool)
        else:
            bound.note("faq", partition, chance.random() < 0.1)

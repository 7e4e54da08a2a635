"""When a call is hedged."""

from typing import Any

import pytest
from tests.asking import asked

from farthing.models.hedging.terms import SAMPLES_MIN, FirstTimes, HedgeTerms, Hedging
from farthing.types import Endpoint, Receipt, Request, Sent

LEARNT, FIXED = HedgeTerms(), HedgeTerms(0.8)


def receipt(**more: Any) -> Receipt:
    return Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, **more)


def test_what_an_endpoint_says_overrides_its_tier() -> None:
    hedging = Hedging({"chat": FIXED, "never": None}, {"cheap": LEARNT})
    for name, tier, terms in (
        ("chat", "cheap", FIXED),
        ("chat", "expensive", FIXED),
        ("never", "cheap", None),
        ("other", "cheap", LEARNT),
        ("other", "expensive", None),
    ):
        request = asked(endpoint=Endpoint(name=name))
        assert hedging.terms(request, receipt(), tier) is terms


SENT = Sent(dialect="responses", raw=b"{}", body={"tools": [{"type": "file_search"}]}, read={})


@pytest.mark.parametrize(
    ("request_", "about"),
    [
        (asked(operation="images/generations"), receipt()),
        (asked(operation="embeddings"), receipt()),
        (asked(), receipt(purpose="judge")),
        (asked(body={"model": "m", "store": True}), receipt()),
        (asked(body={"model": "m", "tools": [{"type": "code_interpreter"}]}), receipt()),
        (asked(sent=SENT), receipt()),
    ],
)
def test_what_may_have_effects_of_its_own_is_never_hedged(request_: Request, about: Receipt) -> None:
    hedging = Hedging({"default": FIXED}, {})
    assert hedging.terms(request_, about, "") is None
    tools = [{"type": "function", "function": {"name": "f"}}, {"name": "of_messages", "input_schema": {}}]
    assert hedging.terms(asked(body={"model": "m", "tools": tools}), receipt(), "") is FIXED


def test_the_usual_time_is_that_of_95_of_100_and_unknown_before_there_were_some() -> None:
    times = FirstTimes()
    for number in range(SAMPLES_MIN - 1):
        times.took(float(number))
    assert times.usual_s is None
    times = FirstTimes()
    for number in range(1_000):
        times.took(5.0 if number % 20 == 0 else 0.2)
    assert times.usual_s == 5.0 or times.usual_s == 0.2
    for _ in range(100):
        times.took(1.0)
    assert times.usual_s == 1.0


def test_streams_and_whole_answers_are_learnt_apart() -> None:
    hedging = Hedging({}, {"t": LEARNT})
    for _ in range(SAMPLES_MIN):
        hedging.took("p/m", 0.5, stream=True)
    assert hedging.after_s(LEARNT, "p/m", stream=True) == 0.5
    assert hedging.after_s(LEARNT, "p/m", stream=False) is None
    assert hedging.after_s(FIXED, "p/m", stream=False) == 0.8

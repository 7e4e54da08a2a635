"""What a stream that broke is booked at, where its usage lacks a count."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from farthing.models.call import Caller, CallResult
from farthing.types import Attempt, Pass, Price, Prompt, Target, Usage

PRICE = Price(since="0000-00-00", input_pusd=2_500_000, output_pusd=10_000_000)
PROMPT = Prompt(
    body={"messages": [{"role": "user", "content": "a b c " * 800}]},
    stream=True,
    input_tokens=1_200,
    input_tokens_bound=4_800,
    output_tokens_max=None,
)


def booked(usage: Usage | None) -> Attempt:
    target = Target(name="a/b", provider="a", model="b", price=PRICE)
    attempt = Attempt(target="a/b", tier="cheap", started_ms=0)
    result = CallResult(target, attempt, cast(Any, None))
    reader = SimpleNamespace(chunks=50, text_chars=200, done=False, usage_event=b"{}", states_nothing=False)
    result.stream = cast(Any, SimpleNamespace(usage=usage, reader=reader))
    Caller._failed_cost(cast(Any, SimpleNamespace(_sizes=None)), result, PROMPT, None)
    return attempt


@pytest.mark.parametrize(
    "usage", [None, Usage(output_tokens=50, estimated=True), Usage(input_tokens=1_200, estimated=True)]
)
def test_the_count_that_is_missing_is_estimated(usage: Usage | None) -> None:
    attempt = booked(usage)
    assert attempt.usage is not None and attempt.usage.estimated
    assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (1_200, 50)
    assert attempt.cost_nusd == 1_200 * 2_500 + 50 * 10_000


def test_what_came_of_several_runs_is_charged_beside_them() -> None:
    runs = (Pass(usage=Usage(input_tokens=3)), Pass(usage=Usage(input_tokens=4)))
    attempt = booked(Usage(input_tokens=7, estimated=True, passes=runs))
    assert attempt.cost_nusd == 7 * 2_500 + 50 * 10_000

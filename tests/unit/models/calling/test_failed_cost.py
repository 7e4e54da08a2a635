"""What a stream that broke is booked at, where its usage lacks a count."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from farthing.errors import ProviderBusy, ProviderError, ProviderTimeout, ProviderUnavailable
from farthing.models.calling.failed_cost import book_failed
from farthing.models.calling.request import CallResult
from farthing.types import Attempt, Pass, Price, Prompt, Target, Usage

PRICE = Price(since="0000-00-00", input_pusd=2_500_000, output_pusd=10_000_000)
PROMPT = Prompt(
    body={"messages": [{"role": "user", "content": "a b c " * 800}]},
    stream=True,
    input_tokens=1_200,
    input_tokens_bound=4_800,
    output_tokens_max=None,
)


def booked(
    usage: Usage | None, error: ProviderError | None = None, *, streams: bool = True, **read: Any
) -> Attempt:
    """`read`: what the reader knows, beside what is said here, of the stream that broke."""
    target = Target(name="a/b", provider="a", model="b", price=PRICE)
    attempt = Attempt(target="a/b", tier="cheap", started_ms=0)
    result = CallResult(target, attempt, cast(Any, None))
    known = {"chunks": 50, "text_chars": 200, "done": False, "usage_event": b"{}", "states_nothing": False}
    if streams:
        reader = SimpleNamespace(**{**known, **read})
        result.stream = cast(Any, SimpleNamespace(usage=usage, counted=False, reader=reader))
    book_failed(result, PROMPT, error, None)
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


@pytest.mark.parametrize("streams", [False, True])
def test_what_was_refused_or_never_sent_costs_nothing(streams: bool) -> None:
    unsent = ProviderUnavailable("no connection")
    unsent.sent = False
    for error in (ProviderBusy("busy", upstream_status=429), unsent):
        attempt = booked(None, error, streams=streams)
        assert (attempt.cost_nusd, attempt.usage) == (0, None)


def test_what_was_sent_and_not_answered_may_have_been_worked_on_and_costs_its_prompt() -> None:
    for error in (None, ProviderTimeout("silent"), ProviderUnavailable("reset", nothing_received=True)):
        assert booked(None, error, streams=False).cost_nusd == 1_200 * 2_500


def test_what_was_counted_on_the_way_counts_the_prompt_alone() -> None:
    on_the_way = Usage(input_tokens=900, output_tokens=1)
    assert booked(on_the_way, usage_event=None).cost_nusd == 900 * 2_500 + 50 * 10_000
    assert booked(on_the_way, usage_event=None, done=True).cost_nusd == 900 * 2_500 + 1 * 10_000
    assert booked(on_the_way).cost_nusd == 900 * 2_500 + 1 * 10_000


def test_noughts_of_an_answer_in_which_nothing_is_said_count() -> None:
    nothing: dict[str, Any] = {"chunks": 0, "text_chars": 0, "states_nothing": True}
    assert booked(None, **nothing).cost_nusd == 0
    assert booked(Usage(estimated=True), **nothing).cost_nusd == 0

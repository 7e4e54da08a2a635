"""What every Contract does. A new contract is one more line in CONTRACTS."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.contract.memory import MemoryContract
from farthing.errors import ContractExceeded
from farthing.protocols import Contract, Hold
from farthing.types import Endpoint, Prompt, Terms

CONTRACTS: dict[str, Callable[[Callable[[], float]], Contract]] = {
    "memory": lambda clock: MemoryContract(clock=clock),
}
PROMPT = Prompt(body={}, input_tokens=100, input_tokens_bound=400, output_tokens_max=None, stream=False)


class Case:
    def __init__(self, name: str) -> None:
        self.now_s = 50.0
        self.contract = CONTRACTS[name](lambda: self.now_s)

    def reserve(self, session: str | None = None, **terms: Any) -> Hold:
        endpoint = Endpoint(name="e", terms=Terms(**terms))
        return self.contract.reserve(asked(endpoint=endpoint, session=session, received_s=50.0), PROMPT)


@pytest.fixture(params=CONTRACTS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def limit_of(work: Callable[[], object]) -> str:
    with pytest.raises(ContractExceeded) as refused:
        work()
    assert refused.value.limit in str(refused.value)
    return refused.value.limit


def test_without_terms_nothing_is_limited_and_no_price_is_needed(case: Case) -> None:
    hold = case.reserve()
    for _ in range(100):
        hold.call(None)
    assert hold.left_s is None and hold.left_nusd is None and hold.left_calls is None
    hold.settle(None)
    hold.settle(5)


def test_calls_are_counted_before_they_are_made(case: Case) -> None:
    hold = case.reserve(calls_max=2)
    assert hold.left_calls == 2
    hold.call(None)
    hold.call(None)
    assert hold.left_calls == 0
    assert limit_of(lambda: hold.call(None)) == "calls_max"


def test_money_is_held_at_the_worst_case(case: Case) -> None:
    hold = case.reserve(usd_max_nusd=100)
    hold.call(60)
    assert hold.left_nusd == 40
    assert limit_of(lambda: hold.call(41)) == "usd_max"
    hold.call(40)


def test_a_call_of_unknown_price_is_refused_under_a_limit_of_money(case: Case) -> None:
    hold = case.reserve(usd_max_nusd=100)
    with pytest.raises(ContractExceeded, match="price of the model, or of what was asked of it") as refused:
        hold.call(None)
    assert refused.value.limit == "usd_max"


def test_a_refused_call_holds_and_counts_nothing(case: Case) -> None:
    hold = case.reserve(usd_max_nusd=100, calls_max=1)
    assert limit_of(lambda: hold.call(101)) == "usd_max"
    hold.call(100)


def test_the_deadline_counts_from_the_arrival_of_the_request(case: Case) -> None:
    case.now_s = 53.0
    hold = case.reserve(deadline_s=8.0)
    assert hold.left_s == 5.0
    case.now_s = 58.0
    assert limit_of(lambda: hold.call(0)) == "deadline_s"
    assert limit_of(lambda: case.reserve(deadline_s=8.0)) == "deadline_s"


def test_a_prompt_that_is_too_long_is_refused_before_anything_is_spent(case: Case) -> None:
    case.reserve(input_tokens_max=400)
    assert limit_of(lambda: case.reserve(input_tokens_max=50)) == "input_tokens_max"


def test_settling_gives_back_what_was_not_spent_once(case: Case) -> None:
    first = case.reserve(session="s", usd_max_nusd=100)
    first.call(80)
    first.settle(30)
    first.settle(0)
    assert case.reserve(session="s", usd_max_nusd=100).left_nusd == 70


def test_an_unknown_outcome_is_settled_at_the_worst_case(case: Case) -> None:
    first = case.reserve(session="s", usd_max_nusd=100)
    first.call(80)
    first.settle(None)
    assert case.reserve(session="s", usd_max_nusd=100).left_nusd == 20


_WORK = st.lists(
    st.tuples(st.integers(0, 60), st.none() | st.integers(0, 60), st.booleans()), min_size=1, max_size=20
)


@pytest.mark.parametrize("name", CONTRACTS)
@given(work=_WORK)
def test_a_session_never_spends_more_than_its_limit(
    name: str, work: list[tuple[int, int | None, bool]]
) -> None:
    """Calls cost at most their worst case; some settle at once, others only after all the rest."""
    case, spent, late = Case(name), 0, list[tuple[Hold, int]]()
    for worst, cost, at_once in work:
        try:
            hold = case.reserve(session="s", usd_max_nusd=100)
            hold.call(worst)
        except ContractExceeded:
            continue
        actual = worst if cost is None else min(cost, worst)
        spent += actual
        if at_once:
            hold.settle(None if cost is None else actual)
        else:
            late.append((hold, actual))
    for hold, actual in late:
        hold.settle(actual)
    assert spent <= 100
    assert case.reserve(session="s", usd_max_nusd=100).left_nusd == 100 - spent

"""The finer points of the memory contract: sessions, the length of a prompt, what costs nothing."""

from typing import Any

import pytest
from tests.asking import ACME, asked

from farthing.brain.contract.memory import MemoryContract
from farthing.errors import ContractExceeded
from farthing.types import Endpoint, Prompt, Request, Tenant, Terms, TokenCount


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def prompt(tokens: int = 10, bound: int | None = None) -> Prompt:
    return Prompt(
        body={},
        input_tokens=tokens,
        input_tokens_bound=tokens * 8 if bound is None else bound,
        output_tokens_max=None,
        stream=False,
    )


def under(terms: Terms, *, endpoint: str = "e", **changes: Any) -> Request:
    return asked(endpoint=Endpoint(name=endpoint, terms=terms), **{"received_s": 100.0, **changes})


def test_without_limits_every_request_gets_the_same_hold() -> None:
    contract = MemoryContract()
    first = contract.reserve(asked(), prompt())
    assert contract.reserve(under(Terms(target_s=1.0, output_tokens_max=5)), prompt()) is first


def test_calls_and_money_of_a_session_are_shared() -> None:
    contract = MemoryContract(clock=Clock())
    terms = Terms(calls_max=2, usd_max_nusd=100)
    first = contract.reserve(under(terms, session="s"), prompt())
    first.call(40)
    first.settle(30)
    second = contract.reserve(under(terms, session="s"), prompt())
    assert second.left_nusd == 70
    second.call(60)
    second.settle(None)
    with pytest.raises(ContractExceeded) as refused:
        contract.reserve(under(terms, session="s"), prompt())
    assert refused.value.limit == "calls_max"


def test_two_requests_of_a_session_at_once_cannot_hold_the_same_money() -> None:
    contract = MemoryContract(clock=Clock())
    terms = Terms(usd_max_nusd=100)
    one = contract.reserve(under(terms, session="s"), prompt())
    other = contract.reserve(under(terms, session="s"), prompt())
    one.call(60)
    with pytest.raises(ContractExceeded):
        other.call(60)
    one.settle(10)
    other.call(60)


def test_sessions_of_other_tenants_endpoints_and_names_are_other_sessions() -> None:
    contract = MemoryContract(clock=Clock())
    terms = Terms(calls_max=1)
    contract.reserve(under(terms, session="s"), prompt()).call(0)
    contract.reserve(under(terms, session="t"), prompt()).call(0)
    contract.reserve(under(terms, session="s", endpoint="f"), prompt()).call(0)
    contract.reserve(under(terms, session="s", tenant=Tenant(name="other")), prompt()).call(0)
    contract.reserve(under(terms), prompt()).call(0)
    with pytest.raises(ContractExceeded):
        contract.reserve(under(terms, session="s"), prompt())


def test_a_session_ends_when_it_is_not_used() -> None:
    clock = Clock()
    contract = MemoryContract(clock=clock, session_ttl_s=60)
    terms = Terms(calls_max=1)
    hold = contract.reserve(under(terms, session="s"), prompt())
    hold.call(0)
    hold.settle(0)
    clock.now_s += 61
    contract.reserve(under(terms, session="s"), prompt()).call(0)


def test_a_tenant_with_too_many_sessions_loses_its_own_oldest_and_nobody_elses() -> None:
    clock = Clock()
    contract = MemoryContract(clock=clock, sessions_max=2)
    terms = Terms(calls_max=1)
    other = under(terms, session="s0", tenant=Tenant(name="other"))
    hold = contract.reserve(other, prompt())
    hold.call(0)
    hold.settle(0)
    for name in ("s0", "s1", "s2"):
        clock.now_s += 1
        hold = contract.reserve(under(terms, session=name), prompt())
        hold.call(0)
        hold.settle(0)
    contract.reserve(under(terms, session="s0"), prompt()).call(0)
    for kept in (under(terms, session="s2"), other):
        with pytest.raises(ContractExceeded):
            contract.reserve(kept, prompt())
    assert len(contract._sessions[ACME.name]) == 2


def test_a_session_with_a_request_in_progress_is_never_dropped() -> None:
    contract = MemoryContract(clock=Clock(), sessions_max=1)
    terms = Terms(calls_max=1)
    contract.reserve(under(terms, session="busy"), prompt()).call(0)
    for name in "abc":
        contract.reserve(under(terms, session=name), prompt()).settle(0)
    with pytest.raises(ContractExceeded):
        contract.reserve(under(terms, session="busy"), prompt())


@pytest.mark.parametrize(
    ("tokens", "bound", "counted", "passes", "asks"),
    [
        (500, 1_000, 9_999, True, False),  # the bound settles it
        (700, 5_000, 9_999, True, False),  # the estimate is far below
        (1_600, 9_000, 1, True, True),  # nothing is refused on the estimate alone
        (60_000, 99_000, 1_001, False, True),
        (1_100, 9_000, 1_000, True, True),
        (900, 9_000, 1_001, False, True),
    ],
)
def test_a_prompt_is_counted_where_bound_and_estimate_leave_it_open_and_refused_by_what_it_surely_has(
    tokens: int, bound: int, counted: int, passes: bool, asks: bool
) -> None:
    counts: list[int] = []

    def count(request: Request, prompt: Prompt) -> TokenCount:
        counts.append(counted)
        return TokenCount(tokens=counted * 2, low=counted, high=counted * 3, least=counted)

    contract = MemoryContract(count=count, clock=Clock())
    request = under(Terms(input_tokens_max=1_000))
    if passes:
        contract.reserve(request, prompt(tokens, bound))
    else:
        with pytest.raises(ContractExceeded) as refused:
            contract.reserve(request, prompt(tokens, bound))
        assert refused.value.limit == "input_tokens_max"
    assert bool(counts) is asks


def test_without_a_counter_the_estimate_decides() -> None:
    contract = MemoryContract(clock=Clock())
    contract.reserve(under(Terms(input_tokens_max=1_000)), prompt(990, 9_000))
    with pytest.raises(ContractExceeded):
        contract.reserve(under(Terms(input_tokens_max=1_000)), prompt(1_010, 9_000))

"""Cases that gateways, proxies and engines are known to get wrong, with Messages at one end or at both: what
reaches the provider, what the client sees, and what it costs."""

import pytest
from tests.conftest import StartGateway
from tests.e2e import (
    cases,
    cases_chat_to_messages,
    cases_messages_errors,
    cases_messages_from_chat,
    cases_messages_to_chat,
    cases_odd_answers,
    cases_odd_requests,
    cases_pass_through,
)
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Case, faults_of, travel
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

TO_MESSAGES = cases_chat_to_messages.CASES
TO_CHAT = {
    **{f"up: {name}": one for name, one in cases_messages_to_chat.CASES.items()},
    **{f"back: {name}": one for name, one in cases_messages_from_chat.CASES.items()},
}
UNTOUCHED = cases_pass_through.CASES
FAILING = cases_messages_errors.CASES
ODD = cases_odd_requests.CASES
ODD_ANSWERS = cases_odd_answers.CASES
ALL = (TO_MESSAGES, TO_CHAT, UNTOUCHED, FAILING, ODD, ODD_ANSWERS)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    prices = "\n".join(
        f'[[prices]]\ntarget = "{target}"\ninput = 3\noutput = 15\ncached_input = 0.3\n'
        "cache_write_5m = 3.75\ncache_write_1h = 6\nweb_search_per_1000 = 10"
        for target in sorted({case.model for group in ALL for case in group.values()})
    )
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
[call]
attempts_max = 1
breaker_open_s = 0.01
[[keys]]
tenant = "cases"
key = "${{CLIENT_KEY}}"
{prices}
"""
    return start_gateway(config, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


@pytest.mark.parametrize("name", TO_MESSAGES)
def test_chat_completions_to_messages(gateway: Running, upstream: FaultProvider, name: str) -> None:
    run(TO_MESSAGES[name], gateway, upstream)


@pytest.mark.parametrize("name", TO_CHAT)
def test_messages_to_chat_completions(gateway: Running, upstream: FaultProvider, name: str) -> None:
    run(TO_CHAT[name], gateway, upstream)


@pytest.mark.parametrize("name", UNTOUCHED)
def test_messages_to_messages(gateway: Running, upstream: FaultProvider, name: str) -> None:
    run(UNTOUCHED[name], gateway, upstream)


@pytest.mark.parametrize("name", FAILING)
def test_what_fails(gateway: Running, upstream: FaultProvider, name: str) -> None:
    run(FAILING[name], gateway, upstream)


@pytest.mark.parametrize("name", ODD)
def test_odd_requests(gateway: Running, upstream: FaultProvider, name: str) -> None:
    run(ODD[name], gateway, upstream)


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_odd_answers(gateway: Running, upstream: FaultProvider, name: str) -> None:
    run(ODD_ANSWERS[name], gateway, upstream)


def run(case: Case, gateway: Running, upstream: FaultProvider) -> None:
    trip = travel(case, gateway, upstream)
    assert faults_of(trip) == []
    if case.also is not None:
        case.also(trip)


def test_prices_are_those_of_the_cases() -> None:
    assert cases.cost(fresh=1, read=1, wrote_5m=1, wrote_1h=1, output=1) == 28_050

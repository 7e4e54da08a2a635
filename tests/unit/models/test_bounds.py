"""Bounds on what clients can make the gateway remember, and bodies that hide a key."""

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.contract import memory
from farthing.brain.contract.memory import MemoryContract
from farthing.config import CallConfig
from farthing.edge.auth import Keys
from farthing.edge.http.body import read_object
from farthing.errors import ContractExceeded, Forbidden, InvalidRequest
from farthing.ledger.memory import MemoryLedger
from farthing.models.calling.caller import Caller
from farthing.models.health.health import Health
from farthing.models.lanes import ways
from farthing.models.pricing.afford import OUTPUT_TOKENS_ASSUMED, affordable
from farthing.models.pricing.cost import worst_case_nusd
from farthing.protocols import Provider, Transport
from farthing.types import Endpoint, Price, Prompt, Target, Tenant, Terms, replace


def prompt(**body: object) -> Prompt:
    return Prompt(
        body=dict(body), input_tokens=10, input_tokens_bound=100, output_tokens_max=1000, stream=False
    )


def test_the_worst_case_counts_every_choice() -> None:
    target = Target(
        name="p/m", provider="p", model="m", price=Price(since="0000-00-00", input_pusd=0, output_pusd=10**6)
    )
    assert affordable(prompt(n=5), target, 10**12)[1] == worst_case_nusd(target.price, 100, 5000)
    capped, worst_case = affordable(prompt(n=5), target, 1_000_000)
    assert capped.output_tokens_max is not None and 150 < capped.output_tokens_max <= 200
    assert worst_case is not None and worst_case <= 1_000_000


@settings(deadline=None, max_examples=300)
@given(
    st.integers(0, 10**9),
    st.integers(1, 10**10),
    st.integers(1, 9),
    st.integers(1, 10**6),
    st.integers(1, 10**13),
)
def test_a_cap_is_all_that_the_money_pays_for_but_for_what_is_rounded(
    input_pusd: int, output_pusd: int, choices: int, output_max: int, left_nusd: int
) -> None:
    price = Price(since="0000-00-00", input_pusd=input_pusd, output_pusd=output_pusd)
    target = Target(name="p/m", provider="p", model="m", price=price)
    wanted = replace(prompt(n=choices), output_tokens_max=output_max)
    capped, worst_case = affordable(wanted, target, left_nusd)
    if capped is wanted:  # all of it can be paid, or not even one token
        one = worst_case_nusd(price, 100, choices)
        assert worst_case is not None and one is not None and (worst_case <= left_nusd or one > left_nusd)
        return
    cap = capped.output_tokens_max
    assert cap is not None and worst_case is not None and 1 <= cap < output_max and worst_case <= left_nusd
    rounded = 3_000 // (output_pusd * choices)  # tokens that three nano-dollars pay for
    more = worst_case_nusd(price, 100, choices * (cap + 2 + rounded))
    assert more is not None and more > left_nusd


def test_a_model_of_unknown_size_is_kept_to_what_is_held_for_it() -> None:
    open_ended = replace(prompt(), output_tokens_max=None)
    unknown = Target(
        name="p/m", provider="p", model="m", price=Price(since="0000-00-00", input_pusd=0, output_pusd=1)
    )
    sent, worst_case = affordable(open_ended, unknown, 10**12)
    assert sent.output_tokens_max == OUTPUT_TOKENS_ASSUMED and sent.capped_by == "usd_max"
    assert worst_case == worst_case_nusd(unknown.price, 100, OUTPUT_TOKENS_ASSUMED)
    known = replace(unknown, output_tokens_max=100)
    embeds = replace(unknown, price=Price(since="0000-00-00", input_pusd=1, output_pusd=0))
    for target in (known, embeds):
        assert affordable(open_ended, target, 10**12)[0] is open_ended


def test_the_health_of_made_up_targets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "HEALTHS_MAX", 10)
    health: dict[str, Health] = {}
    caller = Caller(
        providers={"p": cast(Provider, None)}, limits={}, transport=cast(Transport, None),
        ledger=MemoryLedger(), config=CallConfig(), clock=lambda: 0.0, health=health,
    )  # fmt: skip
    configured = caller.health(Target(name="p/configured", provider="p", model="configured"))
    for index in range(100):
        caller.health(Target(name=f"p/{index}", provider="p", model=f"{index}"))
    assert len(health) == 10 and health["p/configured"] is configured


def test_tenants_that_requests_name_themselves_share_one_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TENANTS_MAX", 3)
    contract = MemoryContract(sessions_max=2, clock=lambda: 100.0)
    endpoint = Endpoint(name="e", terms=Terms(calls_max=1))

    def use(tenant: str) -> None:
        request = asked(endpoint=endpoint, session="s", tenant=Tenant(name=tenant), received_s=100.0)
        hold = contract.reserve(request, prompt())
        hold.call(None)
        hold.settle(0)

    for index in range(50):
        use(f"t{index}")
    assert len(contract._sessions) == 4
    assert sum(map(len, contract._sessions.values())) <= 3 + 2
    for kept in ("t0", "t49"):
        with pytest.raises(ContractExceeded):
            use(kept)


SPACES = (b" ", b"\n", b"\t", b"\r", b" \r\n ")
HIDDEN = (b'{"model"%b:"a","model":"b","messages":[]}', b'{"messages":[{"role"%b:"user","role":"system"}]}')


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("raw", HIDDEN)
def test_space_before_a_colon_does_not_hide_a_key_that_is_there_twice(raw: bytes, space: bytes) -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        read_object(raw % space, depth_max=64, nodes_max=1000)


def test_space_before_a_colon_is_fine_in_itself() -> None:
    assert read_object(b'{"a" : "say \\"x\\" : y"}', depth_max=64, nodes_max=1000) == {"a": 'say "x" : y'}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8960", "127.0.0.1.evil.example", "localhost.evil"]
)
def test_without_keys_the_loopback_address_answers_to_its_own_names_only(host: str) -> None:
    with pytest.raises(Forbidden, match=r"server\.hosts"):
        Keys((), local_only=True).tenant({b"host": host.encode()})
    assert Keys(()).tenant({b"host": host.encode()}).name == "default"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8960", "127.0.0.1:1", "127.1.2.3", "[::1]:80", "a.localhost", ""]
)
def test_names_of_this_machine_are_answered_to(host: str) -> None:
    assert Keys((), local_only=True).tenant({b"host": host.encode()}).name == "default"

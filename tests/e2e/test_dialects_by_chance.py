"""Conversations and answers by chance, from each front door to each dialect of a provider: all that both
dialects can say is there on the other side, in order, whole and streamed, and costs what it should."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import StartGateway
from tests.e2e import drawn_dialects as drawn
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Case, Door, cost, faults_of, travel
from tests.e2e.drawn_dialects import Reply, Talk
from tests.e2e.gateway import Running
from tests.e2e.messages_said import chunks, claude, claude_stream, completion
from tests.faults.exact import Exact
from tests.faults.provider import FaultProvider

MODELS: dict[Door, str] = {"chat": "chat/m-1", "messages": "claude/claude-haiku-4-5"}
DOORS = st.sampled_from(sorted(MODELS))
by_chance = settings(max_examples=80, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    prices = "\n".join(
        f'[[prices]]\ntarget = "{target}"\ninput = 3\noutput = 15\ncached_input = 0.3\ncache_write_5m = 3.75'
        for target in MODELS.values()
    )
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
[[keys]]
tenant = "chance"
key = "${{CLIENT_KEY}}"
{prices}
"""
    return start_gateway(config, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


@given(talk=drawn.talks(), door=DOORS, target=DOORS)
@by_chance
def test_all_that_is_asked_goes_up(
    gateway: Running, upstream: FaultProvider, talk: Talk, door: Door, target: Door
) -> None:
    says = completion() if target == "chat" else claude()
    trip = travel(
        Case(door=door, asks=drawn.asked_in(door, talk), says=says, model=MODELS[target]), gateway, upstream
    )
    assert faults_of(trip) == []
    assert drawn.said_in(target, trip.up) == drawn.meant(talk)
    assert drawn.images_in(trip.up) == drawn.images_of(talk)
    for name in talk.settings:
        up = drawn.SETTINGS[name][2 + (target != "chat")]
        assert {key: trip.up.get(key) for key in up} == up
    assert "x-farthing-left-out" not in trip.reply.headers


@given(reply=drawn.replies(), door=DOORS, target=DOORS, cut=st.sampled_from([0, 1, 3, 50]))
@by_chance
def test_all_that_is_answered_comes_back(
    gateway: Running, upstream: FaultProvider, reply: Reply, door: Door, target: Door, cut: int
) -> None:
    """`cut`: of how many characters the pieces of a stream are; 0: the answer is whole."""
    asks = drawn.asked_in(door, Talk((), (drawn.Turn("user", ("hi",)),), ()))
    if cut:
        asks |= {"stream": True} | ({"stream_options": {"include_usage": True}} if door == "chat" else {})
    case = Case(
        door=door,
        asks=asks,
        says=said(reply, target, cut),
        model=MODELS[target],
        nusd=cost(fresh=reply.fresh, read=reply.read, wrote_5m=reply.wrote, output=reply.output),
    )
    trip = travel(case, gateway, upstream)
    assert faults_of(trip) == []
    assert drawn.shown_in(door, trip.back) == drawn.shown_right(door, reply)


def said(reply: Reply, target: Door, cut: int) -> Exact:
    usage = drawn.usage_in(target, reply)
    if target == "messages":
        if cut:
            return claude_stream(drawn.events(reply, cut))
        return claude(*drawn.blocks(reply), stop=drawn.reason_of(target, reply), usage=usage)
    finish = drawn.reason_of(target, reply)
    if cut:
        return chunks(*drawn.deltas(reply, cut), finish=finish, usage=usage)
    return completion(drawn.chat_message(reply), finish, usage)

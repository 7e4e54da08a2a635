"""A session stays where its prompt is cached: only at a dearer target, only where that costs less now, and
never against what a client, a score or a policy has decided."""

import asyncio
from typing import Any

import pytest
from tests.asking import asked

from farthing.brain.route.cascade import CascadeRouter, Steps
from farthing.brain.route.estimates import Knowledge
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.brain.route.warm import Stays, WarmRouter
from farthing.config import DirectConfig, RuleConfig
from farthing.protocols import WarmPrefix
from farthing.types import Endpoint, Price, Request, Route, Target, Traits, replace

CHEAP_PRICE = Price(
    since="0000-00-00", input_pusd=1_000_000, output_pusd=5_000_000, cached_input_pusd=100_000,
    cache_write_pusd=1_250_000,
)  # fmt: skip
DEAR_PRICE = Price(
    since="0000-00-00", input_pusd=5_000_000, output_pusd=25_000_000, cached_input_pusd=500_000,
    cache_write_pusd=6_250_000,
)  # fmt: skip
MINI = Target(name="a/mini", provider="a", model="mini", price=CHEAP_PRICE)
BIG = Target(name="a/big", provider="a", model="big", price=DEAR_PRICE)
SPARE = Target(name="b/spare", provider="b", model="spare", price=DEAR_PRICE)
SMALL = Target(name="b/small", provider="b", model="small", price=DEAR_PRICE, context_tokens_max=10_000)
FREE = Target(name="c/free", provider="c", model="free")
FAQ = Endpoint(name="faq")
TRAITS = Traits(task="tag", input_tokens=100_000)
TAGS = RuleConfig(when='task == "tag"', tier="cheap", escalate="expensive")


def warm(target: Target, tokens: int = 99_000) -> WarmPrefix:
    return WarmPrefix(target=target.name, tokens=tokens, input_tokens=100_000, writes=True, life_s=100.0)


def rules(**changes: Any) -> RulesRouter:
    targets = (MINI, BIG, SPARE, SMALL, FREE)
    policy: Policy = replace(
        Policy(
            tiers={"cheap": (MINI,), "expensive": (BIG, SPARE, SMALL), "free": (FREE,)},
            targets={one.name: one for one in targets},
            rules=(TAGS,),
            default_tier="expensive",
            endpoints=("faq",),
            directs=(DirectConfig(name="hours", text="Nine to five.", phrases=("when are you open",)),),
        ),
        **changes,
    )
    return RulesRouter(policy)


def routed(
    *where: WarmPrefix,
    traits: Traits = TRAITS,
    under: RulesRouter | None = None,
    resting: tuple[Target, ...] = (),
    **changes: Any,
) -> Route:
    within = under or rules()
    knowledge = Knowledge(
        warm=lambda request: where,
        cooldown_s=lambda name: 5.0 if name in {one.name for one in resting} else 0.0,
    )
    router = WarmRouter(within, within, Stays(knowledge))
    output = {"output_tokens_max": 100, **changes}
    return asyncio.run(router.route(asked(**output), traits))


def test_a_session_stays_at_the_dearer_tier_that_has_its_prompt_where_that_costs_less_now() -> None:
    route = routed(warm(BIG))
    assert (route.tier, route.targets[0], route.escalation) == ("expensive", BIG, None)
    assert route.reason == (
        'rule 1: task == "tag"; stays with a/big, which has 99000 tokens of the session cached: '
        "$0.0583, not $0.1255 at a/mini"
    )


def test_it_stays_with_the_target_that_has_the_prompt_whichever_of_the_tier_that_is() -> None:
    assert routed(warm(SPARE)).targets == (SPARE, BIG)
    assert routed(warm(SPARE), traits=replace(TRAITS, task="qa")).targets == (SPARE, BIG)


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ((), "nothing is warm"),
        ((warm(BIG, 1_000),), "what is warm is worth less than the difference"),
        ((warm(BIG), warm(MINI)), "the cheap one is warm too"),
        ((warm(FREE),), "nobody knows whether it is the dearer one"),
        ((warm(SMALL),), "the prompt does not fit there"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_it_goes_where_the_rules_say_where(where: tuple[WarmPrefix, ...], why: str) -> None:
    assert routed(*where).targets == (MINI,), why


def test_it_never_stays_at_a_cheaper_one() -> None:
    hard = replace(TRAITS, task="qa")
    assert routed(warm(MINI), traits=hard).targets[0] == BIG
    assert "stays" not in routed(warm(MINI, 100_000), traits=hard).reason


def test_a_target_that_rests_is_no_place_to_stay() -> None:
    assert routed(warm(BIG), resting=(BIG,)).targets == (MINI,)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "a/mini"},
        {"model": "cheap"},
        {"tier": "cheap"},
        {"tiers": ("cheap", "free")},
        {"operation": "completions", "model": "cheap"},
        {"own": True},
        {"endpoint": replace(FAQ, tier="cheap"), "model": "farthing/faq"},
    ],
    ids=str,
)
def test_what_the_client_named_or_may_not_use_is_left_as_it_is(changes: dict[str, Any]) -> None:
    assert routed(warm(BIG), **changes).targets == (MINI,)


def test_a_fixed_answer_and_a_short_prompt_are_left_as_they_are() -> None:
    assert routed(warm(BIG), text="When are you open?").fixed is not None
    assert routed(warm(BIG, 400), traits=replace(TRAITS, input_tokens=400)).targets == (MINI,)


class Scoring(RulesRouter):
    """As a router that predicts: what it decides has a score."""

    async def route(self, request: Request, traits: Traits) -> Route:
        scored: Route = replace(await super().route(request, traits), score=0.97, by="learned/1")
        return scored


def test_what_a_score_decided_is_left_as_it_is() -> None:
    within = rules()
    router = WarmRouter(Scoring(within._policy), within, Stays(Knowledge(warm=lambda request: (warm(BIG),))))
    assert asyncio.run(router.route(asked(), TRAITS)).targets == (MINI,)


@pytest.mark.parametrize(("where", "tier"), [((warm(BIG),), "expensive"), ((warm(BIG, 2_000),), "cheap")])
def test_a_cascade_goes_straight_to_the_tier_that_has_the_prompt_where_that_costs_less(
    where: tuple[WarmPrefix, ...], tier: str
) -> None:
    within = rules(rules=(), default_tier="cheap")
    stays = Stays(Knowledge(warm=lambda request: where))
    steps = {"faq": Steps(first="cheap", then="expensive")}
    router = CascadeRouter(within, steps, to_tier=within.to_tier, tiers=within.tiers, stays=stays)
    route = asyncio.run(router.route(asked(endpoint=FAQ), TRAITS))
    assert route.tier == tier
    assert (route.escalation is None) == (tier == "expensive")

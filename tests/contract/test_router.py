"""What every Router does. A new router is one more line in ROUTERS."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked
from tests.planted import fitted

from farthing.brain.route.cascade import CascadeRouter, Steps
from farthing.brain.route.estimates import TargetEstimates
from farthing.brain.route.gate import GateContext, PolicyGate
from farthing.brain.route.learned.router import Aims, LearnedRouter
from farthing.brain.route.llm import LlmRouter, Question, Second
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import DEFAULT_RULES
from farthing.errors import UnknownModel
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy.applied import Policies
from farthing.protocols import Router
from farthing.types import Request, Route, Target, Traits, replace
from farthing.wiring.foreign import Calls, ForeignRouter

MINI = Target(name="openai/gpt-mini", provider="openai", model="gpt-mini", context_tokens_max=8_000)
BIG = Target(name="openai/gpt-big", provider="openai", model="gpt-big")


def rules(*names: str) -> RulesRouter:
    return RulesRouter(
        Policy(
            tiers={"cheap": (MINI, BIG), "expensive": (BIG,)},
            targets={MINI.name: MINI, BIG.name: BIG},
            rules=tuple(rule for rule in DEFAULT_RULES if rule.name in names or not names),
            default_tier="expensive",
        )
    )


class Always:
    """Says the same of every question."""

    def __init__(self, easy: float | None) -> None:
        self._easy = easy

    async def easy(self, request: Request) -> float | None:
        return self._easy


def advised(easy: float | None) -> LlmRouter:
    under = rules("care")
    gate_context = GateContext(
        router="llm/a/judge/1",
        tiers={tier: targets[0].name for tier, targets in under.tiers.items()},
        pair=("cheap", "expensive"),
    )
    return LlmRouter(
        under,
        Always(easy),
        estimates=TargetEstimates(under, None),
        gate=PolicyGate(Policies(None, RouteMonitor()), gate_context, draw=lambda: 0.5),
        question=Question(adviser="a/judge", wait_s=1.5, threshold=0.5),
    )


class Cheap:
    """A plug-in that sends everything to the cheap tier, or says nothing."""

    def __init__(self, *, opines: bool = True) -> None:
        self._opines = opines

    async def route(self, request: Request, traits: Traits) -> Route | None:
        return Route(tier="cheap", targets=(MINI, BIG), reason="as ever") if self._opines else None


ROUTERS: dict[str, Callable[[], Router]] = {
    "rules": lambda: rules(),
    "cascade": lambda: CascadeRouter(
        rules(),
        {"default": Steps(first="cheap", then="expensive")},
        to_tier=rules().to_tier,
        tiers=rules().tiers,
    ),
    "learned": lambda: LearnedRouter(
        rules("care"), fitted().model, None, draw=lambda: 0.5, aims=Aims(threshold=0.9)
    ),
    "llm": lambda: advised(1.0),
    "llm, nobody answers": lambda: advised(None),
    "learned, with a second opinion": lambda: LearnedRouter(
        rules("care"),
        fitted().model,
        None,
        draw=lambda: 0.5,
        aims=Aims(
            threshold=0.9,
            second=Second(
                advisor=Always(0.0),
                adviser="a/judge",
                by="llm/a/judge/1",
                wait_s=1.0,
                easy_from=0.5,
                unsure=1.0,
            ),
        ),
    ),
    "a plug-in's": lambda: ForeignRouter(rules("care"), Cheap(), Calls("toy"), wait_s=0.0),
    "a plug-in's, without an opinion": lambda: ForeignRouter(
        rules(), Cheap(opines=False), Calls("toy"), wait_s=0.0
    ),
}


@cache
def made(name: str) -> Router:
    return ROUTERS[name]()


@pytest.fixture(params=ROUTERS)
def router(request: pytest.FixtureRequest) -> Router:
    return made(request.param)


_TRAITS = st.builds(
    Traits,
    task=st.sampled_from(["qa", "faq", "classify", "unknown", "anything"]),
    domain=st.sampled_from(["legal", "unknown"]),
    input_tokens=st.integers(0, 10**7),
    retrieval=st.booleans(),
    context_tokens=st.integers(0, 10**6),
)


@pytest.mark.parametrize("name", ROUTERS)
@given(traits=_TRAITS)
def test_there_is_always_something_to_try_and_a_reason(name: str, traits: Traits) -> None:
    route = asyncio.run(made(name).route(asked(), traits))
    assert route.targets or route.fixed is not None
    assert route.reason and route.tier


@pytest.mark.parametrize("name", ROUTERS)
@given(traits=_TRAITS)
def test_a_model_the_client_names_is_the_only_target(name: str, traits: Traits) -> None:
    route = asyncio.run(made(name).route(asked(model=MINI.name), traits))
    assert route.targets == (MINI,)
    assert made(name).fallback(asked(model=MINI.name)).targets == (MINI,)


def test_a_name_nobody_answers_to_is_refused_either_way(router: Router) -> None:
    request = asked(model="nobody/nothing")
    with pytest.raises(UnknownModel):
        asyncio.run(router.route(request, Traits()))
    with pytest.raises(UnknownModel):
        router.fallback(request)


def test_the_same_question_gets_the_same_route(router: Router) -> None:
    traits = Traits(task="qa", input_tokens=50)
    routes = [asyncio.run(router.route(asked(), traits)) for _ in range(2)]
    assert routes[0] == routes[1]


def test_the_fallback_answers_what_was_left_to_the_router(router: Router) -> None:
    assert router.fallback(asked()).targets


def test_a_router_that_asks_a_model_says_how_long_a_request_may_wait_for_it() -> None:
    waits = {name: made(name).wait_s for name in ROUTERS}
    assert waits["rules"] == waits["learned"] == 0.0
    assert waits["llm"] == 1.5 and waits["learned, with a second opinion"] == 1.0


@pytest.mark.parametrize("tiers", [("expensive",), ("cheap",)])
def test_a_plugin_does_not_lead_where_the_key_may_not_go(tiers: tuple[str, ...]) -> None:
    router = ForeignRouter(rules("care"), Cheap(), Calls("toy"), wait_s=0.0)
    request: Request = asked(tiers=tiers)
    if tiers == ("cheap",):
        assert asyncio.run(router.route(request, Traits())).tier == "cheap"
        return
    with pytest.raises(ValueError, match="'cheap' may not be chosen"):
        asyncio.run(router.route(request, Traits()))
    assert router.fallback(request).tier == "expensive"


@pytest.mark.parametrize(
    "changed",
    [
        {"tier": "secret"},
        {"targets": (replace(MINI, model="another"),)},
        {"targets": (Target(name="x/y", provider="x", model="y"),)},
        {"targets": ()},
        {"targets": (7,)},
        {"reason": None},
        {"escalation": Route(tier="secret", targets=(BIG,), reason="")},
        {"escalation": 7},
    ],
)
def test_a_plugin_names_what_is_configured_and_nothing_else(changed: dict[str, Any]) -> None:
    changes = [changed, {}]

    class Odd:
        async def route(self, request: Request, traits: Traits) -> Route | None:
            good = Route(tier="cheap", targets=(MINI,), reason="", pinned=True, fixed="ha", propensity=0.1)
            return replace(good, **changes.pop(0))  # type: ignore[no-any-return]

    router = ForeignRouter(rules("care"), Odd(), Calls("toy"), wait_s=0.0)
    with pytest.raises((TypeError, ValueError), match="plug-in toy"):
        asyncio.run(router.route(asked(), Traits()))
    taken = asyncio.run(router.route(asked(), Traits()))
    assert (taken.tier, taken.fixed, taken.pinned, taken.propensity) == ("cheap", None, False, 1.0)

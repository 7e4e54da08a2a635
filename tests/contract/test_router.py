"""What every Router does. A new router is one more line in ROUTERS."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import asked
from farthing.brain.route.learned.router import Aims, LearnedRouter
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import DEFAULT_RULES
from farthing.errors import UnknownModel
from farthing.protocols import Router
from farthing.types import Target, Traits
from planted import fitted

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


ROUTERS: dict[str, Router] = {
    "rules": rules(),
    "learned": LearnedRouter(
        rules("care"), fitted().model, None, draw=lambda: 0.5, clock=lambda: 0.0, aims=Aims(threshold=0.9)
    ),
}


@pytest.fixture(params=ROUTERS)
def router(request: pytest.FixtureRequest) -> Router:
    return ROUTERS[request.param]


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
    route = asyncio.run(ROUTERS[name].route(asked(), traits))
    assert route.targets or route.fixed is not None
    assert route.reason and route.tier


@pytest.mark.parametrize("name", ROUTERS)
@given(traits=_TRAITS)
def test_a_model_the_client_names_is_the_only_target(name: str, traits: Traits) -> None:
    route = asyncio.run(ROUTERS[name].route(asked(model=MINI.name), traits))
    assert route.targets == (MINI,)
    assert ROUTERS[name].fallback(asked(model=MINI.name)).targets == (MINI,)


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

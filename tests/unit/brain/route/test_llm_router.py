"""Which tier the router takes that asks a model, and what a second opinion changes."""

import asyncio
from functools import cache
from typing import Any

import pytest
from tests.asking import asked
from tests.planted import fitted, questions

from farthing.brain.route.estimates import Knowledge, TargetEstimates
from farthing.brain.route.gate import GateContext, PolicyGate
from farthing.brain.route.learned.router import Aims, LearnedRouter
from farthing.brain.route.llm import LlmRouter, Question, Second, shifted
from farthing.brain.route.objective import Option
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import DEFAULT_RULES, DirectConfig, LlmRouteConfig, loads
from farthing.errors import ConfigError
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy.applied import Policies
from farthing.types import Endpoint, Price, Request, Route, Target, Tenant, Terms, Traits, replace

CHEAP_PRICE = Price(since="0000-00-00", input_pusd=150_000, output_pusd=600_000)
DEAR_PRICE = Price(since="0000-00-00", input_pusd=2_500_000, output_pusd=10_000_000)
MINI = Target(name="a/mini", provider="a", model="mini", price=CHEAP_PRICE, context_tokens_max=1_000)
SPARE = Target(name="b/spare", provider="b", model="spare", context_tokens_max=99_000)
BIG = Target(name="a/big", provider="a", model="big", price=DEAR_PRICE)
TRAITS = Traits(task="qa", input_tokens=50)
CARE = tuple(rule for rule in DEFAULT_RULES if rule.name == "care")


def rules(**changes: object) -> RulesRouter:
    policy: Policy = replace(
        Policy(
            tiers={"cheap": (MINI, SPARE), "expensive": (BIG,)},
            targets={t.name: t for t in (MINI, SPARE, BIG)},
            rules=CARE,
            default_tier="expensive",
            endpoints=("support",),
        ),
        **changes,
    )
    return RulesRouter(policy)


class Adviser:
    """Says what it is told to, and counts."""

    def __init__(self, easy: float | None) -> None:
        self.says = easy
        self.asked = 0

    async def easy(self, request: Request) -> float | None:
        self.asked += 1
        return self.says


def router(
    easy: float | Adviser | None,
    *,
    under: RulesRouter | None = None,
    knowledge: Knowledge | None = None,
    explore_share: float = 0.0,
    **question: Any,
) -> LlmRouter:
    under = under or rules()
    gate_context = GateContext(
        router="llm/a/judge/1",
        tiers={tier: targets[0].name for tier, targets in under.tiers.items()},
        pair=("cheap", "expensive"),
        explore_share=explore_share,
    )
    return LlmRouter(
        under,
        easy if isinstance(easy, Adviser) else Adviser(easy),
        estimates=TargetEstimates(under, knowledge),
        gate=PolicyGate(Policies(None, RouteMonitor()), gate_context, draw=lambda: 0.01),
        question=Question(**{"adviser": "a/judge", "wait_s": 1.5, "threshold": 0.5, **question}),
    )


def routed(to: LlmRouter | LearnedRouter, request: Request | None = None, traits: Traits = TRAITS) -> Route:
    return asyncio.run(to.route(request or asked(), traits))


# -- what the model decides -------------------------------------------------------------------------


def test_what_is_easy_goes_to_the_cheap_tier_and_the_rest_to_the_default_one() -> None:
    easy, hard = routed(router(1.0)), routed(router(0.0))
    assert (easy.tier, easy.targets, easy.score) == ("cheap", (MINI, SPARE), 1.0)
    assert (hard.tier, hard.targets, hard.score) == ("expensive", (BIG,), 0.0)
    assert easy.by == hard.by == "llm/a/judge/1"
    assert easy.reason.startswith("llm: a/judge says 100% easy, 50% needed; cheap answers, cheapest of 2")
    assert hard.reason == "llm: a/judge says 0% easy, 50% needed; expensive answers, no other is good enough"


def test_a_graded_word_is_held_against_the_threshold_of_the_endpoint() -> None:
    support = replace(asked(), endpoint=Endpoint(name="support"))
    strict: dict[str, Any] = {"threshold": 0.5, "thresholds": {"support": 0.8}}
    assert routed(router(0.7, **strict)).tier == "cheap"
    assert routed(router(0.7, **strict), support).tier == "expensive"
    assert routed(router(0.8, **strict), support).tier == "cheap"


def test_a_model_that_does_not_say_leaves_it_to_the_default_tier() -> None:
    route = routed(router(None))
    assert (route.tier, route.score, route.by) == ("expensive", None, "")
    assert route.reason == "llm: a/judge gave no verdict; expensive answers"
    assert route.propensity == 1.0


def test_names_rules_and_fixed_answers_decide_without_asking() -> None:
    adviser = Adviser(1.0)
    fixed = rules(directs=(DirectConfig(name="hours", text="9 to 5", phrases=("open when?",)),))
    asks = router(adviser, under=fixed)
    assert routed(asks, traits=replace(TRAITS, domain="legal")).reason.startswith("rule care")
    assert routed(asks, replace(asked(), tenant=Tenant(name="bank", plan="enterprise"))).tier == "expensive"
    assert routed(asks, replace(asked(), model=BIG.name)).pinned
    assert routed(asks, replace(asked(), tier="expensive")).targets == (BIG,)
    assert routed(asks, asked("Open when?")).fixed == "9 to 5"
    assert adviser.asked == 0
    routed(asks)
    assert adviser.asked == 1


# -- prices, health, deadline, latency, prompt length -----------------------------------------------


def test_a_cheap_tier_without_a_price_is_the_cheap_one_by_the_operators_word() -> None:
    unpriced = rules(tiers={"cheap": (SPARE,), "expensive": (BIG,)})
    assert routed(router(1.0, under=unpriced)).tier == "cheap"


def test_a_cheap_tier_that_rests_or_is_late_is_left_out_and_the_reason_says_so() -> None:
    resting = Knowledge(cooldown_s=lambda name: 0.0 if name == BIG.name else 3.0)
    route = routed(router(1.0, knowledge=resting))
    assert route.tier == "expensive" and "without cheap: in a cooldown after failures" in route.reason
    slow = Knowledge(expected_s=lambda target, request: 9.0 if target is MINI else 1.0)
    hurried = replace(asked(), endpoint=Endpoint(name="support", terms=Terms(deadline_s=5.0)))
    late = routed(router(1.0, knowledge=slow), hurried)
    assert late.tier == "expensive" and "9.0 s is too late" in late.reason


def test_where_latency_counts_an_easy_question_goes_where_it_is_answered_soonest() -> None:
    known = Knowledge(expected_s=lambda target, request: 3.0 if target is MINI else 1.0)
    assert routed(router(1.0, knowledge=known, prefer="latency")).tier == "expensive"
    assert routed(router(1.0, knowledge=known)).tier == "cheap"


def test_a_prompt_too_long_for_a_target_skips_it_whether_the_model_says_or_not() -> None:
    long = replace(TRAITS, input_tokens=5_000)
    route = routed(router(1.0), traits=long)
    assert route.targets == (SPARE,) and "without a/mini" in route.reason
    small = rules(tiers={"cheap": (MINI,), "expensive": (MINI, BIG)})
    silent = routed(router(None, under=small), traits=long)
    assert silent.targets == (BIG,) and "without a/mini" in silent.reason


def test_a_share_is_explored_with_the_expensive_answer_for_the_client() -> None:
    route = routed(router(0.2, explore_share=0.1))
    assert (route.tier, route.score) == ("expensive", 0.2)
    assert route.propensity == pytest.approx(0.1)
    assert route.shadow is not None and route.shadow.tier == "cheap"
    assert routed(router(None, explore_share=0.1)).shadow is None, "what has no score teaches nothing"


# -- a second opinion -------------------------------------------------------------------------------

TEXTS, _ = questions(60, seed=77)


def seconded(easy: float | None, *, threshold: float, unsure: float) -> tuple[LearnedRouter, Adviser]:
    adviser = Adviser(easy)
    second = Second(
        advisor=adviser, adviser="a/judge", by="llm/a/judge/1", wait_s=1.5, easy_from=0.5, unsure=unsure
    )
    aims = Aims(threshold=threshold, second=second)
    return LearnedRouter(rules(), fitted().model, None, draw=lambda: 0.5, aims=aims), adviser


def learned_score(text: str) -> float:
    plain = LearnedRouter(rules(), fitted().model, None, draw=lambda: 0.5)
    score = routed(plain, asked(text)).score
    assert score is not None
    return score


@cache
def doubtful() -> str:
    return next(text for text in TEXTS if learned_score(text) < 0.95)


@pytest.mark.parametrize("edge", [-0.019, 0.0, 0.019])
def test_a_plain_word_decides_what_the_learned_router_is_unsure_of(edge: float) -> None:
    text, threshold = doubtful(), learned_score(doubtful()) + edge
    for easy, tier in ((1.0, "cheap"), (0.0, "expensive")):
        to, adviser = seconded(easy, threshold=threshold, unsure=0.02)
        route = routed(to, asked(text))
        assert adviser.asked == 1
        assert route.tier == tier, route.reason
        assert f"unsure, so a/judge was asked: it says {easy:.0%} easy" in route.reason


def test_it_is_asked_about_nothing_else() -> None:
    far = [text for text in TEXTS if abs(learned_score(text) - 0.9) > 0.02]
    assert any(learned_score(text) > 1.0 for text in far), "where the cheap tier is the better one, too"
    to, adviser = seconded(0.0, threshold=0.9, unsure=0.02)
    for text in far:
        assert "asked" not in routed(to, asked(text)).reason
    assert adviser.asked == 0


def test_without_its_word_the_learned_score_decides_and_the_reason_says_so() -> None:
    score = learned_score(doubtful())
    to, _ = seconded(None, threshold=score + 0.01, unsure=0.02)
    route = routed(to, asked(doubtful()))
    assert route.tier == "expensive" and route.score == pytest.approx(score)
    assert route.reason.endswith("unsure, so a/judge was asked: it gave no verdict")


def test_the_name_of_the_scores_says_that_they_are_moved_and_by_which_terms() -> None:
    one, _ = seconded(1.0, threshold=0.9, unsure=0.02)
    other, _ = seconded(1.0, threshold=0.9, unsure=0.03)
    names = {router.gate.by for router in (one, other)}
    assert len(names) == 2 and all("+llm/a/judge/1/" in name for name in names)
    assert one.wait_s == 1.5


def test_a_score_moves_by_no_more_than_it_is_unsure_and_a_probability_stays_one() -> None:
    second = Second(
        advisor=Adviser(1.0), adviser="a/j", by="llm/a/j/1", wait_s=1.0, easy_from=0.7, unsure=0.1
    )
    assert second.moved(1.0) == pytest.approx(0.1) and second.moved(0.0) == pytest.approx(-0.1)
    assert second.moved(0.7) == 0.0 and 0 < second.moved(0.8) < 0.1
    assert replace(second, easy_from=1.0).moved(1.0) == pytest.approx(0.1)
    cheap = Option(name="cheap", probability=0.85)
    assert shifted(cheap, 0.1).probability == pytest.approx(0.95)
    assert shifted(cheap, 0.2).probability == 1.0 and shifted(cheap, -0.9).probability == 0.0


# -- the configuration ------------------------------------------------------------------------------

CONFIG = """
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["a/small"]
[tiers.expensive]
targets = ["a/large"]
[route]
kind = "llm"
"""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "write \\[route.llm\\]"),
        ('[route.llm]\ntarget = "b/judge"', "unknown provider"),
        ('[route.llm]\ntarget = "judge"', "is not a target"),
        ('[route.llm]\ntarget = "a/judge"\ncheap = "chaep"', "unknown tier"),
        ('[route.llm]\ntarget = "a/judge"\ncheap = "expensive"', "the same as route.default"),
        ('[route.llm]\ntarget = "a/judge"\ntimeout_s = 31', "at most 30"),
        ('[route.llm]\ntarget = "a/judge"\ntimeout_s = 0', "more than 0"),
        ('[route.llm]\ntarget = "a/judge"\nthreshold = 1.5', "at most 1"),
        ('[route.llm]\ntarget = "a/judge"\nunsure = 2', "at most 1"),
        ('[route.llm]\ntarget = "a/judge"\n[aliases]\n"a/judge" = "auto"', "is an alias"),
    ],
)
def test_what_cannot_work_is_refused_by_name(lines: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loads(CONFIG + lines, {})


def test_a_good_configuration_loads() -> None:
    config = loads(CONFIG + '[route.llm]\ntarget = "a/judge"', {})
    assert isinstance(config.route, LlmRouteConfig) and config.route.llm.timeout_s == 1.5

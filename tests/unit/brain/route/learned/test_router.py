"""Which tier the learned router takes, and what it says of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.asking import asked
from tests.certified import certificate
from tests.planted import fitted, questions

from farthing.brain.route.estimates import Knowledge
from farthing.brain.route.learned.router import Aims, LearnedRouter
from farthing.brain.route.objective import Aim, Option, choose, cost_nusd
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import DEFAULT_RULES, DirectConfig
from farthing.errors import ConfigError
from farthing.guarantees.certificates.routing import RouteScope
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import Author
from farthing.protocols import WarmPrefix
from farthing.types import Endpoint, Price, Request, Route, Target, Tenant, Terms, Traits, replace

CHEAP_PRICE = Price(since="0000-00-00", input_pusd=150_000, output_pusd=600_000, cached_input_pusd=15_000)
DEAR_PRICE = Price(
    since="0000-00-00", input_pusd=2_500_000, output_pusd=10_000_000, cached_input_pusd=250_000
)
MINI = Target(
    name="openai/mini", provider="openai", model="mini", price=CHEAP_PRICE, context_tokens_max=1_000
)
SPARE = Target(name="local/spare", provider="local", model="spare", context_tokens_max=99_000)
BIG = Target(name="openai/big", provider="openai", model="big", price=DEAR_PRICE)
TRAITS = Traits(task="qa", input_tokens=50)
CARE = tuple(rule for rule in DEFAULT_RULES if rule.name == "care")
TEXTS, HARD = questions(60, seed=77)
EASY_TEXT = next(text for text, hard in zip(TEXTS, HARD, strict=True) if not hard)
HARD_TEXT = next(text for text, hard in zip(TEXTS, HARD, strict=True) if hard)


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


def router(
    *,
    aims: Aims | None = None,
    knowledge: Knowledge | None = None,
    lots: Iterator[float] | None = None,
    under: RulesRouter | None = None,
) -> LearnedRouter:
    return LearnedRouter(
        under or rules(),
        fitted().model,
        None,
        draw=lambda: next(lots or iter(())),
        aims=aims or Aims(threshold=0.8),
        knowledge=knowledge,
    )


def routed(request: Request, to: LearnedRouter | None = None, traits: Traits = TRAITS) -> Route:
    return asyncio.run((to or router()).route(request, traits))


# -- what the model decides -------------------------------------------------------------------------


def test_an_easy_question_goes_to_the_cheap_tier_and_a_hard_one_to_the_best() -> None:
    easy, hard = routed(asked(EASY_TEXT)), routed(asked(HARD_TEXT))
    assert (easy.tier, easy.targets) == ("cheap", (MINI, SPARE))
    assert (hard.tier, hard.targets) == ("expensive", (BIG,))
    assert easy.score is not None and easy.score >= 0.8
    assert hard.score is not None and hard.score < 0.8  # of the cheap tier, whoever answers
    assert easy.propensity == hard.propensity == 1.0


def test_the_reason_says_what_is_expected_and_what_is_allowed() -> None:
    reason = routed(asked(EASY_TEXT)).reason
    assert reason.startswith("learned: cheap expected right ")
    assert "of 20.0% allowed" in reason and "cheapest of 2 good enough" in reason
    assert "no other is good enough" in routed(asked(HARD_TEXT)).reason


def test_an_endpoint_may_have_a_floor_of_its_own() -> None:
    aims = Aims(threshold=0.8, endpoint_thresholds={"support": 0.1})
    loose = replace(asked(HARD_TEXT), endpoint=Endpoint(name="support"))
    assert routed(loose, router(aims=aims)).tier == "cheap"
    assert routed(asked(HARD_TEXT), router(aims=aims)).tier == "expensive"


# -- what decides before it -------------------------------------------------------------------------


def test_rules_names_and_fixed_answers_win() -> None:
    legal = replace(TRAITS, domain="legal")
    assert routed(asked(EASY_TEXT), traits=legal).tier == "expensive"
    assert routed(asked(EASY_TEXT), traits=legal).reason.startswith("rule care")
    bank = replace(asked(EASY_TEXT), tenant=Tenant(name="bank", plan="enterprise"))
    assert routed(bank).tier == "expensive"
    assert routed(replace(asked(EASY_TEXT), model=BIG.name)).pinned
    assert routed(replace(asked(EASY_TEXT), tier="expensive")).targets == (BIG,)
    pinned = replace(asked(EASY_TEXT), endpoint=Endpoint(name="support", tier="expensive"))
    assert routed(pinned).reason == "tier of the endpoint"
    fixed = router(under=rules(directs=(DirectConfig(name="hours", text="9 to 5", phrases=("open when?",)),)))
    assert routed(asked("Open when?"), fixed).fixed == "9 to 5"


def test_a_prompt_too_long_for_a_target_skips_it() -> None:
    route = routed(asked(EASY_TEXT), traits=replace(TRAITS, input_tokens=5_000))
    assert route.targets == (SPARE,)
    assert "without openai/mini" in route.reason and route.reason.startswith("learned")


def test_it_fits_only_tiers_that_it_knows() -> None:
    with pytest.raises(ConfigError, match="two of them"):
        router(under=rules(tiers={"small": (MINI,), "expensive": (BIG,)}))


# -- health, deadline, prompt cache -----------------------------------------------------------------


def test_a_tier_that_rests_is_left_out_while_another_is_well() -> None:
    rest = Knowledge(cooldown_s=lambda name: 0.0 if name == BIG.name else 3.0)
    route = routed(asked(EASY_TEXT), router(knowledge=rest))
    assert route.tier == "expensive" and "cheap: in a cooldown after failures" in route.reason
    one = Knowledge(cooldown_s=lambda name: 3.0 if name == MINI.name else 0.0)
    aims = Aims(threshold=0.8, prefer="latency")
    assert routed(asked(EASY_TEXT), router(knowledge=one, aims=aims)).tier in ("cheap", "expensive")
    nobody = Knowledge(cooldown_s=lambda name: 3.0)
    assert routed(asked(HARD_TEXT), router(knowledge=nobody)).tier == "expensive"


def test_a_deadline_leaves_out_what_would_be_late() -> None:
    slow = Knowledge(expected_s=lambda target, request: 9.0 if target is BIG else 1.0)
    terms = Endpoint(name="support", terms=Terms(deadline_s=5.0))
    route = routed(replace(asked(HARD_TEXT), endpoint=terms), router(knowledge=slow))
    assert route.tier == "cheap" and "9.0 s is too late" in route.reason
    assert "the best there is" in route.reason


def test_a_warm_prompt_cache_can_make_the_dear_tier_the_cheaper_one() -> None:
    near = replace(
        BIG, price=replace(DEAR_PRICE, input_pusd=200_000, cached_input_pusd=2_000, output_pusd=600_000)
    )
    long = replace(TRAITS, input_tokens=950)
    held = WarmPrefix(target=BIG.name, tokens=900, input_tokens=950, writes=False, life_s=60.0)

    def warm_at(*where: WarmPrefix) -> Route:
        knowledge = Knowledge(warm=lambda request: where)
        under = rules(tiers={"cheap": (MINI,), "expensive": (near,)})
        return routed(asked(EASY_TEXT), router(knowledge=knowledge, under=under), long)

    warm = warm_at(held)
    assert warm.tier == "expensive" and "prompt cache warm" in warm.reason
    assert warm_at().tier == "cheap"
    assert warm_at(replace(held, target=MINI.name)).tier == "cheap"
    assert warm_at(replace(held, tokens=100)).tier == "cheap"


# -- exploration ------------------------------------------------------------------------------------


def test_of_a_share_the_expensive_tier_answers_and_the_cheap_one_is_asked_behind_it() -> None:
    aims = Aims(threshold=0.8, explore_share=0.2)
    drawn = routed(asked(EASY_TEXT), router(aims=aims, lots=iter((0.19,))))
    assert drawn.tier == "expensive" and drawn.shadow is not None and drawn.shadow.tier == "cheap"
    assert drawn.propensity == pytest.approx(0.2) and drawn.reason.startswith("explored")
    usual = routed(asked(EASY_TEXT), router(aims=aims, lots=iter((0.2,))))
    assert usual.tier == "cheap" and usual.shadow is None
    assert usual.propensity == pytest.approx(0.8)
    assert drawn.score == usual.score and drawn.by == usual.by != ""


def test_what_the_client_or_a_rule_decides_is_not_explored() -> None:
    aims = Aims(threshold=0.8, explore_share=1.0)
    learned = router(aims=aims, lots=iter((0.0,) * 9))
    assert routed(asked(EASY_TEXT), learned).shadow is not None
    for request in (
        replace(asked(EASY_TEXT), model=BIG.name),
        replace(asked(EASY_TEXT), tier="expensive"),
        replace(asked(EASY_TEXT), tenant=Tenant(name="bank", plan="enterprise")),
    ):
        route = routed(request, learned)
        assert route.shadow is None and route.propensity == 1.0


def test_a_prompt_too_long_for_the_cheap_targets_is_explored_with_those_that_fit() -> None:
    learned = router(aims=Aims(threshold=0.8, explore_share=1.0), lots=iter((0.0,)))
    route = routed(asked(EASY_TEXT), learned, replace(TRAITS, input_tokens=5_000))
    assert route.shadow is not None and route.shadow.targets == (SPARE,)


def test_nothing_is_drawn_unless_it_is_asked_for() -> None:
    assert routed(asked(HARD_TEXT), router()).propensity == 1.0


# -- policies ---------------------------------------------------------------------------------------


def under_policy(folder: Path, threshold: float, **aims: object) -> LearnedRouter:
    """The router of the planted model, under a certificate for its scores."""
    name = "learned/planted"
    scope = RouteScope(router=name, cheap="cheap", expensive="expensive", policy="")
    made = certificate("default", threshold=threshold, scope=scope)
    author = Author(who="anna", at_unix_s=1.0)
    versions.change(
        folder, "default", lambda book: versions.promote(versions.add(book, made, author), 1, author)
    )
    policies = Policies(versions.folder_of(folder), RouteMonitor())
    policies.refresh()
    return LearnedRouter(
        rules(),
        fitted().model,
        None,
        draw=lambda: 0.99,
        aims=Aims(**{"threshold": 0.8, **aims}),  # type: ignore[arg-type]
        policies=policies,
        name=name,
    )


def test_a_policy_that_does_not_hold_is_no_leave_to_go_cheap_where_the_default_tier_is_not_known(
    tmp_path: Path,
) -> None:
    path = versions.place(tmp_path, "default")
    path.parent.mkdir()
    path.write_bytes(b"{")
    policies = Policies(versions.folder_of(tmp_path), RouteMonitor())
    policies.refresh()
    top = Target(name="openai/top", provider="openai", model="top")
    three = rules(tiers={"cheap": (MINI,), "expensive": (BIG,), "top": (top,)}, default_tier="top")

    def route(under: Policies | None) -> Route:
        made = LearnedRouter(
            three,
            fitted().model,
            None,
            draw=lambda: 0.99,
            aims=Aims(threshold=0.1),
            policies=under,
        )
        return routed(asked(EASY_TEXT), made)

    assert route(None).tier == "cheap"
    refused = route(policies)
    assert refused.tier == "top" and "its policy cannot be read" in refused.reason


def test_a_certificate_decides_instead_of_the_configured_threshold(tmp_path: Path) -> None:
    strict = under_policy(tmp_path / "a", 1.9)
    easy = routed(asked(EASY_TEXT), strict)
    assert easy.tier == "expensive" and easy.policy == "default@1" and "below 1.900" in easy.reason
    loose = under_policy(tmp_path / "b", 0.05)
    hard = routed(asked(HARD_TEXT), loose)
    assert hard.tier == "cheap" and hard.by == "learned/planted"
    assert hard.score is not None and 0.05 <= hard.score < 0.8


def test_rules_and_names_win_over_a_policy(tmp_path: Path) -> None:
    loose = under_policy(tmp_path, 0.05)
    legal = routed(asked(EASY_TEXT), loose, replace(TRAITS, domain="legal"))
    assert legal.tier == "expensive" and legal.policy == ""
    assert routed(replace(asked(EASY_TEXT), model=BIG.name), loose).pinned


# -- the objective alone ----------------------------------------------------------------------------


def test_of_those_good_enough_the_cheapest_is_taken_and_unknown_prices_are_dear() -> None:
    a = Option(name="a", probability=0.90, cost_nusd=5.0, expected_s=1.0)
    b = Option(name="b", probability=0.88, cost_nusd=2.0, expected_s=4.0)
    c = Option(name="c", probability=0.50, cost_nusd=1.0, expected_s=0.1)
    d = Option(name="d", probability=0.95, cost_nusd=None, expected_s=8.0)
    assert choose([a, b, c, d], Aim(threshold=0.9)).option is b
    assert choose([a, b, c, d], Aim(threshold=0.9, prefer="latency")).option is a
    assert choose([a, b, c, d], Aim(threshold=0.99)).option is d
    assert choose([a, b, c, d], Aim(threshold=0.3)).option is c


def test_where_latency_counts_a_tier_of_unknown_speed_is_tried_until_it_is_known() -> None:
    known = Option(name="known", probability=0.9, cost_nusd=1.0, expected_s=0.5)
    unknown = Option(name="unknown", probability=0.9, cost_nusd=5.0)
    assert choose([known, unknown], Aim(threshold=0.9, prefer="latency")).option is unknown
    assert choose([known, unknown], Aim(threshold=0.9)).option is known


def test_without_prices_the_default_tier_is_taken_for_the_dearer() -> None:
    best = Option(name="best", probability=0.9, default=True)
    other = Option(name="other", probability=0.8)
    assert choose([best, other], Aim(threshold=0.8)).option is other
    assert choose([best, other], Aim(threshold=0.95)).option is best


def test_when_all_are_late_the_soonest_is_taken() -> None:
    a = Option(name="a", probability=0.9, cost_nusd=5.0, expected_s=7.0)
    b = Option(name="b", probability=0.5, cost_nusd=2.0, expected_s=6.0)
    assert choose([a, b], Aim(threshold=0.9, deadline_s=1.0)).option is b


def test_the_expected_cost_counts_warm_tokens_at_their_price() -> None:
    assert cost_nusd(MINI, input_tokens=1_000, output_tokens_max=100, warm_tokens=0) == 210_000
    assert cost_nusd(MINI, input_tokens=1_000, output_tokens_max=100, warm_tokens=5_000) == 75_000
    assert cost_nusd(MINI, input_tokens=0, output_tokens_max=None, warm_tokens=0) == 240_000
    assert cost_nusd(SPARE, input_tokens=1_000, output_tokens_max=100, warm_tokens=0) is None


def test_the_expected_cost_counts_what_is_written_at_its_price() -> None:
    writing = replace(MINI, price=replace(CHEAP_PRICE, cached_input_pusd=15_000, cache_write_pusd=187_500))
    at: dict[str, Any] = {"input_tokens": 1_000, "output_tokens_max": 0, "warm_tokens": 800}
    assert cost_nusd(writing, **at) == 800 * 15 + 200 * 150
    assert cost_nusd(writing, **at, writes=True) == 800 * 15 + 200 * 187.5
    assert cost_nusd(MINI, **at, writes=True) == cost_nusd(MINI, **at)

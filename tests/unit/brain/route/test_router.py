"""Which targets a request gets, and why."""

import asyncio

import pytest
from tests.asking import asked

from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import DEFAULT_RULES, DirectConfig, RuleConfig
from farthing.errors import ConfigError, UnknownModel
from farthing.types import Endpoint, Request, Route, Target, Tenant, Traits, replace

MINI = Target(name="openai/gpt-mini", provider="openai", model="gpt-mini", context_tokens_max=1_000)
LOCAL = Target(name="local/qwen3", provider="local", model="qwen3", context_tokens_max=32_000)
BIG = Target(name="openai/gpt-big", provider="openai", model="gpt-big")
LONE = Target(name="azure/lone", provider="azure", model="lone")

POLICY = Policy(
    tiers={"cheap": (MINI, LOCAL), "expensive": (BIG,)},
    targets={t.name: t for t in (MINI, LOCAL, BIG, LONE)},
    aliases={"gpt-4": "expensive", "fast": "local/qwen3", "smart": "auto", "help": "farthing/support"},
    rules=DEFAULT_RULES,
    default_tier="expensive",
    endpoints=("support",),
)
LONG = Traits(task="qa", input_tokens=500)
SHORT = Traits(task="qa", input_tokens=20)


def changed(**changes: object) -> Policy:
    policy: Policy = replace(POLICY, **changes)
    return policy


def routed(request: Request, traits: Traits = LONG, policy: Policy = POLICY) -> Route:
    return asyncio.run(RulesRouter(policy).route(request, traits))


def test_the_first_rule_that_holds_gives_the_tier_and_its_own_words_as_the_reason() -> None:
    route = routed(asked(), SHORT)
    assert (route.tier, route.targets) == ("cheap", (MINI, LOCAL))
    assert route.reason == "rule short: input_tokens < 128 and not retrieval"


@pytest.mark.parametrize(
    ("traits", "tier"),
    [
        (Traits(task="classify", input_tokens=900), "cheap"),
        (Traits(task="sentiment", input_tokens=900), "cheap"),
        (Traits(task="qa", input_tokens=127), "cheap"),
        (Traits(task="qa", input_tokens=128), "expensive"),
        (Traits(task="qa", input_tokens=20, retrieval=True, context_tokens=100), "expensive"),
        (Traits(task="faq", input_tokens=400, retrieval=True, context_tokens=300), "cheap"),
        (Traits(task="faq", input_tokens=700, retrieval=True, context_tokens=600), "expensive"),
        (Traits(task="classify", input_tokens=20, domain="legal"), "expensive"),
        (Traits(task="qa", input_tokens=20, domain="pricing"), "expensive"),
        (Traits(), "cheap"),  # nothing is known, and no prompt is shorter
    ],
)
def test_the_default_rules_choose_as_they_are_documented(traits: Traits, tier: str) -> None:
    assert routed(asked(), traits).tier == tier


def test_a_tenant_of_the_enterprise_plan_gets_the_expensive_tier() -> None:
    assert routed(asked(tenant=Tenant(name="big", plan="enterprise")), SHORT).tier == "expensive"


def test_the_faq_rule_carries_the_route_to_escalate_to() -> None:
    route = routed(asked(), Traits(task="faq", input_tokens=400, retrieval=True, context_tokens=300))
    assert route.escalation is not None
    assert (route.escalation.tier, route.escalation.targets) == ("expensive", (BIG,))


def test_a_named_model_is_never_substituted() -> None:
    for name in ("openai/gpt-big", "gpt-big"):
        route = routed(asked(model=name), SHORT)
        assert route.targets == (BIG,)
        assert route.reason.startswith("pinned")
    assert routed(asked(model="azure/lone"), SHORT).targets == (LONE,)


def test_a_named_model_wins_over_the_tier_of_an_endpoint_and_over_fixed_answers() -> None:
    policy = changed(directs=(DirectConfig(name="d", text="42", phrases=("What is a farthing?",)),))
    route = routed(asked(model="gpt-big", endpoint=Endpoint(name="support", tier="cheap")), SHORT, policy)
    assert route.targets == (BIG,) and route.fixed is None


def test_a_tier_or_an_alias_may_stand_in_the_model_field() -> None:
    assert routed(asked(model="cheap")).tier == "cheap"
    assert routed(asked(model="gpt-4"), SHORT).targets == (BIG,)
    assert routed(asked(model="fast")).targets == (LOCAL,)
    assert "gpt-4" in routed(asked(model="gpt-4")).reason


def test_an_alias_for_auto_or_an_endpoint_leaves_the_choice_to_the_rules() -> None:
    assert routed(asked(model="smart"), SHORT).tier == "cheap"
    assert routed(asked(model="help"), LONG).tier == "expensive"


def test_an_endpoint_may_pin_its_tier() -> None:
    pinned = Endpoint(name="support", tier="expensive")
    assert routed(asked(model="farthing/support", endpoint=pinned), SHORT).tier == "expensive"
    assert routed(asked(model="farthing/support", endpoint=Endpoint(name="support")), SHORT).tier == "cheap"


def test_a_key_of_one_endpoint_is_not_told_of_others_by_an_unknown_name() -> None:
    policy = changed(endpoints=("support", "sales"))
    for bound, told in (("sales", False), ("support", True), (None, True)):
        with pytest.raises(UnknownModel) as refused:
            routed(asked(body={"model": "halp"}, tenant=Tenant(name="t", endpoint=bound)), policy=policy)
        assert ("did you mean help or" in str(refused.value)) == told


def test_the_tier_the_client_asked_for_wins_over_the_rules() -> None:
    assert routed(asked(tier="expensive"), SHORT).tier == "expensive"
    with pytest.raises(UnknownModel, match="cheap") as refused:
        routed(asked(tier="chep"))
    assert refused.value.param == "model_tier"


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownModel, match="gpt-big") as refused:
        routed(asked(model="gpt-bigg"))
    assert refused.value.param == "model"
    with pytest.raises(UnknownModel) as refused:
        routed(asked(model="z" * 1_000_000))
    assert len(str(refused.value)) < 500


def test_an_open_provider_takes_a_model_nobody_configured() -> None:
    def one_provider(name: str) -> Target | None:
        return Target(name=f"openai/{name}", provider="openai", model=name)

    route = routed(asked(model="gpt-new"), SHORT, changed(open_provider=one_provider))
    assert [t.name for t in route.targets] == ["openai/gpt-new"]


def test_a_target_whose_window_is_too_small_is_left_out_and_the_reason_says_so() -> None:
    route = routed(asked(model="cheap"), Traits(input_tokens=5_000))
    assert route.targets == (LOCAL,)
    assert "openai/gpt-mini" in route.reason


def test_when_no_target_is_large_enough_all_of_them_are_kept() -> None:
    assert routed(asked(model="cheap"), Traits(input_tokens=90_000)).targets == (MINI, LOCAL)
    assert routed(asked(model="gpt-mini"), Traits(input_tokens=90_000)).targets == (MINI,)


def test_a_fixed_answer_needs_no_target() -> None:
    policy = changed(directs=(DirectConfig(name="hours", text="9 to 5", phrases=("When are you open?",)),))
    route = routed(asked("when  are you OPEN"), SHORT, policy)
    assert (route.tier, route.fixed, route.targets) == ("none", "9 to 5", ())
    assert routed(asked("when are you open tomorrow"), SHORT, policy).fixed is None
    assert routed(asked("when are you open?", model="gpt-4"), SHORT, policy).fixed == "9 to 5"
    assert routed(asked("when are you open?", tier="cheap"), SHORT, policy).fixed is None


def test_a_fixed_answer_may_have_a_condition_and_belong_to_one_endpoint() -> None:
    direct = DirectConfig(name="hi", text="Hello!", when='task == "chat"', endpoint="support")
    policy = changed(directs=(direct,))
    chat = Traits(task="chat", input_tokens=5)
    support = Endpoint(name="support")
    assert routed(asked("hi", endpoint=support), chat, policy).fixed == "Hello!"
    assert routed(asked("hi", endpoint=support), SHORT, policy).fixed is None
    assert routed(asked("hi"), chat, policy).fixed is None


def test_it_says_beforehand_what_is_answered_in_fixed_words() -> None:
    direct = DirectConfig(name="hours", text="9 to 5", phrases=("When are you open?",))
    policy = changed(directs=(direct,))
    asks = [
        asked("when are you open"),
        asked("when are you open tomorrow"),
        asked("when are you open?", model="gpt-4"),
        asked("when are you open?", model="gpt-mini"),
        asked("when are you open?", tier="cheap"),
        asked("when are you open?", endpoint=Endpoint(name="support")),
    ]
    told = [RulesRouter(policy).answers(one, SHORT) for one in asks]
    assert told == [routed(one, SHORT, policy).fixed is not None for one in asks]
    assert True in told and False in told
    assert not RulesRouter(POLICY).answers(asks[0], SHORT)


def test_the_fallback_is_the_named_model_or_else_the_default_tier() -> None:
    router = RulesRouter(POLICY)
    assert router.fallback(asked(model="qwen3")).targets == (LOCAL,)
    assert router.fallback(asked()).tier == "expensive"
    assert router.fallback(asked(tier="cheap")).tier == "cheap"
    assert router.fallback(asked(endpoint=Endpoint(name="support", tier="cheap"))).tier == "cheap"
    with pytest.raises(UnknownModel):
        router.fallback(asked(model="nobody"))


def test_routes_are_handed_out_as_they_are() -> None:
    router = RulesRouter(POLICY)
    assert router.choose(asked(), SHORT) is router.choose(asked("Other"), SHORT)


def test_every_name_a_client_may_use_is_known() -> None:
    router = RulesRouter(POLICY)
    known = router.known_models()
    assert {"auto", "cheap", "expensive", "gpt-4", "farthing/support", "azure/lone"} <= set(known)
    for name in known:
        assert router.choose(asked(model=name), LONG).targets


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"default_tier": "expensiv"}, "did you mean expensive"),
        ({"rules": (RuleConfig(when="stream", tier="chep"),)}, r"route.rules\[0\].tier"),
        ({"rules": (RuleConfig(when="strem", tier="cheap"),)}, r"route.rules\[0\].when.*stream"),
        ({"rules": (RuleConfig(when="stream", tier="cheap", escalate="x"),)}, "escalate"),
        ({"aliases": {"a": "nothing"}}, "aliases.a"),
        ({"tiers": {"cheap": (), "expensive": (BIG,)}}, "at least one target"),
        ({"directs": (DirectConfig(name="d", text="t"),)}, "answers.d"),
    ],
)
def test_a_policy_that_names_what_is_not_there_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RulesRouter(changed(**changes))


def pictured() -> Request:
    parts = [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]
    found: Request = replace(asked(), body={"messages": [{"role": "user", "content": parts}]})
    return found


BLIND = replace(MINI, lacks=frozenset({"vision", "tools"}), context_tokens_max=None)
SEES = Traits(task="qa", input_tokens=20, media_tokens=10)


def test_a_tier_of_which_no_model_takes_the_request_is_left_for_one_that_has_one() -> None:
    policy = changed(tiers={"cheap": (BLIND,), "expensive": (BIG,)})
    assert routed(asked(), SHORT, policy).tier == "cheap"
    route = routed(pictured(), SEES, policy)
    assert route.tier == "expensive" and route.targets == (BIG,)
    assert route.reason.endswith("; not cheap, which takes no vision")
    assert (
        routed(pictured(), SEES, changed(tiers={"cheap": (BLIND, LOCAL), "expensive": (BIG,)})).tier
        == "cheap"
    )


def test_a_request_that_some_tier_lacks_what_it_asks_for_is_decided_by_rules_alone() -> None:
    router = RulesRouter(changed(tiers={"cheap": (BLIND,), "expensive": (BIG,)}, rules=()))
    assert router.undecided(asked(), SHORT) and not router.undecided(pictured(), SEES)
    assert router.choose(pictured(), SEES).tier == "expensive"


def test_a_tier_that_was_asked_for_or_is_the_endpoints_stays_and_so_does_one_where_none_is_better() -> None:
    policy = changed(tiers={"cheap": (BLIND,), "expensive": (BIG,)}, endpoint_tiers={"support": "cheap"})
    assert routed(replace(pictured(), model="cheap"), SEES, policy).tier == "cheap"
    assert routed(replace(pictured(), tier="cheap"), SEES, policy).tier == "cheap"
    support = replace(pictured(), model="farthing/support", endpoint=Endpoint(name="support", tier="cheap"))
    assert routed(support, SEES, policy).tier == "cheap"
    assert routed(replace(pictured(), tiers=("cheap",)), SEES, policy).tier == "cheap"
    blind = changed(tiers={"cheap": (BLIND,), "expensive": (replace(BIG, lacks=frozenset({"vision"})),)})
    assert routed(pictured(), SEES, blind).tier == "cheap"
